//! The rules of the Lease: when a replica may write it, and for how long it then leads.
//!
//! Owns no clock and does no I/O: the time is a parameter. Invariant: a leader stops at the start of its last
//! renewal plus the renew deadline; a candidate takes over a lease no sooner than the lease's duration after it saw
//! that renewal. So, as the one is shorter than the other, two never lead at a time, whatever the wall clocks say:
//! they are written for people and never compared.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// The times of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease that is not renewed stays with its holder; whole seconds.
    lease: Duration,
    /// How long a holder that cannot renew goes on leading.
    renew_deadline: Duration,
    /// The pause between two attempts to take or renew.
    retry: Duration,
}

/// Times that would let two replicas lead at once, or none for long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "use lease duration {lease:?}, renew deadline {renew_deadline:?}, retry period {retry:?}: accepted: retry \
     period < renew deadline < lease duration, the last in whole seconds up to 1 h"
)]
pub struct UnacceptableTiming {
    lease: Duration,
    renew_deadline: Duration,
    retry: Duration,
}

/// One replica's knowledge of the lease.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    timing: Timing,
    /// The last lease seen, and since when it has looked like that.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Timing {
    /// The times given, if they keep two replicas from leading at once.
    ///
    /// # Errors
    /// [`UnacceptableTiming`].
    pub fn new(
        lease: Duration,
        renew_deadline: Duration,
        retry: Duration,
    ) -> Result<Self, UnacceptableTiming> {
        let ordered = !retry.is_zero() && retry < renew_deadline && renew_deadline < lease;
        if ordered && lease.subsec_nanos() == 0 && lease.as_secs() <= 3600 {
            Ok(Self {
                lease,
                renew_deadline,
                retry,
            })
        } else {
            Err(UnacceptableTiming {
                lease,
                renew_deadline,
                retry,
            })
        }
    }

    /// The pause between two attempts to take or renew.
    pub(super) fn retry(&self) -> Duration {
        self.retry
    }

    /// How long one attempt may take: several fit into the deadline.
    pub(super) fn attempt(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// Until when a write that began at `started` lets its writer lead.
    pub(super) fn leads_until(&self, started: Instant) -> Instant {
        started + self.renew_deadline
    }

    fn lease_seconds(&self) -> Option<i32> {
        i32::try_from(self.lease.as_secs()).ok()
    }
}

impl Default for Timing {
    /// The times of Kubernetes' own components: 15 s, 10 s, 2 s.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl Candidate {
    pub(super) fn new(identity: String, timing: Timing) -> Self {
        Self {
            identity,
            timing,
            seen: None,
        }
    }

    /// The lease to write, if this replica may have it now; `None` while another holds it.
    ///
    /// `current` is what the cluster has, read at `now`; `wall` is written for people to read.
    pub(super) fn claim(
        &mut self,
        current: Option<&LeaseSpec>,
        now: Instant,
        wall: Timestamp,
    ) -> Option<LeaseSpec> {
        let old = current.cloned().unwrap_or_default();
        let since = self.seen_since(&old, now);
        let mine = self.holds(&old);
        let free = old.holder_identity.as_deref().unwrap_or_default().is_empty();
        if !(mine || free || now >= since + duration_of(&old, self.timing.lease)) {
            return None;
        }
        let transitions = old.lease_transitions.unwrap_or(0);
        Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: self.timing.lease_seconds(),
            acquire_time: if mine {
                old.acquire_time
            } else {
                Some(MicroTime(wall))
            },
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(if mine || current.is_none() {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..old
        })
    }

    /// The lease to write so that another can take it at once; `None` if it is not this replica's.
    pub(super) fn release(&self, current: &LeaseSpec, wall: Timestamp) -> Option<LeaseSpec> {
        self.holds(current).then(|| LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(wall)),
            ..current.clone()
        })
    }

    fn holds(&self, lease: &LeaseSpec) -> bool {
        lease.holder_identity.as_deref() == Some(&self.identity)
    }

    fn seen_since(&mut self, lease: &LeaseSpec, now: Instant) -> Instant {
        match &self.seen {
            Some((seen, since)) if seen == lease => *since,
            _ => {
                self.seen = Some((lease.clone(), now));
                now
            }
        }
    }
}

