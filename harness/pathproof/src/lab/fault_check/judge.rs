//! What counts as felt.
//!
//! Pure: what probes felt in, a judgement out. A false alarm by chance comes once in ten million checks; a machine
//! that stands still makes packets late, never early, so a delay that did not take cannot hide for long, and one
//! that did is never called missing.

use std::num::NonZeroU64;
use std::time::Duration;

use netsim::impair::{Impairment, Loss, Percent, schedule};

use super::wire::{SIZED, SMALLEST};

/// Probes where no share of packets is to be felt, without and with jitter.
const PROBES_MIN: (u32, u32) = (20, 40);
/// Most probes in a check.
const PROBES_MAX: u32 = 800;
/// Of 40 probes with jitter half take the delay or longer; fewer than so many do once in ten million times.
const LATE_MIN: u32 = 5;
/// Jitter below this drowns in how long packets take anyway.
const JITTER_MIN: Duration = Duration::from_millis(2);
/// So many expected events make none at all as rare as one in ten million, by Poisson's law.
const EXPECTED_MIN: f64 = 16.0;
/// A delay that a whole transport has not.
const WHOLE_MAX: Duration = Duration::from_millis(1);
/// How long a train of packets has to take at a rate for the rate to be felt.
const TRAIN: Duration = Duration::from_millis(5);
/// Octets of the packets of a train, and most packets in it.
const TRAIN_OCTETS: u32 = 1_228;
const TRAIN_MAX: u64 = 200;
/// Octets of the longest packets on the underlay.
const LONGEST: u32 = 1_500;

/// What probes felt.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Felt {
    pub(super) sent: u32,
    /// Probes that arrived, each counted once.
    pub(super) arrived: u32,
    /// Arrivals of probes that had arrived before.
    pub(super) again: u32,
    /// Probes that took less than the shortest delay asked for.
    pub(super) early: u32,
    /// Probes that took the delay asked for, or longer.
    pub(super) late: u32,
    /// What the fastest probe took.
    pub(super) least: Option<Duration>,
    /// Packets of a train that arrived, and how long the last one took after the first was sent.
    pub(super) train: Option<(u32, Duration)>,
    /// Where there is or was an MTU.
    pub(super) sized: Option<Size>,
    /// Datagrams that arrived with a wrong checksum, where flips were asked for.
    pub(super) spoiled: u64,
}

/// How many packets of each size arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Size {
    /// One octet longer than the MTU.
    pub(super) long: u32,
    /// Exactly as long.
    pub(super) fitting: u32,
}

/// The shares of packets that an impairment speaks of, with their names.
fn shares(asked: &Impairment) -> Vec<(&'static str, Percent)> {
    let lost = match asked.loss {
        Loss::Random(share) => share,
        Loss::Burst { enter, .. } => enter,
        Loss::None | Loss::All => Percent::ZERO,
    };
    let shares = [
        ("loss", lost),
        ("reorder", asked.reorder),
        ("duplicate", asked.duplicate),
        ("corrupt", asked.corrupt),
    ];
    shares
        .into_iter()
        .filter(|(_, share)| *share > Percent::ZERO)
        .collect()
}

/// Whether so many probes are enough to feel a share of packets for sure.
fn is_checkable(share: Percent) -> bool {
    share.probability() * f64::from(PROBES_MAX) >= EXPECTED_MIN
}

pub(super) fn probe_count(asked: &Impairment) -> u32 {
    let least = if asked.jitter.is_zero() {
        PROBES_MIN.0
    } else {
        PROBES_MIN.1
    };
    let enough = |share: Percent| {
        let millionths = f64::from(share.millionths());
        let count = (EXPECTED_MIN * 1e6 / millionths).ceil();
        (least..=PROBES_MAX)
            .find(|n| f64::from(*n) >= count)
            .unwrap_or(PROBES_MAX)
    };
    let shares = shares(asked).into_iter().map(|(_, share)| share);
    shares
        .filter(|share| is_checkable(*share))
        .map(enough)
        .max()
        .unwrap_or(least)
}

/// How long the longest packet takes at the rate.
pub(super) fn slowest(asked: &Impairment) -> Duration {
    let rate = asked.rate.map(|rate| schedule::transmission_ns(LONGEST, rate));
    Duration::from_nanos(rate.unwrap_or_default())
}

