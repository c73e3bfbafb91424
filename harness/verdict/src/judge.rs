//! Judging assertions against evidence.
//!
//! Owns the order of the argument: window, lanes, readings of probes, then the verdict. What a clause says of
//! one journey is in [`clause`], what a window means in [`window`], how far a capture can be trusted in
//! [`capture`].
//!
//! Invariants:
//! - `Fail` names at least one probe whose counter-evidence holds however lossy the capture was.
//! - `Pass` of a universal claim (`all`, `no`, `at most`, a percentage) rests on a complete capture.
//! - Everything else is `Inconclusive`, with reasons.
//!
//! # Choices where the grammar leaves room
//! - Each direction of each stream is quantified for itself; all must hold, and convergence is the slowest's.
//! - `within d of e` passes when the first probe from which on all satisfy the claim was sent by `e + d`, fails
//!   when a counter-example was sent after `e + d`, and is inconclusive between. `at most` and percentages count
//!   the probes sent after `e + d`; `some` and `at least N` count those sent from `e` on.
//! - A probe that breaks a claim while it is in flight when the event of `until` fires is exempt.
//! - Windows are half-open: a probe sent at the very time of `until` is outside.
//! - An event that fired more than once opens a window at its first firing; `until` closes it at the first firing
//!   of its event that is not before.

mod across;
mod budget;
mod capture;
mod clause;
mod lane;
mod quantifier;
mod window;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use scenario::assertion::{Assertion, Budget, Clause, DirectionSelector, FlowSelector, Formula, Quantifier};

use crate::evidence::{Direction, Evidence, ProbeJourney};
use crate::streams::{Lane, lanes};
use crate::{
    AssertionVerdict, Outcome, Reason, Spending, StreamDoubt, StreamId, Verdicts, totals, transition,
};
use across::Sides;
use capture::Capture;
use clause::{Reading, Test};
use lane::LaneFinding;
use window::Span;

/// What judging may tolerate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgeOptions {
    /// How far the wall clock may be stepped during a run that passes.
    pub clock_tolerance: Duration,
}

impl Default for JudgeOptions {
    fn default() -> Self {
        Self {
            clock_tolerance: Duration::from_millis(1),
        }
    }
}

/// Judges every assertion and works out the run's figures.
#[must_use]
pub fn judge(assertions: &[Assertion], evidence: &Evidence, options: &JudgeOptions) -> Verdicts {
    let lanes = lanes(evidence);
    let capture = Capture::survey(evidence, options);
    Verdicts {
        assertions: assertions
            .iter()
            .map(|assertion| judge_one(assertion, &lanes, &capture))
            .collect(),
        totals: totals::totals(&lanes, evidence),
        transitions: transition::transitions(&lanes, evidence),
    }
}

/// A formula made ready for the points of one run.
struct Claim<'a> {
    formula: &'a Formula,
    clauses: Vec<Test<'a>>,
    /// For each clause: when the event fired across which it compares paths.
    across: Vec<Option<u64>>,
    unless: Option<Test<'a>>,
    min_probes: u64,
    budget: &'a Budget,
    span: Span,
}

impl Claim<'_> {
    /// What a clause says of a journey, given what the budget excuses.
    fn read(&self, test: &Test<'_>, journey: &ProbeJourney, sides: Option<&Sides>) -> Reading {
        if self.budget.lost.is_some() && !self.forbids() {
            test.read_lossy(journey, sides)
        } else {
            test.read(journey, sides)
        }
    }

    /// Whether satisfying the clauses speaks against the claim.
    fn forbids(&self) -> bool {
        matches!(self.formula.quantifier, Quantifier::No | Quantifier::AtMost(_))
    }
}