/// What the holder promised, which may be configured otherwise than this replica.
fn duration_of(lease: &LeaseSpec, otherwise: Duration) -> Duration {
    let promised = lease
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    promised.map_or(otherwise, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn candidate(identity: &str) -> Candidate {
        Candidate::new(identity.to_owned(), Timing::default())
    }

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_lease_that_nobody_has_is_taken() {
        let taken = candidate("a").claim(None, Instant::now(), wall(7)).unwrap();
        assert_eq!(taken.holder_identity.as_deref(), Some("a"));
        assert_eq!(taken.lease_duration_seconds, Some(15));
        assert_eq!(taken.lease_transitions, Some(0));
        assert_eq!(taken.acquire_time, Some(MicroTime(wall(7))));
    }

    #[test]
    fn a_lease_is_taken_over_only_after_its_duration_without_a_change() {
        let (mut a, mut b, start) = (candidate("a"), candidate("b"), Instant::now());
        let first = a.claim(None, start, wall(0)).unwrap();
        assert_eq!(b.claim(Some(&first), start, wall(0)), None);
        let renewed = a.claim(Some(&first), start + 5 * SECOND, wall(5)).unwrap();
        assert_eq!(b.claim(Some(&renewed), start + 6 * SECOND, wall(6)), None);
        assert_eq!(b.claim(Some(&renewed), start + 20 * SECOND, wall(20)), None);
        let taken = b.claim(Some(&renewed), start + 21 * SECOND, wall(21)).unwrap();
        assert_eq!(taken.holder_identity.as_deref(), Some("b"));
        assert_eq!(taken.lease_transitions, Some(1));
        assert_eq!(a.claim(Some(&taken), start + 21 * SECOND, wall(21)), None);
    }

    #[test]
    fn wall_clocks_that_jump_decide_nothing() {
        let (mut a, mut b, start) = (candidate("a"), candidate("b"), Instant::now());
        let ancient = a.claim(None, start, wall(-1_000_000)).unwrap();
        assert_eq!(b.claim(Some(&ancient), start, wall(1_000_000)), None);
        let future = a.claim(Some(&ancient), start + SECOND, wall(9_000_000)).unwrap();
        assert_eq!(b.claim(Some(&future), start + SECOND, wall(0)), None);
        assert!(b.claim(Some(&future), start + 16 * SECOND, wall(-5)).is_some());
    }

    #[test]
    fn the_holder_has_stopped_before_another_may_take_over() {
        let timing = Timing::default();
        let started = Instant::now();
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        let lease = a.claim(None, started, wall(0)).unwrap();
        // The other sees the write at the earliest when it was begun.
        assert_eq!(b.claim(Some(&lease), started, wall(0)), None);
        assert_eq!(b.claim(Some(&lease), timing.leads_until(started), wall(0)), None);
    }

    #[test]
    fn a_released_lease_is_free_at_once_and_only_the_holder_releases() {
        let (mut a, mut b, start) = (candidate("a"), candidate("b"), Instant::now());
        let held = a.claim(None, start, wall(0)).unwrap();
        assert_eq!(b.release(&held, wall(1)), None);
        let released = a.release(&held, wall(1)).unwrap();
        let taken = b.claim(Some(&released), start, wall(1)).unwrap();
        assert_eq!(taken.holder_identity.as_deref(), Some("b"));
        assert_eq!(a.release(&taken, wall(2)), None);
    }

    #[test]
    fn the_duration_that_counts_is_the_holders() {
        let (mut b, start) = (candidate("b"), Instant::now());
        let mut lease = candidate("a").claim(None, start, wall(0)).unwrap();
        lease.lease_duration_seconds = Some(60);
        assert_eq!(b.claim(Some(&lease), start, wall(0)), None);
        assert_eq!(b.claim(Some(&lease), start + 59 * SECOND, wall(59)), None);
        assert!(b.claim(Some(&lease), start + 60 * SECOND, wall(60)).is_some());
    }

    #[test]
    fn times_that_let_two_lead_are_refused() {
        let ms = Duration::from_millis;
        assert!(Timing::new(ms(15_000), ms(10_000), ms(2_000)).is_ok());
        for (lease, renew_deadline, retry) in [
            (10_000, 10_000, 2_000),
            (15_000, 2_000, 2_000),
            (15_500, 10_000, 2_000),
            (15_000, 10_000, 0),
            (3_601_000, 10_000, 2_000),
        ] {
            let refused = Timing::new(ms(lease), ms(renew_deadline), ms(retry));
            assert!(refused.is_err(), "{lease} {renew_deadline} {retry}");
        }
    }
}
