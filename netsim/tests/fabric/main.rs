//! The fabric against the real kernel: packets are sent, and counted where they went.
//!
//! The whole program runs inside private namespaces, as a lab does, so it needs no root and leaves nothing.
#![allow(clippy::unwrap_used)]

mod capture;
mod replacement;
mod steering;
mod two_sites;

use std::future::Future;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        libtest_mimic::run(&arguments, trials()).exit();
    }
    match netsim::netns::private::run(move || u8::from(libtest_mimic::run(&arguments, trials()).has_failed()))
    {
        Ok(0) => std::process::ExitCode::SUCCESS,
        Ok(_) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}: {:?}", std::error::Error::source(&error));
            std::process::ExitCode::FAILURE
        }
    }
}

fn trials() -> Vec<Trial> {
    vec![
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
            "an_unknown_color_is_refused_and_changes_nothing",
            steering::an_unknown_color_is_refused,
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
            "ranges_changed_step_by_step_match_as_fresh_ones_do",
            replacement::changed_ranges_match_as_fresh_ones_do,
        ),
        trial(
            "every_packet_of_an_interface_is_captured_and_counted",
            capture::every_packet_is_captured,
        ),
        trial(
            "a_ring_that_overflows_says_so",
            capture::a_ring_that_overflows_says_so,
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
