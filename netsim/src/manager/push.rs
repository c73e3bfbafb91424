//! From an accepted activation to the edges.
//!
//! Owns the one task that a push is (its turn, the delays, all edges at once, the outcome) and the one that brings edges
//! what waited for a Controller. Invariant: every push that the store accepted is ended in the store, whatever the edges
//! do and even if this panics; and an edge takes one policy at a time, in the order in which they were accepted.

mod refusing;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, TryFutureExt};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Device;
use super::activity::Event;
use super::app::App;
use super::controllers::Controller;
use super::faults::Fault;
use super::store::{Origin, Push, PushEnd, Scheduled, Side};
use super::task::Target;
use crate::policy::EdgePolicy;
use refusing::Refusing;

/// An edge that has not answered by then has failed.
const EDGE_DEADLINE: Duration = Duration::from_secs(30);

/// After this long an edge is asked again that refused what had waited for a Controller.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a push failed that ran into a defect of this emulation.
const PANICKED: &str = "the emulation panicked";

/// What became of one edge in a push.
enum Outcome {
    Taken(u32),
    /// No Controller was online.
    Deferred(EdgePolicy),
    Refused(u32, String),
    Cancelled(u32),
}

/// One push, as far as its edges share it.
struct Round {
    from: Origin,
    cancel: CancellationToken,
    refusing: Refusing,
}

/// Waits for the turn of a push, programs every edge after its delay, and ends it.
pub(super) async fn run(app: Arc<App>, mut push: Push) {
    let edges = std::mem::take(&mut push.edges);
    let sites = edges.iter().map(|policy| policy.site_id).collect();
    let end = ended(sites, carry_out(&app, &push, edges)).await;
    // Recorded first: whoever sees the task done finds the record.
    app.activity.record(event(&push.task, &end));
    app.store().end_push(&push, end, app.now_ms());
    app.push_ended.notify_one();
}

/// How a push ends, which it does even if what carries it out panics.
async fn ended(sites: Vec<u32>, carried_out: impl Future<Output = PushEnd>) -> PushEnd {
    let ended = AssertUnwindSafe(carried_out).catch_unwind().await;
    ended.unwrap_or_else(|_| PushEnd {
        failed: sites
            .into_iter()
            .map(|site| (site, PANICKED.to_owned()))
            .collect(),
        failure: Some(PANICKED.to_owned()),
        ..PushEnd::default()
    })
}

async fn carry_out(app: &Arc<App>, push: &Push, edges: Vec<EdgePolicy>) -> PushEnd {
    app.store()
        .queue_push(push, targets(app, push, &edges).into_iter());
    let delay = app.faults.delay(|fault| match fault {
        Fault::DelayTasks { by_ms, .. } => Some(Duration::from_millis(*by_ms)),
        _ => None,
    });
    let _ = push.cancel.run_until_cancelled(delay).await;
    app.store().start_push(push, app.now_ms());
    let away = app.controllers.feel_away();
    let outcomes = if push.cancel.is_cancelled() {
        let sites = edges.iter().map(|policy| policy.site_id);
        sites.map(Outcome::Cancelled).collect()
    } else if away.len() == app.controllers.all().len() {
        edges.into_iter().map(Outcome::Deferred).collect()
    } else {
        program(app, push, edges).await
    };
    let mut end = sum_up(outcomes);
    end.away = match end.deferred.is_empty() {
        true => away,
        // There was a moment in which no Controller was online.
        false => app.controllers.all().to_vec(),
    };
    end
}

/// The devices that the task of a push tells of.
fn targets(app: &App, push: &Push, edges: &[EdgePolicy]) -> Vec<Target> {
    let of_site = |site_id| app.devices.iter().find(|device| device.site_id == site_id);
    match push.change.side() {
        Side::Vsmart => app.controllers.all().iter().map(Controller::target).collect(),
        Side::Groups => (edges.iter())
            .filter_map(|edge| of_site(edge.site_id).map(Device::target))
            .collect(),
    }
}

async fn program(app: &Arc<App>, push: &Push, edges: Vec<EdgePolicy>) -> Vec<Outcome> {
    let round = Arc::new(Round {
        from: push.origin(),
        cancel: push.cancel.clone(),
        refusing: Refusing::new(&app.faults),
    });
    let mut tasks = JoinSet::new();
    for policy in edges {
        let site_id = policy.site_id;
        let pushed = AssertUnwindSafe(push_to_edge(app.clone(), round.clone(), policy)).catch_unwind();
        let panicked = move |_| Outcome::Refused(site_id, PANICKED.to_owned());
        tasks.spawn(pushed.unwrap_or_else(panicked));
    }
    tasks.join_all().await
}

