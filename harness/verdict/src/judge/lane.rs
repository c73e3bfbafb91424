//! One claim against one direction of one stream.

use std::ops::Range;

use scenario::assertion::{Amount, Quantifier};

use super::Claim;
use super::across::Sides;
use super::budget::{self, Overdraft};
use super::capture::Capture;
use super::clause::Reading;
use super::quantifier::{allowed, is_strict, is_universal};
use crate::evidence::ProbeJourney;
use crate::streams::{Lane, TunnelTally};
use crate::{CounterExample, PointKind, ProbeTrace, Reason, Spending, StreamDoubt, StreamVerdict};

/// What a lane says about a claim.
pub(super) struct LaneFinding<'e> {
    lane: &'e Lane<'e>,
    /// Probes in the window that are not exempt, in the order they were sent.
    probes: Vec<Probe<'e>>,
    pub(super) verdict: StreamVerdict,
    /// Whether the claim is certainly false.
    pub(super) refuted: bool,
    /// The first and last violation that hold however lossy the capture was.
    pub(super) proved_bad: Option<(usize, usize)>,
    /// The first and last violation at face value.
    pub(super) seeming_bad: Option<(usize, usize)>,
    /// For each clause: the paths that it compares.
    sides: Vec<Option<Sides>>,
    /// The limit of the budget that refutes the claim, where no probe does.
    overdraft: Option<Overdraft>,
    /// Why the claim is not proved, as far as this lane is concerned.
    doubts: Vec<StreamDoubt>,
}

struct Probe<'e> {
    journey: &'e ProbeJourney,
    /// Speaks against the claim, at face value.
    bad: bool,
    certain: bool,
}

impl<'e> LaneFinding<'e> {
    pub(super) fn of(lane: &'e Lane<'e>, claim: &Claim<'_>, capture: &Capture<'e>) -> Self {
        let in_window = window_slice(lane, claim);
        let sides: Vec<Option<Sides>> = claim
            .across
            .iter()
            .map(|across| across.map(|at_ns| Sides::of(in_window, at_ns, capture)))
            .collect();
        let probes = read(in_window, claim, &sides);
        let counted = counted(&probes, claim);
        let tally = Tally::of(&probes[counted.clone()]);
        let mut finding = Self {
            verdict: stream_verdict(lane, in_window.len(), &probes, &counted, claim, capture),
            lane,
            refuted: false,
            proved_bad: extremes(&probes, &counted, |probe| probe.bad && probe.certain),
            seeming_bad: extremes(&probes, &counted, |probe| probe.bad),
            probes,
            doubts: Vec::new(),
            sides,
            overdraft: None,
        };
        finding.decide(claim, &tally);
        finding.spend(claim, capture);
        if is_universal(claim.formula.quantifier) {
            finding.doubts.extend(capture_hole(in_window, capture));
        }
        finding
    }

    fn decide(&mut self, claim: &Claim<'_>, tally: &Tally) {
        let quantifier = claim.formula.quantifier;
        let (needed, considered) = match quantifier {
            Quantifier::Some => (1, tally.probes),
            Quantifier::AtLeast(Amount::Count(count)) => (count.max(1), tally.probes),
            _ => {
                let settled = self.settled_probes(claim, tally) + self.cleared(claim);
                let sides = self.sides.iter().flatten().map(Sides::probes);
                (claim.min_probes.max(1), sides.fold(settled, u64::min))
            }
        };
        let allowed = allowed(quantifier, tally.probes);
        let too_few = considered < needed;
        // Too few probes to reach a count are no counter-example to it.
        let decidable = is_universal(quantifier) || !too_few;
        self.refuted = decidable && tally.proved_bad > allowed;
        if decidable && !self.refuted && tally.possible_bad > allowed {
            self.doubts.push(StreamDoubt::Undecided {
                count: tally.undecided,
            });
        }
        match self.unresolved_convergence(claim) {
            Some(doubt) => self.doubts.push(doubt),
            None if too_few => self.doubts.push(StreamDoubt::TooFewProbes { considered, needed }),
            None => {}
        }
    }

    /// Holds what the probes spent against the budget.
    fn spend(&mut self, claim: &Claim<'_>, capture: &Capture<'_>) {
        let journeys: Vec<_> = self.probes.iter().map(|probe| probe.journey).collect();
        let spending = budget::spending(&journeys, &claim.clauses, claim.span.origin_ns);
        self.verdict.spending = spending;
        if claim.budget.is_empty() {
            return;
        }
        let (considered, needed) = (journeys.len() as u64, claim.min_probes.max(1));
        if considered < needed && !is_universal(claim.formula.quantifier) {
            self.doubts.push(StreamDoubt::TooFewProbes { considered, needed });
        }
        let overdrafts = budget::overdrafts(claim.budget, &spending, &journeys, &claim.clauses, capture);
        match overdrafts.into_iter().next() {
            Some(Overdraft {
                doubt: Some(doubt), ..
            }) => self.doubts.push(doubt),
            Some(overdraft) if !self.refuted => {
                self.refuted = true;
                self.proved_bad = Some(overdraft.probes);
                self.overdraft = Some(overdraft);
            }
            _ => {}
        }
    }

