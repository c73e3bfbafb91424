//! The record of one run: what every report is a function of, and what a later reader needs to judge it anew.
//!
//! Invariant: [`RunRecord::outcome`] follows from the rest; records are made by the three constructors only.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::{CapturePoint, EventMark, Evidence};
use crate::{Outcome, Verdicts};

/// The value of [`RunRecord::schema`].
pub const SCHEMA: &str = "pathproof.dev/run/v1alpha2";

/// One run of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was run, where and how.
    pub run: RunInfo,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The verdicts; `None` when nothing was judged.
    pub verdicts: Option<Verdicts>,
    /// The capture points and how far they can be trusted.
    pub points: Vec<CapturePoint>,
    /// The events that fired.
    pub events: Vec<EventMark>,
    /// When the first probe could be sent; 0 when nothing was judged.
    pub started_ns: u64,
    /// When the senders were told to stop; 0 when nothing was judged.
    pub stopped_ns: u64,
}

/// What was run, where and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The scenario's name.
    pub scenario: String,
    /// Its purpose, one line.
    pub purpose: String,
    /// The scenario file as given.
    pub file: String,
    /// The seed of the plan.
    pub seed: u64,
    /// What it ran on.
    pub environment: Environment,
    /// How long each stage took, in the order they ran.
    pub stages: Vec<StageTime>,
    /// The run folder, as people should type it.
    pub folder: String,
    /// The one command that repeats the run.
    pub repeat: String,
}

/// What a run ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// Whose rights it had, such as `root` or `uid 1000`.
    pub user: String,
    /// The version of pathproof.
    pub pathproof: String,
    /// Who impairs packets: `netem` (the kernel), `userspace` (a program of the lab), or `unknown` where the lab did
    /// not get so far.
    pub impairments: String,
    /// As whom the operator under test used the Kubernetes APIs, as RBAC names users: the ServiceAccount that its manifests
    /// name, or `kubernetes-admin`, who may do everything.
    #[serde(default)]
    pub operator_user: String,
    /// How the tunnels over each transport carried packets, such as `wireguard (userspace)`; empty where no lab was
    /// built.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub encapsulations: BTreeMap<String, String>,
}

/// How long one stage took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// Its name, such as `provision`.
    pub stage: String,
    /// How long.
    pub took_ns: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum RunOutcome {
    /// Every assertion passed.
    Pass,
    /// No assertion failed, and at least one could not be decided.
    Inconclusive,
    /// At least one assertion failed.
    Fail,
    /// The scenario could not run here; nothing is said.
    Skipped {
        /// Why.
        reason: String,
    },
    /// The lab broke; nothing is said.
    Error {
        /// What broke, with its causes.
        message: String,
    },
}

impl RunRecord {
    /// The record of a run that was judged.
    #[must_use]
    pub fn judged(run: RunInfo, evidence: &Evidence, verdicts: Verdicts) -> Self {
        let outcome = match verdicts.outcome() {
            Outcome::Pass => RunOutcome::Pass,
            Outcome::Inconclusive { .. } => RunOutcome::Inconclusive,
            Outcome::Fail => RunOutcome::Fail,
        };
        Self {
            verdicts: Some(verdicts),
            points: evidence.points.clone(),
            events: evidence.events.clone(),
            started_ns: evidence.started_ns,
            stopped_ns: evidence.stopped_ns,
            ..Self::unjudged(run, outcome)
        }
    }

    /// The record of a scenario that could not run here.
    #[must_use]
    pub fn skipped(run: RunInfo, reason: String) -> Self {
        Self::unjudged(run, RunOutcome::Skipped { reason })
    }

    /// The record of a run whose lab broke.
    #[must_use]
    pub fn broken(run: RunInfo, message: String) -> Self {
        Self::unjudged(run, RunOutcome::Error { message })
    }

    fn unjudged(run: RunInfo, outcome: RunOutcome) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            run,
            outcome,
            verdicts: None,
            points: Vec::new(),
            events: Vec::new(),
            started_ns: 0,
            stopped_ns: 0,
        }
    }

    /// How long all stages took together.
    #[must_use]
    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.run.stages.iter().map(|stage| stage.took_ns).sum())
    }
}

#[cfg(test)]
mod tests;
