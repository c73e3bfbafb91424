#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const POLLING: Polling = Polling {
    interval: Duration::from_millis(100),
    multiplier: 3,
    hold_down: Duration::from_millis(300),
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn class(loss: Option<u32>, latency: Option<u64>, jitter: Option<u64>) -> SlaClass {
    SlaClass {
        name: "voice".to_owned(),
        loss,
        latency: latency.map(millis),
        jitter: jitter.map(millis),
    }
}

/// At most one in a hundred lost.
fn voice() -> SlaClass {
    class(Some(10_000), None, None)
}

/// Ten hellos of which so many are lost.
fn lost(lost: u64) -> Totals {
    let answered = 10 - lost;
    Totals {
        answered,
        lost,
        latency: millis(20) * u32::try_from(answered).unwrap(),
        pairs: answered.saturating_sub(1),
        variation: Duration::ZERO,
    }
}

const NOTHING: Totals = Totals {
    answered: 0,
    lost: 0,
    latency: Duration::ZERO,
    pairs: 0,
    variation: Duration::ZERO,
};

/// A judge and the time that passes for it.
struct Bench {
    judge: Judge,
    now: Instant,
}

impl Bench {
    fn new(polling: Polling) -> Self {
        let mut judge = Judge::new(polling);
        judge.set_classes(&[voice()].into());
        Self {
            judge,
            now: Instant::now(),
        }
    }

    /// The next interval; whether the class is met at its end.
    fn poll(&mut self, interval: Totals) -> bool {
        self.now += POLLING.interval;
        let before = self.is_met();
        let changes = self.judge.poll(interval, self.now);
        let after = self.is_met();
        let expected = (before != after).then(|| (voice(), after));
        assert_eq!(changes, Vec::from_iter(expected), "what changed is told");
        after
    }

    fn is_met(&self) -> bool {
        self.judge.health().met.contains(&voice())
    }
}

#[rstest]
#[case::nothing_known(NOTHING, class(Some(0), Some(0), Some(0)), true)]
#[case::no_bound(lost(10), class(None, None, None), true)]
#[case::loss_at_the_bound(lost(1), class(Some(100_000), None, None), true)]
#[case::loss_above(lost(1), class(Some(99_999), None, None), false)]
#[case::all_lost(lost(10), class(Some(999_999), None, None), false)]
#[case::all_lost_within_the_bound(lost(10), class(Some(1_000_000), None, None), true)]
#[case::no_echo_has_no_latency(lost(10), class(None, Some(1000), None), false)]
#[case::no_echo_has_no_jitter(lost(10), class(None, None, Some(1000)), false)]
#[case::one_echo_has_no_jitter(lost(9), class(None, None, Some(0)), true)]
#[case::latency_at_the_bound(lost(3), class(None, Some(20), None), true)]
#[case::latency_above(lost(3), class(None, Some(19), None), false)]
#[case::one_of_three(lost(0), class(Some(0), Some(19), Some(0)), false)]
fn a_class_is_met_up_to_its_bounds(#[case] counted: Totals, #[case] class: SlaClass, #[case] meets: bool) {
    assert_eq!(Means::of(&counted).meet(&class), meets);
}

#[rstest]
#[case::at_the_bound(6, true)]
#[case::above(5, false)]
fn jitter_is_the_mean_variation(#[case] bound: u64, #[case] meets: bool) {
    let counted = Totals {
        variation: millis(54),
        ..lost(0)
    };
    assert_eq!(Means::of(&counted).jitter, Some(millis(6)));
    assert_eq!(Means::of(&counted).meet(&class(None, None, Some(bound))), meets);
}

#[rstest]
#[case(1, 3, 333_334)]
#[case(1, 1_000_001, 1)]
#[case(2, 2_000_000, 1)]
#[case(u64::MAX / 4, u64::MAX / 2, 500_000)]
fn loss_is_rounded_up(#[case] lost: u64, #[case] hellos: u64, #[case] millionths: u32) {
    let counted = Totals {
        answered: hellos - lost,
        lost,
        ..NOTHING
    };
    assert_eq!(Means::of(&counted).loss, Some(millionths));
}

