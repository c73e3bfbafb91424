//! From the acceptance of a push to its end, and what waits for a Controller.
//!
//! Invariant: at most one push runs. What a successful push could not bring to an edge waits here, by site, until a
//! Controller is back or a later push has brought that edge something newer: nothing is lost, nothing is applied twice,
//! and the newest wins.

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::manager::caller::Caller;
use crate::manager::controllers::Controller;
use crate::manager::task::{RowStatus, Target, Task, Work};
use crate::policy::EdgePolicy;

/// What becomes of the policy when its push is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It becomes, or stays, the active one.
    Activate,
    /// No policy is active any more.
    Deactivate,
}

/// What is pushed, and why.
pub(super) struct Order {
    pub(super) work: Work,
    pub(super) change: Change,
    pub(super) policy_id: Uuid,
    pub(super) policy_name: String,
    pub(super) edges: Vec<EdgePolicy>,
}

/// Work for the edges, compiled when the activation was accepted.
#[derive(Debug)]
pub(in crate::manager) struct Push {
    /// The task that tells of it.
    pub(in crate::manager) task: String,
    /// How many pushes this Manager has accepted, this one included.
    pub(in crate::manager) number: u64,
    pub(in crate::manager) policy_id: Uuid,
    pub(in crate::manager) policy_name: String,
    pub(in crate::manager) change: Change,
    pub(in crate::manager) edges: Vec<EdgePolicy>,
    /// Someone wants it to end.
    pub(in crate::manager) cancel: CancellationToken,
}

/// The answer to an activation or deactivation.
#[derive(Debug)]
pub(in crate::manager) struct Accepted {
    /// The task to follow.
    pub(in crate::manager) task: String,
    /// The reason when the task failed its validation.
    pub(in crate::manager) push: Result<Push, String>,
}

/// How a push went.
#[derive(Debug, Default)]
pub(in crate::manager) struct PushEnd {
    /// The sites whose edges took their policy.
    pub(in crate::manager) taken: Vec<u32>,
    /// What no Controller was online for.
    pub(in crate::manager) deferred: Vec<EdgePolicy>,
    /// The Controllers that were offline.
    pub(in crate::manager) away: Vec<Controller>,
    /// Why it failed.
    pub(in crate::manager) failure: Option<String>,
}

/// The push that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) policy_id: Uuid,
    task: String,
    cancel: CancellationToken,
}

/// Policy that waits for a Controller.
#[derive(Debug, Clone)]
pub(in crate::manager) struct Scheduled {
    /// The push that it is of.
    pub(in crate::manager) task: String,
    /// The number of that push.
    pub(in crate::manager) number: u64,
    pub(in crate::manager) policy: Arc<EdgePolicy>,
}

impl Store {
    pub(super) fn accept(&mut self, caller: &Caller, order: Order) -> Accepted {
        if self.running.is_some() {
            let reason = "A vSmart policy operation is already in progress";
            return Accepted {
                task: self.tasks.refuse(order.work, caller, reason),
                push: Err(reason.to_owned()),
            };
        }
        let task = self.tasks.accept(order.work, caller);
        let cancel = CancellationToken::new();
        self.running = Some(Running {
            policy_id: order.policy_id,
            task: task.clone(),
            cancel: cancel.clone(),
        });
        self.pushes += 1;
        let push = Push {
            task: task.clone(),
            number: self.pushes,
            policy_id: order.policy_id,
            policy_name: order.policy_name,
            change: order.change,
            edges: order.edges,
            cancel,
        };
        Accepted { task, push: Ok(push) }
    }

    /// Notes that a push waits for its turn.
    pub(in crate::manager) fn queue_push(&mut self, push: &Push, controllers: &[Controller]) {
        let targets = controllers.iter().map(Controller::target);
        self.on_task(&push.task, |task| task.queue(targets));
    }

    /// Notes that the turn of a push has come.
    pub(in crate::manager) fn start_push(&mut self, push: &Push, at_ms: u64) {
        self.on_task(&push.task, |task| task.start(at_ms));
    }

    /// Notes that an edge took its policy.
    pub(in crate::manager) fn note_pushed(&mut self, task: &str, site_id: u32, at_ms: u64) {
        let text = format!("Policy applied by the WAN edge of site {site_id}");
        self.on_task(task, |task| task.note(at_ms, &text));
    }

    /// Ends a push. After a failure the lock stays, since its edits are not on all edges.
    pub(in crate::manager) fn end_push(&mut self, push: &Push, end: PushEnd, at_ms: u64) {
        self.running = None;
        for site in &end.taken {
            self.scheduled.remove(site);
        }
        if end.failure.is_none() {
            self.active = (push.change == Change::Activate).then_some(push.policy_id);
            self.lock.release();
            self.scheduled.clear();
            self.scheduled.extend(end.deferred.into_iter().map(|policy| {
                let scheduled = Scheduled {
                    task: push.task.clone(),
                    number: push.number,
                    policy: Arc::new(policy),
                };
                (scheduled.policy.site_id, scheduled)
            }));
        }
        let is_away = |target: &Target| end.away.iter().any(|away| away.system_ip == target.system_ip);
        let row_end = |target: &Target| match &end.failure {
            Some(reason) => (
                RowStatus::Failure,
                format!("Failed to push vSmart policy: {reason}"),
            ),
            None if is_away(target) => {
                let text = "Controller is offline; the policy is scheduled until it is back";
                (RowStatus::SuccessScheduled, text.to_owned())
            }
            None => (RowStatus::Success, "Done - Push vSmart Policy".to_owned()),
        };
        self.on_task(&push.task, |task| task.end(at_ms, row_end));
    }

    /// Wants a push to end: what edges have taken stays with them, and those that come later get nothing.
    pub(in crate::manager) fn cancel(&mut self, id: &str) -> Result<(), StoreError> {
        let task = self
            .tasks
            .get_mut(id)
            .ok_or_else(|| StoreError::NoTask(id.to_owned()))?;
        match &self.running {
            Some(running) if running.task == id => {
                task.cancel();
                running.cancel.cancel();
                Ok(())
            }
            _ => Err(StoreError::NotRunning(id.to_owned())),
        }
    }

    /// What waits for a Controller, unless a push runs, after which it may be something else.
    pub(in crate::manager) fn deliverable(&self) -> Vec<Scheduled> {
        match self.running {
            Some(_) => Vec::new(),
            None => self.scheduled.values().cloned().collect(),
        }
    }

    /// Whether this is still what the edge waits for.
    pub(in crate::manager) fn is_due(&self, scheduled: &Scheduled) -> bool {
        self.running.is_none() && self.is_scheduled(scheduled)
    }

    /// Notes that an edge took what waited for it.
    pub(in crate::manager) fn note_delivered(&mut self, scheduled: &Scheduled) {
        if self.is_scheduled(scheduled) {
            self.scheduled.remove(&scheduled.policy.site_id);
        }
    }

    fn is_scheduled(&self, scheduled: &Scheduled) -> bool {
        let known = self.scheduled.get(&scheduled.policy.site_id);
        known.is_some_and(|known| known.number == scheduled.number)
    }

    fn on_task(&mut self, id: &str, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.tasks.get_mut(id) {
            change(task);
        }
    }
}
