//! The search, against a Manager that refuses a definition for some of the ports in it.

use std::net::IpAddr;

use proptest::collection::btree_set;
use proptest::prelude::*;

use super::*;
use crate::core::{
    Color, DefinitionKind, Encapsulations, Encryption, Family, Mode, Owner, Path, Preference, Protocol,
    Scope, SequenceAction, Tunnels, keep_for, render,
};

const KEY: DefinitionKey = DefinitionKey {
    service_vpn: 10,
    kind: DefinitionKind::Data,
};

/// A policy with a class for each port up to this, steered to `gold` if it is one of these.
fn policy(ports: u16, gold: &BTreeSet<u16>) -> SteeringPolicy {
    let rule = |port: u16| {
        let color = if gold.contains(&port) { "gold" } else { "mpls" };
        let host = IpAddr::from([10, 2, 0, u8::try_from(port).unwrap()]);
        Arc::new(SteeringRule {
            class: Class {
                service_vpn: KEY.service_vpn,
                preference: Preference::Allow(Path {
                    colors: vec![color.parse().unwrap()],
                    sla: None,
                    mode: Mode::Strict,
                    encryption: Encryption::Any,
                }),
                protocol: Protocol::Tcp,
                port,
                family: Family::V4,
            },
            buckets: vec![Arc::new([host].into())],
            choice: None,
            encapsulations: Encapsulations::Ipsec,
        })
    };
    let mut rules: Vec<_> = (1..=ports).map(rule).collect();
    rules.sort_by(|a, b| a.class.cmp(&b.class));
    SteeringPolicy { rules }
}

fn objects(policy: &SteeringPolicy) -> Objects {
    render(policy, &Scope::default(), &Owner::default(), &Objects::default())
}

/// Which tunnel each port takes.
fn tunnels(in_force: &Objects) -> BTreeMap<u16, Color> {
    let sequences = in_force.definitions.get(&KEY).map(Definition::sequences);
    let sequences = sequences.unwrap_or_default().iter();
    let tunnels = sequences.filter_map(|sequence| match &sequence.action {
        SequenceAction::Set {
            tunnels: Some(Tunnels::Color { color, .. }),
            ..
        } => Some((sequence.port, *color)),
        _ => None,
    });
    tunnels.collect()
}

/// One round against a Manager that takes no `gold` for these ports.
fn round(hold_back: &mut HoldBack, policy: &SteeringPolicy, refused: &BTreeSet<u16>, in_force: &mut Objects) {
    hold_back.begin(policy);
    loop {
        let asked = hold_back.asked(policy);
        let desired = keep_for(objects(&asked), in_force, hold_back.kept());
        let gold: Color = "gold".parse().unwrap();
        if tunnels(&desired)
            .iter()
            .all(|(port, color)| *color != gold || !refused.contains(port))
        {
            *in_force = desired;
            return hold_back.accept();
        }
        let search = Search::new(&asked, in_force, |rule| {
            let rules = vec![rule.clone()];
            objects(&SteeringPolicy { rules })
        });
        let suspicions = search.suspicions(&[(ObjectKey::Definition(KEY), "no gold".to_owned())]);
        assert!(!suspicions.is_empty(), "somebody is to blame");
        hold_back.hold(suspicions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn exactly_those_that_are_refused_are_found_and_keep_what_is_in_force(
        ports in 1..80_u16,
        gold in btree_set(1..80_u16, 0..80),
        refused in btree_set(1..80_u16, 0..5),
    ) {
        let mut in_force = objects(&policy(ports, &BTreeSet::new()));
        let asked = policy(ports, &gold);
        let guilty: BTreeSet<u16> = gold.intersection(&refused).copied().filter(|port| *port <= ports).collect();
        let mut hold_back = HoldBack::default();
        // Each of them is found with two trials for each halving of 80; a resync makes room for as many again.
        for _ in 0..=2 * 7 * guilty.len() {
            round(&mut hold_back, &asked, &refused, &mut in_force);
            if !hold_back.has_more_to_try() && hold_back.held().any(|held| held.words.is_none()) {
                hold_back.retry();
            }
        }
        let held: BTreeSet<u16> = hold_back.held().map(|held| held.rule.class.port).collect();
        prop_assert_eq!(&held, &guilty);
        prop_assert!(hold_back.held().all(|held| held.words.as_deref() == Some("no gold")));
        for (port, color) in tunnels(&in_force) {
            let is_gold = gold.contains(&port) && !guilty.contains(&port);
            prop_assert_eq!(color.as_str(), if is_gold { "gold" } else { "mpls" }, "port {}", port);
        }
        prop_assert_eq!(tunnels(&in_force).len(), usize::from(ports));

        hold_back.retry();
        round(&mut hold_back, &asked, &BTreeSet::new(), &mut in_force);
        prop_assert_eq!(hold_back.held().count(), 0, "nobody refuses them any more");
    }
}

#[test]
fn trials_are_few_between_two_resyncs() {
    let gold: BTreeSet<u16> = (1..=200).collect();
    let asked = policy(200, &gold);
    let mut in_force = objects(&policy(200, &BTreeSet::new()));
    let mut hold_back = HoldBack::default();
    let mut rounds = 0;
    while rounds == 0 || hold_back.has_more_to_try() {
        round(&mut hold_back, &asked, &gold, &mut in_force);
        rounds += 1;
        assert!(rounds <= TRIALS_MAX + 1, "too many rounds");
    }
    assert_eq!(hold_back.held().count(), 200);
    assert!(tunnels(&in_force).values().all(|color| color.as_str() == "mpls"));
}