#[test]
fn a_tunnel_of_which_nothing_is_known_meets_every_class() {
    let mut bench = Bench::new(POLLING);
    assert!(bench.is_met() && bench.judge.health().up);
    assert_eq!(bench.judge.health().means, Means::default());
    assert_eq!(bench.judge.turn(State::Up), []);
    assert!(bench.is_met());
}

#[test]
fn a_class_is_violated_at_once_and_met_again_after_the_hold_down() {
    let mut bench = Bench::new(POLLING);
    assert!(bench.poll(lost(0)));
    assert!(!bench.poll(lost(1)));
    // The loss stays among the last three intervals for two more, and then the hold-down begins.
    let met: Vec<bool> = (0..7).map(|_| bench.poll(lost(0))).collect();
    assert_eq!(met, [false, false, false, false, false, true, true]);
}

#[test]
fn a_break_begins_the_hold_down_anew() {
    let polling = Polling {
        multiplier: 1,
        ..POLLING
    };
    let mut bench = Bench::new(polling);
    let sequence = [1, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    let met: Vec<bool> = sequence.iter().map(|count| bench.poll(lost(*count))).collect();
    let met_from = met.iter().position(|met| *met);
    assert_eq!(met_from, Some(8), "three intervals after the first that meets it");
}

#[test]
fn without_a_hold_down_a_class_is_met_with_the_means() {
    let polling = Polling {
        hold_down: Duration::ZERO,
        multiplier: 1,
        ..POLLING
    };
    let mut bench = Bench::new(polling);
    let met: Vec<bool> = [0, 5, 0, 10, 0]
        .iter()
        .map(|count| bench.poll(lost(*count)))
        .collect();
    assert_eq!(met, [true, false, true, false, true]);
}

#[rstest]
#[case(Polling { interval: Duration::ZERO, ..POLLING }, "judge tunnels every 0 s: the poll interval is above zero")]
#[case(
    Polling { multiplier: 0, ..POLLING },
    "judge tunnels over 0 poll intervals: the multiplier is 1 to 6"
)]
#[case(
    Polling { multiplier: 7, ..POLLING },
    "judge tunnels over 7 poll intervals: the multiplier is 1 to 6"
)]
fn polling_out_of_range_is_refused(#[case] polling: Polling, #[case] message: &str) {
    assert_eq!(polling.validate().unwrap_err().to_string(), message);
    assert_eq!(POLLING.validate(), Ok(()));
}

#[test]
fn means_are_over_the_last_intervals_that_have_hellos() {
    let mut bench = Bench::new(POLLING);
    for count in [10, 3, 2, 1] {
        bench.poll(lost(count));
        bench.poll(NOTHING);
    }
    assert_eq!(bench.judge.health().means.loss, Some(200_000));
    assert_eq!(bench.judge.health().means.latency, Some(millis(20)));
}

#[test]
fn time_without_hellos_does_not_count_towards_the_hold_down() {
    let mut bench = Bench::new(Polling {
        multiplier: 1,
        ..POLLING
    });
    bench.poll(lost(10));
    bench.poll(lost(0));
    for _ in 0..50 {
        assert!(!bench.poll(NOTHING));
    }
    let met: Vec<bool> = (0..3).map(|_| bench.poll(lost(0))).collect();
    assert_eq!(met, [false, false, true]);
}

#[test]
fn a_tunnel_that_was_down_meets_nothing_until_the_hold_down_is_over() {
    let mut bench = Bench::new(POLLING);
    bench.poll(lost(0));
    assert_eq!(bench.judge.turn(State::Down), [(voice(), false)]);
    assert_eq!(bench.judge.health(), Health::default());
    assert_eq!(bench.judge.turn(State::Down), []);
    assert!(
        !bench.poll(lost(0)),
        "what is measured while it is down counts for nothing"
    );
    assert_eq!(bench.judge.turn(State::Up), []);
    assert!(bench.judge.health().up && !bench.is_met());
    let met: Vec<bool> = (0..4).map(|_| bench.poll(lost(0))).collect();
    assert_eq!(
        met,
        [false, false, false, true],
        "losses from before are forgotten"
    );
}