async fn push_to_edge(app: Arc<App>, round: Arc<Round>, policy: EdgePolicy) -> Outcome {
    let site_id = policy.site_id;
    let wait = wait_for_turn(&app, round.from.number, site_id);
    let Some(_turn) = round.cancel.run_until_cancelled(wait).await else {
        return Outcome::Cancelled(site_id);
    };
    if app.controllers.online() == 0 {
        app.controllers.feel_away();
        return Outcome::Deferred(policy);
    }
    let whole = app.store().whole(round.from.side, &policy);
    match apply(&app, &round.from.task, &round.refusing, &whole).await {
        Ok(()) => {
            app.store().note_pushed(&round.from, &policy, app.now_ms());
            Outcome::Taken(site_id)
        }
        Err(reason) => Outcome::Refused(site_id, reason),
    }
}

/// Waits for the delay of an edge, and until it takes nothing else. Cancelling is heard before the edge is touched.
async fn wait_for_turn(app: &App, number: u64, site_id: u32) -> tokio::sync::MutexGuard<'_, ()> {
    let delay = app.push_delay.of(number, site_id);
    if !delay.is_zero() {
        sleep(delay).await;
    }
    app.edge_turns[&site_id].lock().await
}

async fn apply(app: &App, task: &str, refusing: &Refusing, policy: &EdgePolicy) -> Result<(), String> {
    let (task, site_id) = (task.to_owned(), policy.site_id);
    let reason = if refusing.has(site_id) {
        "it refuses, as the fault failPushes wants".to_owned()
    } else {
        let applied = AssertUnwindSafe(app.edges.apply(policy)).catch_unwind();
        match tokio::time::timeout(EDGE_DEADLINE, applied).await {
            Ok(Ok(Ok(()))) => {
                app.activity.record(Event::Pushed { task, site_id });
                return Ok(());
            }
            Ok(Ok(Err(error))) => error.reason,
            Ok(Err(_)) => "the edge panicked".to_owned(),
            Err(_) => format!("no answer within {} s", EDGE_DEADLINE.as_secs()),
        }
    };
    app.activity.record(Event::PushRefused {
        task,
        site_id,
        reason: reason.clone(),
    });
    Err(reason)
}

fn sum_up(outcomes: Vec<Outcome>) -> PushEnd {
    let mut end = PushEnd::default();
    let (mut refused, mut cancelled) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Outcome::Taken(site) => end.taken.push(site),
            Outcome::Deferred(policy) => end.deferred.push(policy),
            Outcome::Refused(site, reason) => {
                refused.push(format!("site {site}: {reason}"));
                end.failed.insert(site, reason);
            }
            Outcome::Cancelled(site) => {
                cancelled.push(site);
                end.failed.insert(site, "cancelled".to_owned());
            }
        }
    }
    refused.sort();
    if !cancelled.is_empty() {
        end.taken.sort_unstable();
        cancelled.sort_unstable();
        let (taken, cancelled) = (&end.taken, &cancelled);
        refused.push(format!(
            "cancelled: applied at sites {taken:?}, not at sites {cancelled:?}"
        ));
    }
    end.failure = (!refused.is_empty()).then(|| refused.join("; "));
    end
}

fn event(task: &str, end: &PushEnd) -> Event {
    let task = task.to_owned();
    match &end.failure {
        Some(reason) => Event::TaskFailed {
            task,
            reason: reason.clone(),
        },
        None if !end.deferred.is_empty() => Event::TaskScheduled { task },
        None => Event::TaskDone { task },
    }
}

/// Brings edges what waits for a Controller, whenever one is online and no push runs; never ends.
pub(super) async fn deliver_scheduled(app: Arc<App>) {
    let mut healed = app.faults.healed();
    loop {
        let changed = async {
            tokio::select! {
                () = app.push_ended.notified() => {}
                _ = healed.changed() => {}
            }
        };
        changed.await;
        while !deliver(&app).await {
            sleep(RETRY_AFTER).await;
        }
    }
}

/// Brings edges what waits; false if one did not take it.
async fn deliver(app: &Arc<App>) -> bool {
    let waiting = app.store().deliverable();
    if waiting.is_empty() || app.controllers.online() == 0 {
        return true;
    }
    let refusing = Arc::new(Refusing::new(&app.faults));
    let mut tasks = JoinSet::new();
    for scheduled in waiting {
        tasks.spawn(deliver_to_edge(app.clone(), scheduled, refusing.clone()));
    }
    let mut all = true;
    while let Some(taken) = tasks.join_next().await {
        // What panicked has taken nothing.
        all &= taken.unwrap_or(false);
    }
    all
}

async fn deliver_to_edge(app: Arc<App>, scheduled: Scheduled, refusing: Arc<Refusing>) -> bool {
    let policy = &scheduled.policy;
    let _turn = wait_for_turn(&app, scheduled.from.number, policy.site_id).await;
    if !app.store().is_due(&scheduled) || app.controllers.online() == 0 {
        return true;
    }
    let whole = app.store().whole(scheduled.from.side, policy);
    let taken = apply(&app, &scheduled.from.task, &refusing, &whole).await.is_ok();
    if taken {
        app.store().note_delivered(&scheduled);
    }
    taken
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