    /// The probes that a universal claim rests on: with `within`, those from convergence on.
    fn settled_probes(&self, claim: &Claim<'_>, tally: &Tally) -> u64 {
        if claim.span.limit_ns.is_some() && is_strict(claim.formula.quantifier) {
            self.probes.iter().rev().take_while(|probe| !probe.bad).count() as u64
        } else {
            tally.probes
        }
    }

    /// The exempt probes that a claim rests on: where something is forbidden, they were found not to do it.
    fn cleared(&self, claim: &Claim<'_>) -> u64 {
        if claim.forbids() && claim.span.limit_ns.is_none() {
            self.verdict.exempt
        } else {
            0
        }
    }

    fn unresolved_convergence(&self, claim: &Claim<'_>) -> Option<StreamDoubt> {
        let deadline = claim
            .span
            .deadline_ns()
            .filter(|_| is_strict(claim.formula.quantifier))?;
        let (last_bad, first_good) = turning_point(&self.probes);
        let last_bad = last_bad.filter(|ns| *ns <= deadline)?;
        let since = |ns: u64| ns - claim.span.origin_ns;
        let straddles = first_good.is_none_or(|ns| ns > deadline);
        straddles.then(|| StreamDoubt::ConvergenceUnresolved {
            last_bad_ns: since(last_bad),
            first_good_ns: first_good.map(since),
        })
    }

    /// The doubts as reasons.
    pub(super) fn reasons(&self) -> impl Iterator<Item = Reason> {
        let reason = |doubt: &StreamDoubt| Reason::Stream {
            stream: self.lane.id.clone(),
            doubt: doubt.clone(),
        };
        self.doubts.iter().map(reason)
    }

    pub(super) fn sent_ns(&self, index: usize) -> u64 {
        self.probes[index].journey.sent_ns
    }

    /// The counter-example that the probe at this index is.
    pub(super) fn counter_example(
        &self,
        index: usize,
        claim: &Claim<'_>,
        capture: &Capture<'_>,
    ) -> CounterExample {
        let journey = self.probes[index].journey;
        let (expected, observed) = if let Some(overdraft) = &self.overdraft {
            (overdraft.expected.clone(), overdraft.observed.clone())
        } else if claim.forbids() {
            let clauses: Vec<String> = claim.clauses.iter().map(|test| test.clause.to_string()).collect();
            let observed: Vec<String> = claim.clauses.iter().map(|test| test.observed(journey)).collect();
            (format!("not {}", clauses.join(" ")), observed.join(", "))
        } else {
            let readings = claim.clauses.iter().zip(&self.sides);
            let readings = readings.map(|(test, sides)| (test, claim.read(test, journey, sides.as_ref())));
            let broken = readings.filter(|(_, reading)| !reading.holds);
            let broken = broken.max_by_key(|(_, reading)| reading.certain);
            broken.map_or_else(Default::default, |(test, _)| {
                (test.clause.to_string(), test.observed(journey))
            })
        };
        CounterExample {
            probe: self.trace(journey, claim, capture),
            expected,
            observed,
        }
    }

    /// The first probe after this index that does not speak against the claim.
    pub(super) fn first_good_after(
        &self,
        index: usize,
        claim: &Claim<'_>,
        capture: &Capture<'_>,
    ) -> Option<ProbeTrace> {
        let good = self.probes[index + 1..].iter().find(|probe| !probe.bad)?;
        Some(self.trace(good.journey, claim, capture))
    }

    fn trace(&self, journey: &ProbeJourney, claim: &Claim<'_>, capture: &Capture<'_>) -> ProbeTrace {
        ProbeTrace::new(capture.evidence, self.lane, journey, claim.span.origin_ns)
    }
}

/// How the probes that count speak.
struct Tally {
    probes: u64,
    proved_bad: u64,
    /// At face value or perhaps.
    possible_bad: u64,
    undecided: u64,
}

impl Tally {
    fn of(probes: &[Probe<'_>]) -> Self {
        Self {
            probes: probes.len() as u64,
            proved_bad: count(probes, |probe| probe.bad && probe.certain),
            possible_bad: count(probes, |probe| probe.bad || !probe.certain),
            undecided: count(probes, |probe| !probe.certain),
        }
    }
}

fn count(probes: &[Probe<'_>], is: impl Fn(&Probe<'_>) -> bool) -> u64 {
    probes.iter().filter(|probe| is(probe)).count() as u64
}

fn window_slice<'e>(lane: &'e Lane<'e>, claim: &Claim<'_>) -> &'e [&'e ProbeJourney] {
    let from = lane
        .journeys
        .partition_point(|journey| journey.sent_ns < claim.span.from_ns);
    let until = lane
        .journeys
        .partition_point(|journey| journey.sent_ns < claim.span.until_ns);
    &lane.journeys[from..until.max(from)]
}

