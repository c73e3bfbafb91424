//! The fabric against the real kernel: packets are sent, and counted where they went.
//!
//! The whole program runs inside private namespaces, as a lab does, so it needs no root and leaves nothing.
#![allow(clippy::unwrap_used)]

mod bfd;
mod capture;
mod decisions;
mod hubs;
mod impair;
mod links;
mod marking;
mod matches;
mod policies;
mod polls;
mod refusals;
mod replacement;
mod routes_told;
mod sla;
mod steering;
mod two_sites;
mod vpns;
mod world;

use std::future::Future;

use impair::Version;
use libtest_mimic::{Arguments, Failed, Trial};
use netsim::impair::{Backend, netem};
use netsim::netns::{Netns, private};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let has_netem = matches!(private::run(|_| u8::from(has_netem())), Ok(1));
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(has_netem)).exit_code();
    }
    if !has_netem {
        eprintln!(
            "skipped: tests named *_by_netem*: the kernel has no netem, prio or fw (CONFIG_NET_SCH_NETEM)"
        );
    }
    if is_emulated() {
        eprintln!(
            "skipped: {} by the userspace hop: the processor is emulated",
            TIMED.join(", ")
        );
    }
    // Counted as ignored, not as passed, where namespaces are refused.
    if let Err(error) = private::run(|_| 0) {
        eprintln!("skipped: {:#}", anyhow::Error::new(error));
        let ignored = trials(has_netem)
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true));
        return libtest_mimic::run(&arguments, ignored.collect()).exit_code();
    }
    let tests = move |signals: &private::Signals| {
        signals.end_process_at_first();
        u8::from(libtest_mimic::run(&arguments, trials(has_netem)).has_failed())
    };
    match private::run(tests) {
        Ok(0) => std::process::ExitCode::SUCCESS,
        _ => std::process::ExitCode::FAILURE,
    }
}

fn trials(has_netem: bool) -> Vec<Trial> {
    let mut trials = vec![
        trial(
            "unmatched_traffic_takes_the_default_tunnel",
            steering::unmatched_traffic_takes_the_default_tunnel,
        ),
        trial(
            "matched_traffic_takes_its_tunnel_alone",
            steering::matched_traffic_takes_its_tunnel_alone,
        ),
        trial(
            "the_first_matching_sequence_wins",
            steering::the_first_matching_sequence_wins,
        ),
        trial(
            "strict_traffic_is_dropped_without_its_tunnel",
            steering::strict_traffic_is_dropped_without_its_tunnel,
        ),
        trial(
            "preferred_traffic_falls_back_without_its_tunnel",
            steering::preferred_traffic_falls_back_without_its_tunnel,
        ),
        trial(
            "default_action_drop_drops_what_no_sequence_matches",
            steering::default_action_drop_drops,
        ),
        trial(
            "an_empty_policy_restores_normal_routing",
            steering::an_empty_policy_restores_normal_routing,
        ),
        trial(
            "a_color_that_the_edge_lacks_counts_as_down",
            steering::a_color_that_the_edge_lacks_counts_as_down,
        ),
        trial(
            "prefixes_that_overlap_or_cover_everything_are_taken",
            steering::prefixes_that_overlap,
        ),
        trial(
            "during_a_thousand_policy_replacements_nothing_strays",
            replacement::a_thousand_replacements_are_atomic,
        ),
        trial(
            "a_thousand_choices_come_and_go_while_a_tunnel_flaps",
            replacement::a_thousand_choices_come_and_go_while_a_tunnel_flaps,
        ),
        trial(
            "ranges_changed_step_by_step_match_as_fresh_ones_do",
            replacement::changed_ranges_match_as_fresh_ones_do,
        ),
        trial(
            "each_sequence_counts_what_it_matched",
            steering::each_sequence_counts_what_it_matched,
        ),
    ];
    trials.extend(capture_trials());
    trials.extend(route_trials());
    trials.extend(session_trials());
    trials.extend(impaired(has_netem));
    trials.extend(decisions::trials());
    trials.extend(policy_trials());
    trials.extend(vpn_trials());
    trials.extend(sla_trials());
    trials
}