/// How many packets of how many octets make a rate felt; `None` where too many would be needed.
pub(super) fn train(rate: Option<NonZeroU64>) -> Option<(u32, u32)> {
    let rate = rate?;
    let train_ns = u64::try_from(TRAIN.as_nanos()).unwrap_or(u64::MAX);
    // On a very slow line a train of large packets would take seconds.
    [TRAIN_OCTETS, SMALLEST].into_iter().find_map(|octets| {
        let each_ns = schedule::transmission_ns(octets, rate);
        let count = train_ns.div_ceil(each_ns).max(2);
        let is_short = octets == SMALLEST || each_ns <= train_ns;
        let count = u32::try_from(count)
            .ok()
            .filter(|_| count <= TRAIN_MAX && is_short)?;
        Some((count, octets))
    })
}

/// What of an impairment a check does not cover, in words.
pub(super) fn left_out(asked: &Impairment) -> Vec<String> {
    let mut words: Vec<String> = shares(asked)
        .into_iter()
        .filter(|(_, share)| !is_checkable(*share))
        .map(|(name, share)| format!("{name} of {share} takes more than {PROBES_MAX} probes to feel"))
        .collect();
    if let (Some(rate), None) = (asked.rate, train(asked.rate)) {
        words.push(format!(
            "a rate of {rate} bit/s takes more than {TRAIN_MAX} packets to feel"
        ));
    }
    words
}

/// Within five and a half standard deviations of a binomial count.
fn is_likely(count: u32, of: u32, share: Percent) -> bool {
    let (of, p) = (f64::from(of), share.probability());
    let deviation = (of * p * (1.0 - p)).sqrt();
    (f64::from(count) - of * p).abs() <= 5.5 * deviation + 1.0
}

/// Whether the impairment is there; what a machine that stands still cannot fake.
pub(super) fn is_felt(asked: &Impairment, felt: &Felt) -> Result<(), String> {
    let Felt { sent, arrived, .. } = *felt;
    if asked.loss == Loss::All {
        return match arrived {
            0 => Ok(()),
            _ => Err(format!("{arrived} of {sent} probes arrived, none should")),
        };
    }
    is_lost_as_asked(asked, felt)?;
    if arrived == 0 {
        return Err(format!("none of {sent} probes arrived"));
    }
    is_delayed(asked, felt)?;
    if felt.again == 0 && is_checkable(asked.duplicate) {
        return Err(format!(
            "none of {arrived} probes came twice, {} should",
            asked.duplicate
        ));
    }
    if let (Some(mtu), Some(Size { long, fitting })) = (asked.mtu, felt.sized) {
        let longer = mtu + 1;
        if long > 0 {
            return Err(format!(
                "{long} of {SIZED} packets of {longer} octets arrived, none should"
            ));
        }
        if fitting == 0 {
            return Err(format!(
                "none of {SIZED} packets of {mtu} octets arrived, they should"
            ));
        }
    }
    match train_time(asked, felt) {
        Some((least, took)) if took < least => Err(format!(
            "a train of packets took {took:?}, at the rate it takes {least:?}"
        )),
        _ => Ok(()),
    }
}

fn is_lost_as_asked(asked: &Impairment, felt: &Felt) -> Result<(), String> {
    let lost = felt.sent - felt.arrived;
    let sent = felt.sent;
    if is_checkable(asked.corrupt) && (felt.spoiled == 0 || lost == 0) {
        return Err(format!(
            "{} of {sent} probes had a wrong checksum and {lost} were lost, {} should be",
            felt.spoiled, asked.corrupt
        ));
    }
    match asked.loss {
        // With a rate more may be lost, where the line is full.
        Loss::Random(share) if is_checkable(share) => {
            // Flipped packets do not arrive, either.
            let lost_share = either(share, asked.corrupt);
            if lost == 0 || asked.rate.is_none() && !is_likely(lost, sent, lost_share) {
                return Err(format!(
                    "{lost} of {sent} probes were lost, {lost_share} should be"
                ));
            }
        }
        Loss::Burst { enter, .. } if is_checkable(enter) && lost == 0 => {
            return Err(format!(
                "none of {sent} probes was lost, bursts of them should be"
            ));
        }
        _ => {}
    }
    Ok(())
}

