//! Claims that are true of what was seen but not proved, and refutations that stand all the same.

use rstest::rstest;

use super::annotated;
use crate::Outcome;
use crate::evidence::Evidence;
use crate::testing::Route::{Biz, Default as OnDefault, LostInBiz, Nowhere, Twice};
use crate::testing::{MS, Route, START, biz_run, fire, reasons, steered_in, verdict};

const NEAR_BIZ: usize = 1;
const FAR_NODE: usize = 5;

type Spoil = fn(&mut Evidence);

#[rstest]
#[case::unarmed(|e: &mut Evidence| e.points[FAR_NODE].armed = false, "far:node/far-1: capture was not armed")]
#[case::drops(
    |e: &mut Evidence| e.points[NEAR_BIZ].kernel_drops = 3,
    "near:tunnel/bizinternet: the kernel dropped 3 packets"
)]
#[case::counts(
    |e: &mut Evidence| e.points[NEAR_BIZ].interface_packets = 1_001,
    "near:tunnel/bizinternet: 1,000 packets captured, but the interface counted 1,001"
)]
#[case::clock(
    |e: &mut Evidence| e.clock_step_ns = -1_500_000,
    "the clock was stepped by -1.5 ms during the run"
)]
#[case::strays(|e: &mut Evidence| e.strays = 2, "2 packets of this run belong to no probe sent")]
#[case::hole(
    |e: &mut Evidence| e.journeys[7].hops.clear(),
    "biz udp request: 1 probe delivered, but seen at no tunnel or underlay (first #7)"
)]
#[case::dangling(
    |e: &mut Evidence| e.journeys[7].hops[0].point = 99,
    "the evidence makes 1 reference to points or streams that it does not list"
)]
fn a_universal_pass_needs_a_complete_capture(#[case] spoil: Spoil, #[case] reason: &str) {
    for claim in [
        "no biz at tunnel/default",
        "all biz avoiding tunnel/default",
        "at most 3 biz at tunnel/default",
    ] {
        let mut evidence = annotated(|_| Biz);
        assert_eq!(verdict(claim, &evidence).outcome, Outcome::Pass);
        spoil(&mut evidence);
        let verdict = verdict(claim, &evidence);
        assert!(
            reasons(&verdict).contains(&reason.to_owned()),
            "{:?}",
            verdict.outcome
        );
    }
}

#[test]
fn a_clock_step_within_tolerance_is_no_reason() {
    let mut evidence = annotated(|_| Biz);
    evidence.clock_step_ns = 1_000_000;
    assert_eq!(
        verdict("no biz at tunnel/default", &evidence).outcome,
        Outcome::Pass
    );
}

#[test]
fn a_run_without_capture_points_proves_nothing() {
    let mut evidence = annotated(|_| Nowhere);
    assert_eq!(verdict("no biz delivered", &evidence).outcome, Outcome::Pass);
    evidence.points.clear();
    assert_eq!(
        reasons(&verdict("no biz delivered", &evidence)),
        ["nothing was captured"]
    );
}

#[rstest]
#[case::also_elsewhere("all biz via tunnel/bizinternet only", Twice)]
#[case::only_elsewhere("all biz via tunnel/bizinternet only", OnDefault)]
#[case::at("no biz at tunnel/default", Twice)]
#[case::avoiding("all biz avoiding tunnel/default", OnDefault)]
#[case::lost("all biz via tunnel/bizinternet", LostInBiz)]
#[case::lost_unseen("all biz via tunnel/bizinternet", Nowhere)]
fn being_seen_elsewhere_or_lost_refutes_however_lossy_the_capture(#[case] claim: &str, #[case] bad: Route) {
    let mut evidence = annotated(|ms| if ms == 500 { bad } else { Biz });
    for point in &mut evidence.points {
        point.kernel_drops = 100;
        point.armed = false;
    }
    let verdict = verdict(claim, &evidence);
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert_eq!(verdict.first_bad.unwrap().probe.sequence, 250);
}

#[test]
fn a_failure_quotes_a_probe_that_proves_it_not_one_that_may_have_been_missed() {
    let mut evidence = annotated(|ms| match ms {
        300 => OnDefault,
        500 => LostInBiz,
        _ => Biz,
    });
    evidence.points[NEAR_BIZ].kernel_drops = 1;
    let verdict = verdict("all biz via tunnel/bizinternet", &evidence);
    assert_eq!(verdict.first_bad.unwrap().probe.sequence, 250);
}

#[test]
fn not_being_seen_refutes_only_where_the_capture_is_complete() {
    let claim = "all biz via tunnel/bizinternet";
    let mut evidence = annotated(|ms| if ms == 500 { OnDefault } else { Biz });
    assert_eq!(verdict(claim, &evidence).outcome, Outcome::Fail);

    evidence.points[NEAR_BIZ].kernel_drops = 1;
    let unsure = verdict(claim, &evidence);
    let told =
        "biz udp request: 1 probe undecided: not seen or not received where the evidence is incomplete";
    assert!(reasons(&unsure).contains(&told.to_owned()));
    assert_eq!(
        unsure.first_bad.unwrap().probe.sequence,
        250,
        "the suspect is named all the same"
    );

    evidence.points[NEAR_BIZ].kernel_drops = 0;
    evidence.points[FAR_NODE].kernel_drops = 1;
    assert_eq!(
        verdict(claim, &evidence).outcome,
        Outcome::Fail,
        "the tunnel's own points are complete"
    );
}

