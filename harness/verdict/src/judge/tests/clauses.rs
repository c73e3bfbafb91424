//! Clauses about ways, losses, encapsulation and marks: bearing out, breaking, and not deciding.

use std::collections::BTreeMap;

use rstest::rstest;

use crate::evidence::{Direction, Evidence};
use crate::testing::Route::{
    Biz, BizInClear, Breakout, Default as OnDefault, LostInBiz, Nowhere, Twice, Unseen,
};
use crate::testing::{Route, add_stream, biz_run, reasons, verdict};
use crate::{Encapsulation, Outcome, PointKind, Protocol};

const ALL: [Route; 8] = [
    Biz, OnDefault, Twice, BizInClear, Breakout, LostInBiz, Nowhere, Unseen,
];

/// A second of this route.
fn run(route: Route) -> Evidence {
    biz_run(1_000, |_| route)
}

/// The claim holds of exactly these routes, and with a lossy capture it is never taken to hold.
#[rstest]
#[case::whole_way("along node/near-1 -> tunnel/bizinternet -> underlay/bizinternet -> tunnel/bizinternet -> node/far-1", &[Biz, BizInClear])]
#[case::any_way("along ..", &ALL)]
#[case::gap("along node/near-1 -> .. -> tunnel/default -> .. -> node/far-1", &[OnDefault, Twice])]
#[case::missing("along node/* -> tunnel/* -> underlay/* -> tunnel/*? -> node/far-1?", &[Biz, OnDefault, BizInClear, LostInBiz])]
#[case::perhaps("along node/near-1? -> tunnel/default?", &[Nowhere])]
#[case::order("along .. -> tunnel/default -> .. -> tunnel/bizinternet -> ..", &[])]
#[case::twice("along .. -> tunnel/bizinternet -> .. -> tunnel/default -> ..", &[Twice])]
#[case::nodes_only("along node/near-1 -> node/far-1", &[Unseen])]
#[case::interfaces("along if/near-near-1 -> .. -> if/far-*", &[Biz, OnDefault, Twice, BizInClear, Breakout, Unseen])]
#[case::dropped("dropped", &[LostInBiz])]
#[case::dropped_by("dropped by underlay/bizinternet", &[LostInBiz])]
#[case::dropped_elsewhere("dropped by tunnel/*|node/*|underlay/default", &[])]
#[case::encapsulated("encapsulated", &[Biz, OnDefault, Twice, LostInBiz])]
#[case::encapsulated_as("encapsulated as vxlan", &[Biz, OnDefault, Twice, LostInBiz])]
#[case::encapsulated_otherwise("encapsulated as gre", &[])]
#[case::unmarked("dscp 0", &[Biz, OnDefault, Twice, BizInClear, Breakout, LostInBiz, Unseen])]
#[case::marked("dscp 46", &[])]
#[case::at_interface("at if/far-default", &[OnDefault, Twice, Breakout])]
#[case::only_interfaces("via if/*-bizinternet only", &[Biz, BizInClear])]
fn a_clause_holds_of_some_routes_and_of_no_other(#[case] clause: &str, #[case] holds_of: &[Route]) {
    for route in ALL {
        let claim = format!("all biz {clause}");
        // Delivered and seen on no tunnel is nothing to pass on, whatever the clause says.
        let expected = match (holds_of.contains(&route), route) {
            (false, _) => "fail",
            (true, Unseen) => "inconclusive",
            (true, _) => "pass",
        };
        assert_eq!(
            word(&verdict(&claim, &run(route)).outcome),
            expected,
            "{claim}: {route:?}"
        );
        let mut lossy = run(route);
        for point in &mut lossy.points {
            point.kernel_drops = 1;
        }
        let outcome = verdict(&claim, &lossy).outcome;
        assert_ne!(outcome, Outcome::Pass, "{claim}: {route:?}");
        assert!(
            expected == "fail" || outcome != Outcome::Fail,
            "{claim}: {route:?}"
        );
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Inconclusive { .. } => "inconclusive",
    }
}

