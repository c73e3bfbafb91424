//! What holds for any choice and any ways.

use proptest::prelude::*;

use super::*;
use crate::fabric::strategies::{some_app_route, some_colors, some_path};

const COLORS: [&str; 4] = ["mpls", "lte", "gold", "red"];

#[derive(Debug, Clone)]
struct Owned {
    color: &'static str,
    edge: u8,
    hops: u16,
    health: Health,
}

fn some_health() -> impl Strategy<Value = Health> {
    let measured = (0..4_u32, 0..4_u64, 0..4_u64).prop_map(|(loss, latency, jitter)| Means {
        loss: Some(loss * 600),
        latency: Some(millis(latency * 3)),
        jitter: Some(millis(jitter)),
    });
    let means = prop_oneof![Just(Means::default()), measured];
    let met = prop_oneof![Just(BTreeSet::new()), Just(BTreeSet::from([class()]))];
    prop_oneof![
        1 => Just(Health::default()),
        2 => (met, means).prop_map(|(met, means)| Health { up: true, met, means }),
    ]
}

fn some_ways() -> impl Strategy<Value = Vec<Owned>> {
    let color = prop::sample::select(COLORS.to_vec());
    let way = (color, 1..=3_u8, 1..=3_u16, some_health());
    let way = way.prop_map(|(color, edge, hops, health)| Owned {
        color,
        edge,
        hops,
        health,
    });
    prop::collection::vec(way, 0..8)
}

/// Every kind of choice.
#[derive(Debug, Clone)]
enum Choice {
    App(AppRoute),
    Data(DataPath),
    Routing(Vec<String>),
}

impl Choice {
    fn decide(&self, ways: &[Owned]) -> Decision {
        let ways = ways.iter().map(|way| Way {
            color: way.color,
            system_ip: system_ip(way.edge),
            hops: way.hops,
            health: &way.health,
        });
        let ways: Vec<Way<'_>> = ways.collect();
        match self {
            Self::App(choice) => app_route(choice, &ways),
            Self::Data(path) => data_path(path, &ways),
            Self::Routing(colors) => routing(colors, &ways),
        }
    }

    /// The group that is not to be left.
    fn restricted(&self) -> Option<&ColorGroup> {
        match self {
            Self::App(AppRoute {
                preference: Preference::Group(group),
                ..
            })
            | Self::Data(DataPath::Group(group)) => group.restrict.then_some(group),
            _ => None,
        }
    }
}

fn any_choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        4 => some_app_route(&COLORS).prop_map(Choice::App),
        2 => some_path(&COLORS).prop_map(Choice::Data),
        1 => some_colors(&COLORS).prop_map(Choice::Routing),
    ]
}

fn meets(way: &Owned) -> bool {
    way.health.met.contains(&class())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn only_ways_that_are_up_are_taken(choice in any_choice(), ways in some_ways()) {
        if let Decision::Over(taken) = choice.decide(&ways) {
            prop_assert!(!taken.is_empty());
            prop_assert!(taken.is_sorted_by(|one, next| one < next));
            for position in taken {
                prop_assert!(ways[position].health.up);
            }
        }
    }

    #[test]
    fn strict_takes_nothing_that_does_not_meet_its_class(choice in some_app_route(&COLORS), ways in some_ways()) {
        let choice = strict(AppRoute { class: Some(class()), ..choice });
        match Choice::App(choice).decide(&ways) {
            Decision::Over(taken) => prop_assert!(taken.iter().all(|position| meets(&ways[*position]))),
            Decision::Routing => prop_assert!(false, "routing does not know the class"),
            Decision::Drop => {}
        }
    }

    #[test]
    fn a_class_that_some_way_meets_is_kept(choice in some_app_route(&COLORS), ways in some_ways()) {
        let choice = Choice::App(AppRoute { class: Some(class()), ..choice });
        if choice.restricted().is_none() && ways.iter().any(meets) {
            let Decision::Over(taken) = choice.decide(&ways) else {
                return Err(TestCaseError::fail("some way meets the class"));
            };
            prop_assert!(taken.iter().all(|position| meets(&ways[*position])));
        }
    }

    #[test]
    fn a_restricted_group_keeps_to_its_tiers(choice in any_choice(), ways in some_ways()) {
        let Some(group) = choice.restricted() else { return Ok(()) };
        let is_of_a_tier = |way: &Owned| {
            group.tiers.iter().any(|tier| tier.colors.iter().any(|color| color == way.color))
        };
        match choice.decide(&ways) {
            Decision::Over(taken) => prop_assert!(taken.iter().all(|position| is_of_a_tier(&ways[*position]))),
            Decision::Routing => prop_assert!(false, "routing does not know the group"),
            Decision::Drop => {}
        }
    }

    #[test]
    fn data_policy_drops_or_routes_as_it_was_told(path in some_path(&COLORS), ways in some_ways()) {
        let may_be_routed = match &path {
            DataPath::Local(tlocs) => !tlocs.restrict,
            DataPath::Remote(_) => false,
            DataPath::Group(group) => !group.restrict,
        };
        let wrong = if may_be_routed { Decision::Drop } else { Decision::Routing };
        prop_assert_ne!(Choice::Data(path).decide(&ways), wrong);
    }

    #[test]
    fn the_order_of_ways_does_not_matter(
        choice in any_choice(),
        (ways, order) in some_ways().prop_flat_map(|ways| {
            let order = Just((0..ways.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(ways), order)
        }),
    ) {
        let moved: Vec<Owned> = order.iter().map(|position| ways[*position].clone()).collect();
        let there = match choice.decide(&moved) {
            Decision::Over(taken) => {
                let mut back: Vec<usize> = taken.iter().map(|position| order[*position]).collect();
                back.sort_unstable();
                Decision::Over(back)
            }
            other => other,
        };
        prop_assert_eq!(there, choice.decide(&ways));
    }

    #[test]
    fn a_healthier_tunnel_never_takes_packets_their_way(
        choice in any_choice(),
        ways in some_ways(),
        position in any::<prop::sample::Index>(),
        meets_too in any::<bool>(),
    ) {
        if ways.is_empty() {
            return Ok(());
        }
        let mut better = ways.clone();
        let health = &mut better[position.index(ways.len())].health;
        health.up = true;
        if meets_too {
            health.met.insert(class());
        }
        let (before, after) = (choice.decide(&ways), choice.decide(&better));
        prop_assert!(before == Decision::Drop || after != Decision::Drop, "{before:?} became {after:?}");
        let is_over = |decision: &Decision| matches!(decision, Decision::Over(_));
        prop_assert!(!is_over(&before) || is_over(&after), "{before:?} became {after:?}");
    }
}