#[test]
fn an_existential_claim_needs_its_probe_and_no_complete_capture() {
    let mut evidence = annotated(steered_in(200..700));
    evidence.points[FAR_NODE].kernel_drops = 1;
    evidence.strays = 1;
    assert_eq!(
        verdict("some biz at tunnel/bizinternet", &evidence).outcome,
        Outcome::Pass
    );
    assert_eq!(
        verdict("at least 250 biz at tunnel/bizinternet", &evidence).outcome,
        Outcome::Pass
    );

    let mut evidence = annotated(|_| OnDefault);
    assert_eq!(
        verdict("some biz at tunnel/bizinternet", &evidence).outcome,
        Outcome::Fail
    );
    evidence.points[NEAR_BIZ].kernel_drops = 1;
    let unseen = verdict("some biz at tunnel/bizinternet", &evidence);
    let told = "near:tunnel/bizinternet: the kernel dropped 1 packet";
    assert!(reasons(&unseen).contains(&told.to_owned()));
}

#[rstest]
#[case::universal("no biz at tunnel/default", 20, 19)]
#[case::within("all biz at tunnel/bizinternet when within 10ms of annotate", 20, 19)]
#[case::some("some biz at tunnel/default when from annotate until annotate", 1, 0)]
#[case::at_least("at least 20 biz at tunnel/bizinternet", 20, 19)]
#[case::at_least_unmet("at least 20 biz at tunnel/default", 20, 19)]
fn too_few_probes_are_vacuous(#[case] claim: &str, #[case] needed: u64, #[case] considered: u64) {
    let mut evidence = biz_run(38, |_| Biz);
    fire(&mut evidence, "annotate", 0);
    let told = format!("biz udp request: vacuous: {considered} probes count, {needed} are needed");
    assert_eq!(reasons(&verdict(claim, &evidence)), [told]);
}

#[test]
fn a_direction_without_probes_is_vacuous_even_when_the_other_has_many() {
    let verdict = verdict("no biz.both at tunnel/default", &annotated(|_| Biz));
    assert_eq!(
        reasons(&verdict),
        ["biz udp reply: vacuous: 0 probes count, 20 are needed"]
    );
}

#[test]
fn converging_just_before_the_window_closes_is_vacuous() {
    let claim = "all biz via tunnel/bizinternet when within 499ms of annotate until remove";
    let verdict = verdict(claim, &annotated(steered_in(690..700)));
    assert_eq!(
        reasons(&verdict),
        ["biz udp request: vacuous: 5 probes count, 20 are needed"]
    );
}

#[rstest]
#[case::event(
    "no biz at tunnel/default when from reboot",
    "event `reboot` never fired in time"
)]
#[case::until(
    "no biz at tunnel/default when from annotate until reboot",
    "event `reboot` never fired in time"
)]
#[case::before(
    "no biz at tunnel/default when from remove until annotate",
    "event `annotate` never fired in time"
)]
#[case::empty(
    "no biz at tunnel/default when from annotate+700ms until remove",
    "the window closes 200 ms before it opens"
)]
#[case::flow("no web at tunnel/default", "no stream matches `web`")]
#[case::point("no biz at tunnel/defualt", "no capture point matches tunnel/defualt")]
#[case::absent("all biz via tunnel/mpls", "no capture point matches tunnel/mpls")]
#[case::one_alternative(
    "all biz via tunnel/bizinternet|tunnel/mpls",
    "no capture point matches tunnel/mpls"
)]
fn a_claim_about_what_is_not_there_is_inconclusive(#[case] claim: &str, #[case] reason: &str) {
    let verdict = verdict(claim, &annotated(|_| Biz));
    assert_eq!(reasons(&verdict), [reason]);
}

#[test]
fn an_event_that_fires_twice_opens_the_window_at_its_first_firing() {
    let mut evidence = annotated(steered_in(200..700));
    fire(&mut evidence, "annotate", 800);
    fire(&mut evidence, "remove", 900);
    let verdict = verdict(
        "all biz via tunnel/bizinternet when within 10ms of annotate until remove",
        &evidence,
    );
    assert_eq!((verdict.outcome, verdict.considered), (Outcome::Pass, 250));
    assert_eq!(verdict.limit_ns, Some(10 * MS));
}

#[test]
fn a_probe_that_a_receiver_may_have_dropped_refutes_nothing() {
    let claim = "all biz via tunnel/bizinternet only";
    let mut evidence = annotated(|ms| if ms == 500 { LostInBiz } else { Biz });
    assert_eq!(verdict(claim, &evidence).outcome, Outcome::Fail);
    evidence.receiver_drops = 1;
    let told = "receivers' hosts dropped 1 datagram that had arrived";
    assert!(reasons(&verdict(claim, &evidence)).contains(&told.to_owned()));
    // Where it was seen needs no receiver's word.
    assert_eq!(
        verdict("no biz at tunnel/default", &evidence).outcome,
        Outcome::Pass
    );
    let leaked = annotated(|ms| if ms == 500 { OnDefault } else { Biz });
    assert_eq!(
        verdict("no biz at tunnel/default", &leaked).outcome,
        Outcome::Fail
    );
}

#[test]
fn a_probe_in_flight_when_its_window_closes_is_not_held_to_it() {
    let claim = "all biz via tunnel/bizinternet only when from annotate until remove";
    let mut evidence = annotated(|ms| if (200..698).contains(&ms) { Biz } else { OnDefault });
    assert_eq!(
        verdict(claim, &evidence).outcome,
        Outcome::Fail,
        "it was on the wrong tunnel before the end"
    );
    let late = evidence
        .journeys
        .iter_mut()
        .find(|journey| journey.sent_ns == START + 698 * MS)
        .unwrap();
    for hop in &mut late.hops {
        hop.at_ns += 30 * MS;
    }
    assert_eq!(verdict(claim, &evidence).outcome, Outcome::Pass);
}
