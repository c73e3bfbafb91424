//! Whether an injected fault took: probes of its own, from edge to edge, must have felt it, and its healing too.
//!
//! Owns the probes and what counts as felt. A false alarm by chance comes once in ten million checks; a machine
//! that stands still makes packets late, never early, so a delay that did not take cannot hide for long, and one
//! that did is never called missing. Probes here are no probes of the scenario: they go between the uplinks,
//! outside the tunnels, and carry no probe's mark. Taps capture and count them like everything else.
//!
//! # Limits
//! A share of packets below 2 % and a rate above 400 Mbit/s take more probes to feel than a run should bear; the
//! check then says which part it left out.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use netsim::impair::{Impairment, Loss, Percent, schedule};
use netsim::netns::Netns;

/// No probe came for so long: none will, even if the machine stood still for half of it.
const QUIET: Duration = Duration::from_millis(300);
/// How long a transport may take to be whole again.
const HEAL_DEADLINE: Duration = Duration::from_secs(3);
/// Most probes under way at once, so that no socket overflows, however long the machine stands still.
const WINDOW: u32 = 60;
/// Probes where no share of packets is to be felt.
const PROBES_MIN: u32 = 20;
/// Most probes in a check.
const PROBES_MAX: u32 = 800;
/// So many expected events make none at all as rare as one in ten million, by Poisson's law.
const EXPECTED_MIN: f64 = 16.0;
/// A delay that a whole transport has not.
const WHOLE_MAX: Duration = Duration::from_millis(1);
/// How long a train of packets has to take at a rate for the rate to be felt.
const TRAIN: Duration = Duration::from_millis(5);
/// Octets of the packets of a train, and most packets in it.
const TRAIN_OCTETS: u32 = 1_228;
const TRAIN_MAX: u64 = 200;
/// Octets of IPv4 and UDP headers.
const HEADERS: u32 = 28;

/// Two uplinks on one transport.
#[derive(Debug, Clone)]
pub struct Path {
    /// The sender's namespace and address.
    pub from: (Netns, Ipv4Addr),
    /// The receiver's.
    pub to: (Netns, Ipv4Addr),
}

/// What a path must feel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// This impairment.
    Impaired(Impairment),
    /// No longer this one.
    Healed(Impairment),
}

/// What probes felt.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Felt {
    sent: u32,
    /// Probes that arrived, each counted once.
    arrived: u32,
    /// Arrivals of probes that had arrived before.
    again: u32,
    /// Probes that took less than the shortest delay asked for.
    early: u32,
    /// What the fastest probe took.
    least: Option<Duration>,
    /// Packets of a train that arrived, and how long the last one took after the first was sent.
    train: Option<(u32, Duration)>,
}

/// Sends probes along a path until it is clear whether it feels as it should; blocks meanwhile.
///
/// Returns what could not be checked, in words, if anything.
///
/// # Errors
/// What was felt instead, in words; or why no probe could be sent.
pub fn check(path: &Path, expected: Expected) -> Result<Vec<String>, String> {
    let open = |(netns, address): &(Netns, Ipv4Addr)| {
        let bound = netns.run(|| UdpSocket::bind((*address, 0)));
        bound.map_err(io::Error::other).and_then(|bound| bound)
    };
    let failed = |error: io::Error| format!("send probes to check it: {error}");
    let (sender, receiver) = (open(&path.from).map_err(failed)?, open(&path.to).map_err(failed)?);
    receiver.set_read_timeout(Some(QUIET / 20)).map_err(failed)?;
    let to = receiver.local_addr().map_err(failed)?;
    let wire = Wire { sender, receiver, to };
    match expected {
        Expected::Impaired(asked) => {
            is_felt(&asked, &wire.feel(&asked))?;
            Ok(left_out(&asked))
        }
        Expected::Healed(before) => {
            let deadline = Instant::now() + HEAL_DEADLINE;
            loop {
                let healed = is_whole(&before, &wire.feel(&before));
                if healed.is_ok() || Instant::now() > deadline {
                    return healed.map(|()| Vec::new());
                }
            }
        }
    }
}

struct Wire {
    sender: UdpSocket,
    receiver: UdpSocket,
    to: SocketAddr,
}

impl Wire {
    fn feel(&self, asked: &Impairment) -> Felt {
        let mut felt = self.probes(probe_count(asked), asked.delay - asked.jitter);
        felt.train = train(asked.rate).map(|(count, octets)| self.train(count, octets));
        felt
    }

