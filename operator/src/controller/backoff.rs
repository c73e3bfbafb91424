//! Delays between attempts.

use std::time::Duration;

use kube::runtime::utils::Backoff as WatchBackoff;

const MIN: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(30);

/// Doubling delays from 100 ms to 30 s.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The delay before the next attempt.
    pub(super) fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(MAX);
        delay
    }

    /// Starts over, after a success.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: MIN }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.next_delay())
    }
}

impl WatchBackoff for Backoff {
    fn reset(&mut self) {
        Self::reset(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = std::iter::repeat_with(|| backoff.next_delay().as_millis())
            .take(11)
            .collect();
        assert_eq!(
            delays,
            [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]
        );
        backoff.reset();
        assert_eq!(backoff.next_delay(), MIN);
    }
}
