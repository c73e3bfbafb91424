//! The live lines about a run under way, on stderr.

use std::time::Duration;

/// Who hears of stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Somebody reads along.
    Lines,
    /// Nobody does.
    Silent,
}

/// Width of the status column.
const STATUS_WIDTH: usize = 12;

impl Progress {
    /// A scenario begins.
    pub fn scenario(self, name: &str, detail: &str) {
        self.line("run", &format!("{name}: {detail}"));
    }

    /// A stage is done.
    pub fn stage(self, stage: &str, took: Duration, detail: &str) {
        self.line(stage, &format!("{:>8.1} ms  {detail}", took.as_secs_f64() * 1e3));
    }

    fn line(self, status: &str, text: &str) {
        if self == Self::Lines {
            eprintln!("{status:>STATUS_WIDTH$} {text}");
        }
    }
}
