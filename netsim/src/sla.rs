//! Judging tunnels against SLA classes, without flapping.
//!
//! Owns how each tunnel stands with each class: [`Judge`] for one tunnel, [`SlaBoard`] for all of an edge. It has
//! no clock and measures nothing: it is fed, once a poll interval, with what the sessions of [`crate::bfd`] counted,
//! as Cisco's application-aware routing is (`bfd app-route poll-interval` and `multiplier`). Invariants: a tunnel
//! that violates a class at one poll does so from then on for at least [`Polling::hold_down`]; a tunnel that is
//! down meets nothing.
//!
//! What Cisco leaves open, and how it is read here:
//! - The means are over all hellos of the last `multiplier` intervals, or of those that there are yet, and are taken
//!   at the end of every interval. A bound is met when the mean is equal to it.
//! - A tunnel of which nothing is known yet, and that is not down, meets every class: traffic need not wait.
//! - A tunnel that was down is judged by what came after it is up again, and has violated every class meanwhile, so
//!   that a tunnel that goes up and down does not take its traffic along each time.
//! - A tunnel without a single echo meets no bound on latency or jitter.
//! - An interval in which no hello was settled, because probing is paused say, changes nothing, and does not count
//!   towards the hold-down.

mod board;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub use board::{SlaBoard, SlaChange, TunnelKey};

use crate::bfd::{State, Totals};
use crate::policy::SlaClass;

/// Most intervals that means are taken over, as Cisco's `bfd app-route multiplier`.
const MULTIPLIER_MAX: u8 = 6;

/// How often tunnels are judged, and over how long.
///
/// Cisco polls every 600 s with a multiplier of 6, and recommends 120 s at least; it damps recovery only with
/// enhanced application-aware routing. The default here suits a lab, whose hellos are 50 ms apart: 200 ms,
/// 5 intervals (so one second, some 20 hellos) and a hold-down of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polling {
    /// Time between polls, above zero. Polls are made when hellos are sent, so a shorter one than that between hellos
    /// is as long; a prober of several edges polls all at the shortest of their intervals.
    pub interval: Duration,
    /// Means are over so many intervals, 1 to 6.
    pub multiplier: u8,
    /// A class that was violated is met again only after the means have met it for so long without a break.
    pub hold_down: Duration,
}

impl Default for Polling {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(200),
            multiplier: 5,
            hold_down: Duration::from_secs(1),
        }
    }
}

/// Why tunnels cannot be judged as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PollingError {
    /// No time between polls.
    #[error("judge tunnels every 0 s: the poll interval is above zero")]
    Interval,
    /// Too many intervals, or none.
    #[error("judge tunnels over {0} poll intervals: the multiplier is 1 to {MULTIPLIER_MAX}")]
    Multiplier(u8),
}

impl Polling {
    /// Whether tunnels can be judged so.
    ///
    /// # Errors
    /// [`PollingError`].
    pub fn validate(&self) -> Result<(), PollingError> {
        if self.interval.is_zero() {
            return Err(PollingError::Interval);
        }
        if !(1..=MULTIPLIER_MAX).contains(&self.multiplier) {
            return Err(PollingError::Multiplier(self.multiplier));
        }
        Ok(())
    }
}

/// What is known of a tunnel; by default that it is down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it can be used.
    pub up: bool,
    /// Those of the classes in force that it meets.
    pub met: BTreeSet<SlaClass>,
    /// What was measured last.
    pub means: Means,
}

/// Loss, latency and jitter of a tunnel over some intervals; by default nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Means {
    /// Millionths of the hellos, rounded up; `None` without any hello.
    pub loss: Option<u32>,
    /// Half the round trip; `None` without any echo.
    pub latency: Option<Duration>,
    /// Mean difference in latency of an echo and the one before it, which RFC 3550 section 6.4.1 estimates; `None`
    /// with fewer than two echoes.
    pub jitter: Option<Duration>,
}

impl Means {
    /// The means of what was counted.
    ///
    /// # Panics
    /// Never: there are no more lost hellos than hellos.
    #[must_use]
    pub fn of(counted: &Totals) -> Self {
        let hellos = u128::from(counted.hellos());
        // Rounded up, so that it is within a bound in millionths exactly when the fraction itself is.
        let loss = (hellos > 0).then(|| (u128::from(counted.lost) * 1_000_000).div_ceil(hellos));
        let mean = |sum: Duration, count: u64| {
            let nanos = sum.as_nanos().checked_div(u128::from(count))?;
            Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
        };
        Self {
            loss: loss.map(|loss| u32::try_from(loss).expect("a part of the hellos is lost at most all")),
            latency: mean(counted.latency, counted.answered),
            jitter: mean(counted.variation, counted.pairs),
        }
    }

