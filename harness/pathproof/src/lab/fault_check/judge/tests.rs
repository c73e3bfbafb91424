//! Judgements of made-up feelings, without a kernel.

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
        sized: asked.mtu.map(|_| Size {
            long: SIZED,
            fitting: SIZED,
        }),
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
        asked(|fault| fault.rate = NonZeroU64::new(16_000)),
        asked(|fault| fault.corrupt = percent(20_000)),
        asked(|fault| fault.mtu = Some(1_400)),
        asked(|fault| (fault.delay, fault.jitter) = (5 * MS, 5 * MS)),
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
fn a_fault_that_became_another_is_not_the_one_before() {
    let felt = |least, long| Felt {
        sent: 20,
        arrived: 20,
        late: 20,
        least: Some(least),
        sized: Some(Size { long, fitting: SIZED }),
        ..Felt::default()
    };
    let before = asked(|fault| {
        fault.delay = 50 * MS;
        fault.mtu = Some(1_400);
    });
    let now = asked(|fault| fault.delay = 10 * MS);
    assert_eq!(is_felt(&now, &felt(10 * MS, SIZED)), Ok(()));
    assert_eq!(is_punctual(&now, Some(&before), &felt(10 * MS, SIZED)), Ok(()));
    assert!(is_punctual(&now, Some(&before), &felt(50 * MS, SIZED)).is_err());
    assert!(is_punctual(&now, Some(&before), &felt(10 * MS, 0)).is_err());
    let uneven = asked(|fault| (fault.delay, fault.jitter) = (10 * MS, 5 * MS));
    assert!(is_punctual(&uneven, None, &felt(10 * MS, SIZED)).is_err());
    assert_eq!(is_punctual(&uneven, None, &felt(6 * MS, SIZED)), Ok(()));
}

#[test]
fn an_mtu_that_passes_nothing_or_everything_is_another_one() {
    let fault = asked(|fault| fault.mtu = Some(1_400));
    for (long, fitting, is_right) in [(0, SIZED, true), (1, SIZED, false), (0, 0, false)] {
        let felt = Felt {
            sized: Some(Size { long, fitting }),
            ..nothing(&fault)
        };
        assert_eq!(is_felt(&fault, &felt).is_ok(), is_right, "{long} {fitting}");
    }
}

#[test]
fn flips_that_are_lost_without_a_wrong_checksum_are_plain_loss() {
    let fault = asked(|fault| fault.corrupt = percent(50_000));
    let felt = |spoiled| Felt {
        arrived: probe_count(&fault) - 16,
        spoiled,
        ..nothing(&fault)
    };
    assert!(is_felt(&fault, &felt(0)).is_err());
    assert_eq!(is_felt(&fault, &felt(16)), Ok(()));
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
