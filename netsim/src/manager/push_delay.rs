//! How long edges take to be programmed.
//!
//! Pure: a delay follows from the seed, the number of the push and the site. Invariant: a delay is never longer than the
//! distribution's `max` (or its fixed length), and the same seed gives the same delays.

use std::f64::consts::TAU;
use std::time::Duration;

use blake2::Digest;

/// From the acceptance of an activation to the programming of an edge. Edges draw for themselves, so that they change
/// one after the other, as the product's do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PushDelay {
    /// Where delays are drawn from.
    pub distribution: Distribution,
    /// What the draws follow from.
    pub seed: u64,
}

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Fixed(Duration),
    /// Anything between the two is as likely.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The normal distribution, truncated to 0 and `max`.
    Normal {
        /// Of the whole distribution.
        mean: Duration,
        /// The standard deviation of the whole distribution.
        deviation: Duration,
        /// The longest.
        max: Duration,
    },
    /// The lognormal distribution, truncated to `max`: a long tail.
    LogNormal {
        /// Half of the whole distribution is shorter; at least 1 ns.
        median: Duration,
        /// The standard deviation of the logarithm; not negative.
        sigma: f64,
        /// The longest.
        max: Duration,
    },
}

/// Why delays cannot be drawn.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PushDelayError {
    /// A shortest delay above the longest.
    #[error("draw push delays from {min:?} to {max:?}: the shortest is longer than the longest")]
    Empty {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A middle above the longest delay.
    #[error("draw push delays around {middle:?}, which is longer than the longest, {max:?}")]
    Middle {
        /// The mean or the median.
        middle: Duration,
        /// The longest.
        max: Duration,
    },
    /// A lognormal distribution around nothing.
    #[error("draw lognormal push delays with the median 0 s; at least 1 ns is needed")]
    Median,
    /// A spread that is none.
    #[error("draw lognormal push delays with sigma {0}; 0 or more, and finite, is needed")]
    Sigma(f64),
}

impl Default for PushDelay {
    /// At once.
    fn default() -> Self {
        Duration::ZERO.into()
    }
}

impl From<Duration> for PushDelay {
    fn from(fixed: Duration) -> Self {
        Self {
            distribution: Distribution::Fixed(fixed),
            seed: 0,
        }
    }
}

impl PushDelay {
    /// Checks that delays can be drawn.
    pub(super) fn check(&self) -> Result<(), PushDelayError> {
        match self.distribution {
            Distribution::Uniform { min, max } if min > max => Err(PushDelayError::Empty { min, max }),
            Distribution::Normal {
                mean: middle, max, ..
            }
            | Distribution::LogNormal {
                median: middle, max, ..
            } if middle > max => Err(PushDelayError::Middle { middle, max }),
            Distribution::LogNormal { median, .. } if median.is_zero() => Err(PushDelayError::Median),
            Distribution::LogNormal { sigma, .. } if !(0.0..f64::INFINITY).contains(&sigma) => {
                Err(PushDelayError::Sigma(sigma))
            }
            _ => Ok(()),
        }
    }

    /// That of an edge in the push with this number.
    pub(super) fn of(&self, push: u64, site_id: u32) -> Duration {
        let draw = |attempt: u8, part: u8| self.draw(push, site_id, attempt, part);
        match self.distribution {
            Distribution::Fixed(fixed) => fixed,
            Distribution::Uniform { min, max } => min + (max - min).mul_f64(draw(0, 0)),
            Distribution::Normal { mean, deviation, max } => truncated(mean, max, |attempt| {
                let away = deviation.as_secs_f64() * normal(draw(attempt, 0), draw(attempt, 1));
                mean.as_secs_f64() + away
            }),
            Distribution::LogNormal { median, sigma, max } => truncated(median, max, |attempt| {
                let away = sigma * normal(draw(attempt, 0), draw(attempt, 1));
                median.as_secs_f64() * away.exp()
            }),
        }
    }

