//! Paths before and after an event, and phases.

use rstest::rstest;

use crate::Outcome;
use crate::evidence::{Evidence, PhaseMark};
use crate::testing::Route::{self, Biz, Default as OnDefault, LostInBiz, Nowhere, Twice};
use crate::testing::{MS, START, biz_run, fire, reasons, steered_in, verdict};

const SAME: &str = "all biz same path across annotate";

/// One second of `biz`, annotated at 500 ms.
fn annotated(route: impl Fn(u64) -> Route) -> Evidence {
    let mut evidence = biz_run(1_000, route);
    fire(&mut evidence, "annotate", 500);
    evidence
}

fn phased(route: impl Fn(u64) -> Route) -> Evidence {
    let mut evidence = annotated(route);
    evidence.phases = [("calm", 100), ("storm", 400), ("after", 800)]
        .map(|(name, at_ms)| PhaseMark {
            name: name.to_owned(),
            from_ns: START + at_ms * MS,
        })
        .to_vec();
    evidence
}

#[test]
fn a_stream_that_stays_or_is_lost_keeps_its_path() {
    for route in [Biz, OnDefault, Twice, LostInBiz, Nowhere] {
        assert_eq!(
            verdict(SAME, &annotated(|_| route)).outcome,
            Outcome::Pass,
            "{route:?}"
        );
    }
    let alternating = annotated(|ms| if ms % 4 == 0 { Biz } else { OnDefault });
    assert_eq!(verdict(SAME, &alternating).outcome, Outcome::Pass);
    let cut = annotated(|ms| if ms < 500 { Biz } else { LostInBiz });
    assert_eq!(verdict(SAME, &cut).outcome, Outcome::Pass);
}

#[rstest]
#[case::moved(500..1_000, 0)]
#[case::one_probe_after(500..502, 250)]
#[case::one_probe_before(498..500, 249)]
fn a_tunnel_of_one_side_alone_is_another_path(#[case] on_biz: std::ops::Range<u64>, #[case] first_bad: u64) {
    let moved = verdict(SAME, &annotated(steered_in(on_biz)));
    assert_eq!(moved.outcome, Outcome::Fail);
    let bad = moved.first_bad.unwrap();
    assert_eq!(bad.probe.sequence, first_bad);
    assert_eq!(bad.expected, "same path across annotate");
    assert!(
        bad.observed.starts_with("took node/near-1 -> tunnel/"),
        "{}",
        bad.observed
    );
}

#[test]
fn each_side_needs_probes() {
    let told = |considered: u64| {
        vec![format!(
            "biz udp request: vacuous: {considered} probes count, 20 are needed"
        )]
    };
    let mut late = biz_run(1_000, |_| Biz);
    fire(&mut late, "annotate", 970);
    assert_eq!(reasons(&verdict(SAME, &late)), told(15));
    let mut early = biz_run(1_000, |_| Biz);
    fire(&mut early, "annotate", 30);
    assert_eq!(reasons(&verdict(SAME, &early)), told(15));
}

#[test]
fn a_tunnel_that_was_not_fully_watched_proves_neither() {
    let mut moved = annotated(steered_in(500..1_000));
    moved.points[1].kernel_drops = 1;
    let told = "near:tunnel/bizinternet: the kernel dropped 1 packet".to_owned();
    assert!(reasons(&verdict(SAME, &moved)).contains(&told));
    let mut same = annotated(|_| Biz);
    same.points[1].kernel_drops = 1;
    assert!(reasons(&verdict(SAME, &same)).contains(&told));
}

#[test]
fn a_probe_on_its_way_when_the_event_fires_is_of_no_side() {
    let mut evidence = annotated(|ms| if ms == 498 { Biz } else { OnDefault });
    for hop in &mut evidence.journeys[249].hops {
        hop.at_ns += 5 * MS;
    }
    assert_eq!(verdict(SAME, &evidence).outcome, Outcome::Pass);
}

#[test]
fn an_event_that_did_not_fire_in_the_window_has_no_sides() {
    let mut evidence = annotated(|_| Biz);
    fire(&mut evidence, "reboot", 800);
    let claim = "all biz same path across annotate when from reboot";
    assert_eq!(
        reasons(&verdict(claim, &evidence)),
        ["event `annotate` never fired in time"]
    );
}

#[rstest]
#[case("all biz via tunnel/bizinternet only when during storm", 400..800, 402..800)]
#[case("all biz via tunnel/bizinternet only when during storm", 300..900, 400..798)]
#[case("no biz at tunnel/bizinternet when during calm", 400..1_000, 398..400)]
#[case("all biz via tunnel/bizinternet when during after", 800..1_000, 800..998)]
#[case("all biz same path across annotate when during storm", 800..1_000, 500..800)]
fn a_phase_lasts_to_the_next_one_or_to_the_end(
    #[case] claim: &str,
    #[case] good: std::ops::Range<u64>,
    #[case] bad: std::ops::Range<u64>,
) {
    let passed = verdict(claim, &phased(steered_in(good)));
    assert_eq!(passed.outcome, Outcome::Pass);
    assert!(passed.window_event.unwrap().starts_with("phase "));
    assert_eq!(verdict(claim, &phased(steered_in(bad))).outcome, Outcome::Fail);
}

#[test]
fn a_phase_that_never_began_or_was_too_short_decides_nothing() {
    let mut evidence = phased(|_| Biz);
    assert_eq!(
        reasons(&verdict("all biz delivered when during night", &evidence)),
        ["phase `night` never began"]
    );
    evidence.phases[2].from_ns = START + 430 * MS;
    assert_eq!(
        reasons(&verdict("all biz delivered when during storm", &evidence)),
        ["biz udp request: vacuous: 15 probes count, 20 are needed"]
    );
}
