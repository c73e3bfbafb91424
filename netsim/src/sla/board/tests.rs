#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use super::*;
use crate::bfd::{Session, Timing};

const HELLO: Duration = Duration::from_millis(50);

fn voice() -> SlaClass {
    SlaClass {
        name: "voice".to_owned(),
        loss: Some(10_000),
        latency: Some(Duration::from_millis(30)),
        jitter: None,
    }
}

const fn id(remote: usize) -> TunnelKey {
    (0, remote)
}

fn change(remote: usize, met: bool) -> SlaChange {
    SlaChange {
        tunnel: id(remote),
        class: voice(),
        met,
    }
}

/// A board, its sessions and the time that passes for them.
struct Bench {
    board: SlaBoard,
    sessions: Vec<Session>,
    now: Instant,
}

impl Bench {
    fn new(sessions: usize) -> Self {
        let now = Instant::now();
        let timing = Timing {
            hello: HELLO,
            multiplier: 3,
        };
        let mut board = SlaBoard::new(Polling::default(), (0..sessions).map(id));
        board.set_classes(&[voice()].into());
        Self {
            board,
            sessions: vec![Session::new(timing, now); sessions],
            now,
        }
    }

    /// One poll interval of four hellos for each session, with the latency of their echoes, if there are any.
    fn interval(&mut self, latencies: &[Option<Duration>]) -> Vec<SlaChange> {
        let mut changes = Vec::new();
        for _ in 0..4 {
            for (remote, (session, latency)) in self.sessions.iter_mut().zip(latencies).enumerate() {
                let (number, down) = session.tick(self.now);
                let up = latency.and_then(|latency| session.echo(number, latency, self.now + latency));
                for transition in down.into_iter().chain(up) {
                    changes.extend(self.board.turn(id(remote), transition.to));
                }
            }
            self.now += HELLO;
        }
        let totals = self.sessions.iter().map(Session::totals);
        let totals = totals.enumerate().map(|(remote, totals)| (id(remote), totals));
        changes.extend(self.board.poll(totals, self.now));
        changes
    }

    /// So many intervals; what changed in each of them.
    fn intervals(&mut self, count: usize, latencies: &[Option<Duration>]) -> Vec<Vec<SlaChange>> {
        (0..count).map(|_| self.interval(latencies)).collect()
    }
}

const GOOD: Option<Duration> = Some(Duration::from_millis(20));
const SLOW: Option<Duration> = Some(Duration::from_millis(61));

fn first_change(intervals: &[Vec<SlaChange>]) -> (usize, SlaChange) {
    let position = intervals.iter().position(|changes| !changes.is_empty()).unwrap();
    let others = intervals.iter().map(Vec::len).sum::<usize>();
    assert_eq!(others, 1, "one change: {intervals:?}");
    (position, intervals[position][0].clone())
}

#[test]
fn only_the_tunnel_that_changes_is_told() {
    let mut bench = Bench::new(3);
    assert!(bench.intervals(10, &[GOOD; 3]).iter().all(Vec::is_empty));
    let slow = bench.intervals(10, &[GOOD, SLOW, GOOD]);
    // A hello is settled three hellos later: with the second interval five of twenty are slow, which is 30.25 ms.
    assert_eq!(first_change(&slow), (1, change(1, false)));
    assert!(bench.board.health(id(0)).met.contains(&voice()));
    assert_eq!(bench.board.health(id(1)).met, [].into());
    assert_eq!(bench.board.health(id(1)).means.latency, SLOW);
    let healed = bench.intervals(20, &[GOOD; 3]);
    // With the fifth interval three of twenty are slow; then comes the hold-down, which is five intervals.
    assert_eq!(first_change(&healed), (9, change(1, true)));
}

#[test]
fn an_outage_is_no_loss_once_it_is_over() {
    let mut bench = Bench::new(2);
    bench.intervals(10, &[GOOD; 2]);
    let outage = bench.intervals(10, &[GOOD, None]);
    assert_eq!(first_change(&outage), (0, change(1, false)));
    assert_eq!(bench.board.health(id(1)), Health::default());
    let healed = bench.interval(&[GOOD; 2]);
    assert_eq!(healed, []);
    assert!(bench.board.health(id(1)).up);
    let healed = bench.intervals(7, &[GOOD; 2]);
    // The interval in which it came up is left out; the next begins the hold-down of five intervals.
    assert_eq!(first_change(&healed), (5, change(1, true)));
    assert_eq!(bench.board.health(id(1)).means.loss, Some(0));
}

#[test]
fn a_session_that_is_not_on_the_board_is_left_out() {
    let mut bench = Bench::new(1);
    let lost = Totals {
        lost: 100,
        ..Totals::default()
    };
    assert_eq!(bench.board.poll([(id(7), lost)], bench.now), []);
    assert_eq!(bench.board.turn(id(7), State::Up), []);
    assert_eq!(bench.board.health(id(7)), Health::default());
}

#[test]
fn classes_that_are_no_longer_in_force_are_not_judged() {
    let mut bench = Bench::new(1);
    bench.intervals(10, &[SLOW]);
    bench.board.set_classes(&BTreeSet::new());
    assert!(bench.intervals(30, &[GOOD]).iter().all(Vec::is_empty));
    let health = bench.board.health(id(0));
    assert_eq!((health.up, health.met), (true, [].into()));
}
