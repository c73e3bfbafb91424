//! The times of a Lease as a writer with a wrong clock would write them.
//!
//! Pure. Invariant: a time that is written as it was read stays as it is.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Skew;

const TIMES: [&str; 2] = ["acquireTime", "renewTime"];

/// `next` with the times that differ from those of `previous` shifted; `None` where none differs.
pub(super) fn shifted(clock: Skew, previous: Option<&Value>, next: &Value) -> Option<Value> {
    let by = match clock {
        Skew::Ahead(by) => SignedDuration::try_from(by).ok()?,
        Skew::Behind(by) => -SignedDuration::try_from(by).ok()?,
    };
    let mut shifted = None;
    for field in TIMES {
        let Some(written) = time(next, field) else {
            continue;
        };
        if previous.and_then(|lease| time(lease, field)) == Some(written) {
            continue;
        }
        // Out of the range of times: the clock cannot be that wrong.
        let Ok(wrong) = written.checked_add(by) else {
            continue;
        };
        let lease = shifted.get_or_insert_with(|| next.clone());
        lease["spec"][field] = json!(wrong.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string());
    }
    shifted
}

fn time(lease: &Value, field: &str) -> Option<Timestamp> {
    lease["spec"][field].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn lease(acquire: Timestamp, renew: Timestamp) -> Value {
        let micro = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        json!({"spec": {"holderIdentity": "me", "acquireTime": micro(acquire), "renewTime": micro(renew)}})
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).expect("a time of this century")
    }

    fn clock() -> impl Strategy<Value = (Skew, i64)> {
        (1..=3_600_000_i64, any::<bool>()).prop_map(|(millis, is_ahead)| {
            let by = Duration::from_millis(millis.unsigned_abs());
            match is_ahead {
                true => (Skew::Ahead(by), millis * 1000),
                false => (Skew::Behind(by), -millis * 1000),
            }
        })
    }

    proptest! {
        #[test]
        fn times_that_are_new_are_shifted_and_those_that_were_read_stay(
            (clock, micros) in clock(),
            acquired in 1_700_000_000_000_000..1_800_000_000_000_000_i64,
            renewed in 1..60_000_000_i64,
        ) {
            // Then the new time would be the one that was read.
            prop_assume!(micros != renewed);
            let first = lease(at(acquired), at(acquired));
            let stored = shifted(clock, None, &first).expect("both times are new");
            prop_assert_eq!(&stored, &lease(at(acquired + micros), at(acquired + micros)));
            // What was read and written back is not shifted twice.
            prop_assert_eq!(shifted(clock, Some(&stored), &stored), None);
            // A renewal keeps the time of the acquisition as it was read, or as the writer remembers it.
            for remembered in [acquired + micros, acquired] {
                let renewal = lease(at(remembered), at(acquired + renewed));
                let stored = shifted(clock, Some(&stored), &renewal);
                prop_assert_eq!(stored, Some(lease(at(acquired + micros), at(acquired + renewed + micros))));
            }
        }
    }

    #[test]
    fn what_is_no_time_is_left_to_the_rules_of_leases() {
        for spec in [
            json!({}),
            json!({"renewTime": null}),
            json!({"renewTime": "soon"}),
            json!(7),
        ] {
            let written = json!({"spec": spec});
            assert_eq!(shifted(Skew::Ahead(Duration::from_secs(1)), None, &written), None);
        }
        let last = json!({"spec": {"renewTime": "9999-12-30T22:00:00.000000Z"}});
        assert_eq!(shifted(Skew::Ahead(Duration::from_secs(1)), None, &last), None);
    }
}
