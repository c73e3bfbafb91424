//! One session: a pure state machine that is told of ticks and echoes.
//!
//! Owns up and down, the statistics over the last hellos, and the totals over all of them. It has no clock, no socket and no timer: every time
//! is passed in. Invariants: a session goes down only after `multiplier` hellos in a row whose echoes had a whole
//! interval each and never came, counted in ticks and not in time, so that a machine that stands still for a
//! while (sender, echoer and judge alike) takes no session down; any echo brings it up.

use std::collections::VecDeque;
use std::iter::Sum;
use std::time::{Duration, Instant};

use super::Timing;

/// Statistics are taken over this many hellos.
pub const WINDOW: usize = 100;

/// What is known of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing yet: no echo came, and not enough of them stayed away. The tunnel is used meanwhile.
    Pending,
    /// Echoes come.
    Up,
    /// They do not.
    Down,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
}

/// Loss, latency and jitter over the last [`WINDOW`] hellos.
///
/// Latency is half the round trip, without the time that the remote edge held the hello.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Hellos that were answered or are lost.
    pub total: u32,
    /// Those that are lost.
    pub lost: u32,
    /// Mean latency; `None` without any echo.
    pub latency: Option<Duration>,
    /// Median latency.
    pub latency_p50: Option<Duration>,
    /// The latency that 99 of 100 keep below.
    pub latency_p99: Option<Duration>,
    /// Interarrival jitter (RFC 3550 section 6.4.1) of latency, over the window; `None` with fewer than two echoes.
    pub jitter: Option<Duration>,
}

impl Statistics {
    /// Lost hellos of a hundred.
    #[must_use]
    pub fn loss_percent(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        100.0 * f64::from(self.lost) / f64::from(self.total)
    }
}

/// Counts and sums over hellos whose fate is settled: over all of a session, or between two moments of it.
///
/// A hello is settled once one that was sent `multiplier` hellos later is answered, or once so many hellos in a row
/// were not: neither a long way nor echoes out of order look like loss. The echo that ends an outage settles all
/// before it. What is settled is so for good; an echo that comes yet later counts for the state and the
/// [`Statistics`] only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Hellos that were answered.
    pub answered: u64,
    /// Hellos that are lost.
    pub lost: u64,
    /// Sum of the latencies of those answered, each as in [`Statistics`].
    pub latency: Duration,
    /// Pairs of an answered hello and the answered one before it.
    pub pairs: u64,
    /// Sum of the differences in latency of those pairs.
    pub variation: Duration,
}

impl Totals {
    /// Hellos that are settled.
    #[must_use]
    pub fn hellos(&self) -> u64 {
        self.answered + self.lost
    }

    /// What came since `earlier`, a moment of the same session.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(earlier.answered),
            lost: self.lost.saturating_sub(earlier.lost),
            latency: self.latency.saturating_sub(earlier.latency),
            pairs: self.pairs.saturating_sub(earlier.pairs),
            variation: self.variation.saturating_sub(earlier.variation),
        }
    }

    /// Adds a settled hello; `before` is the latency of the answered one before it.
    fn settle(&mut self, latency: Option<Duration>, before: Option<Duration>) {
        let Some(latency) = latency else {
            self.lost += 1;
            return;
        };
        self.answered += 1;
        self.latency += latency;
        if let Some(before) = before {
            self.pairs += 1;
            self.variation += latency.abs_diff(before);
        }
    }
}

impl<'a> Sum<&'a Totals> for Totals {
    fn sum<I: Iterator<Item = &'a Totals>>(totals: I) -> Self {
        totals.fold(Self::default(), |sum, one| Self {
            answered: sum.answered + one.answered,
            lost: sum.lost + one.lost,
            latency: sum.latency + one.latency,
            pairs: sum.pairs + one.pairs,
            variation: sum.variation + one.variation,
        })
    }
}

/// A session with one remote edge over one tunnel.
#[derive(Debug, Clone)]
pub struct Session {
    timing: Timing,
    state: State,
    since: Instant,
    transitions: u64,
    /// Echoes that were taken.
    echoes: u64,
    /// Hellos sent since the last echo.
    unanswered: u32,
    /// The number of the next hello.
    next: u64,
    /// Latencies of the last hellos, oldest first; `None` where no echo came.
    hellos: VecDeque<Option<Duration>>,
    /// Over all hellos before `unsettled`.
    totals: Totals,
    /// The oldest hello that is not settled.
    unsettled: u64,
    /// The latency of the last hello in `totals` that was answered.
    settled_latency: Option<Duration>,
}

impl Session {
    /// A session that begins now.
    #[must_use]
    pub fn new(timing: Timing, now: Instant) -> Self {
        Self {
            timing,
            state: State::Pending,
            since: now,
            transitions: 0,
            echoes: 0,
            unanswered: 0,
            next: 0,
            hellos: VecDeque::with_capacity(WINDOW),
            totals: Totals::default(),
            unsettled: 0,
            settled_latency: None,
        }
    }