/// The share of packets that one or the other happens to.
fn either(one: Percent, other: Percent) -> Percent {
    let [one, other] = [one, other].map(|share| u64::from(share.millionths()));
    let all = u64::from(Percent::ALL.millionths());
    let millionths = u32::try_from(one + other - one * other / all).ok();
    millionths
        .and_then(Percent::from_millionths)
        .unwrap_or(Percent::ALL)
}

fn is_delayed(asked: &Impairment, felt: &Felt) -> Result<(), String> {
    let arrived = felt.arrived;
    let floor = asked.delay - asked.jitter;
    let is_right = match asked.reorder {
        Percent::ZERO => felt.early == 0,
        share => is_likely(felt.early, arrived, share) && (felt.early > 0 || !is_checkable(share)),
    };
    if !is_right {
        let early = felt.early;
        let share = match asked.reorder {
            Percent::ZERO => "none".to_owned(),
            share => share.to_string(),
        };
        return Err(format!(
            "{early} of {arrived} probes took less than {floor:?}, {share} should"
        ));
    }
    // Without loss and overtakers half of the probes take longer than the delay without its jitter.
    let is_plain = arrived == felt.sent && asked.reorder == Percent::ZERO;
    if is_plain && asked.jitter > Duration::ZERO && felt.late < LATE_MIN {
        let (late, delay) = (felt.late, asked.delay);
        return Err(format!(
            "{late} of {arrived} probes took {delay:?} or more, about half should"
        ));
    }
    Ok(())
}

/// Whether nothing takes longer, and nothing longer is lost, than asked for.
pub(super) fn is_punctual(
    asked: &Impairment,
    before: Option<&Impairment>,
    felt: &Felt,
) -> Result<(), String> {
    let Some(least) = felt.least else { return Ok(()) };
    let ceiling = asked.delay + asked.jitter;
    let slower = before.map(|before| before.delay - before.jitter);
    if let Some(slower) = slower.filter(|slower| *slower > ceiling + WHOLE_MAX && least >= *slower) {
        return Err(format!(
            "every probe took {least:?} or more, as with the delay of {slower:?} before"
        ));
    }
    let is_spread = asked.jitter >= JITTER_MIN && asked.rate.is_none() && asked.loss == Loss::None;
    if is_spread && least >= asked.delay {
        return Err(format!(
            "every probe took {least:?} or more, half should take less than {:?}",
            asked.delay
        ));
    }
    match (before.and_then(|before| before.mtu), asked.mtu, felt.sized) {
        (Some(mtu), None, Some(Size { long: 0, .. })) => Err(format!(
            "no packet of {} octets arrived, as with the MTU before",
            mtu + 1
        )),
        _ => Ok(()),
    }
}

/// How long the train must take at the rate, and how long it did.
fn train_time(asked: &Impairment, felt: &Felt) -> Option<(Duration, Duration)> {
    let (rate, (_, octets)) = (asked.rate?, train(asked.rate)?);
    let (arrived, took) = felt.train?;
    let each = Duration::from_nanos(schedule::transmission_ns(octets, rate));
    Some((each * arrived, took))
}

pub(super) fn is_whole(before: &Impairment, felt: &Felt) -> Result<(), String> {
    let Felt {
        sent, arrived, again, ..
    } = *felt;
    if arrived < sent || again > 0 {
        return Err(format!(
            "{arrived} of {sent} probes arrived and {again} of them twice, all should, once"
        ));
    }
    let limit = WHOLE_MAX.max(before.delay - before.jitter);
    if let Some(least) = felt.least.filter(|least| *least >= limit) {
        return Err(format!(
            "every probe took {least:?} or more, less than {limit:?} is whole"
        ));
    }
    if let Some(Size { long, .. }) = felt.sized.filter(|size| size.long < SIZED) {
        return Err(format!(
            "{long} of {SIZED} packets longer than the MTU that was arrived"
        ));
    }
    match train_time(before, felt) {
        Some((least, took)) if took >= least => Err(format!(
            "a train of packets took {took:?}, as at the rate that was"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