/// What was seen refutes; what was not seen might have been.
#[rstest]
#[case::wrong_point("all biz along node/* -> tunnel/bizinternet -> node/*", OnDefault)]
#[case::wrong_order(
    "all biz along node/* -> underlay/default -> underlay/bizinternet -> node/*",
    Twice
)]
#[case::in_clear("all biz encapsulated", BizInClear)]
#[case::carrier("all biz encapsulated as gre", Biz)]
#[case::mark("all biz dscp 46", Biz)]
#[case::delivered("all biz dropped", Biz)]
fn what_was_seen_refutes_however_lossy_the_capture(#[case] claim: &str, #[case] route: Route) {
    let mut lossy = run(route);
    for point in &mut lossy.points {
        point.kernel_drops = 1;
    }
    assert_eq!(verdict(claim, &lossy).outcome, Outcome::Fail);
}

#[test]
fn where_a_probe_was_dropped_needs_every_point_and_every_receiver() {
    let claim = "all biz dropped by node/near-1";
    let mut evidence = run(LostInBiz);
    assert_eq!(verdict(claim, &evidence).outcome, Outcome::Fail);
    evidence.receiver_drops = 1;
    let told =
        "biz udp request: 500 probes undecided: not seen or not received where the evidence is incomplete";
    assert!(!reasons(&verdict("all biz dropped", &evidence)).is_empty());
    evidence.receiver_drops = 0;
    evidence.points[0].armed = false;
    assert!(reasons(&verdict(claim, &evidence)).contains(&told.to_owned()));
}

#[test]
fn counter_examples_say_what_was_observed() {
    for (claim, route, expected) in [
        (
            "all biz along node/* -> tunnel/bizinternet -> node/*",
            OnDefault,
            "took node/near-1 -> tunnel/default -> underlay/default -> tunnel/default -> node/far-1",
        ),
        ("all biz along node/* -> ..", Nowhere, "seen nowhere"),
        (
            "all biz dropped by tunnel/*",
            LostInBiz,
            "not delivered, last seen at near:underlay/bizinternet(out)",
        ),
        ("no biz delivered", Biz, "delivered"),
        (
            "all biz encapsulated",
            Breakout,
            "in clear at near:underlay/default(out, in clear)",
        ),
        ("all biz encapsulated", Unseen, "seen at no underlay"),
        (
            "no biz encapsulated",
            Biz,
            "in vxlan at near:underlay/bizinternet(out)",
        ),
        ("all biz dscp 46", Biz, "DSCP 0 at near:node/near-1(in)"),
    ] {
        let bad = verdict(claim, &run(route)).first_bad.unwrap();
        assert_eq!(bad.observed, expected, "{claim}");
    }
}

#[test]
fn one_hop_with_another_mark_refutes() {
    let mut evidence = run(Biz);
    for hop in evidence.journeys.iter_mut().flat_map(|journey| &mut journey.hops) {
        hop.dscp = 46;
    }
    assert_eq!(verdict("all biz dscp 46", &evidence).outcome, Outcome::Pass);
    evidence.journeys[100].hops[3].dscp = 0;
    let bleached = verdict("all biz dscp 46", &evidence);
    assert_eq!(bleached.outcome, Outcome::Fail);
    assert_eq!(
        bleached.first_bad.unwrap().observed,
        "DSCP 0 at far:underlay/bizinternet(in)"
    );
}

/// `biz` over an encrypted transport: its underlay shows packets, and no probe.
fn encrypted(kinds: &[(Encapsulation, u64)]) -> Evidence {
    let mut evidence = run(Biz);
    for point in &mut evidence.points {
        if point.kind == PointKind::Underlay && point.name == "bizinternet" {
            point.hidden = kinds.iter().copied().collect();
        }
    }
    for journey in &mut evidence.journeys {
        journey.hops.retain(|hop| !matches!(hop.point, 2 | 7));
    }
    evidence
}

