//! Budgets: every limit kept, exceeded and not decidable; and what excuses a loss and what does not.

use std::time::Duration;

use rstest::rstest;
use scenario::assertion::{Amount, Budget};

use crate::evidence::Evidence;
use crate::testing::Route::{self, Biz, Default as OnDefault, LostInBiz, Nowhere, Twice};
use crate::testing::{MS, assertion, biz_run, fire, reasons, steered_in};
use crate::{AssertionVerdict, JudgeOptions, Outcome, judge};

const VIA: &str = "all biz via tunnel/bizinternet only";

fn judged(text: &str, budget: Budget, evidence: &Evidence) -> AssertionVerdict {
    let mut claim = assertion("claim", text);
    claim.budget = budget;
    judge(&[claim], evidence, &JudgeOptions::default())
        .assertions
        .remove(0)
}

fn lost(amount: Amount) -> Budget {
    Budget {
        lost: Some(amount),
        ..Budget::default()
    }
}

fn gap(ms: u64) -> Budget {
    Budget {
        gap: Some(Duration::from_millis(ms)),
        ..Budget::default()
    }
}

/// One second of `biz`, of which the probes sent in the first so many milliseconds are of another kind.
fn run(first_ms: u64, route: Route) -> Evidence {
    biz_run(1_000, |ms| if ms < first_ms { route } else { Biz })
}

fn again(probes: usize) -> Evidence {
    let mut evidence = run(0, Biz);
    for journey in &mut evidence.journeys[..probes] {
        journey.deliveries = 2;
    }
    evidence
}

/// So many probes arrive 3 ms late, each after the next one.
fn overtaken(probes: usize) -> Evidence {
    let mut evidence = run(0, Biz);
    for journey in evidence.journeys.iter_mut().step_by(3).take(probes) {
        journey.delivered_ns = journey.delivered_ns.map(|at_ns| at_ns + 3 * MS);
    }
    evidence
}

#[rstest]
#[case::lost(
    VIA,
    lost(Amount::Count(5)),
    run(10, LostInBiz),
    run(12, LostInBiz),
    "6 probes lost"
)]
#[case::lost_share(
    "all biz delivered",
    lost(Amount::Percent(1.0)),
    run(10, Nowhere),
    run(12, Nowhere),
    "6 probes lost"
)]
#[case::gap("at least 90% biz delivered", gap(52), biz_run(1_000, |ms| if (500..550).contains(&ms) { LostInBiz } else { Biz }), biz_run(1_000, |ms| if (500..554).contains(&ms) { LostInBiz } else { Biz }), "56 ms without an arrival")]
#[case::dup(VIA, Budget { duplicates: Some(3), ..Budget::default() }, again(3), again(4), "4 probes delivered again")]
#[case::reorder(VIA, Budget { reordered: Some(3), ..Budget::default() }, overtaken(3), overtaken(4), "4 probes overtaken")]
#[case::misrouted("some biz via tunnel/bizinternet", Budget { misrouted: Some(3), ..Budget::default() }, run(6, OnDefault), run(8, Twice), "4 probes on other tunnels")]
#[case::p99(VIA, Budget { p99: Some(Duration::from_millis(3)), ..Budget::default() }, overtaken(5), overtaken(6), "3.07 ms for 99 of 100 probes to arrive")]
fn every_limit_is_kept_and_exceeded(
    #[case] claim: &str,
    #[case] budget: Budget,
    #[case] good: Evidence,
    #[case] bad: Evidence,
    #[case] observed: &str,
) {
    let kept = judged(claim, budget.clone(), &good);
    assert_eq!(kept.outcome, Outcome::Pass, "{:?}", kept.spending);
    let exceeded = judged(claim, budget, &bad);
    assert_eq!(exceeded.outcome, Outcome::Fail);
    let example = exceeded.first_bad.unwrap();
    assert_eq!(example.observed, observed);
    assert!(example.expected.starts_with("at most "), "{}", example.expected);
}

#[test]
fn a_loss_is_excused_and_a_detour_is_not() {
    assert_eq!(
        judged(VIA, Budget::default(), &run(2, LostInBiz)).outcome,
        Outcome::Fail
    );
    assert_eq!(judged(VIA, gap(900), &run(2, LostInBiz)).outcome, Outcome::Fail);
    let generous = || lost(Amount::Percent(100.0));
    assert_eq!(judged(VIA, generous(), &run(2, LostInBiz)).outcome, Outcome::Pass);
    let mut astray = run(2, OnDefault);
    astray.journeys[0].delivered_ns = None;
    astray.journeys[0].deliveries = 0;
    let verdict = judged(VIA, generous(), &astray);
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert_eq!(verdict.first_bad.unwrap().expected, "via tunnel/bizinternet only");
}

#[test]
fn what_a_receiver_dropped_exceeds_nothing_for_certain() {
    for (budget, evidence) in [
        (lost(Amount::Count(0)), run(2, LostInBiz)),
        (gap(1), run(100, LostInBiz)),
        (
            Budget {
                duplicates: Some(0),
                ..Budget::default()
            },
            run(0, Biz),
        ),
    ] {
        let mut evidence = evidence;
        evidence.receiver_drops = 1;
        let told = "receivers' hosts dropped 1 datagram that had arrived";
        let verdict = judged("no biz at tunnel/default", budget, &evidence);
        assert!(
            reasons(&verdict).contains(&told.to_owned()),
            "{:?}",
            verdict.outcome
        );
    }
    let mut silent = run(1_000, LostInBiz);
    let p99 = Budget {
        p99: Some(Duration::from_millis(5)),
        ..Budget::default()
    };
    assert_eq!(
        judged("no biz at tunnel/default", p99.clone(), &silent).outcome,
        Outcome::Fail
    );
    silent.receiver_drops = 1;
    assert!(!reasons(&judged("no biz at tunnel/default", p99, &silent)).is_empty());
    // Losses that were none leave even more of the budget.
    let mut spared = run(2, LostInBiz);
    spared.receiver_drops = 1;
    assert_eq!(
        judged(VIA, lost(Amount::Count(1)), &spared).outcome,
        Outcome::Pass
    );
}

#[test]
fn a_budget_needs_probes_whatever_the_quantifier() {
    let short = biz_run(38, |_| Biz);
    let verdict = judged("some biz delivered", lost(Amount::Count(0)), &short);
    assert_eq!(
        reasons(&verdict),
        ["biz udp request: vacuous: 19 probes count, 20 are needed"]
    );
}

#[test]
fn a_convergence_is_read_in_four_ways() {
    let mut evidence = biz_run(1_000, |ms| match ms {
        240..260 => LostInBiz,
        _ => steered_in(260..1_000)(ms),
    });
    fire(&mut evidence, "annotate", 200);
    let claim = "all biz via tunnel/bizinternet only when within 100ms of annotate";
    let verdict = judged(claim, Budget::default(), &evidence);
    assert_eq!(verdict.convergence_ns, Some(60 * MS));
    // Sent 38 ms after the event, and last seen at the far tunnel.
    assert_eq!(verdict.spending.misroute_ns, Some(38 * MS + 50_000));
    assert_eq!(verdict.spending.loss_ns, 20 * MS);
    assert_eq!(verdict.spending.gap_ns, Some(22 * MS));
    assert_eq!((verdict.spending.lost, verdict.spending.misrouted), (10, 20));
}
