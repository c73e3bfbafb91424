//! What must hold of any evidence.

use proptest::prelude::*;

use crate::evidence::{Direction, Evidence};
use crate::testing::{INTERVAL, Route, START, add_stream, assertion, biz_run, fire, journey};
use crate::{JudgeOptions, Outcome, Protocol, judge};

const STRICT: [&str; 8] = [
    "all biz via tunnel/bizinternet only",
    "all biz via tunnel/bizinternet",
    "all biz avoiding tunnel/default when from annotate",
    "all biz via tunnel/bizinternet when within 20ms of annotate",
    "all biz delivered",
    "no biz at tunnel/default when from annotate",
    "no biz at tunnel/default unless at tunnel/bizinternet",
    "at most 3 biz at tunnel/default",
];
const COUNTING: [&str; 5] = [
    "some biz via tunnel/bizinternet only",
    "some biz avoiding tunnel/default",
    "some biz at tunnel/default unless at tunnel/bizinternet",
    "at least 10 biz via tunnel/bizinternet",
    "at least 90% biz via tunnel/bizinternet only",
];

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let any_route = prop_oneof![
        Just(Route::Biz),
        Just(Route::Default),
        Just(Route::Twice),
        Just(Route::BizInClear),
        Just(Route::Breakout),
        Just(Route::LostInBiz),
        Just(Route::Nowhere),
        Just(Route::Unseen),
    ];
    // Mostly one route, so that passes and near passes are common.
    let spoilt = (
        any_route.clone(),
        prop::collection::vec((0_usize..60, any_route), 0..3),
    );
    spoilt.prop_map(|(most, odd)| {
        let mut routes = vec![most; 60];
        for (index, route) in odd {
            routes[index] = route;
        }
        routes
    })
}

fn run(routes: &[Route]) -> Evidence {
    let interval_ms = INTERVAL / crate::testing::MS;
    let index = |ms: u64| usize::try_from(ms / interval_ms).unwrap();
    let mut evidence = biz_run(routes.len() as u64 * interval_ms, |ms| routes[index(ms)]);
    fire(&mut evidence, "annotate", 20);
    evidence
}

fn outcomes(claims: &[&str], evidence: &Evidence) -> Vec<Outcome> {
    let assertions: Vec<_> = claims.iter().map(|claim| assertion(claim, claim)).collect();
    let verdicts = judge(&assertions, evidence, &JudgeOptions::default());
    verdicts
        .assertions
        .into_iter()
        .map(|verdict| verdict.outcome)
        .collect()
}

/// What a capture shows that loses packets at some points: these points are marked and some sightings gone.
fn lossy_view(evidence: &Evidence, points: &[bool], lost: &[bool]) -> Evidence {
    let mut view = evidence.clone();
    for (point, drops) in view.points.iter_mut().zip(points) {
        point.kernel_drops = u64::from(*drops);
    }
    let mut fate = lost.iter().cycle();
    for journey in &mut view.journeys {
        journey
            .hops
            .retain(|hop| !(points[usize::from(hop.point)] && *fate.next().unwrap()));
    }
    view
}

proptest! {
    #[test]
    fn losing_sightings_never_makes_a_true_claim_fail_or_a_false_one_pass(
        routes in routes(),
        points in prop::collection::vec(any::<bool>(), 10),
        lost in prop::collection::vec(any::<bool>(), 1..50),
    ) {
        let evidence = run(&routes);
        let view = lossy_view(&evidence, &points, &lost);
        let claims = [&STRICT[..], &COUNTING[..]].concat();
        for ((claim, truth), seen) in claims.iter().zip(outcomes(&claims, &evidence)).zip(outcomes(&claims, &view)) {
            match truth {
                Outcome::Pass => prop_assert_ne!(seen, Outcome::Fail, "{}", claim),
                Outcome::Fail => prop_assert_ne!(seen, Outcome::Pass, "{}", claim),
                Outcome::Inconclusive { .. } => {}
            }
        }
    }

    #[test]
    fn one_more_probe_never_saves_a_strict_claim(routes in routes(), more in routes()) {
        let shorter = run(&routes);
        let mut longer = shorter.clone();
        let sequence = shorter.journeys.len() as u64;
        longer.journeys.push(journey(0, Direction::Request, sequence, START + sequence * INTERVAL, more[0]));
        for (before, after) in outcomes(&STRICT, &shorter).into_iter().zip(outcomes(&STRICT, &longer)) {
            prop_assert!(before != Outcome::Fail || after == Outcome::Fail);
        }
    }

    #[test]
    fn one_more_lost_probe_never_saves_a_counting_claim(routes in routes()) {
        let claims = ["some biz via tunnel/bizinternet", "at least 10 biz delivered", "at least 90% biz at tunnel/default"];
        let shorter = run(&routes);
        let mut longer = shorter.clone();
        let sequence = shorter.journeys.len() as u64;
        longer.journeys.push(journey(0, Direction::Request, sequence, START + sequence * INTERVAL, Route::Nowhere));
        for (before, after) in outcomes(&claims, &shorter).into_iter().zip(outcomes(&claims, &longer)) {
            prop_assert!(before != Outcome::Fail || after == Outcome::Fail);
        }
    }

    #[test]
    fn other_flows_do_not_matter(routes in routes(), others in routes()) {
        let alone = run(&routes);
        let mut among_others = alone.clone();
        let index = |ms: u64| usize::try_from(ms * crate::testing::MS / INTERVAL).unwrap();
        add_stream(&mut among_others, "web", Protocol::Tcp, Direction::Request, |ms| others[index(ms)]);
        let claims = [&STRICT[..], &COUNTING[..]].concat();
        prop_assert_eq!(outcomes(&claims, &alone), outcomes(&claims, &among_others));
    }

    #[test]
    fn the_order_of_journeys_does_not_matter(routes in routes()) {
        let evidence = run(&routes);
        let mut reversed = evidence.clone();
        reversed.journeys.reverse();
        let assertions: Vec<_> = STRICT.iter().map(|claim| assertion(claim, claim)).collect();
        let options = JudgeOptions::default();
        prop_assert_eq!(judge(&assertions, &evidence, &options), judge(&assertions, &reversed, &options));
    }

    #[test]
    fn a_failure_names_a_probe_and_anything_else_but_a_pass_a_reason(routes in routes()) {
        let evidence = run(&routes);
        let claims = [&STRICT[..], &COUNTING[..]].concat();
        let assertions: Vec<_> = claims.iter().map(|claim| assertion(claim, claim)).collect();
        for verdict in judge(&assertions, &evidence, &JudgeOptions::default()).assertions {
            match verdict.outcome {
                Outcome::Pass => prop_assert!(verdict.first_bad.is_none()),
                Outcome::Fail => prop_assert!(verdict.first_bad.is_some() && verdict.violations > 0),
                Outcome::Inconclusive { reasons } => prop_assert!(!reasons.is_empty()),
            }
        }
    }
}
