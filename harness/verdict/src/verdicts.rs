//! What judging gives: a verdict for every assertion with the probes that decide it, and the run's figures.

use std::collections::BTreeMap;
use std::fmt;

use scenario::assertion::Place;
use serde::{Deserialize, Serialize};

use crate::{ProbeTrace, Reason, StreamId, StreamTotals, Transition};

/// The result of [`crate::judge`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// One for every assertion, in the order of the scenario.
    pub assertions: Vec<AssertionVerdict>,
    /// One for every direction of every stream.
    pub totals: Vec<StreamTotals>,
    /// One for every change of tunnel that an event brought about.
    pub transitions: Vec<Transition>,
}

impl Verdicts {
    /// The worst outcome of all assertions (`Pass < Inconclusive < Fail`), without an assertion: inconclusive.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let none = Outcome::Inconclusive {
            reasons: vec![Reason::NoAssertion],
        };
        let worst = self
            .assertions
            .iter()
            .map(|verdict| &verdict.outcome)
            .max_by_key(|outcome| outcome.rank());
        worst.cloned().unwrap_or(none)
    }
}

/// Whether a claim holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Outcome {
    /// Proved for every probe in the window.
    Pass,
    /// Neither proved nor refuted.
    Inconclusive {
        /// What is missing for a pass; at least one.
        reasons: Vec<Reason>,
    },
    /// Refuted by at least one counter-example.
    Fail,
}

impl Outcome {
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Inconclusive { .. } => 1,
            Self::Fail => 2,
        }
    }
}

/// The verdict on one assertion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssertionVerdict {
    /// Its name.
    pub name: String,
    /// Its text as written.
    pub text: String,
    /// Where it stands in the scenario.
    pub place: SourcePlace,
    /// Whether it holds.
    pub outcome: Outcome,
    /// The event that offsets and convergence are counted from, or `phase` and the name of the phase that the window is;
    /// `None`: the start of the run.
    pub window_event: Option<String>,
    /// Probes sent in the window and not exempt.
    pub considered: u64,
    /// Of these, how many satisfy the clauses, taking the capture at face value.
    pub satisfied: u64,
    /// How many speak against the claim: for `all` those that break a clause (with `within`: after the limit),
    /// for `no` those that satisfy them. A counting quantifier may allow some.
    pub violations: u64,
    /// With `within`: time from the event to the first probe from which on all satisfy the claim, the slowest
    /// stream. `None` also when a stream never got there.
    pub convergence_ns: Option<u64>,
    /// With `within`: the longest convergence allowed.
    pub limit_ns: Option<u64>,
    /// The violation sent first. Set when the outcome is not `Pass` and there is one.
    pub first_bad: Option<CounterExample>,
    /// The violation sent last.
    pub last_bad: Option<CounterExample>,
    /// The first probe of the same stream after `last_bad` that is as it should be.
    pub first_good_after: Option<ProbeTrace>,
    /// Probes considered by the tunnel that saw them; a probe that two tunnels saw counts in both.
    pub per_tunnel: BTreeMap<String, u64>,
    /// What its probes spent; each figure is the largest of any direction of any stream.
    pub spending: Spending,
    /// The same for each direction of each stream.
    pub streams: Vec<StreamVerdict>,
}

/// What one direction of one stream contributes to a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamVerdict {
    /// Which stream and direction.
    pub stream: StreamId,
    /// Probes sent in the window and not exempt.
    pub considered: u64,
    /// Probes that the `unless` clause exempts.
    pub exempt: u64,
    /// How many satisfy the clauses.
    pub satisfied: u64,
    /// With `within`: probes against the claim that were sent before the limit, which is allowed.
    pub settling: u64,
    /// How many speak against the claim.
    pub violations: u64,
    /// Probes whose reading rests on not being seen where the capture is incomplete.
    pub undecided: u64,
    /// With `within`: its convergence time.
    pub convergence_ns: Option<u64>,
    /// Probes considered by the tunnel that saw them.
    pub per_tunnel: BTreeMap<String, u64>,
    /// What its probes spent.
    pub spending: Spending,
}

/// What the probes considered spent of a budget. With `within`, `gap_ns`, `loss_ns` and `misroute_ns` are three more
/// readings of how long the claim took to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// Probes that were not delivered.
    pub lost: u64,
    /// Deliveries beyond the first of each probe.
    pub duplicates: u64,
    /// Probes that arrived after one that was sent later.
    pub reordered: u64,
    /// Probes seen at a tunnel that the claim's `via` does not name.
    pub misrouted: u64,
    /// The time in which 99 of 100 that arrived did; `None`: none arrived.
    pub p99_ns: Option<u64>,
    /// The gap-derived reading: the longest time without an arrival; `None`: nothing arrived.
    pub gap_ns: Option<u64>,
    /// The loss-derived reading: probes lost, times the mean send interval.
    pub loss_ns: u64,
    /// The misroute-derived reading: from the opening of the window to the last sighting at a tunnel that the claim's
    /// `via` does not name; `None`: there was none.
    pub misroute_ns: Option<u64>,
}

impl Spending {
    /// Of each figure the larger one.
    pub(crate) fn or_more(self, other: Self) -> Self {
        // Without any arrival there is no end to the gap.
        let gap_ns = self.gap_ns.zip(other.gap_ns).map(|(one, other)| one.max(other));
        Self {
            lost: self.lost.max(other.lost),
            duplicates: self.duplicates.max(other.duplicates),
            reordered: self.reordered.max(other.reordered),
            misrouted: self.misrouted.max(other.misrouted),
            p99_ns: self.p99_ns.max(other.p99_ns),
            gap_ns,
            loss_ns: self.loss_ns.max(other.loss_ns),
            misroute_ns: self.misroute_ns.max(other.misroute_ns),
        }
    }
}

/// A probe that speaks against a claim, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterExample {
    /// The probe.
    pub probe: ProbeTrace,
    /// The clause that it breaks.
    pub expected: String,
    /// What it did instead.
    pub observed: String,
}

/// A place in a scenario file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePlace {
    /// File name as given to the reader.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

impl From<&Place> for SourcePlace {
    fn from(place: &Place) -> Self {
        Self {
            file: place.file.clone(),
            line: place.line,
            column: place.column,
        }
    }
}

impl fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
