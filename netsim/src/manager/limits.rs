//! How much the Manager takes: requests in a time and at a time, sessions.
//!
//! Owns the numbers and the counting of requests; the clock is passed in. Invariant: in any span of time, a bucket
//! takes at most its size and what drips out of it in that span.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When a request is worth another try that found too many of its kind under way, which nobody knows the end of.
const PLACE_SOON: Duration = Duration::from_secs(1);

/// What the Manager takes before it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests of all clients in one second, and at once; any number unless given.
    pub requests_per_second: Option<NonZeroU32>,
    /// Requests for statistics in bulk in one minute, and at once; any number unless given.
    pub bulk_per_minute: Option<NonZeroU32>,
    /// Requests for statistics in bulk under way at a time; any number unless given.
    pub bulk_at_a_time: Option<NonZeroU32>,
    /// How many may be logged in.
    pub sessions: SessionLimits,
}

/// How many sessions there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Of one user; at least 1. One more ends the session that was used least recently.
    pub per_user: usize,
    /// Of all users. One more is refused.
    pub in_all: usize,
}

impl Limits {
    /// Those of the product (its API's documentation, "API rate limits" and "sessions").
    pub const PRODUCT: Self = Self {
        requests_per_second: NonZeroU32::new(100),
        bulk_per_minute: NonZeroU32::new(48),
        bulk_at_a_time: NonZeroU32::new(2),
        sessions: SessionLimits::PRODUCT,
    };
    /// No limit of anything.
    pub const NONE: Self = Self {
        requests_per_second: None,
        bulk_per_minute: None,
        bulk_at_a_time: None,
        sessions: SessionLimits {
            per_user: usize::MAX,
            in_all: usize::MAX,
        },
    };
    /// No limit of requests, and the product's of sessions.
    pub const SESSIONS_ONLY: Self = Self {
        requests_per_second: None,
        bulk_per_minute: None,
        bulk_at_a_time: None,
        sessions: SessionLimits::PRODUCT,
    };
}

impl SessionLimits {
    /// Those of the product.
    pub const PRODUCT: Self = Self {
        per_user: 100,
        in_all: 250,
    };
}

/// Among the requests that may be under way at a time; free again when it is dropped.
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Counts requests.
#[derive(Debug)]
pub(super) struct Limiter {
    bulk_places: Option<Arc<Semaphore>>,
    requests: Option<Mutex<Bucket>>,
    bulk: Option<Mutex<Bucket>>,
}

impl Limiter {
    /// Nothing has been asked yet.
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let bucket = |size: Option<NonZeroU32>, span| {
            size.map(|size| Mutex::new(Bucket::new(size, Duration::from_secs(span), now)))
        };
        let places = limits.bulk_at_a_time.map(|places| places.get() as usize);
        Self {
            bulk_places: places.map(|places| Arc::new(Semaphore::new(places))),
            requests: bucket(limits.requests_per_second, 1),
            bulk: bucket(limits.bulk_per_minute, 60),
        }
    }

    /// Takes one request; otherwise after how long it is worth asking again. One that is refused counts nowhere.
    pub(super) fn take(&self, path: &str, now: Instant) -> Result<Option<Place>, Duration> {
        let take = |bucket: &Mutex<Bucket>| {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(now)
        };
        let mut place = None;
        if is_bulk(path) {
            let places = self.bulk_places.clone();
            let free = places.map(|places| places.try_acquire_owned().map_err(|_| PLACE_SOON));
            place = free.transpose()?.map(Place);
            self.bulk.as_ref().map_or(Ok(()), take)?;
        }
        self.requests.as_ref().map_or(Ok(()), take)?;
        Ok(place)
    }
}

/// Whether a path is one of statistics in bulk.
fn is_bulk(path: &str) -> bool {
    let path = path.strip_prefix("/dataservice").unwrap_or_default();
    path.starts_with("/data/device/statistics")
        || (path.starts_with("/statistics/") && path.ends_with("/page"))
}

/// A bucket of tokens that fills at an even pace.
///
/// It holds one instant instead of a count: when it would be full (the "virtual scheduling" form of the generic cell rate
/// algorithm, ITU-T I.371).
#[derive(Debug)]
struct Bucket {
    /// From full to empty.
    span: Duration,
    /// One token.
    drip: Duration,
    full_at: Instant,
}

impl Bucket {
    /// A full bucket of `size` tokens that fills in `span`.
    fn new(size: NonZeroU32, span: Duration, now: Instant) -> Self {
        let drip = span / size.get();
        // As many whole tokens as asked for, though a token is rounded down.
        Self {
            span: drip * size.get(),
            drip,
            full_at: now,
        }
    }