    /// Whether each bound of a class is met; when nothing is known at all it is.
    #[must_use]
    pub fn meet(&self, class: &SlaClass) -> bool {
        let Some(loss) = self.loss else { return true };
        let is_within = |bound: Option<Duration>, mean: Option<Duration>, unknown: bool| {
            bound.is_none_or(|bound| mean.map_or(unknown, |mean| mean <= bound))
        };
        // One echo tells the latency, but nothing of the jitter, for or against.
        let answered = self.latency.is_some();
        class.loss.is_none_or(|bound| loss <= bound)
            && is_within(class.latency, self.latency, false)
            && is_within(class.jitter, self.jitter, answered)
    }
}

/// Judges one tunnel against the classes in force.
#[derive(Debug, Clone)]
pub struct Judge {
    polling: Polling,
    state: State,
    /// The last intervals that have hellos, oldest first.
    intervals: VecDeque<Totals>,
    standings: BTreeMap<SlaClass, Standing>,
    /// When the last interval ended.
    polled: Option<Instant>,
}

/// How a tunnel stands with a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Met,
    /// With how long the means have met it again, if they do.
    Violated(Option<Duration>),
}

impl Judge {
    /// For a tunnel of which nothing is known yet.
    #[must_use]
    pub fn new(polling: Polling) -> Self {
        Self {
            polling,
            state: State::Pending,
            intervals: VecDeque::new(),
            standings: BTreeMap::new(),
            polled: None,
        }
    }

    /// Replaces the classes in force. A class that was in force keeps its standing; a new one is judged by what is
    /// known, without a hold-down.
    pub fn set_classes(&mut self, classes: &BTreeSet<SlaClass>) {
        let means = self.means();
        let standing = |class: &SlaClass| match self.standings.get(class) {
            Some(standing) => *standing,
            None if self.state != State::Down && means.meet(class) => Standing::Met,
            None => Standing::Violated(None),
        };
        self.standings = classes
            .iter()
            .map(|class| (class.clone(), standing(class)))
            .collect();
    }

    /// The session changed its state. Returns the classes that are met from now on, or no longer.
    pub fn turn(&mut self, state: State) -> Vec<(SlaClass, bool)> {
        self.state = state;
        if state != State::Down {
            return Vec::new();
        }
        self.intervals.clear();
        let mut changes = Vec::new();
        for (class, standing) in &mut self.standings {
            if *standing == Standing::Met {
                changes.push((class.clone(), false));
            }
            *standing = Standing::Violated(None);
        }
        changes
    }

    /// A poll interval has ended at `now`, in which this was counted. Returns the classes that are met from now on, or no longer.
    pub fn poll(&mut self, interval: Totals, now: Instant) -> Vec<(SlaClass, bool)> {
        let before = self.polled.replace(now).unwrap_or(now);
        if self.state == State::Down || interval.hellos() == 0 {
            return Vec::new();
        }
        if self.intervals.len() >= usize::from(self.polling.multiplier) {
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval);
        let means = self.means();
        let passed = now.saturating_duration_since(before);
        let mut changes = Vec::new();
        for (class, standing) in &mut self.standings {
            let next = standing.after(means.meet(class), passed, self.polling.hold_down);
            if (next == Standing::Met) != (*standing == Standing::Met) {
                changes.push((class.clone(), next == Standing::Met));
            }
            *standing = next;
        }
        changes
    }

    /// What is known of the tunnel.
    #[must_use]
    pub fn health(&self) -> Health {
        let met = self.standings.iter();
        let met = met.filter(|(_, standing)| **standing == Standing::Met);
        Health {
            up: self.state != State::Down,
            met: met.map(|(class, _)| class.clone()).collect(),
            means: self.means(),
        }
    }

    fn means(&self) -> Means {
        Means::of(&self.intervals.iter().sum())
    }
}

impl Standing {
    /// The standing when the means meet the class, or not, `passed` after they were taken last.
    fn after(self, meets: bool, passed: Duration, hold_down: Duration) -> Self {
        let met_for = match (self, meets) {
            (Self::Met, true) => return Self::Met,
            (_, false) => return Self::Violated(None),
            (Self::Violated(None), true) => Duration::ZERO,
            (Self::Violated(Some(met_for)), true) => met_for + passed,
        };
        if met_for >= hold_down {
            Self::Met
        } else {
            Self::Violated(Some(met_for))
        }
    }
}

#[cfg(test)]
mod tests;
