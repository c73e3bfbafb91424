//! Word from the watches that something changed.
//!
//! Owns the wake-up and the times of arrival. Invariant: a wake-up is never lost; it says only that something
//! changed, never what.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A burst of changes has ended when nothing came for this long …
const QUIET: Duration = Duration::from_millis(5);
/// … and is acted upon after this long, even if it goes on.
const BURST_MAX: Duration = Duration::from_millis(50);
/// Arrivals that are remembered; more say nothing more.
const ARRIVALS_MAX: usize = 10_000;

/// Changes that were not acted upon yet.
#[derive(Debug, Default)]
pub(super) struct Changes {
    notify: Notify,
    arrivals: Mutex<Vec<Instant>>,
}

impl Changes {
    /// Notes a change, and wakes who waits.
    pub(super) fn arrived(&self) {
        let mut arrivals = self.lock();
        if arrivals.len() < ARRIVALS_MAX {
            arrivals.push(Instant::now());
        }
        drop(arrivals);
        self.notify.notify_one();
    }

    /// When the changes since the last call arrived.
    pub(super) fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut self.lock())
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, and for the end of the burst that it may be part of.
    pub(super) async fn settled(&self) {
        // Asked instead of counted on: who waited before may have been dropped in the middle of a burst.
        while self.is_empty() {
            self.notify.notified().await;
        }
        let burst_end = Instant::now() + BURST_MAX;
        loop {
            let quiet_end = (Instant::now() + QUIET).min(burst_end);
            tokio::select! {
                biased;
                () = sleep_until(quiet_end) => {
                    return;
                }
                () = self.notify.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_wait_that_is_given_up_in_a_burst_loses_nothing() {
        let changes = Changes::default();
        changes.arrived();
        let mut given_up = Box::pin(changes.settled());
        assert!(given_up.as_mut().now_or_never().is_none(), "the burst may go on");
        drop(given_up);
        changes.settled().await;
        assert_eq!(changes.take().len(), 1);
        assert!(changes.settled().now_or_never().is_none(), "nothing new arrived");
    }
}
