#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const TIMING: Timing = Timing {
    hello: Duration::from_millis(50),
    multiplier: 3,
};
const LATENCY: Duration = Duration::from_micros(40);

/// A session and the time that passes for it.
struct Bench {
    session: Session,
    now: Instant,
}

impl Bench {
    fn new(timing: Timing) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(timing, now),
            now,
        }
    }

    /// A tick, answered or not, and the interval after it.
    fn tick(&mut self, answered: bool) -> Vec<Transition> {
        let (number, down) = self.session.tick(self.now);
        let up = if answered {
            self.session.echo(number, LATENCY, self.now + LATENCY)
        } else {
            None
        };
        self.now += self.session.timing().hello;
        down.into_iter().chain(up).collect()
    }
}

const fn transition(from: State, to: State) -> Transition {
    Transition { from, to }
}

#[test]
fn the_first_echo_brings_a_session_up_and_is_no_transition() {
    let mut bench = Bench::new(TIMING);
    assert_eq!(bench.tick(true), [transition(State::Pending, State::Up)]);
    assert_eq!(
        (bench.session.state(), bench.session.transitions()),
        (State::Up, 0)
    );
    assert_eq!(bench.tick(true), []);
}

#[test]
fn a_session_that_never_hears_an_echo_goes_down() {
    let mut bench = Bench::new(TIMING);
    for _ in 0..3 {
        assert_eq!(bench.tick(false), []);
        assert_eq!(bench.session.state(), State::Pending);
    }
    assert_eq!(bench.tick(false), [transition(State::Pending, State::Down)]);
    assert_eq!(bench.session.transitions(), 0);
    assert_eq!(bench.session.statistics().latency, None);
}

#[test]
fn down_and_up_again_are_two_transitions() {
    let mut bench = Bench::new(TIMING);
    bench.tick(true);
    for _ in 0..3 {
        assert_eq!(bench.tick(false), []);
    }
    let went = bench.now;
    assert_eq!(bench.tick(false), [transition(State::Up, State::Down)]);
    assert_eq!(bench.session.since(), went);
    assert_eq!(bench.tick(true), [transition(State::Down, State::Up)]);
    assert_eq!(bench.session.transitions(), 2);
}

#[rstest]
#[case::at_once_after_an_echo(Duration::from_micros(41))]
#[case::in_the_middle(Duration::from_millis(25))]
#[case::just_before_a_hello(Duration::from_nanos(49_999_999))]
fn a_failure_is_detected_in_time(#[case] after_the_hello: Duration) {
    let mut bench = Bench::new(TIMING);
    let failed = bench.now + after_the_hello;
    bench.tick(true);
    let detected = loop {
        let at = bench.now;
        if !bench.tick(false).is_empty() {
            break at;
        }
    };
    assert!(detected - failed <= TIMING.detection_max());
    assert!(
        detected - failed > TIMING.hello * 3,
        "three hellos had their interval"
    );
}

#[test]
fn a_machine_that_stands_still_takes_no_session_down() {
    let mut bench = Bench::new(TIMING);
    bench.tick(true);
    for _ in 0..100 {
        let (number, down) = bench.session.tick(bench.now);
        assert_eq!(down, None);
        bench.now += Duration::from_secs(1);
        bench.session.echo(number, LATENCY, bench.now);
    }
    assert_eq!(bench.session.state(), State::Up);
}

#[test]
fn echoes_later_than_the_detection_time_keep_a_session_up() {
    let mut bench = Bench::new(TIMING);
    let late = 5;
    for number in 0..50_u64 {
        bench.tick(false);
        if let Some(answered) = number.checked_sub(late) {
            bench.session.echo(answered, TIMING.hello * 5, bench.now);
        }
    }
    assert_eq!(bench.session.state(), State::Up);
    // Down before the first echo is none; up with it is one.
    assert_eq!(bench.session.transitions(), 1);
}

#[test]
fn an_echo_counts_once_and_only_for_a_hello_that_was_sent() {
    let mut bench = Bench::new(TIMING);
    assert_eq!(bench.session.echo(0, LATENCY, bench.now), None);
    bench.tick(true);
    for _ in 0..3 {
        bench.tick(false);
    }
    for unknown in [0, 4, u64::MAX] {
        assert_eq!(bench.session.echo(unknown, LATENCY, bench.now), None);
    }
    assert_eq!(bench.tick(false), [transition(State::Up, State::Down)]);
    for _ in 0..WINDOW {
        bench.tick(false);
    }
    assert_eq!(
        bench.session.echo(1, LATENCY, bench.now),
        None,
        "beyond the window"
    );
}

