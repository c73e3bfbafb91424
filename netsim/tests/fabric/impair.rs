//! Impaired lines: what was asked for and what the packets felt, by each backend and in each IP version.

mod wire;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use netsim::impair::{Backend, Impairment, Line, Loss, Percent, schedule};
pub use wire::Version;
use wire::{Wire, queues};

fn percent(millionths: u32) -> Percent {
    Percent::from_millionths(millionths).unwrap()
}

/// Within 1 ms or 2 %, whichever is more, and no later than that by more than this machine is late by itself: a
/// virtual one that has slept for long wakes up late at times, whoever waits.
#[track_caller]
fn assert_delay(measured_ms: f64, asked_ms: f64) {
    let tolerance = 1_f64.max(asked_ms * 0.02);
    let error = measured_ms - asked_ms;
    assert!(
        error.abs() <= tolerance || (0.0..=tolerance + lateness_ms(asked_ms)).contains(&error),
        "measured {measured_ms} ms, asked for {asked_ms} ms"
    );
}

/// How late a message arrives that a thread sends after a sleep, as the hop does: the median of 11.
fn lateness_ms(asked_ms: f64) -> f64 {
    let asked = Duration::from_secs_f64(asked_ms / 1e3);
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    let mut late: Vec<f64> = (0..11)
        .map(|_| {
            let (start, sender) = (Instant::now(), sender.try_clone().unwrap());
            std::thread::spawn(move || {
                std::thread::sleep(asked);
                sender.send(&[1]).unwrap();
            });
            receiver.recv(&mut [0]).unwrap();
            (start.elapsed() - asked).as_secs_f64() * 1e3
        })
        .collect();
    late.sort_by(f64::total_cmp);
    late[late.len() / 2]
}

/// Within five standard deviations of a binomial count: fails once in two million times by chance.
#[track_caller]
fn assert_share(count: usize, of: u32, share: Percent) {
    let (of, p) = (f64::from(of), share.probability());
    let (count, expected) = (count as f64, of * p);
    let tolerance = 5.0 * (of * p * (1.0 - p)).sqrt();
    assert!(
        (count - expected).abs() <= tolerance,
        "counted {count}, expected {expected}"
    );
}

