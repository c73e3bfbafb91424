//! Verdicts from evidence: what a run observed, judged against what its scenario claims.
//!
//! Owns the meaning of assertions for journeys of probes ([`judge`]), the figures of a run ([`StreamTotals`],
//! [`Transition`]), the record of a run that every report is a function of ([`RunRecord`]) and the exit codes.
//! Reads no file and no clock, and never fails: a broken claim is a value.
//!
//! Invariant: the same assertions and the same evidence give the same bytes.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod evidence;
mod exit_code;
mod judge;
mod reason;
mod record;
mod streams;
pub mod text;
mod totals;
mod trace;
mod transition;
mod verdicts;

#[cfg(test)]
mod testing;

pub use exit_code::ExitCode;
pub use judge::{JudgeOptions, judge};
pub use reason::{PointFault, Reason, StreamDoubt};
pub use record::{Environment, RunInfo, RunOutcome, RunRecord, SCHEMA, StageTime};
pub use scenario::assertion::{Encapsulation, PointKind};
pub use scenario::model::Protocol;
pub use totals::{Latency, StreamTotals};
pub use trace::{HopTrace, ProbeTrace, StreamId, point_name};
pub use transition::Transition;
pub use verdicts::{
    AssertionVerdict, CounterExample, Outcome, SourcePlace, Spending, StreamVerdict, Verdicts,
};