#[test]
fn a_new_class_is_judged_at_once_and_an_old_one_keeps_its_standing() {
    let mut bench = Bench::new(POLLING);
    bench.poll(lost(1));
    let (loose, tight) = (class(Some(100_000), None, None), class(None, Some(19), None));
    let all = BTreeSet::from([voice(), loose.clone(), tight.clone()]);
    bench.judge.set_classes(&all);
    assert_eq!(bench.judge.health().met, [loose.clone()].into());
    for _ in 0..4 {
        bench.poll(lost(0));
    }
    // The means meet it, but the hold-down is not over.
    bench.judge.set_classes(&all);
    assert_eq!(bench.judge.health().met, [loose].into());
    bench.judge.turn(State::Down);
    bench.judge.set_classes(&[class(None, None, None)].into());
    assert_eq!(bench.judge.health().met, [].into(), "down meets nothing");
}

/// What happens to a tunnel.
#[derive(Debug, Clone, Copy)]
enum Event {
    Poll(Totals, Duration),
    Turn(State),
}

fn some_event() -> impl Strategy<Value = Event> {
    let interval = prop_oneof![
        1 => Just(NOTHING),
        6 => (0..=10_u64).prop_map(|count| lost(count / 5)),
        3 => Just(lost(0)),
    ];
    let polled = (interval, 1..400_u64).prop_map(|(interval, passed)| Event::Poll(interval, millis(passed)));
    let state = prop::sample::select(vec![State::Up, State::Down]);
    prop_oneof![12 => polled, 1 => state.prop_map(Event::Turn)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_class_is_met_again_before_the_hold_down_is_over(
        events in prop::collection::vec(some_event(), 1..120),
        multiplier in 1..=6_u8,
        hold_down in 0..1500_u64,
    ) {
        let hold_down = millis(hold_down);
        let mut bench = Bench::new(Polling { multiplier, hold_down, ..POLLING });
        let (mut is_met, mut violated, mut up) = (true, None, true);
        for event in events {
            let changes = match event {
                Event::Poll(interval, passed) => {
                    bench.now += passed;
                    bench.judge.poll(interval, bench.now)
                }
                Event::Turn(state) => {
                    up = state != State::Down;
                    bench.judge.turn(state)
                }
            };
            for (_, met) in changes {
                prop_assert_ne!(met, is_met, "a change is one");
                is_met = met;
                match violated {
                    Some(since) if met => prop_assert!(bench.now - since >= hold_down),
                    _ => violated = (!met).then_some(bench.now),
                }
            }
            prop_assert_eq!(bench.is_met(), is_met, "every change is told");
            prop_assert!(up || !is_met, "down meets nothing");
            prop_assert_eq!(bench.judge.health().up, up);
        }
    }

    #[test]
    fn a_class_that_counts_as_met_is_met_by_the_means(
        events in prop::collection::vec(some_event(), 1..120),
        multiplier in 1..=6_u8,
    ) {
        let mut bench = Bench::new(Polling { multiplier, ..POLLING });
        for event in events {
            match event {
                Event::Poll(interval, passed) => {
                    bench.now += passed;
                    bench.judge.poll(interval, bench.now);
                }
                Event::Turn(state) => drop(bench.judge.turn(state)),
            }
            let health = bench.judge.health();
            prop_assert!(health.met.iter().all(|class| health.means.meet(class)));
        }
    }

    #[test]
    fn loss_is_within_a_bound_exactly_when_the_fraction_is(
        lost in 0..2000_u64,
        answered in 0..2000_u64,
        bound in 0..=1_000_000_u32,
    ) {
        prop_assume!(lost + answered > 0);
        let counted = Totals { answered, lost, ..NOTHING };
        let is_within = lost * 1_000_000 <= u64::from(bound) * (lost + answered);
        prop_assert_eq!(Means::of(&counted).meet(&class(Some(bound), None, None)), is_within);
    }
}