    /// A number from 0 up to 1.
    fn draw(&self, push: u64, site_id: u32, attempt: u8, part: u8) -> f64 {
        let mut hash = blake2::Blake2s256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(push.to_be_bytes());
        hash.update(site_id.to_be_bytes());
        hash.update([attempt, part]);
        let bits: [u8; 4] = hash.finalize()[..4].try_into().expect("a digest has 32 octets");
        f64::from(u32::from_be_bytes(bits)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Draws until a delay is within bounds; `middle` if none is, which at least every other draw should be.
fn truncated(middle: Duration, max: Duration, draw: impl Fn(u8) -> f64) -> Duration {
    let mut delays = (0..u8::MAX).map(draw);
    let within = delays.find(|delay| (0.0..=max.as_secs_f64()).contains(delay));
    within.map_or(middle, |delay| Duration::from_secs_f64(delay).min(max))
}

/// The Box-Muller transform of two uniform numbers.
fn normal(first: f64, second: f64) -> f64 {
    (-2.0 * (1.0 - first).ln()).sqrt() * (TAU * second).cos()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn distribution() -> impl Strategy<Value = Distribution> {
        let millis = || (0_u64..5000).prop_map(Duration::from_millis);
        let middle_and_max = || {
            (millis(), millis())
                .prop_map(|(middle, more)| (middle + Duration::from_nanos(1), middle + more + SECOND))
        };
        prop_oneof![
            millis().prop_map(Distribution::Fixed),
            (millis(), millis()).prop_map(|(min, more)| Distribution::Uniform { min, max: min + more }),
            (middle_and_max(), millis()).prop_map(|((mean, max), deviation)| Distribution::Normal {
                mean,
                deviation,
                max
            }),
            (middle_and_max(), 0.0..3.0).prop_map(|((median, max), sigma)| Distribution::LogNormal {
                median,
                sigma,
                max
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_delay_is_within_its_bounds_and_follows_from_the_seed(
            distribution in distribution(),
            seed: u64,
            push: u64,
            site: u32,
        ) {
            let delay = PushDelay { distribution, seed };
            prop_assert_eq!(delay.check(), Ok(()));
            let drawn = delay.of(push, site);
            prop_assert_eq!(drawn, delay.of(push, site));
            match distribution {
                Distribution::Fixed(fixed) => prop_assert_eq!(drawn, fixed),
                Distribution::Uniform { min, max } => prop_assert!((min..=max).contains(&drawn)),
                Distribution::Normal { max, .. } | Distribution::LogNormal { max, .. } => {
                    prop_assert!(drawn <= max);
                }
            }
        }
    }

    /// Half of the draws are on either side of these middles; far fewer would be if a shape were wrong.
    #[rstest]
    #[case::uniform(Distribution::Uniform { min: SECOND, max: 3 * SECOND }, 2.0)]
    #[case::normal(Distribution::Normal { mean: 5 * SECOND, deviation: SECOND, max: 10 * SECOND }, 5.0)]
    #[case::log_normal(Distribution::LogNormal { median: SECOND, sigma: 0.5, max: 60 * SECOND }, 1.0)]
    fn edges_and_pushes_and_seeds_draw_for_themselves(
        #[case] distribution: Distribution,
        #[case] middle: f64,
    ) {
        let draw = |seed, push, site| PushDelay { distribution, seed }.of(push, site);
        let delays: Vec<f64> = (0..1000).map(|site| draw(1, 1, site).as_secs_f64()).collect();
        let shorter = delays.iter().filter(|delay| **delay < middle).count();
        assert!(
            (450..550).contains(&shorter),
            "{shorter} of 1000 are below {middle} s"
        );
        assert_ne!(draw(1, 1, 1), draw(2, 1, 1));
        assert_ne!(draw(1, 1, 1), draw(1, 2, 1));
    }

    #[test]
    fn the_deviation_of_a_normal_distribution_is_that_asked_for() {
        let distribution = Distribution::Normal {
            mean: 10 * SECOND,
            deviation: SECOND,
            max: 20 * SECOND,
        };
        let delay = PushDelay {
            distribution,
            seed: 7,
        };
        let within = |site: &u32| (delay.of(1, *site).as_secs_f64() - 10.0).abs() < 1.0;
        let within = (0..1000).filter(within).count();
        // 68.3 % of a normal distribution.
        assert!((640..725).contains(&within), "{within} of 1000");
    }

    #[rstest]
    #[case::fixed(Distribution::Fixed(SECOND), None)]
    #[case::uniform(Distribution::Uniform { min: SECOND, max: Duration::ZERO }, Some("the shortest is longer"))]
    #[case::normal(Distribution::Normal { mean: SECOND, deviation: SECOND, max: Duration::ZERO }, Some("around 1s"))]
    #[case::median(
        Distribution::LogNormal { median: Duration::ZERO, sigma: 1.0, max: SECOND }, Some("the median 0 s")
    )]
    #[case::sigma(Distribution::LogNormal { median: SECOND, sigma: -1.0, max: SECOND }, Some("sigma -1"))]
    #[case::not_a_number(Distribution::LogNormal { median: SECOND, sigma: f64::NAN, max: SECOND }, Some("sigma NaN"))]
    fn what_cannot_be_drawn_is_refused(#[case] distribution: Distribution, #[case] problem: Option<&str>) {
        let error = PushDelay {
            distribution,
            seed: 0,
        }
        .check()
        .err()
        .map(|error| error.to_string());
        assert_eq!(error.is_some(), problem.is_some());
        assert!(error.unwrap_or_default().contains(problem.unwrap_or_default()));
    }
}
