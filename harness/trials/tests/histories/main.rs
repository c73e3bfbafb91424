//! Random histories of Services, endpoints, nodes, tunnels and faults: in the end the fabric does what the objects in
//! Kubernetes ask for, and on the way there it never carries a packet as nobody asked.
//!
//! # In the end
//! Faults are over, tunnels are up, and an operator runs. Then, within a deadline, every packet has the fate that the
//! README of the operator promises for the objects that there are (`oracle`), also if any one color were down. Nothing
//! of the operator's is left on the Manager that nothing refers to, the lock is free, what others made is as they made
//! it, and another operator that looks at everything anew writes nothing.
//!
//! # In between
//! Every policy that an edge was told is judged. The operator has seen some version of the Services, one of the
//! EndpointSlices, one of the namespaces and one of the SteeringPolicies: none older than what is known to have been
//! programmed before, none newer than what was written by then. Kubernetes does not keep watches of different kinds in
//! step, so any of these versions can come together. The fate of every packet has to be one that is asked for it in
//! one of these views. What all of them ask for is therefore never lost: a packet of a strict Service is on its tunnel or
//! dropped for want of it, never on another; and what none of them steers is never steered.
//!
//! What is known to have been programmed: now and then a Service is made in a namespace of its own, whose one endpoint is
//! steered just so only by who has seen every kind of object up to then. When the edges steer it, and everything else as
//! is asked at that time, all views from there on are at least as new.
//!
//! Not the operator's doing, and hence not judged: policies from the moment somebody else changed the operator's objects
//! until everything is known to be as asked.
//!
//! # Running
//! `HISTORIES` is how many (150 unless given), `HISTORY_SEED` the first seed; `RUST_LOG=sdwan_operator=info` shows what the
//! operators do. A failure prints its history, shortened as far
//! as it still fails, and the seed; times differ from run to run, so that one that fails need not do so always.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod checker;
mod draw;
mod facts;
mod history;
mod oracle;
mod shop;
mod trial;
mod wan;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use self::checker::Tally;
use self::history::History;

/// Histories when nothing else is asked for.
const HISTORIES: u64 = 150;
/// Histories at a time: most of their time they wait.
const AT_A_TIME: usize = 12;
/// How long a failure is shortened.
const SHORTENING: Duration = Duration::from_secs(240);

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_converge_and_carry_nothing_astray() {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env());
    log.with_ansi(false).with_test_writer().init();
    let panics = trial::note_panics();
    let begin = Instant::now();
    let first = number("HISTORY_SEED").unwrap_or(0);
    let count = number("HISTORIES").unwrap_or(HISTORIES);
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut running = JoinSet::new();
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    for seed in first..first + count {
        let place = places.clone().acquire_owned().await.unwrap();
        running.spawn(async move {
            let outcome = outcome(History::new(seed)).await;
            drop(place);
            (seed, outcome)
        });
    }
    while let Some(ended) = running.join_next().await {
        match ended.unwrap() {
            (_, Ok(one)) => tally.add(&one),
            (seed, Err(why)) => {
                println!("HISTORY_SEED={seed} HISTORIES=1: {why}");
                failures.push(seed);
            }
        }
    }
    println!("{count} histories in {:?}: {tally:?}", begin.elapsed());
    if let Some(seed) = failures.first() {
        shorten(*seed).await;
    }
    assert!(failures.is_empty(), "histories that failed: {failures:?}");
    assert_eq!(*panics.lock().unwrap(), [""; 0]);
}

/// What came of a history; a panic in it is a failure.
async fn outcome(history: History) -> Result<Tally, String> {
    let trial = tokio::spawn(async move { trial::run(&history).await });
    trial.await.unwrap_or_else(|panic| Err(panic.to_string()))
}

/// Leaves out steps as long as the history fails, and prints what is left.
async fn shorten(seed: u64) {
    let mut history = History::new(seed);
    let mut why = None;
    let deadline = Instant::now() + SHORTENING;
    for at in (0..history.steps.len()).rev() {
        if Instant::now() > deadline {
            break;
        }
        let mut shorter = history.clone();
        shorter.steps.remove(at);
        if let Err(still) = outcome(shorter.clone()).await {
            (history, why) = (shorter, Some(still));
        }
    }
    println!(
        "the history of seed {seed}, shortened: {history:#?}\n{}",
        why.unwrap_or_default()
    );
}
