//! One history from its beginning to its end.

use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use netsim::manager::Event;

use super::checker::{Tally, check_between};
use super::history::History;
use super::wan::{check_others, check_own};
use super::world::World;

/// How long the end of a history may take, with all machines at work on others.
const PATIENCE: Duration = Duration::from_secs(20);
const ROUNDS: &str = "sdwan_operator_rounds_total";
const LOOK: Duration = Duration::from_millis(3);

/// Notes all panics of the process from now on, also those that somebody catches.
pub fn note_panics() -> Arc<Mutex<Vec<String>>> {
    let noted: Arc<Mutex<Vec<String>>> = Arc::default();
    let (panics, usual) = (noted.clone(), panic::take_hook());
    panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        panics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(panic.to_string());
        usual(panic);
    }));
    noted
}

/// Lets a history happen; says what is wrong with what came of it.
pub async fn run(history: &History) -> Result<Tally, String> {
    let mut world = World::start(history).await;
    let begin = world.floors[0].0;
    let mut diary = String::new();
    for step in &history.steps {
        let at = begin.elapsed();
        world.take(step).await;
        diary += &format!("\n  {at:>12.3?} {step:?}");
    }
    let ended = end(&mut world).await;
    let (tally, between) = check_between(
        &world.shop.chronicle,
        &world.floors,
        &world.wan.edges.applied_since(0),
    );
    world.stop_all().await;
    between.and(ended).map(|()| tally).map_err(|why| {
        let setup = (
            history.replicas,
            history.resources,
            history.resync,
            history.busy,
            history.tokens,
        );
        format!("{why}\n(replicas, resources, resync, busy, tokens) = {setup:?}{diary}")
    })
}

async fn end(world: &mut World) -> Result<(), String> {
    let in_place = |what: &'static str| move |why: String| format!("{what}: {why}");
    world.heal();
    if world.is_tampered() && !world.history.resync {
        world.stop_all().await;
    }
    world.start_all().await;
    world
        .settle(PATIENCE)
        .await
        .map_err(in_place("after the faults"))?;
    // What could not be removed is removed when the Manager is looked at anew.
    world.stop_all().await;
    world.run(0).await;
    first_round(world).await?;
    world.settle_exactly(PATIENCE).await.map_err(in_place("anew"))?;
    world.stop_all().await;
    let (mut activity, told) = (world.wan.manager.activity(), world.wan.edges.count());
    world.run(0).await;
    first_round(world).await?;
    while let Some(activity) = activity.try_next() {
        let is_write = !matches!(activity.event, Event::LoggedIn { .. });
        if is_write {
            return Err(format!("there was nothing to do, but {:?}", activity.event));
        }
    }
    if world.wan.edges.count() != told {
        return Err("edges were told something when there was nothing to do".to_owned());
    }
    let rest = world.wan.rest().await;
    check_own(&rest).await?;
    check_others(&rest, &world.others).await
}

/// Waits until the one operator that was started has ended a round, and is well.
async fn first_round(world: &World) -> Result<(), String> {
    let operator = world.operators[0].as_ref().ok_or("no operator runs")?;
    let deadline = Instant::now() + PATIENCE;
    let rounds = || {
        let ended = ["Unchanged", "Programmed"].map(|outcome| format!("{ROUNDS}{{outcome=\"{outcome}\"}}"));
        ended.iter().map(|name| operator.metric(name)).sum::<f64>()
    };
    while rounds() < 1.0 && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    let health = &operator.telemetry.health;
    let reports = [health.live(tokio::time::Instant::now()), health.ready()];
    match reports.iter().find(|report| !report.passed) {
        Some(report) => Err(format!("the operator is not well: {}", report.text)),
        None if rounds() < 1.0 => Err("no round".to_owned()),
        None => Ok(()),
    }
}
