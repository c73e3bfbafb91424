//! What tunnels were like: the statistics behind `/statistics/approute`.
//!
//! Owns the rows that the [`recorder`] makes, the query language over them ([`query`], [`aggregation`], both pure) and
//! the [`scroll`]s through long answers. Invariants: rows are in the order of their times, and there are at most
//! [`ROWS_MAX`], none of them older than [`AGE_MAX`] when another comes; what a reader was given does not change.
//!
//! A row has 64 octets; a lab that fills the history has 77 MB of them. The recorder makes at most
//! [`recorder::ROWS_PER_SECOND`], so a full history reaches back ten minutes or more.

pub(super) mod aggregation;
pub(super) mod field;
pub(super) mod query;
pub(super) mod recorder;
pub(super) mod row;
pub(super) mod scroll;

#[cfg(test)]
mod properties;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use query::Filter;
use row::{Batch, RowRef};
use scroll::Scrolls;

/// No more rows are kept.
pub(super) const ROWS_MAX: usize = 1_200_000;
/// No older rows are kept; the product has them for weeks.
pub(super) const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// All that was recorded, and the scrolls through it.
#[derive(Debug, Default)]
pub(super) struct History {
    ring: Mutex<Ring>,
    scrolls: Mutex<Scrolls>,
}

#[derive(Debug, Default)]
struct Ring {
    batches: VecDeque<Arc<Batch>>,
    rows: usize,
}

impl History {
    /// Takes what an edge told at one time, and forgets what is too much or too old.
    pub(super) fn record(&self, batch: Batch) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.push(batch, ROWS_MAX);
    }

    /// The rows that a filter takes at `now`, in milliseconds since the Unix epoch, the latest first.
    pub(super) fn select(&self, filter: &Filter, now_ms: u64) -> Vec<RowRef> {
        // Searched without the lock: the recorder does not wait for readers.
        let batches: Vec<Arc<Batch>> = {
            let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            ring.batches.iter().rev().cloned().collect()
        };
        let rows = batches.iter().flat_map(row::rows);
        rows.filter(|row| filter.takes(row, now_ms)).collect()
    }

    /// The scrolls.
    pub(super) fn scrolls(&self) -> MutexGuard<'_, Scrolls> {
        self.scrolls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, batch: Batch, rows_max: usize) {
        let oldest = batch.entry_ms.saturating_sub(row::whole_millis(AGE_MAX));
        self.rows += batch.rows.len();
        self.batches.push_back(Arc::new(batch));
        while let Some(first) = self.batches.front()
            && (self.rows > rows_max || first.entry_ms < oldest)
        {
            self.rows -= first.rows.len();
            self.batches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::row::tests::{batch, row};
    use super::*;

    fn times(ring: &Ring) -> Vec<u64> {
        ring.batches.iter().map(|batch| batch.entry_ms).collect()
    }

    #[test]
    fn the_oldest_rows_go_when_there_are_too_many() {
        let mut ring = Ring::default();
        for at in [1, 2, 3] {
            ring.push(batch(at, vec![row(0), row(1)]), 4);
        }
        assert_eq!((times(&ring), ring.rows), (vec![2, 3], 4));
    }

    #[test]
    fn rows_go_when_they_are_too_old() {
        let (mut ring, age) = (Ring::default(), row::whole_millis(AGE_MAX));
        for at in [1, 2, age + 2] {
            ring.push(batch(at, vec![row(0)]), 100);
        }
        assert_eq!((times(&ring), ring.rows), (vec![2, age + 2], 2));
    }

    #[test]
    fn the_latest_are_first_and_stay_as_they_were_given() {
        let history = History::default();
        for at in [10, 20] {
            history.record(batch(at, vec![row(0)]));
        }
        let given = history.select(&Filter::default(), 30);
        history.record(batch(30, vec![row(0)]));
        let times: Vec<u64> = given.iter().map(|row| row.batch().entry_ms).collect();
        assert_eq!(times, [20, 10]);
    }
}