fn capture_trials() -> Vec<Trial> {
    vec![
        trial(
            "every_packet_of_an_interface_is_captured_and_counted",
            capture::every_packet_is_captured,
        ),
        trial(
            "a_ring_that_overflows_says_so",
            capture::a_ring_that_overflows_says_so,
        ),
        trial(
            "addresses_outlast_a_link_that_was_down",
            links::addresses_outlast_a_link_that_was_down,
        ),
    ]
}

fn route_trials() -> Vec<Trial> {
    vec![
        trial(
            "routes_told_are_those_of_the_kernel",
            routes_told::routes_told_are_those_of_the_kernel,
        ),
        trial(
            "what_the_kernel_lost_is_not_told_as_installed",
            routes_told::what_the_kernel_lost_is_not_told_as_installed,
        ),
        trial(
            "leaked_and_forwarded_prefixes_are_told_as_such",
            routes_told::leaked_and_forwarded_prefixes_are_told_as_such,
        ),
    ]
}

fn session_trials() -> Vec<Trial> {
    vec![
        trial(
            "sessions_come_up_and_measure_their_tunnels",
            bfd::sessions_come_up_and_measure_their_tunnels,
        ),
        trial(
            "a_black_hole_is_detected_in_time",
            bfd::a_black_hole_is_detected_in_time,
        ),
        trial(
            "strict_traffic_is_dropped_while_its_session_is_down",
            bfd::strict_traffic_is_dropped_while_its_session_is_down,
        ),
        trial(
            "preferred_traffic_falls_back_while_its_session_is_down",
            bfd::preferred_traffic_falls_back_while_its_session_is_down,
        ),
        trial(
            "unmatched_traffic_has_no_other_way_than_the_default_tunnel",
            bfd::unmatched_traffic_has_no_other_way,
        ),
        trial("no_policy_touches_hellos", bfd::no_policy_touches_hellos),
        trial(
            "a_paused_prober_is_silent_and_judges_nothing",
            bfd::a_paused_prober_is_silent,
        ),
    ]
}

/// Tests that measure how punctual a backend is.
const TIMED: [&str; 4] = [
    "a_delay_is_as_long_as_asked_and_heals",
    "a_line_by_interface_goes_before_one_without",
    "jitter_spreads_and_loses_nothing",
    "a_rate_is_as_asked",
];

/// Whether every instruction is emulated, which takes the userspace hop a millisecond for each packet.
fn is_emulated() -> bool {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    processors.contains("QEMU TCG CPU")
}

/// Each by each backend and in each IP version; those by netem are ignored where the kernel has none.
fn impaired(has_netem: bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    for backend in [Backend::Userspace, Backend::Netem] {
        for version in [Version::V4, Version::V6] {
            trials.extend(impaired_by(backend, version).into_iter().map(|trial| {
                let is_timed = TIMED.iter().any(|name| trial.name().starts_with(name));
                let is_ignored = match backend {
                    Backend::Netem => !has_netem,
                    Backend::Userspace => is_timed && is_emulated(),
                };
                trial.with_ignored_flag(is_ignored)
            }));
        }
    }
    trials
}

/// Of the tests in `impair`, by one backend on a wire of one IP version.
macro_rules! impaired_by {
    ($backend:ident, $version:ident: $($name:ident),* $(,)?) => {
        vec![$(by($backend, $version, stringify!($name), impair::$name)),*]
    };
}

fn impaired_by(backend: Backend, version: Version) -> Vec<Trial> {
    impaired_by![backend, version:
        a_delay_is_as_long_as_asked_and_heals,
        packets_under_way_survive_changes_and_healing,
        a_line_by_interface_goes_before_one_without,
        jitter_spreads_and_loses_nothing,
        random_loss_is_as_often_as_asked_and_the_same_for_a_seed,
        bursts_lose_runs_of_packets,
        a_rate_is_as_asked,
        duplicates_flips_and_overtakers_are_as_many_as_asked,
        an_mtu_drops_longer_packets_and_no_others,
        a_black_hole_passes_nothing_until_it_is_healed,
    ]
}

