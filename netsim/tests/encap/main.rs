//! Encapsulations against the real kernel: packets cross them, and the underlay is watched.
//!
//! The whole program runs inside private namespaces, so it needs no root and leaves nothing. What this kernel cannot
//! do is counted as ignored, with the kernel's reason.
#![allow(clippy::unwrap_used)]

mod carry;
mod lab;
mod secrecy;
mod sizes;

use std::future::Future;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netsim::encap::{Abilities, Ability, Encapsulation, Means, Underlay};
use netsim::netns::private;

/// An encapsulation, who does it, and what is below.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    encapsulation: Encapsulation,
    means: Means,
    underlay: Underlay,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    // Counted as ignored, not as passed, where namespaces are refused.
    let abilities = match private::run(|_| abilities_code()) {
        Ok(code) => of_code(code),
        Err(error) => {
            eprintln!("skipped: {:#}", anyhow::Error::new(error));
            let ignored = trials()
                .into_iter()
                .map(|(_, trial)| trial.with_ignored_flag(true));
            return libtest_mimic::run(&arguments, ignored.collect()).exit_code();
        }
    };
    if arguments.list {
        // A runner that starts each test by itself takes from the list what it is to count as ignored.
        let listed = trials().into_iter().map(|(case, trial)| {
            let is_missing = case.missing(&abilities).is_some();
            trial.with_ignored_flag(is_missing)
        });
        return libtest_mimic::run(&arguments, listed.collect()).exit_code();
    }
    let tests = move |signals: &private::Signals| {
        signals.end_process_at_first();
        let trials = trials().into_iter().map(|(_, trial)| trial);
        u8::from(libtest_mimic::run(&arguments, trials.collect()).has_failed())
    };
    match private::run(tests) {
        Ok(0) => std::process::ExitCode::SUCCESS,
        _ => std::process::ExitCode::FAILURE,
    }
}

/// What the kernel can do, as an exit code: one bit for each ability.
fn abilities_code() -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let abilities = runtime.block_on(Abilities::probe()).unwrap();
    [&abilities.gre, &abilities.wireguard, &abilities.esp]
        .iter()
        .zip([1, 2, 4])
        .map(|(ability, bit)| if ability.is_available() { bit } else { 0 })
        .sum()
}

fn of_code(code: u8) -> Abilities {
    let ability = |bit: u8| match code & bit {
        0 => Ability::Missing("this kernel lacks it".to_owned()),
        _ => Ability::Available,
    };
    Abilities {
        gre: ability(1),
        wireguard: ability(2),
        esp: ability(4),
    }
}

fn cases() -> Vec<Case> {
    let kinds = [
        (Encapsulation::Vxlan, Means::Kernel),
        (Encapsulation::Gre, Means::Kernel),
        (Encapsulation::Wireguard, Means::Kernel),
        (Encapsulation::Wireguard, Means::Userspace),
        (Encapsulation::Ipsec, Means::Kernel),
    ];
    let with_underlay = |underlay| {
        kinds.map(|(encapsulation, means)| Case {
            encapsulation,
            means,
            underlay,
        })
    };
    [Underlay::V4, Underlay::V6]
        .into_iter()
        .flat_map(with_underlay)
        .collect()
}

impl Case {
    fn name(self) -> String {
        let means = match (self.encapsulation, self.means) {
            (Encapsulation::Wireguard, Means::Userspace) => "userspace_",
            (Encapsulation::Wireguard, Means::Kernel) => "kernel_",
            _ => "",
        };
        let underlay = match self.underlay {
            Underlay::V4 => "ipv4",
            Underlay::V6 => "ipv6",
        };
        format!("{means}{}_over_{underlay}", self.encapsulation)
    }

    /// Why this kernel cannot do it, if so.
    fn missing(self, abilities: &Abilities) -> Option<String> {
        let ability = match (self.encapsulation, self.means) {
            (Encapsulation::Vxlan, _) | (_, Means::Userspace) => return None,
            (Encapsulation::Gre, _) => &abilities.gre,
            (Encapsulation::Wireguard, _) => &abilities.wireguard,
            (Encapsulation::Ipsec, _) => &abilities.esp,
        };
        match ability {
            Ability::Available => None,
            Ability::Missing(reason) => Some(reason.clone()),
        }
    }
}

fn trials() -> Vec<(Case, Trial)> {
    let mut trials: Vec<(Case, Trial)> = cases().into_iter().flat_map(of_every_encapsulation).collect();
    trials.extend(of_wireguard());
    let ipsec = Case {
        encapsulation: Encapsulation::Ipsec,
        means: Means::Kernel,
        underlay: Underlay::V4,
    };
    let gre = Case {
        encapsulation: Encapsulation::Gre,
        ..ipsec
    };
    trials.push(trial("gre_has_ipv6_addresses_inside", gre, carry::ipv6_inside));
    trials.push(trial(
        "ipsec_drops_what_comes_in_unencrypted",
        ipsec,
        secrecy::ipsec_drops_cleartext,
    ));
    trials
}

fn of_every_encapsulation(case: Case) -> Vec<(Case, Trial)> {
    let name = case.name();
    vec![
        trial(format!("{name}_carries_ping_and_udp"), case, carry::ping_and_udp),
        trial(format!("{name}_carries_tcp_in_bulk"), case, carry::tcp_in_bulk),
        trial(
            format!("{name}_has_the_overhead_that_it_is_said_to_have"),
            case,
            sizes::overhead_is_exact,
        ),
        trial(
            format!("{name}_hides_what_it_should"),
            case,
            secrecy::hides_what_it_should,
        ),
        trial(
            format!("{name}_connects_three_edges_pair_by_pair"),
            case,
            carry::three_edges,
        ),
    ]
}

fn of_wireguard() -> Vec<(Case, Trial)> {
    let userspace = Case {
        encapsulation: Encapsulation::Wireguard,
        means: Means::Userspace,
        underlay: Underlay::V4,
    };
    let by_kernel = Case {
        means: Means::Kernel,
        ..userspace
    };
    let mut trials = vec![
        trial(
            "userspace_wireguard_loses_nothing_while_it_changes_keys",
            userspace,
            carry::rekeying,
        ),
        trial(
            "userspace_wireguard_ends_cleanly_and_starts_again",
            userspace,
            carry::ends_and_starts_again,
        ),
        trial(
            "userspace_and_kernel_wireguard_understand_each_other",
            by_kernel,
            carry::mixed_means,
        ),
    ];
    for case in [userspace, by_kernel] {
        let name = case.name();
        trials.push(trial(
            format!("{name}_passes_nothing_with_a_wrong_key"),
            case,
            secrecy::a_wrong_key_passes_nothing,
        ));
        trials.push(trial(
            format!("{name}_has_ipv6_addresses_inside"),
            case,
            carry::ipv6_inside,
        ));
        trials.push(trial(
            format!("{name}_refuses_the_address_of_another_peer"),
            case,
            secrecy::another_peers_address_is_refused,
        ));
    }
    trials
}

fn trial<F: Future<Output = ()>>(
    name: impl Into<String>,
    case: Case,
    test: impl Fn(Case) -> F + Send + 'static,
) -> (Case, Trial) {
    let trial = Trial::ignorable_test(name, move || {
        let runtime = tokio::runtime::Runtime::new().map_err(Failed::from)?;
        runtime.block_on(async {
            let abilities = Abilities::probe().await?;
            if let Some(reason) = case.missing(&abilities) {
                return Ok(Completion::ignored_with(reason));
            }
            test(case).await;
            Ok(Completion::Completed)
        })
    });
    (case, trial)
}