#[test]
fn only_a_session_without_an_open_hello_is_quiet() {
    let mut bench = Bench::new(TIMING);
    assert!(bench.session.is_quiet());
    bench.tick(false);
    assert!(!bench.session.is_quiet());
    bench.tick(true);
    assert!(bench.session.is_quiet());
}

#[test]
fn statistics_are_those_of_the_latencies() {
    let mut bench = Bench::new(TIMING);
    for milliseconds in [10, 30, 10, 30] {
        let (number, _) = bench.session.tick(bench.now);
        bench
            .session
            .echo(number, Duration::from_millis(milliseconds), bench.now);
    }
    let statistics = bench.session.statistics();
    assert_eq!(statistics.latency, Some(Duration::from_millis(20)));
    assert_eq!(statistics.latency_p50, Some(Duration::from_millis(10)));
    assert_eq!(statistics.latency_p99, Some(Duration::from_millis(30)));
    // 20/16, then twice J + (20 - J)/16.
    let jitter = statistics.jitter.unwrap().as_secs_f64() * 1000.0;
    assert!((jitter - 3.520_507_812_5).abs() < 1e-6, "{jitter}");
}

#[test]
fn a_hello_is_settled_once_its_multiplier_is_answered() {
    let mut bench = Bench::new(TIMING);
    for answered in [true, false, true, true] {
        bench.tick(answered);
    }
    assert_eq!(
        (bench.session.totals().answered, bench.session.totals().lost),
        (1, 0)
    );
    bench.tick(true);
    assert_eq!(
        (bench.session.totals().answered, bench.session.totals().lost),
        (1, 1)
    );
}

#[test]
fn silence_settles_hellos_as_lost() {
    let mut bench = Bench::new(TIMING);
    bench.tick(true);
    for _ in 0..13 {
        bench.tick(false);
    }
    // The last three are still open.
    assert_eq!(
        (bench.session.totals().answered, bench.session.totals().lost),
        (1, 10)
    );
}

#[test]
fn the_losses_of_an_outage_are_settled_with_its_end() {
    let mut bench = Bench::new(TIMING);
    for answered in [true, false, false, false, false, false] {
        bench.tick(answered);
    }
    assert_eq!(bench.session.state(), State::Down);
    bench.tick(true);
    let end = bench.session.totals();
    assert_eq!((end.answered, end.lost), (1, 5));
    for _ in 0..10 {
        bench.tick(true);
    }
    assert_eq!(bench.session.totals().since(&end).lost, 0);
}

#[rstest]
#[case::longer_than_the_detection_time(5)]
#[case::as_long_as_the_window(WINDOW as u64 - 1)]
fn a_long_way_is_no_loss(#[case] hellos: u64) {
    let mut bench = Bench::new(TIMING);
    let way = TIMING.hello * u32::try_from(hellos).unwrap();
    let mut before = Totals::default();
    for number in 0..1000 {
        // Until the first echo it is silent, which is loss.
        if number == 2 * hellos {
            before = bench.session.totals();
        }
        bench.tick(false);
        if let Some(answered) = number.checked_sub(hellos) {
            bench.session.echo(answered, way / 2, bench.now);
        }
    }
    let totals = bench.session.totals().since(&before);
    assert_eq!(totals.lost, 0);
    assert!(totals.answered >= 1000 - 2 * hellos - 3, "{totals:?}");
    assert_eq!(totals.latency, way / 2 * u32::try_from(totals.answered).unwrap());
}

#[test]
fn echoes_out_of_order_are_no_loss() {
    let mut bench = Bench::new(TIMING);
    for _ in 0..50 {
        let numbers = [0; 3].map(|_| bench.session.tick(bench.now).0);
        for number in numbers.iter().rev() {
            bench.session.echo(*number, LATENCY, bench.now);
        }
    }
    assert_eq!(bench.session.totals().lost, 0);
    assert_eq!(bench.session.totals().hellos(), 147);
}