#[test]
fn what_crosses_an_encrypted_underlay_unseen_is_in_what_was_seen_there() {
    let (esp, wireguard) = (Encapsulation::Esp, Encapsulation::Wireguard);
    for (claim, kinds, expected) in [
        ("all biz encapsulated as esp", vec![(esp, 500)], "pass"),
        ("all biz encapsulated", vec![(wireguard, 500)], "pass"),
        ("all biz encapsulated as wireguard", vec![(esp, 500)], "fail"),
        (
            "all biz encapsulated as esp",
            vec![(esp, 500), (wireguard, 1)],
            "fail",
        ),
        ("all biz encapsulated", vec![], "fail"),
    ] {
        let evidence = encrypted(&kinds);
        assert_eq!(
            word(&verdict(claim, &evidence).outcome),
            expected,
            "{claim} {kinds:?}"
        );
    }
    let mut unwatched = encrypted(&[(esp, 500)]);
    unwatched.points[2].kernel_drops = 1;
    assert_eq!(
        word(&verdict("all biz encapsulated as esp", &unwatched).outcome),
        "inconclusive"
    );
    let mut leaky = run(BizInClear);
    leaky.points[2].hidden = BTreeMap::from([(esp, 500)]);
    assert_eq!(
        word(&verdict("all biz encapsulated as esp", &leaky).outcome),
        "fail"
    );
}

#[test]
fn a_copy_is_no_step_of_a_way_and_no_last_sighting() {
    let mut evidence = run(LostInBiz);
    let mut point = evidence.points[0].clone();
    (point.kind, point.name) = (PointKind::Inspection, "near".to_owned());
    evidence.points.push(point);
    for journey in &mut evidence.journeys {
        let copy = crate::evidence::Hop {
            point: 10,
            ..*journey.hops.last().unwrap()
        };
        journey.hops.push(copy);
    }
    for (claim, expected) in [
        ("all biz dropped by underlay/bizinternet", "pass"),
        (
            "all biz along node/near-1 -> tunnel/bizinternet -> underlay/bizinternet",
            "pass",
        ),
        (
            "all biz along .. -> underlay/bizinternet -> inspection/near",
            "pass",
        ),
        (
            "all biz along .. -> inspection/near -> underlay/bizinternet",
            "fail",
        ),
    ] {
        assert_eq!(word(&verdict(claim, &evidence).outcome), expected, "{claim}");
    }
}

#[test]
fn underlays_in_clear_are_forbidden_to_every_flow_unless_encapsulated() {
    let claim = "no any at underlay/* unless encapsulated";
    let mut evidence = run(Biz);
    add_stream(&mut evidence, "be", Protocol::Udp, Direction::Reply, |_| {
        OnDefault
    });
    add_stream(&mut evidence, "be", Protocol::Udp, Direction::Request, |_| {
        OnDefault
    });
    add_stream(&mut evidence, "biz", Protocol::Udp, Direction::Reply, |ms| {
        if ms == 500 { Breakout } else { Biz }
    });
    let leaked = verdict(claim, &evidence);
    assert_eq!(leaked.outcome, Outcome::Fail);
    assert_eq!(leaked.violations, 1);
    let journeys = evidence.journeys.iter_mut();
    let in_clear = journeys
        .flat_map(|journey| &mut journey.hops)
        .filter(|hop| matches!(hop.point, 4 | 9));
    in_clear.for_each(|hop| hop.carried = Some(Encapsulation::Vxlan));
    let clean = verdict(claim, &evidence);
    assert_eq!(
        clean.outcome,
        Outcome::Pass,
        "that all are exempt is what is claimed"
    );
    assert_eq!((clean.considered, clean.streams[0].exempt), (0, 500));
}