    /// A hello is due: judges those before it, and gives its number. The time since the tick before, whatever it
    /// was, counts as one interval.
    pub fn tick(&mut self, now: Instant) -> (u64, Option<Transition>) {
        let lost = self.unanswered >= u32::from(self.timing.multiplier);
        let transition = if lost { self.turn(State::Down, now) } else { None };
        let number = self.next;
        if self.hellos.len() == WINDOW {
            // What leaves the window cannot be answered any more.
            self.settle(number - WINDOW as u64);
            self.hellos.pop_front();
        }
        self.next += 1;
        self.unanswered = self.unanswered.saturating_add(1);
        self.hellos.push_back(None);
        if lost {
            self.settle_before(number);
        }
        (number, transition)
    }

    /// The echo of a hello came. One that was never sent, or is answered already, or is older than the window,
    /// changes nothing.
    pub fn echo(&mut self, number: u64, latency: Duration, now: Instant) -> Option<Transition> {
        let age = self.next.checked_sub(number)?;
        let position = self.hellos.len().checked_sub(usize::try_from(age).ok()?)?;
        let hello = self.hellos.get_mut(position)?;
        if hello.is_some() {
            return None;
        }
        *hello = Some(latency);
        self.echoes += 1;
        self.unanswered = 0;
        self.settle_before(number);
        if let (State::Down, Some(last)) = (self.state, number.checked_sub(1)) {
            // The losses of an outage belong to it, not to what comes after.
            self.settle(last);
        }
        self.turn(State::Up, now)
    }

    /// What is known of the tunnel.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How often it went from up to down or back.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// How many hellos were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// How many of them an echo was taken of.
    #[must_use]
    pub fn echoes(&self) -> u64 {
        self.echoes
    }

    /// Counts and sums over every settled hello; the difference of two moments tells of the time between.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Its timing.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Whether every hello sent was answered.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.hellos.back().is_none_or(Option::is_some)
    }

    /// Loss, latency and jitter.
    ///
    /// # Panics
    /// Never: a window is far smaller than 2^32.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        // The youngest hellos may still be answered; each is lost when as many have followed it as take a session down.
        let open = usize::from(self.timing.multiplier);
        let settled_end = self.hellos.len().saturating_sub(open);
        let lost = self
            .hellos
            .iter()
            .take(settled_end)
            .filter(|hello| hello.is_none());
        let lost = u32::try_from(lost.count()).expect("a window is far smaller than 2^32");
        let latencies: Vec<Duration> = self.hellos.iter().copied().flatten().collect();
        let answered = u32::try_from(latencies.len()).expect("a window is far smaller than 2^32");
        let mut sorted = latencies.clone();
        sorted.sort_unstable();
        Statistics {
            total: lost + answered,
            lost,
            latency: (answered > 0).then(|| latencies.iter().sum::<Duration>() / answered),
            latency_p50: percentile(&sorted, 50),
            latency_p99: percentile(&sorted, 99),
            jitter: jitter(&latencies),
        }
    }

    /// Settles what was sent `multiplier` hellos before `number`, or earlier.
    fn settle_before(&mut self, number: u64) {
        if let Some(last) = number.checked_sub(u64::from(self.timing.multiplier)) {
            self.settle(last);
        }
    }

    /// Settles the hellos up to `last`, all of which were sent.
    fn settle(&mut self, last: u64) {
        while self.unsettled <= last {
            // Nothing leaves the window unsettled, so a window back from the next hello reaches it.
            let from_back = usize::try_from(self.next - self.unsettled).unwrap_or(usize::MAX);
            let position = self.hellos.len().checked_sub(from_back);
            let latency = position.and_then(|position| self.hellos[position]);
            self.totals.settle(latency, self.settled_latency);
            self.settled_latency = latency.or(self.settled_latency);
            self.unsettled += 1;
        }
    }

    fn turn(&mut self, to: State, now: Instant) -> Option<Transition> {
        let from = self.state;
        if from == to {
            return None;
        }
        self.state = to;
        self.since = now;
        self.transitions += u64::from(from != State::Pending);
        Some(Transition { from, to })
    }
}

/// The nearest-rank percentile of sorted values.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// J += (|D| - J) / 16 for each pair of neighbours, RFC 3550 section 6.4.1.
fn jitter(latencies: &[Duration]) -> Option<Duration> {
    let pairs = latencies.windows(2);
    (latencies.len() > 1).then(|| {
        let jitter = pairs.fold(0.0, |jitter, pair| {
            let difference = pair[0].abs_diff(pair[1]).as_secs_f64();
            jitter + (difference - jitter) / 16.0
        });
        Duration::from_secs_f64(jitter)
    })
}

#[cfg(test)]
mod tests;