fn by<F: Future<Output = ()>>(
    backend: Backend,
    version: Version,
    name: &str,
    test: impl Fn(Backend, Version) -> F + Send + 'static,
) -> Trial {
    let wire = match version {
        Version::V4 => "",
        Version::V6 => "_over_ipv6",
    };
    let name: &'static str = format!("{name}_by_{backend}{wire}").leak();
    trial(name, move || test(backend, version))
}

/// Whether the kernel has netem; to be asked inside private namespaces.
fn has_netem() -> bool {
    Netns::current().is_ok_and(|netns| netem::is_available(&netns).unwrap_or(false))
}

fn policy_trials() -> Vec<Trial> {
    vec![
        trial(
            "app_route_goes_before_the_data_policy",
            policies::app_route_goes_before_the_data_policy,
        ),
        trial(
            "a_default_class_is_for_what_no_sequence_matches",
            policies::a_default_class_is_for_what_no_sequence_matches,
        ),
        trial(
            "a_policy_sees_its_direction_alone",
            policies::a_policy_sees_its_direction_alone,
        ),
        trial(
            "each_field_matches_in_both_families",
            matches::each_field_matches_in_both_families,
        ),
        trial(
            "a_code_point_is_rewritten_and_nothing_else",
            marking::a_code_point_is_rewritten_and_nothing_else,
        ),
        trial(
            "counts_are_of_each_policy_over_both_families",
            policies::counts_are_of_each_policy_over_both_families,
        ),
        trial(
            "an_inspected_packet_goes_its_way_and_is_copied_once",
            policies::an_inspected_packet_goes_its_way_and_is_copied_once,
        ),
        trial(
            "many_flows_share_colors_and_one_keeps_to_its_own",
            policies::many_flows_share_colors_and_one_keeps_to_its_own,
        ),
        trial(
            "a_hub_forwards_between_sites_apart",
            hubs::a_hub_forwards_between_sites_apart,
        ),
        trial(
            "the_longest_prefix_goes_before_any_choice",
            hubs::the_longest_prefix_goes_before_any_choice,
        ),
        trial(
            "ipv4_alone_is_served_as_well",
            policies::ipv4_alone_is_served_as_well,
        ),
    ]
}

fn vpn_trials() -> Vec<Trial> {
    vec![
        trial(
            "vpns_of_the_same_addresses_do_not_meet",
            vpns::vpns_of_the_same_addresses_do_not_meet,
        ),
        trial(
            "routes_leak_where_they_are_told_to_and_nowhere_else",
            vpns::routes_leak_where_they_are_told_to_and_nowhere_else,
        ),
        trial(
            "a_vpn_reaches_neither_transports_nor_management",
            vpns::a_vpn_reaches_neither_transports_nor_management,
        ),
        trial(
            "a_host_is_told_what_is_too_long_for_a_tunnel",
            vpns::a_host_is_told_what_is_too_long_for_a_tunnel,
        ),
        trial(
            "a_lab_of_both_families_is_silent",
            vpns::a_lab_of_both_families_is_silent,
        ),
        trial(
            "an_underlay_of_ipv6_carries_both_families",
            vpns::an_underlay_of_ipv6_carries_both_families,
        ),
    ]
}

fn sla_trials() -> Vec<Trial> {
    vec![
        trial(
            "a_delayed_color_is_left_and_taken_again",
            sla::a_delayed_color_is_left_and_taken_again,
        ),
        trial(
            "strict_traffic_is_dropped_while_every_color_loses_packets",
            sla::strict_traffic_is_dropped_while_every_color_loses_packets,
        ),
        trial(
            "the_best_of_delayed_colors_is_taken",
            sla::the_best_of_delayed_colors_is_taken,
        ),
        trial(
            "a_poll_without_news_leaves_the_kernel_alone",
            polls::a_poll_without_news_leaves_the_kernel_alone,
        ),
        trial(
            "routes_that_failed_are_tried_again_at_the_next_poll",
            polls::routes_that_failed_are_tried_again_at_the_next_poll,
        ),
        trial(
            "a_policy_that_is_refused_changes_nothing",
            refusals::a_policy_that_is_refused_changes_nothing,
        ),
    ]
}

fn trial<F: Future<Output = ()>>(name: &'static str, test: impl Fn() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Runtime::new().map_err(Failed::from)?;
        runtime.block_on(test());
        Ok(())
    })
}
