//! What many runs of the same scenarios have in common: how often they passed, and how fast steering followed.

use std::fmt;

use verdict::{ExitCode, RunRecord};

/// The figures of many runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    runs: usize,
    passed: usize,
    /// From an event to the first packet on the new tunnel, of every run and event: the fastest stream.
    first_packet_ns: Vec<u64>,
    /// From an event until every probe sent is on the new tunnel, of every converging assertion.
    convergence_ns: Vec<u64>,
}

impl Repeated {
    /// The figures of these runs.
    #[must_use]
    pub fn of(records: &[RunRecord]) -> Self {
        let passed = records
            .iter()
            .filter(|record| ExitCode::of_runs(std::slice::from_ref(record)) == ExitCode::Pass)
            .count();
        let mut first_packet_ns = Vec::new();
        let mut convergence_ns = Vec::new();
        for verdicts in records.iter().filter_map(|record| record.verdicts.as_ref()) {
            let events: std::collections::BTreeSet<&str> = verdicts
                .transitions
                .iter()
                .map(|transition| transition.event.as_str())
                .collect();
            for event in events {
                let of_event = verdicts
                    .transitions
                    .iter()
                    .filter(|transition| transition.event == event);
                first_packet_ns.extend(of_event.map(|transition| transition.first_on_new_path_ns).min());
            }
            convergence_ns.extend(
                verdicts
                    .assertions
                    .iter()
                    .filter_map(|assertion| assertion.convergence_ns),
            );
        }
        first_packet_ns.sort_unstable();
        convergence_ns.sort_unstable();
        Self {
            runs: records.len(),
            passed,
            first_packet_ns,
            convergence_ns,
        }
    }
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} of {} runs passed", self.passed, self.runs)?;
        for (what, sorted) in [
            ("event to first packet on the new tunnel", &self.first_packet_ns),
            ("convergence of every probe", &self.convergence_ns),
        ] {
            if let (Some(p50), Some(p99), Some(max)) =
                (nearest_rank(sorted, 50), nearest_rank(sorted, 99), sorted.last())
            {
                let [p50, p99, max] = [p50, p99, *max].map(millis);
                writeln!(f, "{what}: p50 {p50}  p99 {p99}  max {max}  n {}", sorted.len())?;
            }
        }
        Ok(())
    }
}

/// The nearest-rank percentile of sorted values.
fn nearest_rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    rank.checked_sub(1).and_then(|index| sorted.get(index)).copied()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds for people, with one decimal"
)]
fn millis(ns: u64) -> String {
    format!("{:.1} ms", ns as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<u64> = (1..=50).collect();
        assert_eq!(nearest_rank(&sorted, 50), Some(25));
        assert_eq!(nearest_rank(&sorted, 99), Some(50));
        assert_eq!(nearest_rank(&[7], 50), Some(7));
        assert_eq!(nearest_rank(&[], 50), None);
    }
}
