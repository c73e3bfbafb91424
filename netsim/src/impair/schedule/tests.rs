//! Fates of packets, without a kernel.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
const OCTETS: u32 = 986;

fn percent(millionths: u32) -> Percent {
    Percent::from_millionths(millionths).unwrap()
}

fn fates(impairment: Impairment, seed: u64, count: u64, interval_ns: u64) -> Vec<Fate> {
    let mut line = Scheduler::new(impairment, seed);
    (0..count)
        .map(|number| line.packet(number * interval_ns, OCTETS))
        .collect()
}

fn lost(fates: &[Fate]) -> usize {
    fates.iter().filter(|fate| **fate == Fate::Lost).count()
}

/// Standard deviations of a binomial count.
fn deviations(count: usize, of: u64, probability: f64) -> f64 {
    let (count, of) = (
        f64::from(u32::try_from(count).unwrap()),
        f64::from(u32::try_from(of).unwrap()),
    );
    ((count - of * probability) / (of * probability * (1.0 - probability)).sqrt()).abs()
}

fn random_loss(millionths: u32) -> Impairment {
    Impairment {
        loss: Loss::Random(percent(millionths)),
        ..Impairment::default()
    }
}

#[test]
fn random_loss_is_as_often_as_asked() {
    for millionths in [1_000, 5_000, 20_000, 500_000] {
        let count = lost(&fates(random_loss(millionths), 7, 100_000, 1));
        let off = deviations(count, 100_000, percent(millionths).probability());
        assert!(off < 5.0, "{count} lost of 100000 at {millionths} in a million");
    }
}

#[test]
fn bursts_are_as_long_and_as_many_as_asked() {
    let impairment = Impairment {
        loss: Loss::Burst {
            enter: percent(10_000),
            leave: percent(250_000),
        },
        ..Impairment::default()
    };
    let fates = fates(impairment, 7, 200_000, 1);
    let bursts = fates
        .windows(2)
        .filter(|pair| pair[0] != Fate::Lost && pair[1] == Fate::Lost)
        .count();
    // Mean length of a burst 1 / leave, share of bad packets enter / (enter + leave).
    let length = lost(&fates) as f64 / bursts as f64;
    let share = lost(&fates) as f64 / 200_000.0;
    assert!((length - 4.0).abs() < 0.3, "{length}");
    assert!((share - 0.01 / 0.26).abs() < 0.004, "{share}");
}

#[test]
fn a_rate_spaces_packets_and_drops_what_waits_too_long() {
    let impairment = Impairment {
        delay: Duration::from_millis(5),
        rate: NonZeroU64::new(1_000_000),
        ..Impairment::default()
    };
    // 1000 octets with the Ethernet header take 8 ms at 1 Mbit/s.
    let fates = fates(impairment, 7, 50, 0);
    let times: Vec<u64> = fates
        .iter()
        .filter_map(|fate| match fate {
            Fate::Sent { at_ns, .. } => Some(*at_ns),
            Fate::Lost => None,
        })
        .collect();
    let expected: Vec<u64> = (1..=13).map(|number| 5 * MS + number * 8 * MS).collect();
    assert_eq!(times, expected);
}

#[test]
fn jitter_fills_its_range_evenly() {
    let impairment = Impairment {
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(2),
        ..Impairment::default()
    };
    let mut tenths = [0_usize; 10];
    for fate in fates(impairment, 7, 20_000, 0) {
        let Fate::Sent { at_ns, .. } = fate else {
            panic!("nothing is lost")
        };
        tenths[usize::try_from((at_ns - 8 * MS) * 10 / (4 * MS + 1)).unwrap()] += 1;
    }
    for count in tenths {
        assert!(deviations(count, 20_000, 0.1) < 5.0, "{tenths:?}");
    }
}

#[test]
fn duplicates_flips_and_overtakers_are_as_many_as_asked() {
    let impairment = Impairment {
        delay: Duration::from_millis(1),
        duplicate: percent(30_000),
        corrupt: percent(20_000),
        reorder: percent(100_000),
        ..Impairment::default()
    };
    let (mut twice, mut flipped, mut early) = (0, 0, 0);
    for fate in fates(impairment, 7, 50_000, 0) {
        let Fate::Sent {
            at_ns,
            flip,
            again_ns,
        } = fate
        else {
            panic!("nothing is lost")
        };
        twice += usize::from(again_ns.is_some());
        flipped += usize::from(flip.is_some());
        early += usize::from(at_ns == 0);
    }
    assert!(deviations(twice, 50_000, 0.03) < 5.0, "{twice}");
    assert!(deviations(flipped, 50_000, 0.02) < 5.0, "{flipped}");
    assert!(deviations(early, 50_000, 0.1) < 5.0, "{early}");
}

#[test]
fn an_mtu_loses_longer_packets_and_no_others() {
    let impairment = Impairment {
        mtu: Some(1_400),
        ..Impairment::default()
    };
    let mut line = Scheduler::new(impairment, 7);
    for (octets, is_lost) in [(1_399, false), (1_400, false), (1_401, true), (1_500, true)] {
        assert_eq!(line.packet(0, octets) == Fate::Lost, is_lost, "{octets}");
    }
}

#[test]
fn a_black_hole_passes_nothing() {
    assert_eq!(lost(&fates(Impairment::black_hole(), 7, 1_000, 1)), 1_000);
}

proptest! {
    #[test]
    fn the_same_seed_loses_the_same_packets_whatever_else_is_wrong(
        seed: u64, share in 0..=1_000_000_u32, interval in 0..10 * MS, delay_ms in 0..100_u64,
    ) {
        let plain = random_loss(share);
        let other = Impairment {
            delay: Duration::from_millis(delay_ms),
            jitter: Duration::from_millis(delay_ms / 2),
            duplicate: percent(share),
            corrupt: percent(share),
            ..plain
        };
        let which = |impairment, interval| -> Vec<bool> {
            fates(impairment, seed, 200, interval).iter().map(|fate| *fate == Fate::Lost).collect()
        };
        prop_assert_eq!(which(plain, interval), which(other, 1));
    }

    #[test]
    fn no_packet_is_early_or_later_than_its_jitter(seed: u64, delay in 0..10 * MS, jitter in 0..10 * MS) {
        let jitter = jitter.min(delay);
        let impairment = Impairment {
            delay: Duration::from_nanos(delay),
            jitter: Duration::from_nanos(jitter),
            ..Impairment::default()
        };
        for (number, fate) in (0_u64..).zip(fates(impairment, seed, 100, 1_000)) {
            let Fate::Sent { at_ns, .. } = fate else { panic!("nothing is lost") };
            let took = at_ns - number * 1_000;
            prop_assert!((delay - jitter..=delay + jitter).contains(&took));
        }
    }

    #[test]
    fn a_rate_is_never_exceeded(seed: u64, rate in 100_000..1_000_000_000_u64, interval in 0..MS) {
        let impairment = Impairment { rate: NonZeroU64::new(rate), ..Impairment::default() };
        let took = transmission_ns(OCTETS, NonZeroU64::new(rate).unwrap());
        let mut last = 0;
        for fate in fates(impairment, seed, 200, interval) {
            if let Fate::Sent { at_ns, .. } = fate {
                prop_assert!(at_ns - last >= took);
                last = at_ns;
            }
        }
    }
}