    /// Sends probes a window at a time. Behind each window go markers until one arrives: then the window has, too.
    fn probes(&self, count: u32, floor: Duration) -> Felt {
        let mut felt = Felt::default();
        let mut sent: Vec<(Instant, bool)> = Vec::new();
        let receive = |sent: &mut Vec<(Instant, bool)>, felt: &mut Felt| {
            let number = self.receive()?;
            if let Some((at, arrived)) = usize::try_from(number)
                .ok()
                .and_then(|number| sent.get_mut(number))
            {
                let took = at.elapsed();
                felt.again += u32::from(*arrived);
                if !*arrived {
                    felt.arrived += 1;
                    felt.early += u32::from(took < floor);
                    felt.least = Some(felt.least.map_or(took, |least| least.min(took)));
                }
                *arrived = true;
            }
            Some(number)
        };
        while felt.sent < count {
            for _ in 0..WINDOW.min(count - felt.sent) {
                sent.push((Instant::now(), false));
                self.send(felt.sent, HEADERS + 4);
                felt.sent += 1;
            }
            let marker = u32::MAX - felt.sent;
            let last = Instant::now();
            self.send(marker, HEADERS + 4);
            while felt.arrived < felt.sent && last.elapsed() < floor + QUIET {
                match receive(&mut sent, &mut felt) {
                    Some(number) if number == marker => break,
                    Some(_) => {}
                    None => self.send(marker, HEADERS + 4),
                }
            }
            if felt.arrived == 0 {
                // Nothing gets through: one window tells as much as many.
                break;
            }
        }
        // What overtook may have ended the last window too early, and second copies come late.
        let last = Instant::now();
        while last.elapsed() < floor.saturating_mul(2) + QUIET / 20 && receive(&mut sent, &mut felt).is_some()
        {
        }
        felt
    }

    fn train(&self, count: u32, octets: u32) -> (u32, Duration) {
        let started = Instant::now();
        // Numbers that no probe has, so that late ones are not mistaken for these.
        for number in 0..count {
            self.send(TRAIN_FIRST + number, octets);
        }
        let (mut arrived, mut took, mut last) = (0, Duration::ZERO, Instant::now());
        while arrived < count && last.elapsed() < QUIET {
            match self.receive() {
                Some(number) if (TRAIN_FIRST..TRAIN_FIRST + count).contains(&number) => {
                    (arrived, took, last) = (arrived + 1, started.elapsed(), Instant::now());
                }
                _ => {}
            }
        }
        (arrived, took)
    }

    /// A packet that cannot be sent, such as over a link that is down, is a lost one.
    fn send(&self, number: u32, octets: u32) {
        let mut payload = [0; 1_500];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        let len = usize::try_from(octets - HEADERS).unwrap_or(0).min(payload.len());
        self.sender.send_to(&payload[..len], self.to).ok();
    }

    fn receive(&self) -> Option<u32> {
        let mut payload = [0; 1_500];
        self.receiver.recv(&mut payload).ok()?;
        Some(u32::from_be_bytes([
            payload[0], payload[1], payload[2], payload[3],
        ]))
    }
}

/// The number of the first packet of a train.
const TRAIN_FIRST: u32 = 1 << 30;

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

fn probe_count(asked: &Impairment) -> u32 {
    let enough = |share: Percent| {
        let millionths = f64::from(share.millionths());
        let count = (EXPECTED_MIN * 1e6 / millionths).ceil();
        (PROBES_MIN..=PROBES_MAX)
            .find(|n| f64::from(*n) >= count)
            .unwrap_or(PROBES_MAX)
    };
    let shares = shares(asked).into_iter().map(|(_, share)| share);
    shares
        .filter(|share| is_checkable(*share))
        .map(enough)
        .max()
        .unwrap_or(PROBES_MIN)
}

/// How many packets of how many octets make a rate felt; `None` where too many would be needed.
fn train(rate: Option<NonZeroU64>) -> Option<(u32, u32)> {
    let rate = rate?;
    let train_ns = u64::try_from(TRAIN.as_nanos()).unwrap_or(u64::MAX);
    // On a very slow line a train of large packets would take seconds.
    [TRAIN_OCTETS, HEADERS + 4].into_iter().find_map(|octets| {
        let each_ns = schedule::transmission_ns(octets, rate);
        let count = train_ns.div_ceil(each_ns).max(2);
        let is_short = octets == HEADERS + 4 || each_ns <= train_ns;
        let count = u32::try_from(count)
            .ok()
            .filter(|_| count <= TRAIN_MAX && is_short)?;
        Some((count, octets))
    })
}