/// Reads every probe that is not exempt.
fn read<'e>(journeys: &[&'e ProbeJourney], claim: &Claim<'_>, sides: &[Option<Sides>]) -> Vec<Probe<'e>> {
    let mut probes = Vec::with_capacity(journeys.len());
    for journey in journeys {
        let exempt = claim.unless.as_ref().map(|test| test.read(journey, None));
        if exempt.is_some_and(|reading| reading.holds) {
            continue;
        }
        let reading = claim
            .clauses
            .iter()
            .zip(sides)
            .fold(Reading::TRUE, |sum, (test, sides)| {
                sum.and(claim.read(test, journey, sides.as_ref()))
            });
        let bad = reading.holds == claim.forbids();
        if bad && in_flight_at_the_end(journey, claim) {
            continue;
        }
        // A probe that may be exempt after all proves nothing against the claim.
        let certain = reading.certain && exempt.is_none_or(|reading| reading.certain);
        probes.push(Probe {
            journey,
            bad,
            certain,
        });
    }
    probes
}

/// Whether the event that ends the window fired while the probe was on its way: what it did may be that event's
/// doing, so it does not speak against the claim.
fn in_flight_at_the_end(journey: &ProbeJourney, claim: &Claim<'_>) -> bool {
    let last_ns = journey.hops.iter().map(|hop| hop.at_ns).max();
    claim
        .span
        .closed_ns
        .zip(last_ns)
        .is_some_and(|(closed_ns, last_ns)| last_ns >= closed_ns)
}

/// The probes whose reading counts: with `within`, those sent after the limit.
fn counted(probes: &[Probe<'_>], claim: &Claim<'_>) -> Range<usize> {
    let from = match claim.span.deadline_ns() {
        Some(deadline) if is_universal(claim.formula.quantifier) => {
            probes.partition_point(|probe| probe.journey.sent_ns <= deadline)
        }
        _ => 0,
    };
    from..probes.len()
}

fn extremes(
    probes: &[Probe<'_>],
    counted: &Range<usize>,
    is: impl Fn(&Probe<'_>) -> bool,
) -> Option<(usize, usize)> {
    let mut indices = counted.clone().filter(|index| is(&probes[*index]));
    let first = indices.next()?;
    Some((first, indices.next_back().unwrap_or(first)))
}

/// When the last bad probe was sent and the first good one after it.
fn turning_point(probes: &[Probe<'_>]) -> (Option<u64>, Option<u64>) {
    let first_good = probes
        .iter()
        .rposition(|probe| probe.bad)
        .map_or(0, |last_bad| last_bad + 1);
    let last_bad = first_good
        .checked_sub(1)
        .map(|index| probes[index].journey.sent_ns);
    (
        last_bad,
        probes.get(first_good).map(|probe| probe.journey.sent_ns),
    )
}

fn convergence(probes: &[Probe<'_>], claim: &Claim<'_>) -> Option<u64> {
    claim
        .span
        .limit_ns
        .filter(|_| is_strict(claim.formula.quantifier))?;
    match turning_point(probes) {
        (None, first_good) => first_good.map(|_| 0),
        (Some(_), first_good) => first_good.map(|ns| ns - claim.span.origin_ns),
    }
}

fn stream_verdict(
    lane: &Lane<'_>,
    in_window: usize,
    probes: &[Probe<'_>],
    counted: &Range<usize>,
    claim: &Claim<'_>,
    capture: &Capture<'_>,
) -> StreamVerdict {
    let mut tunnels = TunnelTally::new(capture.evidence);
    for probe in probes {
        tunnels.add(probe.journey);
    }
    StreamVerdict {
        stream: lane.id.clone(),
        considered: probes.len() as u64,
        exempt: (in_window - probes.len()) as u64,
        satisfied: count(probes, |probe| probe.bad == claim.forbids()),
        settling: count(&probes[..counted.start], |probe| probe.bad),
        violations: count(&probes[counted.clone()], |probe| probe.bad),
        undecided: count(&probes[counted.clone()], |probe| !probe.certain),
        convergence_ns: convergence(probes, claim),
        per_tunnel: tunnels.counts(),
        spending: Spending::default(),
    }
}

/// Delivered probes that no tunnel and no underlay saw.
fn capture_hole(journeys: &[&ProbeJourney], capture: &Capture<'_>) -> Option<StreamDoubt> {
    let on_the_wan = |journey: &ProbeJourney| {
        journey.hops.iter().any(|hop| {
            let point = capture.evidence.points.get(usize::from(hop.point));
            point.is_some_and(|point| matches!(point.kind, PointKind::Tunnel | PointKind::Underlay))
        })
    };
    let mut unseen = journeys
        .iter()
        .filter(|journey| journey.delivered_ns.is_some() && !on_the_wan(journey));
    let first = unseen.next()?;
    let count = 1 + unseen.count() as u64;
    Some(StreamDoubt::CaptureHole {
        count,
        first_sequence: first.sequence,
    })
}
