//! What happens to each packet of an impaired line, decided when it arrives.
//!
//! Pure: packets in with their times, fates out. Invariants: the same seed and impairment give the same fates to
//! the same packets, and which packets are lost depends on their order alone, not on when they came; no packet
//! leaves earlier than its delay allows.

use std::num::NonZeroU64;
use std::time::Duration;

use super::impairment::{Impairment, Loss, Percent};

/// Octets of an Ethernet header, which a line carries besides the IP packet.
const ETHERNET_HEADER: u64 = 14;
/// How long a packet may wait for the line when there is a rate; one that would wait longer is dropped.
const BUFFER_NS: u64 = 100_000_000;

/// What becomes of a packet. Times are those of the clock that packets come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Lost,
    /// It goes on.
    Sent {
        /// When, in nanoseconds.
        at_ns: u64,
        /// `Some`: with one bit flipped, chosen by this number.
        flip: Option<u64>,
        /// `Some`: and again at this time.
        again_ns: Option<u64>,
    },
}

/// One direction of an impaired line.
#[derive(Debug, Clone)]
pub struct Scheduler {
    impairment: Impairment,
    chances: Chances,
    /// Whether the line is in a burst of loss.
    is_bad: bool,
    /// When the last packet in line will have left.
    line_free_ns: u64,
}

/// A source of chance for each decision, so that one impairment does not change another's.
#[derive(Debug, Clone)]
struct Chances {
    loss: SplitMix,
    jitter: SplitMix,
    reorder: SplitMix,
    duplicate: SplitMix,
    corrupt: SplitMix,
}

impl Scheduler {
    /// A line with this impairment.
    #[must_use]
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        let mut seeds = SplitMix(seed);
        let mut chance = || SplitMix(seeds.next());
        Self {
            impairment,
            chances: Chances {
                loss: chance(),
                jitter: chance(),
                reorder: chance(),
                duplicate: chance(),
                corrupt: chance(),
            },
            is_bad: false,
            line_free_ns: 0,
        }
    }

    /// Changes the impairment for the packets to come.
    pub fn set(&mut self, impairment: Impairment) {
        self.impairment = impairment;
        self.is_bad = false;
    }

    /// Decides about a packet that arrives now, with so many octets from its IP header on.
    pub fn packet(&mut self, now_ns: u64, octets: u32) -> Fate {
        // Every chance is taken for every packet: the next packet's do not depend on this one's fate.
        let lost = self.is_lost();
        let again = self.chances.duplicate.happens(self.impairment.duplicate);
        let bit = self.chances.corrupt.next();
        let flip = self
            .chances
            .corrupt
            .happens(self.impairment.corrupt)
            .then_some(bit);
        if lost || self.impairment.mtu.is_some_and(|mtu| octets > u32::from(mtu)) {
            return Fate::Lost;
        }
        let Some(at_ns) = self.departure(now_ns, octets) else {
            return Fate::Lost;
        };
        let again_ns = if again {
            self.departure(now_ns, octets)
        } else {
            None
        };
        Fate::Sent {
            at_ns,
            flip,
            again_ns,
        }
    }

    fn is_lost(&mut self) -> bool {
        match self.impairment.loss {
            Loss::None => false,
            Loss::Random(share) => self.chances.loss.happens(share),
            Loss::Burst { enter, leave } => {
                let turn = if self.is_bad { leave } else { enter };
                self.is_bad ^= self.chances.loss.happens(turn);
                self.is_bad
            }
            Loss::All => true,
        }
    }

    /// When a packet leaves the line; `None` when there is no room for it to wait.
    fn departure(&mut self, now_ns: u64, octets: u32) -> Option<u64> {
        let ready_ns = now_ns + self.delay_ns();
        let Some(rate) = self.impairment.rate else {
            return Some(ready_ns);
        };
        let free_ns = self.line_free_ns.max(ready_ns);
        if free_ns - ready_ns > BUFFER_NS {
            return None;
        }
        self.line_free_ns = free_ns + transmission_ns(octets, rate);
        Some(self.line_free_ns)
    }

    fn delay_ns(&mut self) -> u64 {
        let spread = self.chances.jitter.next();
        if self.chances.reorder.happens(self.impairment.reorder) {
            return 0;
        }
        let (delay, jitter) = (nanos(self.impairment.delay), nanos(self.impairment.jitter));
        delay - jitter + scaled(spread, 2 * jitter)
    }
}

/// How long a line of that rate takes for a packet, in nanoseconds.
#[must_use]
pub fn transmission_ns(octets: u32, rate: NonZeroU64) -> u64 {
    let bits = 8 * (u64::from(octets) + ETHERNET_HEADER);
    (bits * 1_000_000_000).div_ceil(rate.get())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("an impairment is seconds at most")
}

/// A random number made one from 0 to `most`, evenly spread.
fn scaled(random: u64, most: u64) -> u64 {
    let product = u128::from(random) * (u128::from(most) + 1);
    u64::try_from(product >> 64).expect("the product of two 64-bit numbers, halved")
}

/// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014): small, and the same on every machine.
#[derive(Debug, Clone)]
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn happens(&mut self, share: Percent) -> bool {
        scaled(self.next(), u64::from(Percent::ALL.millionths()) - 1) < u64::from(share.millionths())
    }
}

#[cfg(test)]
mod tests;
