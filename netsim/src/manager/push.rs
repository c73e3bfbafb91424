//! From an accepted activation to the edges.
//!
//! Owns the one task that a push is: the delay, all edges at once, the outcome. Invariant: every push that the store
//! accepted is ended in the store, whatever the edges do.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;

use super::activity::Event;
use super::app::App;
use super::store::Push;
use crate::policy::EdgePolicy;

/// An edge that has not answered by then has failed.
const EDGE_DEADLINE: Duration = Duration::from_secs(30);

/// Waits for the push delay and programs every edge.
pub(super) async fn run(app: Arc<App>, mut push: Push) {
    if !app.push_delay.is_zero() {
        tokio::time::sleep(app.push_delay).await;
    }
    let mut edges = JoinSet::new();
    for policy in std::mem::take(&mut push.edges) {
        edges.spawn(push_to_edge(app.clone(), push.task.clone(), policy));
    }
    let mut failures: Vec<String> = edges
        .join_all()
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    failures.sort();
    let outcome = if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("; "))
    };
    let task = push.task.clone();
    let event = match outcome.clone() {
        Ok(()) => Event::TaskDone { task },
        Err(reason) => Event::TaskFailed { task, reason },
    };
    // Recorded first: whoever sees the task done finds the record.
    app.activity.record(event);
    app.store().end_push(&push, outcome, app.now_ms());
}

async fn push_to_edge(app: Arc<App>, task: String, policy: EdgePolicy) -> Result<(), String> {
    let site_id = policy.site_id;
    let apply = AssertUnwindSafe(app.edges.apply(&policy)).catch_unwind();
    let reason = match tokio::time::timeout(EDGE_DEADLINE, apply).await {
        Ok(Ok(Ok(()))) => {
            app.activity.record(Event::Pushed {
                task: task.clone(),
                site_id,
            });
            app.store().note_pushed(&task, site_id, app.now_ms());
            return Ok(());
        }
        Ok(Ok(Err(error))) => error.reason,
        Ok(Err(_)) => "the edge panicked".to_owned(),
        Err(_) => format!("no answer within {} s", EDGE_DEADLINE.as_secs()),
    };
    let failure = format!("site {site_id}: {reason}");
    app.activity.record(Event::PushRefused {
        task,
        site_id,
        reason,
    });
    Err(failure)
}