pub async fn a_delay_is_as_long_as_asked_and_heals(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    // What the path itself takes is none of the impairment's.
    let path_ms = [0, 1].map(|from| wire.median_ms(from));
    for delay_ms in [1_u16, 5, 60] {
        wire.impair(Impairment {
            delay: Duration::from_millis(delay_ms.into()),
            ..Impairment::default()
        });
        assert_delay(wire.median_ms(0) - path_ms[0], delay_ms.into());
        assert_delay(wire.median_ms(1) - path_ms[1], 0.0);
        assert_eq!(wire.impairer.in_use(), [backend].into());
    }
    wire.impairer.set(&BTreeMap::new()).unwrap();
    assert_delay(wire.median_ms(0) - path_ms[0], 0.0);
    let deadline = Instant::now() + Duration::from_secs(2);
    while queues(&wire.router) > 0 {
        assert!(Instant::now() < deadline, "queues of healed lines are left");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub async fn packets_under_way_survive_changes_and_healing(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    let delayed = |ms| Impairment {
        delay: Duration::from_millis(ms),
        ..Impairment::default()
    };
    wire.impair(delayed(200));
    let (sender, receiver) = (wire.open(0), wire.open(1));
    receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let to = receiver.local_addr().unwrap();
    let started = Instant::now();
    for number in 0..10 {
        sender.send_to(&[number], to).unwrap();
    }
    wire.impair(delayed(100));
    sender.send_to(&[10], to).unwrap();
    wire.impairer.set(&BTreeMap::new()).unwrap();
    sender.send_to(&[11], to).unwrap();
    let receive = || {
        let mut number = [0];
        receiver.recv(&mut number).unwrap();
        number[0]
    };
    let order: Vec<u8> = (0..12).map(|_| receive()).collect();
    assert_eq!(order, [11, 10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(started.elapsed() >= Duration::from_millis(200));
}

pub async fn a_line_by_interface_goes_before_one_without(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    let path_ms = wire.median_ms(0);
    let delayed = |ms| Impairment {
        delay: Duration::from_millis(ms),
        ..Impairment::default()
    };
    let whole = wire.line(1);
    let by_interface = |interface: &str| Line {
        from: Some(interface.to_owned()),
        ..whole.clone()
    };
    let lines = [(whole.clone(), delayed(30)), (by_interface("end0"), delayed(10))];
    wire.impairer.set(&lines.into()).unwrap();
    assert_delay(wire.median_ms(0) - path_ms, 10.0);
    let lines = [(whole.clone(), delayed(30)), (by_interface("end1"), delayed(10))];
    wire.impairer.set(&lines.into()).unwrap();
    assert_delay(wire.median_ms(0) - path_ms, 30.0);
}

pub async fn jitter_spreads_and_loses_nothing(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    let path_ms = wire.median_ms(0);
    let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(8));
    wire.impair(Impairment {
        delay,
        jitter,
        ..Impairment::default()
    });
    // A machine that is busy makes packets late, never early: one of five attempts meets it quiet.
    let mut late = Vec::new();
    for _ in 0..5 {
        let arrivals = wire.send(0, 1_000, 100);
        assert_eq!(arrivals.len(), 1_000);
        assert!(arrivals.iter().all(|arrival| arrival.took >= delay - jitter));
        let mut took: Vec<f64> = arrivals
            .iter()
            .map(|arrival| arrival.took.as_secs_f64() * 1e3 - path_ms)
            .collect();
        took.sort_by(f64::total_cmp);
        // Quarters of an even spread from 12 to 28 ms; a window of packets is sent in some 0.5 ms.
        let quarters = [(250, 16.0), (500, 20.0), (750, 24.0)];
        late = quarters
            .map(|(quarter, asked_ms)| took[quarter] - asked_ms)
            .to_vec();
        assert!(
            late.iter().all(|late| *late > -2.0),
            "quarters are late by {late:?} ms"
        );
        if late.iter().all(|late| *late < 2.0) {
            return;
        }
    }
    panic!("quarters are late by {late:?} ms");
}

pub async fn random_loss_is_as_often_as_asked_and_the_same_for_a_seed(backend: Backend, version: Version) {
    let share = percent(20_000);
    let mut runs = Vec::new();
    // Before kernel 6.7 netem's chances have no seed.
    while runs.len() < 2 && backend == Backend::Userspace {
        let mut wire = Wire::build(backend, version).await;
        wire.impair(Impairment {
            loss: Loss::Random(share),
            ..Impairment::default()
        });
        // No markers among them: each packet has to be at the same place of the line in both runs.
        runs.push(wire.send_bare(3_000));
    }
    if let [once, again] = &runs[..] {
        let differing: Vec<&u32> = once.symmetric_difference(again).collect();
        assert!(differing.is_empty(), "arrived in one run only: {differing:?}");
    }
    let mut wire = Wire::build(backend, version).await;
    wire.impair(Impairment {
        loss: Loss::Random(share),
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 10_000, 100);
    assert_share(10_000 - arrivals.len(), 10_000, share);
    assert_eq!(wire.impairer.overruns(), 0);
}

pub async fn bursts_lose_runs_of_packets(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    let (enter, leave) = (percent(10_000), percent(250_000));
    wire.impair(Impairment {
        loss: Loss::Burst { enter, leave },
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 10_000, 100);
    let gaps: Vec<u32> = arrivals
        .windows(2)
        .map(|pair| pair[1].number - pair[0].number - 1)
        .filter(|gap| *gap > 0)
        .collect();
    let mean = f64::from(gaps.iter().sum::<u32>()) / gaps.len() as f64;
    // About 385 bursts of 4 packets in the mean, with a standard deviation of sqrt(12).
    assert!(
        (mean - 4.0).abs() < 0.9,
        "{} bursts of {mean} packets",
        gaps.len()
    );
}

pub async fn a_rate_is_as_asked(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    let train = |wire: &Wire| {
        let arrivals = wire.send(0, 40, 1_000);
        assert_eq!(arrivals.len(), 40);
        let sent = arrivals[0].at - arrivals[0].took;
        arrivals[39].at - sent
    };
    let path = (0..5).map(|_| train(&wire)).min().unwrap();
    for megabits in [5_u64, 50] {
        let rate = NonZeroU64::new(megabits * 1_000_000).unwrap();
        wire.impair(Impairment {
            rate: Some(rate),
            ..Impairment::default()
        });
        let asked = Duration::from_nanos(40 * schedule::transmission_ns(1_000, rate));
        let most = asked.mul_f64(1.02) + path + Duration::from_millis(1);
        // The machine may stand still while packets are on their way; one of many trains meets it running.
        let mut took = Vec::new();
        while took.last().is_none_or(|took| *took > most) {
            took.push(train(&wire));
            assert!(took.iter().all(|took| *took >= asked), "{took:?} for {asked:?}");
            assert!(took.len() < 30, "{took:?} for {asked:?}");
        }
    }
}

pub async fn duplicates_flips_and_overtakers_are_as_many_as_asked(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    let share = percent(50_000);
    wire.impair(Impairment {
        duplicate: share,
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 4_000, 100);
    assert_share(arrivals.len() - 4_000, 4_000, share);

    wire.impair(Impairment {
        corrupt: share,
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 4_000, 100);
    assert_share(4_000 - arrivals.len(), 4_000, share);
    assert!(wire.checksum_errors() > 0, "no checksum was wrong");

    let delay = Duration::from_millis(20);
    wire.impair(Impairment {
        delay,
        reorder: share,
        ..Impairment::default()
    });
    let arrivals = wire.send(0, 4_000, 100);
    assert_eq!(arrivals.len(), 4_000);
    let early = arrivals.iter().filter(|arrival| arrival.took < delay).count();
    assert_share(early, 4_000, share);
}

pub async fn an_mtu_drops_longer_packets_and_no_others(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    wire.impair(Impairment {
        mtu: Some(1_200),
        ..Impairment::default()
    });
    for (octets, arrived) in [(100, 50), (1_200, 50), (1_201, 0), (1_500, 0)] {
        assert_eq!(wire.send(0, 50, octets).len(), arrived, "{octets}");
    }
    assert_eq!(wire.send(1, 50, 1_500).len(), 50);
    // A sender that leaves its segments to the network card is no exception.
    assert!(wire.tcp_passes(1_200), "segments of 1200 octets are dropped");
    assert!(!wire.tcp_passes(1_201), "segments of 1201 octets pass");
    wire.impairer.set(&BTreeMap::new()).unwrap();
    assert_eq!(wire.send(0, 50, 1_500).len(), 50);
}

pub async fn a_black_hole_passes_nothing_until_it_is_healed(backend: Backend, version: Version) {
    let mut wire = Wire::build(backend, version).await;
    wire.impair(Impairment::black_hole());
    assert_eq!(wire.send(0, 50, 100).len(), 0);
    assert_eq!(wire.send(1, 50, 100).len(), 50);
    wire.impairer.set(&BTreeMap::new()).unwrap();
    assert_eq!(wire.send(0, 50, 100).len(), 50);
}
