//! The exit codes of the `pathproof` binary, all in one place.
//!
//! | code | name | meaning |
//! |---|---|---|
//! | 0 | [`Pass`](ExitCode::Pass) | every assertion of every scenario that ran passed |
//! | 1 | [`Fail`](ExitCode::Fail) | an assertion has a counter-example |
//! | 2 | [`Usage`](ExitCode::Usage) | the command line or a scenario file is wrong; nothing was created |
//! | 3 | [`Inconclusive`](ExitCode::Inconclusive) | no counter-example, but too little evidence for a pass |
//! | 4 | [`Lab`](ExitCode::Lab) | the lab broke; nothing is said about the implementation under test |
//! | 5 | [`NothingSelected`](ExitCode::NothingSelected) | no scenario was selected, or every one was skipped |
//! | 70 | [`Bug`](ExitCode::Bug) | pathproof itself went wrong (`EX_SOFTWARE` of sysexits.h) |
//! | 130 | [`Interrupted`](ExitCode::Interrupted) | Ctrl-C, after tearing down (128 + SIGINT) |
//!
//! Of several runs the most telling one decides: a proven failure outranks a broken lab, which outranks
//! missing evidence.

use crate::{RunOutcome, RunRecord};

/// How the process ends; the discriminant is the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Every assertion of every scenario that ran passed.
    Pass = 0,
    /// An assertion has a counter-example.
    Fail = 1,
    /// The command line or a scenario file is wrong; nothing was created.
    Usage = 2,
    /// No counter-example, but too little evidence for a pass.
    Inconclusive = 3,
    /// The lab broke.
    Lab = 4,
    /// No scenario was selected, or every one was skipped.
    NothingSelected = 5,
    /// Pathproof itself went wrong.
    Bug = 70,
    /// Interrupted by the user, after tearing down.
    Interrupted = 130,
}

impl ExitCode {
    /// The code for these runs.
    #[must_use]
    pub fn of_runs(runs: &[RunRecord]) -> Self {
        let has = |matches: fn(&RunOutcome) -> bool| runs.iter().any(|run| matches(&run.outcome));
        if has(|outcome| matches!(outcome, RunOutcome::Fail)) {
            Self::Fail
        } else if has(|outcome| matches!(outcome, RunOutcome::Error { .. })) {
            Self::Lab
        } else if has(|outcome| matches!(outcome, RunOutcome::Inconclusive)) {
            Self::Inconclusive
        } else if has(|outcome| matches!(outcome, RunOutcome::Pass)) {
            Self::Pass
        } else {
            Self::NothingSelected
        }
    }

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}
