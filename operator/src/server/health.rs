//! Whether the operator is alive, and whether the fabric is as asked.
//!
//! Owns the latest word of each part. Invariant: "alive" depends on this process alone, never on the cluster or the
//! Manager, so that a restart is asked for only where it helps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// A part that has its own line in the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The watches of a cluster have seen everything once.
    Cluster(String),
    /// The Manager answered in the last round.
    Manager,
    /// The last round ended as it should.
    Round,
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether all is well.
    pub passed: bool,
    /// A line for each part.
    pub text: String,
}

/// The latest word of each part.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By when the loop said that it would speak again; `None` before its first word.
    back_by: Option<Instant>,
    /// A task that ended although it never should.
    ended: Option<&'static str>,
    /// Why a part is not ready, if it is not.
    checks: BTreeMap<Check, Option<String>>,
    standby: bool,
}

impl Health {
    /// The loop is at work, and will say so again by then.
    pub fn promise(&self, back_by: Instant) {
        self.lock().back_by = Some(back_by);
    }

    /// A task that should not has ended: only a restart helps.
    pub fn ended(&self, task: &'static str) {
        self.lock().ended = Some(task);
    }

    /// Notes that a part is as it should be, or why it is not.
    pub fn note(&self, check: Check, outcome: Result<(), String>) {
        self.lock().checks.insert(check, outcome.err());
    }

    /// Notes whether another replica leads, in which case there are no rounds here.
    pub fn stands_by(&self, standby: bool) {
        let mut state = self.lock();
        state.standby = standby;
        if standby {
            state.checks.retain(|check, _| matches!(check, Check::Cluster(_)));
        }
    }

    /// Whether the loop goes on.
    #[must_use]
    pub fn live(&self, now: Instant) -> Report {
        let state = self.lock();
        let late = state.back_by.filter(|back_by| *back_by < now);
        match (state.ended, late) {
            (Some(task), _) => Report::failed(format!("{task} ended\n")),
            (None, Some(back_by)) => {
                let by = now - back_by;
                Report::failed(format!("the loop is {} s overdue\n", by.as_secs()))
            }
            (None, None) => Report {
                passed: true,
                text: "ok\n".to_owned(),
            },
        }
    }

    /// Whether the fabric is as asked, as far as this replica has to see to it.
    #[must_use]
    pub fn ready(&self) -> Report {
        let state = self.lock();
        let mut text = String::new();
        for (check, failure) in &state.checks {
            let (sign, why) = match failure {
                None => ('+', "ok"),
                Some(why) => ('-', why.as_str()),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "[{sign}] {check}: {why}");
        }
        let started = state.standby || state.checks.contains_key(&Check::Round);
        let _ = match (state.standby, started) {
            (true, _) => writeln!(text, "[+] round: standing by, another replica leads"),
            (false, true) => Ok(()),
            (false, false) => writeln!(text, "[-] round: none yet"),
        };
        Report {
            passed: started && !state.checks.is_empty() && state.checks.values().all(Option::is_none),
            text,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    fn failed(text: String) -> Self {
        Self { passed: false, text }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster `{name}`"),
            Self::Manager => f.write_str("manager"),
            Self::Round => f.write_str("round"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_loop_that_breaks_its_promise_is_not_alive() {
        let (health, now) = (Health::default(), Instant::now());
        assert!(
            health.live(now).passed,
            "before its first word it may be starting"
        );
        health.promise(now + Duration::from_secs(5));
        assert!(health.live(now + Duration::from_secs(5)).passed);
        let report = health.live(now + Duration::from_secs(8));
        assert_eq!(report, Report::failed("the loop is 3 s overdue\n".to_owned()));
        health.promise(now + Duration::from_secs(10));
        assert!(health.live(now + Duration::from_secs(8)).passed);
        health.ended("a watch");
        assert_eq!(health.live(now), Report::failed("a watch ended\n".to_owned()));
    }

    #[test]
    fn ready_is_when_every_part_is_and_says_which_is_not() {
        let health = Health::default();
        assert_eq!(health.ready(), Report::failed("[-] round: none yet\n".to_owned()));
        health.note(Check::Cluster("blue".to_owned()), Ok(()));
        health.note(Check::Manager, Ok(()));
        assert!(!health.ready().passed);
        health.note(Check::Round, Ok(()));
        assert_eq!(
            health.ready().text,
            "[+] cluster `blue`: ok\n[+] manager: ok\n[+] round: ok\n"
        );
        assert!(health.ready().passed);
        health.note(Check::Manager, Err("no answer".to_owned()));
        let report = health.ready();
        assert!(
            !report.passed && report.text.contains("[-] manager: no answer"),
            "{report:?}"
        );
    }

    #[test]
    fn a_replica_that_stands_by_is_ready_with_its_watches() {
        let health = Health::default();
        health.note(Check::Round, Err("lost the lease".to_owned()));
        health.stands_by(true);
        assert!(!health.ready().passed, "it has not listed anything");
        health.note(Check::Cluster("blue".to_owned()), Ok(()));
        assert!(health.ready().passed);
        health.stands_by(false);
        assert!(!health.ready().passed, "it leads now and has done nothing yet");
    }
}
