//! What can be wrong with a line: typed, and checked against each other.
//!
//! Owns the words and their limits. They mean what they mean to netem (tc-netem(8)), except that loss comes as a
//! plain share or as the Gilbert model alone.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// Longest delay.
pub const DELAY_MAX: Duration = Duration::from_secs(10);
/// Lowest rate, bits a second: a packet of full size still takes less than a second.
pub const RATE_MIN: u64 = 16_000;
/// Highest rate, bits a second.
pub const RATE_MAX: u64 = 10_000_000_000;
/// Shortest MTU, RFC 791 section 3.2.
pub const MTU_MIN: u16 = 68;

/// A share of all packets, in steps of a millionth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

impl Percent {
    /// None.
    pub const ZERO: Self = Self(0);
    /// Every packet.
    pub const ALL: Self = Self(1_000_000);

    /// So many packets of a million; `None` for more than a million.
    #[must_use]
    pub fn from_millionths(millionths: u32) -> Option<Self> {
        (millionths <= Self::ALL.0).then_some(Self(millionths))
    }

    /// How many packets of a million.
    #[must_use]
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// As a number from 0 to 1.
    #[must_use]
    pub fn probability(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

/// Which packets are lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loss {
    /// None of them.
    #[default]
    None,
    /// Each with this probability, whatever happened to the one before.
    Random(Percent),
    /// In bursts (Gilbert, 1960): the line is good or bad, and loses everything while it is bad.
    Burst {
        /// Probability that a packet finds the line turned bad.
        enter: Percent,
        /// Probability that a packet finds the line good again.
        leave: Percent,
    },
    /// All of them: a black hole.
    All,
}

/// What is wrong with a line; the default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impairment {
    /// How much later packets arrive.
    pub delay: Duration,
    /// How far the delay of a packet may be from `delay`, either way, evenly spread; packets may overtake.
    pub jitter: Duration,
    /// Which packets are lost.
    pub loss: Loss,
    /// Bits a second, Ethernet headers included; packets wait in line for it.
    pub rate: Option<NonZeroU64>,
    /// Share of packets that skip the delay and so overtake.
    pub reorder: Percent,
    /// Share of packets that arrive twice.
    pub duplicate: Percent,
    /// Share of packets with one bit flipped behind the IP header.
    pub corrupt: Percent,
    /// Longest packet that passes, octets from the IP header on; longer ones are lost without an answer.
    pub mtu: Option<u16>,
}

/// Why an impairment makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImpairmentError {
    /// Nothing is wrong.
    #[error(
        "impair a line by nothing: ask for at least one of delay, loss, rate, duplicate, corrupt and mtu"
    )]
    Nothing,
    /// The delay is too long.
    #[error("impair a line by {0:?}: a delay is at most {DELAY_MAX:?}")]
    Delay(Duration),
    /// A packet would arrive before it was sent.
    #[error("impair a line by {jitter:?} of jitter: it is at most the delay, {delay:?}")]
    Jitter {
        /// The jitter asked for.
        jitter: Duration,
        /// The delay asked for.
        delay: Duration,
    },
    /// The rate is out of range.
    #[error("impair a line to {0} bit/s: a rate is {RATE_MIN} to {RATE_MAX} bit/s")]
    Rate(u64),
    /// The MTU is too short.
    #[error("impair a line to an MTU of {0}: an MTU is {MTU_MIN} octets or more")]
    Mtu(u16),
    /// There is no delay to skip.
    #[error("impair a line by reordering without a delay: reordered packets are those that skip it")]
    Reorder,
    /// A burst never begins or never ends.
    #[error("impair a line by bursts with enter {enter} and leave {leave}: both are above 0%")]
    Burst {
        /// The share asked for.
        enter: Percent,
        /// The share asked for.
        leave: Percent,
    },
}

impl Impairment {
    /// A line that nothing gets through.
    #[must_use]
    pub fn black_hole() -> Self {
        Self {
            loss: Loss::All,
            ..Self::default()
        }
    }

    /// Checks the values against their limits and each other.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn validate(&self) -> Result<(), ImpairmentError> {
        if *self == Self::default() {
            return Err(ImpairmentError::Nothing);
        }
        if self.delay > DELAY_MAX {
            return Err(ImpairmentError::Delay(self.delay));
        }
        if self.jitter > self.delay {
            let (jitter, delay) = (self.jitter, self.delay);
            return Err(ImpairmentError::Jitter { jitter, delay });
        }
        if let Some(rate) = self.rate.map(NonZeroU64::get)
            && !(RATE_MIN..=RATE_MAX).contains(&rate)
        {
            return Err(ImpairmentError::Rate(rate));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu < MTU_MIN) {
            return Err(ImpairmentError::Mtu(mtu));
        }
        if self.reorder > Percent::ZERO && self.delay.is_zero() {
            return Err(ImpairmentError::Reorder);
        }
        match self.loss {
            Loss::Burst { enter, leave } if enter == Percent::ZERO || leave == Percent::ZERO => {
                Err(ImpairmentError::Burst { enter, leave })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn percent(millionths: u32) -> Percent {
        Percent::from_millionths(millionths).unwrap()
    }

    const MS: Duration = Duration::from_millis(1);

    #[rstest]
    #[case(Impairment::default(), Some(ImpairmentError::Nothing))]
    #[case(Impairment { delay: 11 * Duration::from_secs(1), ..Impairment::default() }, Some(ImpairmentError::Delay(Duration::from_secs(11))))]
    #[case(Impairment { delay: MS, jitter: 2 * MS, ..Impairment::default() }, Some(ImpairmentError::Jitter { jitter: 2 * MS, delay: MS }))]
    #[case(Impairment { delay: MS, jitter: MS, ..Impairment::default() }, None)]
    #[case(Impairment { rate: NonZeroU64::new(15_999), ..Impairment::default() }, Some(ImpairmentError::Rate(15_999)))]
    #[case(Impairment { mtu: Some(67), ..Impairment::default() }, Some(ImpairmentError::Mtu(67)))]
    #[case(Impairment { reorder: percent(1), ..Impairment::default() }, Some(ImpairmentError::Reorder))]
    #[case(Impairment { loss: Loss::Burst { enter: percent(1), leave: Percent::ZERO }, ..Impairment::default() }, Some(ImpairmentError::Burst { enter: percent(1), leave: Percent::ZERO }))]
    #[case(Impairment::black_hole(), None)]
    fn values_have_limits(#[case] impairment: Impairment, #[case] refusal: Option<ImpairmentError>) {
        assert_eq!(impairment.validate().err(), refusal);
    }

    #[test]
    fn shares_are_written_in_percent() {
        assert_eq!(percent(5_000).to_string(), "0.5%");
        assert_eq!(Percent::ALL.to_string(), "100%");
        assert_eq!(Percent::from_millionths(1_000_001), None);
    }
}
