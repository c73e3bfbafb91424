use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::testing::Route::{Biz, Default as OnDefault, LostInBiz, Nowhere, Twice, Unseen};
use crate::testing::{INTERVAL, MS, Route, biz_run};
use crate::{JudgeOptions, StreamTotals, judge};

fn request_totals(route: impl Fn(u64) -> Route) -> StreamTotals {
    judge(&[], &biz_run(200, route), &JudgeOptions::default())
        .totals
        .remove(0)
}

#[test]
fn every_probe_is_accounted_for() {
    let totals = request_totals(|ms| match ms {
        0..20 => Biz,
        20..30 => LostInBiz,
        30..36 => Nowhere,
        36..40 => Twice,
        40..42 => Unseen,
        _ => OnDefault,
    });
    assert_eq!((totals.sent, totals.delivered, totals.lost), (100, 92, 8));
    assert_eq!(
        totals.per_tunnel,
        BTreeMap::from([("bizinternet".to_owned(), 17), ("default".to_owned(), 81)])
    );
    assert_eq!(
        totals.untunnelled, 4,
        "three were seen nowhere, one at its nodes only"
    );
    assert_eq!(
        totals.lost_after,
        BTreeMap::from([("near:underlay/bizinternet(out)".to_owned(), 5)])
    );
    assert_eq!(totals.lost_unseen, 3);
}

#[test]
fn duplicates_are_deliveries_beyond_the_first() {
    let mut evidence = biz_run(100, |_| Biz);
    evidence.journeys[3].deliveries = 3;
    let totals = &judge(&[], &evidence, &JudgeOptions::default()).totals[0];
    assert_eq!((totals.delivered, totals.duplicates), (50, 2));
}

#[test]
fn latency_runs_from_sending_to_first_delivery() {
    let mut evidence = biz_run(200, |_| Biz);
    for (index, journey) in evidence.journeys.iter_mut().enumerate() {
        journey.delivered_ns = Some(journey.sent_ns + (index as u64 + 1) * 1_000);
    }
    let latency = judge(&[], &evidence, &JudgeOptions::default()).totals[0]
        .latency
        .unwrap();
    assert_eq!(
        (latency.p50_ns, latency.p99_ns, latency.max_ns),
        (50_000, 99_000, 100_000)
    );
}

#[test]
fn the_longest_gap_includes_a_silent_start_and_end() {
    let gap = |route: &dyn Fn(u64) -> Route| request_totals(route).longest_gap_ns.unwrap() / MS;
    assert_eq!(gap(&|_| Biz), INTERVAL / MS);
    assert_eq!(gap(&|ms| if (50..90).contains(&ms) { Nowhere } else { Biz }), 42);
    assert_eq!(gap(&|ms| if ms < 60 { Nowhere } else { Biz }), 60);
    assert_eq!(gap(&|ms| if ms > 100 { Nowhere } else { Biz }), 97);
}

#[test]
fn a_silent_stream_has_no_latency_and_no_gap() {
    let totals = request_totals(|_| Nowhere);
    assert_eq!((totals.latency, totals.longest_gap_ns), (None, None));
}

proptest! {
    #[test]
    fn sent_is_delivered_plus_lost_after_a_point_plus_lost_unseen(
        routes in prop::collection::vec(prop::sample::select(vec![Biz, OnDefault, Twice, LostInBiz, Nowhere, Unseen]), 100),
    ) {
        let totals = request_totals(|ms| routes[usize::try_from(ms * MS / INTERVAL).unwrap()]);
        prop_assert_eq!(totals.sent, totals.delivered + totals.lost);
        prop_assert_eq!(totals.lost, totals.lost_after.values().sum::<u64>() + totals.lost_unseen);
    }
}