#[test]
fn totals_tell_latency_and_its_variation() {
    let mut bench = Bench::new(TIMING);
    for milliseconds in [Some(10), Some(30), None, Some(35), Some(0), Some(0), Some(0)] {
        let (number, _) = bench.session.tick(bench.now);
        if let Some(milliseconds) = milliseconds {
            let latency = Duration::from_millis(milliseconds);
            bench.session.echo(number, latency, bench.now);
        }
    }
    let expected = Totals {
        answered: 3,
        lost: 1,
        latency: Duration::from_millis(75),
        pairs: 2,
        variation: Duration::from_millis(25),
    };
    assert_eq!(bench.session.totals(), expected);
    assert_eq!(expected.since(&expected), Totals::default());
    assert_eq!([expected, Totals::default()].iter().sum::<Totals>(), expected);
}

proptest! {
    #[test]
    fn totals_count_every_hello_once(
        answers in prop::collection::vec(any::<bool>(), 1..400),
        multiplier in 1..120_u8,
    ) {
        let mut bench = Bench::new(Timing { multiplier, ..TIMING });
        let mut before = Totals::default();
        for answered in &answers {
            bench.tick(*answered);
            let totals = bench.session.totals();
            prop_assert!(totals.hellos() >= before.hellos() && totals.lost >= before.lost);
            before = totals;
        }
        let open = usize::from(multiplier);
        let settled = usize::try_from(before.hellos()).unwrap();
        prop_assert!(settled <= answers.len());
        prop_assert!(settled + 2 * open >= answers.len());
        let lost = answers[..settled].iter().filter(|answered| !**answered).count();
        prop_assert_eq!(before.lost, lost as u64);
        prop_assert_eq!(before.latency, LATENCY * u32::try_from(before.answered).unwrap());
        prop_assert_eq!(before.pairs, before.answered.saturating_sub(1));
    }

    #[test]
    fn a_session_is_down_exactly_after_so_many_silent_hellos(
        answers in prop::collection::vec(any::<bool>(), 1..300),
        multiplier in 1..10_u8,
    ) {
        let mut bench = Bench::new(Timing { multiplier, ..TIMING });
        let (mut silent, mut heard) = (0, false);
        for answered in answers {
            // The tick judges the hellos before it.
            let down = silent >= u32::from(multiplier);
            bench.tick(answered);
            silent = if answered { 0 } else { silent + 1 };
            heard |= answered;
            let expected = match (answered, down) {
                (true, _) => State::Up,
                (false, true) => State::Down,
                (false, false) if heard => bench.session.state(),
                (false, false) => State::Pending,
            };
            prop_assert_eq!(bench.session.state(), expected);
            if silent > 0 && silent <= u32::from(multiplier) && heard {
                prop_assert_eq!(bench.session.state(), State::Up);
            }
        }
    }

    #[test]
    fn loss_is_counted_exactly(answers in prop::collection::vec(any::<bool>(), 1..300)) {
        let mut bench = Bench::new(TIMING);
        for answered in &answers {
            bench.tick(*answered);
        }
        let window = &answers[answers.len().saturating_sub(WINDOW)..];
        let settled = &window[..window.len().saturating_sub(3)];
        let lost = settled.iter().filter(|answered| !**answered).count();
        let total = lost + window.iter().filter(|answered| **answered).count();
        let statistics = bench.session.statistics();
        prop_assert_eq!((statistics.lost as usize, statistics.total as usize), (lost, total));
        prop_assert!((0.0..=100.0).contains(&statistics.loss_percent()));
    }

    #[test]
    fn latency_and_jitter_stay_within_what_was_measured(
        micros in prop::collection::vec(0..1_000_000_u64, 2..200),
    ) {
        let mut bench = Bench::new(TIMING);
        for micros in &micros {
            let (number, _) = bench.session.tick(bench.now);
            bench.session.echo(number, Duration::from_micros(*micros), bench.now);
        }
        let window = &micros[micros.len().saturating_sub(WINDOW)..];
        let (low, high) = (window.iter().min().unwrap(), window.iter().max().unwrap());
        let (low, high) = (Duration::from_micros(*low), Duration::from_micros(*high));
        let statistics = bench.session.statistics();
        for latency in [statistics.latency, statistics.latency_p50, statistics.latency_p99] {
            prop_assert!((low..=high).contains(&latency.unwrap()));
        }
        prop_assert!(statistics.jitter.unwrap() <= high - low + Duration::from_nanos(1));
    }
}
