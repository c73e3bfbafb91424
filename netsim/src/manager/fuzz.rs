//! Requests that are nearly right, sent to every route of the API as it is served, without the connection.
//!
//! Whatever comes is answered: never with a panic, never with a server error. What is refused has changed nothing, and
//! what is accepted reads back. `PROPTEST_CASES` says how many requests are made; the same number makes the same ones. For
//! many of them: `PROPTEST_CASES=100000 cargo test --release -p netsim --lib manager::fuzz`.

mod bodies;
mod checks;
mod classic;
mod groups;
mod request;
mod routes;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use checks::{accepted, check_consistent, settle, task_of};
use request::{Case, case, request};
use routes::{Body, CANCEL, Of};
use world::{Answer, Client, Sent, World};

/// Unless the environment asks for more: a few seconds.
const CASES: u32 = 500;
/// So many requests meet what the ones before them left; the next ones find everything right again.
const CASES_OF_WORLD: u32 = 48;
/// Of so many clients at the same time, each with so many requests.
const CLIENTS: u32 = 8;
const TURNS: u32 = 3;
/// How long a push to an edge takes when others are to meet it.
const PUSH: Duration = Duration::from_millis(1);

/// What became of requests.
#[derive(Debug, Default)]
struct Counts {
    read: u32,
    written: u32,
    refused: u32,
    pushed: u32,
    deployed: u32,
}

/// Requests of one client, each of them checked.
async fn one_after_the_other(cases: u32) -> Counts {
    let mut runner = TestRunner::deterministic();
    let strategy = case();
    let mut counts = Counts::default();
    let mut number = 0;
    while number < cases {
        let mut world = World::new().await;
        let mut state = world.state().await;
        for _ in 0..CASES_OF_WORLD {
            number += 1;
            let case = strategy.new_tree(&mut runner).unwrap().current();
            let (sent, object) = request(&world, &case, number);
            let answer = world.send(&sent).await;
            if !accepted(&sent, &answer) {
                counts.refused += 1;
                check_unchanged(&world, &state, &sent).await;
                continue;
            }
            if case.route.body == Body::Fault {
                counts.written += 1;
                // What goes wrong from now on is wanted; the next requests are made in a world without it.
                break;
            }
            if keeps(&case) {
                counts.read += 1;
                note(&mut world, &sent, &answer).await;
                check_unchanged(&world, &state, &sent).await;
                continue;
            }
            match settle(&mut world, &case.route, (&sent, &answer), object).await {
                Some(true) if case.route.body == Body::Deploy => counts.deployed += 1,
                Some(true) => counts.pushed += 1,
                Some(false) | None => counts.written += 1,
            }
            state = world.state().await;
        }
    }
    counts
}

async fn check_unchanged(world: &World, state: &Value, sent: &Sent) {
    assert_eq!(world.state().await, *state, "not without a trace: {sent}");
}

/// Whether a request that is done leaves all objects and edges as they are.
fn keeps(case: &Case) -> bool {
    use Body::{Attach, Bulk, Deploy, Devices, None, Object, Release, Variables};
    match case.route.body {
        Object | Bulk | Release | Attach | Devices | Deploy | Variables => false,
        None => case.route.method != "DELETE" || !matches!(case.route.of, Of::Object(_)),
        _ => true,
    }
}

/// Notes what the client has now.
async fn note(world: &mut World, sent: &Sent, answer: &Answer) {
    if let Some(refresh) = answer.json["refresh"].as_str() {
        refresh.clone_into(&mut world.refresh);
    }
    if sent.path.starts_with("/logout") {
        world.client = world.log_in().await;
    }
}

fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(CASES)
}

#[tokio::test]
async fn nearly_right_requests_are_done_whole_or_not_at_all() {
    let cases = cases();
    let counts = one_after_the_other(cases).await;
    println!("{cases} requests: {counts:?}");
    let Counts {
        read,
        written,
        refused,
        pushed,
        deployed,
    } = counts;
    // Most of it would prove little if it were all refused at the door.
    let least = cases / 100;
    assert!(
        read > least && written > least && pushed > least && refused > least && deployed > least / 3,
        "{read} read, {written} written, {refused} refused, {pushed} pushed, {deployed} deployed"
    );
}

/// Whatever the order in which the requests of several clients come, what is left is consistent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_the_same_time_leave_nothing_half_done() {
    let mut runner = TestRunner::deterministic();
    let strategy = case();
    let mut all_cancelled = 0;
    for round in 0..cases() / (CLIENTS * TURNS) {
        let world = Arc::new(World::pushing_for(PUSH).await);
        let cancelled = Arc::new(AtomicU32::new(0));
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            let requests: Vec<(Case, Sent)> = (0..TURNS)
                .map(|turn| {
                    let case = strategy.new_tree(&mut runner).unwrap().current();
                    let number = round * 100 + client * TURNS + turn;
                    let sent = request(&world, &case, number).0;
                    (case, sent)
                })
                // What goes wrong on purpose is told from what does not by nobody here.
                .filter(|(case, _)| case.route.body != Body::Fault)
                .collect();
            let (world, cancelled) = (world.clone(), cancelled.clone());
            clients.spawn(async move { send_all(&world, requests, &cancelled).await });
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        while world.running().await.is_some() {
            tokio::time::sleep(PUSH).await;
        }
        let cancelled = cancelled.load(Ordering::Relaxed);
        check_consistent(&world, cancelled > 0).await;
        all_cancelled += cancelled;
    }
    println!("{all_cancelled} pushes cancelled");
    assert!(all_cancelled > 0, "nothing was cancelled in time");
}

/// Requests of one of several clients, of which every third cancels what it pushes.
async fn send_all(world: &World, requests: Vec<(Case, Sent)>, cancelled: &AtomicU32) {
    let client = world.log_in().await;
    for (case, mut sent) in requests {
        if sent.path.starts_with(CANCEL)
            && let Some(task) = world.running().await
        {
            sent.path = format!("{CANCEL}/{task}");
        }
        let answer = world.send_as(&client, &sent).await;
        if !accepted(&sent, &answer) {
            continue;
        }
        if sent.path.starts_with("/logout") {
            return;
        }
        cancelled.fetch_add(u32::from(sent.path.starts_with(CANCEL)), Ordering::Relaxed);
        let Some(task) = task_of(case.route.body, &answer.json) else {
            continue;
        };
        if case.object.index(3) == 0 {
            cancelled.fetch_add(u32::from(cancel(world, &client, task).await), Ordering::Relaxed);
        }
        world.follow(task).await;
    }
}

async fn cancel(world: &World, client: &Client, task: &str) -> bool {
    let sent = Sent::new("POST", &format!("{CANCEL}/{task}"), Vec::new());
    accepted(&sent, &world.send_as(client, &sent).await)
}