/// What of an impairment a check does not cover, in words.
fn left_out(asked: &Impairment) -> Vec<String> {
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

fn is_felt(asked: &Impairment, felt: &Felt) -> Result<(), String> {
    let Felt { sent, arrived, .. } = *felt;
    let lost = sent - arrived;
    match asked.loss {
        Loss::All if arrived > 0 => return Err(format!("{arrived} of {sent} probes arrived, none should")),
        Loss::All => return Ok(()),
        // With a rate more may be lost, where the line is full.
        Loss::Random(share)
            if is_checkable(share)
                && (lost == 0 || asked.rate.is_none() && !is_likely(lost, sent, share)) =>
        {
            return Err(format!("{lost} of {sent} probes were lost, {share} should be"));
        }
        Loss::Burst { enter, .. } if is_checkable(enter) && lost == 0 => {
            return Err(format!(
                "none of {sent} probes was lost, bursts of them should be"
            ));
        }
        _ => {}
    }
    if arrived == 0 {
        return Err(format!("none of {sent} probes arrived"));
    }
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
    if felt.again == 0 && is_checkable(asked.duplicate) {
        return Err(format!(
            "none of {arrived} probes came twice, {} should",
            asked.duplicate
        ));
    }
    if let Some((least, took)) = train_time(asked, felt)
        && took < least
    {
        return Err(format!(
            "a train of packets took {took:?}, at the rate it takes {least:?}"
        ));
    }
    Ok(())
}

/// How long the train must take at the rate, and how long it did.
fn train_time(asked: &Impairment, felt: &Felt) -> Option<(Duration, Duration)> {
    let (rate, (_, octets)) = (asked.rate?, train(asked.rate)?);
    let (arrived, took) = felt.train?;
    let each = Duration::from_nanos(schedule::transmission_ns(octets, rate));
    Some((each * arrived, took))
}

fn is_whole(before: &Impairment, felt: &Felt) -> Result<(), String> {
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
    match train_time(before, felt) {
        Some((least, took)) if took >= least => Err(format!(
            "a train of packets took {took:?}, as at the rate that was"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(millionths: u32) -> Percent {
        Percent::from_millionths(millionths).unwrap()
    }

    fn asked(change: impl FnOnce(&mut Impairment)) -> Impairment {
        let mut impairment = Impairment::default();
        change(&mut impairment);
        impairment
    }

    const MS: Duration = Duration::from_millis(1);

    /// What a whole transport makes probes feel.
    fn nothing(asked: &Impairment) -> Felt {
        let sent = probe_count(asked);
        Felt {
            sent,
            arrived: sent,
            early: if asked.delay > asked.jitter { sent } else { 0 },
            least: Some(MS / 10),
            train: train(asked.rate).map(|(count, _)| (count, MS / 2)),
            ..Felt::default()
        }
    }

    #[test]
    fn a_fault_that_did_not_take_is_not_felt() {
        let faults = [
            Impairment::black_hole(),
            asked(|fault| fault.delay = 2 * MS),
            asked(|fault| fault.loss = Loss::Random(percent(20_000))),
            asked(|fault| {
                fault.loss = Loss::Burst {
                    enter: percent(20_000),
                    leave: percent(500_000),
                };
            }),
            asked(|fault| fault.duplicate = percent(20_000)),
            asked(|fault| fault.rate = NonZeroU64::new(100_000_000)),
            asked(|fault| fault.rate = NonZeroU64::new(10_000)),
        ];
        for fault in faults {
            assert!(is_felt(&fault, &nothing(&fault)).is_err(), "{fault:?}");
            assert_eq!(left_out(&fault), [""; 0]);
            assert_eq!(is_whole(&fault, &nothing(&fault)), Ok(()), "{fault:?}");
        }
    }

    #[test]
    fn much_more_or_less_loss_is_another_loss() {
        let fault = asked(|fault| fault.loss = Loss::Random(percent(500_000)));
        for (arrived, is_right) in [(50, true), (15, false), (85, false), (100, false)] {
            let felt = Felt {
                sent: 100,
                arrived,
                ..Felt::default()
            };
            assert_eq!(is_felt(&fault, &felt).is_ok(), is_right, "{arrived}");
        }
    }

    #[test]
    fn a_fault_that_stayed_is_not_healed() {
        let lossy = asked(|fault| fault.loss = Loss::Random(percent(20_000)));
        let felt = Felt {
            arrived: 799,
            ..nothing(&lossy)
        };
        assert!(is_whole(&lossy, &felt).is_err());
        let slow = asked(|fault| fault.delay = 30 * MS);
        let felt = Felt {
            least: Some(30 * MS),
            ..nothing(&slow)
        };
        assert!(is_whole(&slow, &felt).is_err());
        let narrow = asked(|fault| fault.rate = NonZeroU64::new(100_000_000));
        let felt = Felt {
            train: Some((50, 6 * MS)),
            ..nothing(&narrow)
        };
        assert!(is_whole(&narrow, &felt).is_err());
        let twice = asked(|fault| fault.duplicate = percent(20_000));
        let felt = Felt {
            again: 1,
            ..nothing(&twice)
        };
        assert!(is_whole(&twice, &felt).is_err());
    }

    #[test]
    fn what_takes_too_many_probes_is_said() {
        let fault = asked(|fault| {
            fault.loss = Loss::Random(percent(5_000));
            fault.rate = NonZeroU64::new(1_000_000_000);
        });
        assert_eq!(
            left_out(&fault),
            [
                "loss of 0.5% takes more than 800 probes to feel",
                "a rate of 1000000000 bit/s takes more than 200 packets to feel"
            ]
        );
    }
}
