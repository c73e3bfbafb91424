//! The five status words and their colours.

use verdict::{Outcome, RunOutcome};

/// Whether to colour status words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// No escape sequences.
    Plain,
    /// ANSI escape sequences, for a terminal.
    Ansi,
}

/// How an assertion or a run ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pass,
    Fail,
    Inconclusive,
    Skip,
    Error,
}

/// Width of the column of status words.
pub(crate) const WIDTH: usize = 10;

impl Status {
    pub(crate) const ALL: [Self; 5] = [
        Self::Pass,
        Self::Fail,
        Self::Inconclusive,
        Self::Error,
        Self::Skip,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONC",
            Self::Skip => "SKIP",
            Self::Error => "ERROR",
        }
    }

    /// The adjective of a tally, `2 passed, 1 failed`.
    pub(crate) fn tallied(self) -> &'static str {
        match self {
            Self::Pass => "passed",
            Self::Fail => "failed",
            Self::Inconclusive => "inconclusive",
            Self::Skip => "skipped",
            Self::Error => "broken",
        }
    }

    fn ansi(self) -> &'static str {
        match self {
            Self::Pass => "1;32",
            Self::Fail => "1;31",
            Self::Inconclusive => "1;33",
            Self::Skip => "1;36",
            Self::Error => "1;35",
        }
    }

    /// The word, in colour if wanted.
    pub(crate) fn paint(self, colour: Colour) -> String {
        match colour {
            Colour::Plain => self.word().to_owned(),
            Colour::Ansi => format!("\u{1b}[{}m{}\u{1b}[0m", self.ansi(), self.word()),
        }
    }

    /// The word right-aligned in its column, in colour if wanted.
    pub(crate) fn column(self, colour: Colour) -> String {
        // Padded before painting: escape sequences have no width on the screen, but would count.
        format!("{}{}", " ".repeat(WIDTH - self.word().len()), self.paint(colour))
    }
}

impl From<&Outcome> for Status {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Pass => Self::Pass,
            Outcome::Fail => Self::Fail,
            Outcome::Inconclusive { .. } => Self::Inconclusive,
        }
    }
}

impl From<&RunOutcome> for Status {
    fn from(outcome: &RunOutcome) -> Self {
        match outcome {
            RunOutcome::Pass => Self::Pass,
            RunOutcome::Fail => Self::Fail,
            RunOutcome::Inconclusive => Self::Inconclusive,
            RunOutcome::Skipped { .. } => Self::Skip,
            RunOutcome::Error { .. } => Self::Error,
        }
    }
}

/// How many of each status there are, `2 passed, 1 failed`.
pub(crate) fn tally(statuses: &[Status]) -> String {
    let count = |status: Status| statuses.iter().filter(|s| **s == status).count();
    let parts = Status::ALL
        .iter()
        .map(|status| (status, count(*status)))
        .filter(|(_, count)| *count > 0);
    parts
        .map(|(status, count)| format!("{count} {}", status.tallied()))
        .collect::<Vec<_>>()
        .join(", ")
}
