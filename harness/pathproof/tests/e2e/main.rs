//! The program as its users have it: real labs, a real operator process, real packets.
#![allow(clippy::unwrap_used)]

mod api_faults;
mod demo;
mod encap;
mod failing;
mod faults;
mod inspection;
mod kill;
mod kubectl;
mod limits;
mod manager;
mod manager_faults;
mod mesh;
mod resources;
mod rights;
mod show;
mod support;
mod tenants;
mod usage;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> std::process::ExitCode {
    if inspection::is_operator() {
        return inspection::operate();
    }
    if limits::is_exhausting() {
        return limits::exhaust();
    }
    let arguments = Arguments::from_args();
    let mut trials = trials();
    // Counted as ignored, not as passed, where namespaces are refused.
    if !arguments.list
        && let Err(error) = netsim::netns::private::run(|_| 0)
    {
        eprintln!("skipped: {:#}", anyhow::Error::new(error));
        trials = trials
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true))
            .collect();
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Vec<Trial> {
    [
        verdicts(),
        encapsulated(),
        claimed(),
        failing::trials(),
        impaired(),
        in_trouble(),
        topologies(),
        installed(),
        managers(),
        endings(),
        conditional(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn verdicts() -> Vec<Trial> {
    vec![
        trial("demo_passes_and_prints_its_figures", demo::passes),
        trial("demo_needs_no_network_tools_on_the_path", demo::needs_no_tools),
        trial("demo_fails_with_swapped_tunnels", || {
            demo::fails_with("swap-tunnels", "tunnel/default")
        }),
        trial("demo_fails_without_the_operator", || {
            demo::fails_with("no-operator", "tunnel/default")
        }),
        trial("demo_fails_when_one_packet_in_a_thousand_leaks", || {
            demo::fails_with("leak=1/1000", "tunnel/default")
        }),
        trial("demo_fails_when_one_direction_is_not_steered", || {
            demo::fails_with("one-direction", "tunnel/default")
        }),
        trial(
            "demo_is_inconclusive_when_a_ring_overflows",
            demo::inconclusive_with_a_tiny_ring,
        ),
        trial(
            "sabotage_that_does_not_bite_is_a_broken_lab",
            demo::sabotage_that_does_not_bite_is_an_error,
        ),
    ]
}

fn encapsulated() -> Vec<Trial> {
    vec![
        trial(
            "an_encrypted_transport_hides_probes",
            encap::encrypted_transport_hides_probes,
        ),
        trial(
            "an_encapsulation_that_the_kernel_lacks_is_skipped",
            encap::a_missing_encapsulation_is_skipped,
        ),
    ]
}

fn claimed() -> Vec<Trial> {
    let passing = ["budgets", "phases-and-paths", "ways-and-marks"];
    let trial = |name: &'static str| {
        trial(&format!("{name}_passes"), move || {
            support::Run::new(&["run", &format!("scenarios/extended/{name}.yaml")])
                .finish()
                .expect(0);
        })
    };
    passing.into_iter().map(trial).collect()
}

fn impaired() -> Vec<Trial> {
    vec![
        trial(
            "pinned_traffic_is_lost_with_its_transport",
            faults::strict_drops_when_cut,
        ),
        trial("a_brown_out_moves_and_loses_nothing", faults::brown_out),
        trial("impaired_transports_pass_as_extended", faults::extended),
        trial("faults_of_parts_of_a_transport_stay_there", faults::parts),
        trial("cuts_are_felt_where_there_is_more_than_one_way", faults::ways),
        trial(
            "a_transport_of_ipv6_is_impaired_as_one_of_ipv4",
            faults::over_ipv6,
        ),
        trial(
            "a_fault_that_does_not_take_is_a_broken_lab",
            faults::dead_fault_is_an_error,
        ),
    ]
}

fn in_trouble() -> Vec<Trial> {
    vec![
        trial(
            "changes_wait_for_a_manager_that_refuses_them",
            manager_faults::changes_wait_for_the_manager,
        ),
        trial(
            "changes_outlive_what_hides_the_manager",
            manager_faults::changes_outlive_what_hides_the_manager,
        ),
        trial(
            "a_fault_of_the_manager_that_nothing_feels_is_a_broken_lab",
            manager_faults::a_fault_that_nothing_feels_is_an_error,
        ),
        trial(
            "a_fault_of_the_manager_that_is_pretended_is_a_broken_lab",
            manager_faults::a_fault_that_is_only_pretended_is_an_error,
        ),
        trial(
            "changes_outlive_what_hides_the_api",
            api_faults::changes_outlive_what_hides_the_api,
        ),
        trial(
            "a_fault_of_the_api_that_nothing_feels_is_a_broken_lab",
            api_faults::a_fault_that_nothing_feels_is_an_error,
        ),
        trial(
            "a_fault_of_the_api_that_is_pretended_is_a_broken_lab",
            api_faults::a_fault_that_is_only_pretended_is_an_error,
        ),
    ]
}

fn topologies() -> Vec<Trial> {
    vec![
        trial("tenants_with_the_same_addresses_stay_apart", tenants::stay_apart),
        trial(
            "a_tenant_that_is_not_steered_fails",
            tenants::fail_when_not_steered,
        ),
        trial(
            "a_global_service_is_steered_to_another_cluster",
            mesh::a_global_service_is_steered_to_another_cluster,
        ),
        trial(
            "streams_go_to_another_cluster_when_their_own_is_not_ready",
            mesh::streams_go_to_another_cluster_when_their_own_is_not_ready,
        ),
        trial(
            "a_global_service_that_is_not_steered_fails",
            mesh::fail_when_not_steered,
        ),
        trial(
            "a_service_of_any_cluster_is_steered",
            mesh::any_cluster_asks_for_tunnels,
        ),
        trial(
            "tenants_with_the_same_addresses_take_different_tunnels",
            tenants::ask_for_different_tunnels,
        ),
        trial(
            "a_service_is_inspected_that_asks_for_it",
            inspection::an_annotation_asks_for_copies,
        ),
        trial(
            "inspected_packets_are_copied_and_go_their_way",
            inspection::copies_go_to_the_service,
        ),
        trial(
            "a_copy_refutes_that_there_is_none",
            inspection::a_copy_refutes_that_there_is_none,
        ),
        trial(
            "a_site_without_inspection_refuses_to_inspect",
            inspection::a_site_without_the_service_refuses,
        ),
    ]
}

fn installed() -> Vec<Trial> {
    vec![
        trial(
            "delivered_rights_are_all_used_and_enough",
            rights::are_all_used_and_enough,
        ),
        trial(
            "rights_that_are_missing_are_refused",
            rights::that_are_missing_are_refused,
        ),
        trial(
            "an_operator_without_manifests_is_administrator",
            rights::are_those_of_the_administrator_without_manifests,
        ),
        trial(
            "manifests_without_an_account_are_a_wrong_command_line",
            rights::of_manifests_without_an_account_are_a_wrong_command_line,
        ),
        trial(
            "a_policy_of_a_user_goes_before_annotations",
            resources::steer_before_annotations,
        ),
        trial(
            "what_became_of_a_policy_and_the_tunnels_are_shown",
            resources::show_what_became_of_a_policy_and_how_the_tunnels_are,
        ),
    ]
}

fn managers() -> Vec<Trial> {
    vec![
        trial("a_manager_of_edges_in_memory", manager::of_edges_in_memory),
        trial("a_manager_of_a_topology", manager::of_a_topology),
        trial(
            "a_manager_of_the_topology_of_a_scenario",
            manager::of_the_topology_of_a_scenario,
        ),
        trial("a_manager_with_a_password_file", manager::with_a_password_file),
        trial(
            "a_manager_with_controllers_and_tenants_and_slow_statistics",
            manager::with_controllers_and_tenants_and_slow_statistics,
        ),
        trial("a_manager_limits_requests", manager::limits_requests),
        trial(
            "a_manager_shows_expiry_in_the_shape_asked_for",
            manager::shows_expiry_in_the_shape_asked_for,
        ),
        trial(
            "a_manager_is_ready_and_has_its_template_as_asked_for",
            manager::is_ready_and_has_its_template_as_asked_for,
        ),
        trial(
            "a_manager_refuses_what_it_cannot_serve",
            manager::refuses_what_it_cannot_serve,
        ),
        trial("a_killed_manager_leaves_nothing", manager::killed_leaves_nothing),
    ]
}

fn endings() -> Vec<Trial> {
    vec![
        trial(
            "an_operator_that_dies_is_a_broken_lab",
            demo::dead_operator_is_an_error,
        ),
        trial(
            "a_broken_scenario_creates_nothing",
            usage::broken_scenario_creates_nothing,
        ),
        trial(
            "check_accepts_every_scenario_of_the_repository",
            usage::check_accepts_the_repository,
        ),
        trial(
            "a_profile_without_scenarios_selects_nothing",
            usage::empty_profile,
        ),
        trial(
            "impairments_are_by_whom_they_are_asked_for",
            usage::impairments_are_by_whom_they_are_asked_for,
        ),
        trial("the_same_seed_gives_the_same_plan", usage::same_seed_same_plan),
        trial("doctor_finds_what_labs_need", usage::doctor_finds_what_labs_need),
        trial(
            "an_interrupt_tears_down_and_leaves_nothing",
            kill::interrupt_leaves_nothing,
        ),
        trial(
            "too_few_network_namespaces_are_named",
            limits::too_few_network_namespaces,
        ),
        trial("too_few_open_files_are_named", limits::too_few_open_files),
        trial(
            "lab_show_shows_sites_tunnels_and_policies",
            show::shows_sites_tunnels_and_policies,
        ),
        trial("kill_at_random_times_leaves_nothing", kill::kill_leaves_nothing),
    ]
}

/// Those that need something that not every machine has.
fn conditional() -> Vec<Trial> {
    let mut trials = Vec::new();
    let as_ordinary_user: [(&str, fn()); 4] = [
        ("demo_passes_as_an_ordinary_user", demo::passes_as_ordinary_user),
        (
            "an_encrypted_transport_hides_probes_of_an_ordinary_user",
            encap::encrypted_transport_hides_probes_of_an_ordinary_user,
        ),
        (
            "changes_wait_for_a_manager_of_an_ordinary_user",
            manager_faults::changes_wait_for_the_manager_of_an_ordinary_user,
        ),
        (
            "changes_outlive_what_hides_the_api_of_an_ordinary_user",
            api_faults::changes_outlive_what_hides_the_api_of_an_ordinary_user,
        ),
    ];
    for (name, test) in as_ordinary_user {
        if !support::is_root() {
            eprintln!("skipped: {name}: only root can become one; here every test runs as one");
        }
        trials.push(trial(name, test).with_ignored_flag(!support::is_root()));
    }
    let without_kubectl = support::on_path("kubectl").is_none();
    if without_kubectl {
        eprintln!("skipped: kubectl_works_on_a_held_lab: there is no kubectl on the PATH");
    }
    trials.push(
        trial("kubectl_works_on_a_held_lab", kubectl::works_on_a_held_lab).with_ignored_flag(without_kubectl),
    );
    let without_curl = support::on_path("curl").is_none();
    if without_curl {
        eprintln!("skipped: a_manager_prints_a_command_that_works: there is no curl on the PATH");
    }
    let printed = trial(
        "a_manager_prints_a_command_that_works",
        manager::prints_a_command_that_works,
    );
    trials.push(printed.with_ignored_flag(without_curl));
    trials
}

fn trial(name: &str, test: impl Fn() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok::<(), Failed>(())
    })
}