    /// Takes a token; otherwise how long there is none.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + self.drip;
        match full_at.saturating_duration_since(now).checked_sub(self.span) {
            None | Some(Duration::ZERO) => {
                self.full_at = full_at;
                Ok(())
            }
            Some(missing) => Err(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bucket(size: u32, span: Duration) -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::new(NonZeroU32::new(size).unwrap(), span, now), now)
    }

    #[test]
    fn a_full_bucket_gives_its_size_at_once_and_then_a_drip_at_a_time() {
        let (mut bucket, now) = bucket(100, Duration::from_secs(1));
        assert!((0..100).all(|_| bucket.take(now).is_ok()));
        assert_eq!(bucket.take(now), Err(Duration::from_millis(10)));
        assert_eq!(
            bucket.take(now + Duration::from_millis(9)),
            Err(Duration::from_millis(1))
        );
        assert!(bucket.take(now + Duration::from_millis(10)).is_ok());
        assert!(bucket.take(now + Duration::from_millis(10)).is_err());
    }

    #[test]
    fn bulk_statistics_have_their_own_limit() {
        let now = Instant::now();
        let limiter = Limiter::new(&Limits::PRODUCT, now);
        let page = "/dataservice/statistics/approute/page";
        for path in [
            page,
            "/dataservice/data/device/statistics/approutestatsstatistics",
        ] {
            assert!((0..24).all(|_| limiter.take(path, now).is_ok()));
        }
        assert_eq!(limiter.take(page, now).err(), Some(Duration::from_millis(1250)));
        for path in ["/dataservice/statistics/approute", "/dataservice/device"] {
            assert!((0..26).all(|_| limiter.take(path, now).is_ok()), "{path}");
        }
        assert!(
            limiter.take("/dataservice/device", now).is_err(),
            "bulk counts as a request too"
        );
    }

    #[test]
    fn two_bulk_requests_at_a_time_are_taken_and_a_refused_one_counts_nowhere() {
        let now = Instant::now();
        let limiter = Limiter::new(&Limits::PRODUCT, now);
        let page = "/dataservice/statistics/approute/page";
        let mut under_way = vec![limiter.take(page, now).unwrap(), limiter.take(page, now).unwrap()];
        for _ in 0..100 {
            assert_eq!(limiter.take(page, now).err(), Some(Duration::from_secs(1)));
        }
        assert!(limiter.take("/dataservice/device", now).unwrap().is_none());
        under_way.pop();
        under_way.push(limiter.take(page, now).unwrap());
        assert!(limiter.take(page, now).is_err());
    }

    #[test]
    fn no_limit_is_no_limit() {
        let now = Instant::now();
        let limiter = Limiter::new(&Limits::SESSIONS_ONLY, now);
        assert!((0..10_000).all(|_| limiter.take("/dataservice/device", now).is_ok()));
    }

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_than_the_bucket_and_what_drips(
            size in 1_u32..200,
            span_ms in 1_u64..120_000,
            pauses in prop::collection::vec(0_u64..40_000_000, 1..400),
        ) {
            let (mut bucket, mut now) = bucket(size, Duration::from_millis(span_ms));
            let mut taken = Vec::new();
            for pause in pauses {
                now += Duration::from_nanos(pause);
                if bucket.take(now).is_ok() {
                    taken.push(now);
                }
            }
            for (first, start) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let dripped = (*end - *start).as_nanos() / bucket.drip.as_nanos();
                    prop_assert!((last - first + 1) as u128 <= u128::from(size) + dripped);
                }
            }
        }

        #[test]
        fn whoever_waits_as_told_is_taken(
            size in 1_u32..200,
            span_ms in 1_u64..120_000,
            pauses in prop::collection::vec(0_u64..4_000_000, 1..400),
        ) {
            let (mut bucket, mut now) = bucket(size, Duration::from_millis(span_ms));
            for pause in pauses {
                now += Duration::from_nanos(pause);
                if let Err(wait) = bucket.take(now) {
                    prop_assert!(wait > Duration::ZERO);
                    prop_assert!(bucket.take(now + wait - Duration::from_nanos(1)).is_err());
                    now += wait;
                    prop_assert!(bucket.take(now).is_ok());
                }
            }
        }

        #[test]
        fn an_even_pace_is_never_refused(size in 1_u32..200, span_ms in 1_u64..120_000) {
            let (mut bucket, mut now) = bucket(size, Duration::from_millis(span_ms));
            for _ in 0..3 * size {
                prop_assert!(bucket.take(now).is_ok());
                now += bucket.drip;
            }
        }
    }
}
