#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;
use crate::policy::{DefaultAction, LocalTlocs, Match, PolicyDirection, Sequence};

const VPNS: [u16; 3] = [10, 20, 30];

fn position(service_vpn: u16) -> Option<usize> {
    VPNS.iter().position(|vpn| *vpn == service_vpn)
}

fn class(number: u8) -> SlaClass {
    SlaClass {
        name: format!("class-{number}"),
        loss: Some(number.into()),
        latency: None,
        jitter: None,
    }
}

fn local(number: u16) -> DataPath {
    DataPath::Local(LocalTlocs {
        colors: vec![format!("color-{number}")],
        restrict: false,
    })
}

/// A policy that sets these paths in service VPNs and asks for these classes.
fn policy(paths: &[(u16, u16)], classes: &[(u16, u8)]) -> EdgePolicy {
    let sequence = |path: u16| Sequence {
        id: 1,
        matching: Match::default(),
        action: Action::Accept {
            path: Some(local(path)),
            inspect: false,
            dscp: None,
        },
        counter: None,
    };
    EdgePolicy {
        site_id: 100,
        app_route: classes
            .iter()
            .map(|(service_vpn, number)| AppRoutePolicy {
                service_vpn: *service_vpn,
                sequences: [].into(),
                default_class: Some(class(*number)),
            })
            .collect(),
        data: paths
            .iter()
            .map(|(service_vpn, path)| DataPolicy {
                service_vpn: *service_vpn,
                direction: PolicyDirection::FromService,
                default_action: DefaultAction::Accept,
                sequences: [sequence(*path)].into(),
            })
            .collect(),
    }
}

/// As an edge does it: the choices while both policies are in force, and those of the new one alone.
fn replace(old: &Choices, new: &EdgePolicy) -> (Choices, Choices) {
    let both = old.with(new, position).unwrap();
    let alone = both.only(new, position);
    (both, alone)
}

#[test]
fn a_choice_keeps_its_slot_and_the_next_policy_takes_no_slot_that_was_given_up() {
    let (_, first) = replace(&Choices::default(), &policy(&[(10, 1), (10, 2)], &[]));
    let (_, second) = replace(&first, &policy(&[(10, 3), (10, 2)], &[]));
    let bits = |choices: &Choices, path| choices.bits(0, Choice::Data(local(path)));
    assert_eq!(bits(&first, 2), bits(&second, 2));
    assert_ne!(bits(&first, 1), bits(&second, 3));
    // Two policies later nothing is marked with it any more.
    let (_, third) = replace(&second, &policy(&[(10, 4), (10, 2)], &[]));
    assert_eq!(bits(&first, 1), bits(&third, 4));
}

#[test]
fn equal_choices_of_two_vpns_have_tables_of_their_own() {
    let (_, choices) = replace(&Choices::default(), &policy(&[(10, 1), (20, 1)], &[(30, 1)]));
    let tables: BTreeSet<u32> = choices.tables().map(|(_, _, table, _)| table).collect();
    assert_eq!(tables, BTreeSet::from([0x0100_1000, 0x0200_1000, 0x0300_0001]));
}

#[test]
fn what_is_of_no_vpn_of_the_edge_asks_for_nothing() {
    let (_, choices) = replace(&Choices::default(), &policy(&[(99, 1)], &[(98, 1)]));
    assert_eq!(choices, Choices::default());
}

#[test]
fn as_many_choices_as_slots_are_taken_and_no_more() {
    let last = u16::try_from(SLOTS).unwrap();
    let all: Vec<_> = (1..=last).map(|path| (10, path)).collect();
    let full = Choices::default().with(&policy(&all, &[]), position).unwrap();
    assert_eq!(full.tables().count(), usize::from(last));
    // The other VPNs, and app-route in this one, have slots of their own.
    full.with(&policy(&[(20, last + 1)], &[(10, 1)]), position)
        .unwrap();
    let refused = full.with(&policy(&[(10, last + 1)], &[]), position);
    assert_eq!(refused, Err(TooManyChoices));
}

#[test]
fn the_numbers_of_tables_are_none_that_the_kernel_has() {
    // RT_TABLE_MAIN, RT_TABLE_LOCAL and all others of rtnetlink(7) are below 256.
    assert!((0..VPNS_MAX).all(|vpn| vpn_table(vpn) > 255));
    assert_eq!(vpn_table(VPNS_MAX - 1), VPN_MASK);
}

/// Which tables a packet of a mark asks, in this order.
fn asked(rules: &BTreeSet<MarkRule>, mark: u32) -> Vec<u32> {
    rules
        .iter()
        .filter(|rule| mark & rule.mask == rule.mark & rule.mask)
        .map(|rule| rule.table)
        .collect()
}

fn some_policy() -> impl Strategy<Value = EdgePolicy> {
    let paths = prop::collection::vec((prop::sample::select(VPNS.to_vec()), 0..6_u16), 0..8);
    let classes = prop::collection::vec((prop::sample::select(VPNS.to_vec()), 0..4_u8), 0..5);
    (paths, classes).prop_map(|(paths, classes)| policy(&paths, &classes))
}

proptest! {
    #[test]
    fn marks_and_tables_never_collide(policies in prop::collection::vec(some_policy(), 1..8)) {
        let mut choices = Choices::default();
        for policy in policies {
            let (both, alone) = replace(&choices, &policy);
            // While packets are marked under either policy each choice has bits and tables of its own,
            let mut tables: Vec<u32> = (0..VPNS.len()).map(vpn_table).collect();
            for (_, choice, table, drops) in both.tables() {
                tables.push(table);
                if let Choice::AppRoute(_) = choice {
                    tables.push(drops);
                }
            }
            let distinct: BTreeSet<u32> = tables.iter().copied().collect();
            prop_assert_eq!(distinct.len(), tables.len());
            // and keeps them.
            for (of, choice, ..) in choices.tables() {
                prop_assert_eq!(choices.bits(of, choice.clone()), both.bits(of, choice.clone()));
            }
            // A packet asks what app-route drops, the data policy's choice, app-route's and its VPN's, and nothing
            // of another VPN or choice.
            let rules: BTreeSet<MarkRule> =
                both.rules().into_iter().chain((0..VPNS.len()).map(vpn_rule)).collect();
            let of_kind = |vpn: usize, kind: fn(&Choice) -> bool| {
                let all = both.tables().filter(move |(of, choice, ..)| *of == vpn && kind(choice));
                all.map(|(_, choice, table, drops)| (both.bits(vpn, choice.clone()).value, table, drops))
                    .map(Some).chain([None]).collect::<Vec<_>>()
            };
            for vpn in 0..VPNS.len() {
                for app_route in of_kind(vpn, |choice| matches!(choice, Choice::AppRoute(_))) {
                    for data in of_kind(vpn, |choice| matches!(choice, Choice::Data(_))) {
                        let bits = app_route.map_or(0, |(bits, ..)| bits) | data.map_or(0, |(bits, ..)| bits);
                        let expected: Vec<u32> = app_route.map(|(_, _, drops)| drops).into_iter()
                            .chain(data.map(|(_, table, _)| table))
                            .chain(app_route.map(|(_, table, _)| table))
                            .chain([vpn_table(vpn)])
                            .collect();
                        prop_assert_eq!(asked(&rules, vpn_table(vpn) | bits), expected);
                    }
                }
            }
            prop_assert!(asked(&rules, 0).is_empty(), "what is not of a VPN asks none of them");
            choices = alone;
        }
    }
}