fn judge_one(assertion: &Assertion, lanes: &[Lane<'_>], capture: &Capture<'_>) -> AssertionVerdict {
    let formula = &assertion.formula;
    let span = match Span::of(&formula.window, capture.evidence) {
        Ok(span) => span,
        Err(reason) => return undecidable(assertion, reason),
    };
    let across = formula.clauses.iter().map(|clause| match clause {
        Clause::SamePath(event) => window::first_firing(capture.evidence, event, span.from_ns).map(Some),
        _ => Ok(None),
    });
    let across: Vec<Option<u64>> = match across.collect() {
        Ok(across) => across,
        Err(reason) => return undecidable(assertion, reason),
    };
    let claim = Claim {
        across,
        formula,
        clauses: formula
            .clauses
            .iter()
            .map(|clause| Test::new(clause, capture))
            .collect(),
        unless: formula.unless.as_ref().map(|clause| Test::new(clause, capture)),
        min_probes: assertion.min_probes,
        budget: &assertion.budget,
        span,
    };
    let selected = lanes.iter().filter(|lane| selects(&formula.flow, &lane.id));
    let findings: Vec<_> = selected
        .map(|lane| LaneFinding::of(lane, &claim, capture))
        .collect();
    if findings.is_empty() {
        return undecidable(
            assertion,
            Reason::NoStream {
                selector: formula.flow.to_string(),
            },
        );
    }
    combine(assertion, &claim, &findings, capture)
}

fn selects(selector: &FlowSelector, lane: &StreamId) -> bool {
    match selector {
        FlowSelector::Any => true,
        FlowSelector::Except(flow) => lane.flow != *flow,
        FlowSelector::Flow(flow, direction) => {
            lane.flow == *flow
                && match direction {
                    DirectionSelector::Both => true,
                    DirectionSelector::Request => lane.direction == Direction::Request,
                    DirectionSelector::Reply => lane.direction == Direction::Reply,
                }
        }
    }
}

/// A verdict for an assertion that has no window or no probes to speak of.
fn undecidable(assertion: &Assertion, reason: Reason) -> AssertionVerdict {
    AssertionVerdict {
        name: assertion.name.clone(),
        text: assertion.text.clone(),
        place: (&assertion.place).into(),
        outcome: Outcome::Inconclusive {
            reasons: vec![reason],
        },
        window_event: window::opening_event(&assertion.formula.window),
        considered: 0,
        satisfied: 0,
        violations: 0,
        convergence_ns: None,
        limit_ns: None,
        first_bad: None,
        last_bad: None,
        first_good_after: None,
        per_tunnel: BTreeMap::new(),
        spending: Spending::default(),
        streams: Vec::new(),
    }
}

fn combine(
    assertion: &Assertion,
    claim: &Claim<'_>,
    findings: &[LaneFinding<'_>],
    capture: &Capture<'_>,
) -> AssertionVerdict {
    let outcome = outcome(claim, findings, capture);
    let (first, last) = match outcome {
        Outcome::Pass => (None, None),
        Outcome::Fail => extremes(findings.iter().filter(|f| f.refuted).map(|f| (f, f.proved_bad))),
        Outcome::Inconclusive { .. } => extremes(findings.iter().map(|f| (f, f.seeming_bad))),
    };
    let convergences: Option<Vec<u64>> = findings.iter().map(|f| f.verdict.convergence_ns).collect();
    let sum = |count: fn(&LaneFinding<'_>) -> u64| findings.iter().map(count).sum();
    AssertionVerdict {
        name: assertion.name.clone(),
        text: assertion.text.clone(),
        place: (&assertion.place).into(),
        outcome,
        window_event: window::opening_event(&assertion.formula.window),
        considered: sum(|f| f.verdict.considered),
        satisfied: sum(|f| f.verdict.satisfied),
        violations: sum(|f| f.verdict.violations),
        convergence_ns: convergences.and_then(|all| all.into_iter().max()),
        limit_ns: claim.span.limit_ns,
        first_bad: first.map(|(finding, index)| finding.counter_example(index, claim, capture)),
        last_bad: last.map(|(finding, index)| finding.counter_example(index, claim, capture)),
        first_good_after: last.and_then(|(finding, index)| finding.first_good_after(index, claim, capture)),
        per_tunnel: per_tunnel(findings),
        spending: findings
            .iter()
            .map(|finding| finding.verdict.spending)
            .reduce(Spending::or_more)
            .unwrap_or_default(),
        streams: findings.iter().map(|finding| finding.verdict.clone()).collect(),
    }
}

/// A probe of a lane, by its index in the finding.
type Quoted<'a, 'e> = Option<(&'a LaneFinding<'e>, usize)>;

/// The first and the last of the lanes' (first, last) pairs by send time.
fn extremes<'a, 'e: 'a>(
    pairs: impl Iterator<Item = (&'a LaneFinding<'e>, Option<(usize, usize)>)>,
) -> (Quoted<'a, 'e>, Quoted<'a, 'e>) {
    let pairs: Vec<_> = pairs
        .filter_map(|(finding, pair)| pair.map(|pair| (finding, pair)))
        .collect();
    let first = pairs
        .iter()
        .map(|(f, (first, _))| (*f, *first))
        .min_by_key(|(f, index)| f.sent_ns(*index));
    let last = pairs
        .iter()
        .map(|(f, (_, last))| (*f, *last))
        .max_by_key(|(f, index)| f.sent_ns(*index));
    (first, last)
}

fn outcome(claim: &Claim<'_>, findings: &[LaneFinding<'_>], capture: &Capture<'_>) -> Outcome {
    if findings.iter().any(|finding| finding.refuted) {
        return Outcome::Fail;
    }
    let unmatched = unmatched_patterns(claim.formula, capture);
    if !unmatched.is_empty() {
        return Outcome::Inconclusive { reasons: unmatched };
    }
    let mut reasons: Vec<Reason> = findings.iter().flat_map(LaneFinding::reasons).collect();
    let undecided = |reason: &Reason| {
        matches!(
            reason,
            Reason::Stream {
                doubt: StreamDoubt::Undecided { .. },
                ..
            }
        )
    };
    // What the receiver did not count may have come again, late or out of order.
    let budget = claim.budget;
    let counts_arrivals = budget.duplicates.is_some() || budget.reordered.is_some() || budget.p99.is_some();
    if capture.evidence.receiver_drops > 0 && (counts_arrivals || reasons.iter().any(undecided)) {
        let count = capture.evidence.receiver_drops;
        reasons.insert(0, Reason::ReceiverDrops { count });
    }
    // An existential claim that found its probes needs no complete capture.
    if quantifier::is_universal(claim.formula.quantifier) || !budget.is_empty() || !reasons.is_empty() {
        reasons.splice(0..0, capture.faults.iter().cloned());
    }
    if reasons.is_empty() {
        Outcome::Pass
    } else {
        Outcome::Inconclusive { reasons }
    }
}

/// Alternatives of point sets that no capture point matches: claims about them would hold of anything.
fn unmatched_patterns(formula: &Formula, capture: &Capture<'_>) -> Vec<Reason> {
    let clauses = formula.clauses.iter().chain(&formula.unless);
    let points = &capture.evidence.points;
    let unmatched = clauses
        .flat_map(Clause::patterns)
        .filter(|pattern| !points.iter().any(|point| pattern.matches(&point.name())));
    unmatched
        .map(|pattern| Reason::NoSuchPoint {
            pattern: pattern.to_string(),
        })
        .collect()
}

fn per_tunnel(findings: &[LaneFinding<'_>]) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (tunnel, count) in findings.iter().flat_map(|finding| &finding.verdict.per_tunnel) {
        *sum.entry(tunnel.clone()).or_insert(0) += count;
    }
    sum
}
