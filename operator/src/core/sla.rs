//! SLA classes: bounds on what a tunnel may do to packets.
//!
//! Owns the bounds, their grammar and when a measurement is within them. The ranges are those of the Manager's SLA
//! lists, which know whole milliseconds and whole percent.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bounds that a tunnel has to keep; at least one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sla {
    latency_ms: Option<u16>,
    loss_percent: Option<u8>,
    jitter_ms: Option<u16>,
}

/// What the Manager measured of the tunnels of a color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// Lost packets, in millionths.
    pub loss_ppm: u32,
    /// Round-trip time.
    pub latency: Duration,
    /// Its variation.
    pub jitter: Duration,
}

/// Values that are no SLA class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "{what}; accepted: one or more of latency=1ms-1000ms, loss=0%-100%, jitter=1ms-1000ms, in whole numbers"
)]
pub struct UnacceptableSla {
    /// What is wrong.
    pub what: String,
}

const PER_PERCENT: u32 = 10_000;

impl Sla {
    /// The class with these bounds, in milliseconds and percent.
    ///
    /// # Errors
    /// [`UnacceptableSla`] if no bound is given or one is out of its range.
    pub fn new(
        latency_ms: Option<u16>,
        loss_percent: Option<u8>,
        jitter_ms: Option<u16>,
    ) -> Result<Self, UnacceptableSla> {
        let unacceptable = |what| Err(UnacceptableSla { what });
        for (name, bound) in [("latency", latency_ms), ("jitter", jitter_ms)] {
            if let Some(ms) = bound.filter(|ms| !(1..=1000).contains(ms)) {
                return unacceptable(format!("{name} of {ms} ms"));
            }
        }
        if let Some(percent) = loss_percent.filter(|percent| *percent > 100) {
            return unacceptable(format!("loss of {percent} %"));
        }
        if (latency_ms, loss_percent, jitter_ms) == (None, None, None) {
            return unacceptable("no bound".to_owned());
        }
        Ok(Self {
            latency_ms,
            loss_percent,
            jitter_ms,
        })
    }

    /// The highest latency, in milliseconds.
    #[must_use]
    pub fn latency_ms(self) -> Option<u16> {
        self.latency_ms
    }

    /// The highest loss, in percent.
    #[must_use]
    pub fn loss_percent(self) -> Option<u8> {
        self.loss_percent
    }

    /// The highest jitter, in milliseconds.
    #[must_use]
    pub fn jitter_ms(self) -> Option<u16> {
        self.jitter_ms
    }

    /// Whether a measurement is within all bounds.
    #[must_use]
    pub fn is_met_by(self, quality: &Quality) -> bool {
        let within = |bound: Option<u16>, measured: Duration| {
            bound.is_none_or(|ms| measured <= Duration::from_millis(ms.into()))
        };
        within(self.latency_ms, quality.latency)
            && within(self.jitter_ms, quality.jitter)
            && self
                .loss_percent
                .is_none_or(|percent| quality.loss_ppm <= u32::from(percent) * PER_PERCENT)
    }
}

impl FromStr for Sla {
    type Err = UnacceptableSla;

    /// Reads bounds such as `latency=50ms,loss=1%,jitter=10ms`.
    fn from_str(text: &str) -> Result<Self, UnacceptableSla> {
        let (mut latency, mut loss, mut jitter) = (None, None, None);
        for bound in text.split(',').map(str::trim) {
            let unacceptable = || UnacceptableSla {
                what: format!("unknown bound `{bound}`"),
            };
            let (name, value) = bound.split_once('=').ok_or_else(unacceptable)?;
            let milliseconds = || whole(value.strip_suffix("ms"));
            let given_before = match name {
                "latency" => latency
                    .replace(milliseconds().ok_or_else(unacceptable)?)
                    .is_some(),
                "jitter" => jitter.replace(milliseconds().ok_or_else(unacceptable)?).is_some(),
                "loss" => loss
                    .replace(whole(value.strip_suffix('%')).ok_or_else(unacceptable)?)
                    .is_some(),
                _ => return Err(unacceptable()),
            };
            if given_before {
                return Err(UnacceptableSla {
                    what: format!("second bound of {name}"),
                });
            }
        }
        Self::new(latency, loss, jitter)
    }
}

/// A whole number without sign.
fn whole<T: FromStr>(text: Option<&str>) -> Option<T> {
    text.filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?
        .parse()
        .ok()
}

impl fmt::Display for Sla {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = [
            self.latency_ms.map(|ms| format!("latency={ms}ms")),
            self.loss_percent.map(|percent| format!("loss={percent}%")),
            self.jitter_ms.map(|ms| format!("jitter={ms}ms")),
        ];
        let bounds: Vec<_> = bounds.into_iter().flatten().collect();
        f.write_str(&bounds.join(","))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all("latency=50ms,loss=1%,jitter=10ms", "latency=50ms,loss=1%,jitter=10ms")]
    #[case::any_order_with_spaces("jitter=10ms, loss=0%", "loss=0%,jitter=10ms")]
    #[case::highest("latency=1000ms,loss=100%", "latency=1000ms,loss=100%")]
    fn bounds_read_as(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<Sla>().unwrap().to_string(), expected);
    }

    #[rstest]
    #[case::nothing("", "unknown bound ``")]
    #[case::no_unit("latency=50", "unknown bound `latency=50`")]
    #[case::seconds("latency=1s", "unknown bound `latency=1s`")]
    #[case::fraction("loss=0.5%", "unknown bound `loss=0.5%`")]
    #[case::sign("latency=+5ms", "unknown bound `latency=+5ms`")]
    #[case::zero("latency=0ms", "latency of 0 ms")]
    #[case::too_much("jitter=1001ms", "jitter of 1001 ms")]
    #[case::more_than_all("loss=101%", "loss of 101 %")]
    #[case::beyond_the_type("loss=300%", "unknown bound `loss=300%`")]
    #[case::twice("loss=1%,loss=2%", "second bound of loss")]
    #[case::unknown("bandwidth=5ms", "unknown bound `bandwidth=5ms`")]
    fn what_is_no_class_says_why(#[case] text: &str, #[case] what: &str) {
        assert_eq!(text.parse::<Sla>().unwrap_err().what, what);
    }

    #[rstest]
    #[case::at_the_bounds(10_000, 50, 10, true)]
    #[case::loss(10_001, 50, 10, false)]
    #[case::latency(0, 51, 10, false)]
    #[case::jitter(0, 50, 11, false)]
    fn a_class_is_met_up_to_its_bounds(
        #[case] loss_ppm: u32,
        #[case] latency: u64,
        #[case] jitter: u64,
        #[case] met: bool,
    ) {
        let sla: Sla = "latency=50ms,loss=1%,jitter=10ms".parse().unwrap();
        let quality = Quality {
            loss_ppm,
            latency: Duration::from_millis(latency),
            jitter: Duration::from_millis(jitter),
        };
        assert_eq!(sla.is_met_by(&quality), met);
    }
}
