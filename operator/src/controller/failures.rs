//! Telling a cluster that cannot be reached from a watch that was merely interrupted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures further apart than this do not belong together: an attempt is made at least every 30 s.
const GAP: Duration = Duration::from_secs(45);

/// The failures of watches since something last went well.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Option<Series>>);

#[derive(Debug)]
struct Series {
    count: u32,
    last: Instant,
    why: String,
}

impl Failures {
    /// Notes a failure.
    pub(super) fn add(&self, why: String, now: Instant) {
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = series.as_ref().filter(|series| now - series.last <= GAP);
        let count = before.map_or(0, |series| series.count) + 1;
        *series = Some(Series {
            count,
            last: now,
            why,
        });
    }

    /// Notes that something went well.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why the last attempts failed, if more than one did and nothing went well since.
    pub(super) fn lasting(&self, now: Instant) -> Option<String> {
        let series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = series.as_ref()?;
        (series.count > 1 && now - series.last <= GAP).then(|| series.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_that_follow_each_other_last() {
        let (failures, start) = (Failures::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        failures.add("a".to_owned(), at(0));
        assert_eq!(failures.lasting(at(0)), None);
        failures.add("b".to_owned(), at(30));
        assert_eq!(failures.lasting(at(30)).as_deref(), Some("b"));
        assert_eq!(failures.lasting(at(76)), None, "no further attempt failed");
        failures.add("c".to_owned(), at(80));
        assert_eq!(failures.lasting(at(80)), None);
        failures.add("d".to_owned(), at(81));
        failures.clear();
        assert_eq!(failures.lasting(at(81)), None);
    }
}
