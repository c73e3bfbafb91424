//! From the acceptance of a push to its end, and what waits for a Controller.
//!
//! Invariant: at most one push runs. What a successful push could not bring to an edge waits here, by site, until a
//! Controller is back or a later push has brought that edge something newer: nothing is lost, nothing is applied twice,
//! and the newest wins.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::manager::caller::Caller;
use crate::manager::controllers::Controller;
use crate::manager::policy_group::in_force::{self, Clash};
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
    /// Which one is active stays: a policy group is deployed to devices.
    Deploy,
}

/// Whose part of an edge's policy is pushed; the other side's part stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::manager) enum Side {
    /// That of the active vSmart policy.
    Vsmart,
    /// That of policy groups.
    Groups,
}

impl Change {
    /// Whose part it changes.
    pub(in crate::manager) fn side(self) -> Side {
        match self {
            Self::Activate | Self::Deactivate => Side::Vsmart,
            Self::Deploy => Side::Groups,
        }
    }
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
    /// The sites whose edges took nothing, each with the reason.
    pub(in crate::manager) failed: BTreeMap<u32, String>,
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
    pub(in crate::manager) from: Origin,
    pub(in crate::manager) policy: Arc<EdgePolicy>,
}

/// The push that an edge gets its policy from.
#[derive(Debug, Clone)]
pub(in crate::manager) struct Origin {
    pub(in crate::manager) task: String,
    pub(in crate::manager) number: u64,
    pub(in crate::manager) side: Side,
    pub(in crate::manager) policy_id: Uuid,
}

impl Push {
    /// What its edges know of it.
    pub(in crate::manager) fn origin(&self) -> Origin {
        Origin {
            task: self.task.clone(),
            number: self.number,
            side: self.change.side(),
            policy_id: self.policy_id,
        }
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Vsmart => Self::Groups,
            Self::Groups => Self::Vsmart,
        }
    }
}

impl Store {
    pub(super) fn accept(&mut self, caller: &Caller, order: Order) -> Accepted {
        if self.running.is_some() {
            let reason = "A vSmart policy operation is already in progress";
            return self.refuse(caller, order.work, reason);
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

    /// A task that fails its validation.
    pub(super) fn refuse(&mut self, caller: &Caller, work: Work, reason: &str) -> Accepted {
        Accepted {
            task: self.tasks.refuse(work, caller, reason),
            push: Err(reason.to_owned()),
        }
    }

    /// Checks that what is ordered can stand beside what edges follow, or wait for, from the other side.
    pub(super) fn check_clashes(&self, order: &Order) -> Result<(), Clash> {
        let side = order.change.side();
        for own in &order.edges {
            self.in_force.check(side, own)?;
            let waiting = self.scheduled.get(&(own.site_id, side.other()));
            waiting.map_or(Ok(()), |other| in_force::check(side, own, &other.policy))?;
        }
        Ok(())
    }

    /// Notes that a push waits for its turn, which is told of these devices.
    pub(in crate::manager) fn queue_push(&mut self, push: &Push, targets: impl Iterator<Item = Target>) {
        self.on_task(&push.task, |task| task.queue(targets));
    }

    /// Everything that an edge is to follow when `own` replaces the part of this side.
    pub(in crate::manager) fn whole(&self, side: Side, own: &EdgePolicy) -> EdgePolicy {
        self.in_force.whole(side, own)
    }

    /// Notes that the turn of a push has come.
    pub(in crate::manager) fn start_push(&mut self, push: &Push, at_ms: u64) {
        self.on_task(&push.task, |task| task.start(at_ms));
    }

    /// Notes that an edge took its policy.
    pub(in crate::manager) fn note_pushed(&mut self, from: &Origin, own: &EdgePolicy, at_ms: u64) {
        self.in_force.took(from, own);
        self.on_task(&from.task, |task| task.note_edge(at_ms, own.site_id));
    }

    /// Ends a push. After a failure the lock stays, since its edits are not on all edges.
    pub(in crate::manager) fn end_push(&mut self, push: &Push, end: PushEnd, at_ms: u64) {
        self.running = None;
        let side = push.change.side();
        for site in &end.taken {
            self.scheduled.remove(&(*site, side));
        }
        self.on_task(&push.task, |task| match side {
            Side::Vsmart => task.end(at_ms, |target| vsmart_row(&end, target)),
            Side::Groups => task.end(at_ms, |target| group_row(&end, target)),
        });
        if end.failure.is_none() && side == Side::Vsmart {
            self.active = (push.change == Change::Activate).then_some(push.policy_id);
            self.lock.release();
            self.unpushed = None;
            self.scheduled.retain(|(_, other), _| *other != side);
        }
        if end.failure.is_none() || side == Side::Groups {
            self.schedule(push, end.deferred);
        }
        let scheduled = &self.scheduled;
        let waits = |number, site| {
            scheduled
                .get(&(site, Side::Groups))
                .is_some_and(|known| known.from.number == number)
        };
        self.in_force.forget_deployments(waits);
    }

    fn schedule(&mut self, push: &Push, deferred: Vec<EdgePolicy>) {
        for policy in deferred {
            let (site_id, from) = (policy.site_id, push.origin());
            let side = from.side;
            let policy = Arc::new(policy);
            (self.scheduled).insert((site_id, side), Scheduled { from, policy });
        }
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
        self.in_force.took(&scheduled.from, &scheduled.policy);
        if self.is_scheduled(scheduled) {
            (self.scheduled).remove(&(scheduled.policy.site_id, scheduled.from.side));
        }
    }

    fn is_scheduled(&self, scheduled: &Scheduled) -> bool {
        let Scheduled { from, policy } = scheduled;
        let known = self.scheduled.get(&(policy.site_id, from.side));
        known.is_some_and(|known| known.from.number == from.number)
    }

    fn on_task(&mut self, id: &str, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.tasks.get_mut(id) {
            change(task);
        }
    }
}

/// How a Controller's row ends: as the whole does.
fn vsmart_row(end: &PushEnd, target: &Target) -> (RowStatus, String) {
    let away = || (end.away.iter()).any(|controller| controller.system_ip == target.system_ip);
    match &end.failure {
        Some(reason) => (
            RowStatus::Failure,
            format!("Failed to push vSmart policy: {reason}"),
        ),
        None if away() => {
            let text = "Controller is offline; the policy is scheduled until it is back";
            (RowStatus::SuccessScheduled, text.to_owned())
        }
        None => (RowStatus::Success, "Done - Push vSmart Policy".to_owned()),
    }
}

/// How an edge's row ends: as the edge did.
fn group_row(end: &PushEnd, target: &Target) -> (RowStatus, String) {
    let site_id = target.site_id;
    match end.failed.get(&site_id) {
        Some(reason) => (
            RowStatus::Failure,
            format!("Failed to deploy policy group: {reason}"),
        ),
        None if end.deferred.iter().any(|policy| policy.site_id == site_id) => {
            let text = "No Controller is online; the policy is scheduled until one is back";
            (RowStatus::SuccessScheduled, text.to_owned())
        }
        None => (RowStatus::Success, "Done - Deploy Policy Group".to_owned()),
    }
}
