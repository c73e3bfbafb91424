//! The Manager's state: objects, which policy is active, the edit lock, and tasks.
//!
//! Owns the rules of editing and activating; parsing is done before, pushing to edges after. Everything here is
//! synchronous and takes the time from its caller. Invariant: the edges get what was stored when an activation was
//! accepted, and at most one policy is active and at most one push runs.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use super::caller::Caller;
use super::compile::{self, Place};
use super::definition::DefinitionKind;
use super::list::ListKind;
use super::objects::{ObjectError, Objects};
use super::session::SessionId;
use super::task::{Task, TaskState};
use crate::policy::EdgePolicy;

/// The Manager's state.
#[derive(Debug, Default)]
pub(super) struct Store {
    objects: Objects,
    active: Option<Uuid>,
    lock: Option<EditLock>,
    /// The policy that a running push makes active, or ends with.
    pushing: Option<Uuid>,
    tasks: BTreeMap<String, Task>,
    last_task_number: u64,
}

/// Held from the first edit of the active policy until a push has brought it to the edges.
#[derive(Debug, Clone)]
struct EditLock {
    process_id: String,
    holder: SessionId,
}

/// Why an edit or activation was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// About one object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Another session edits the active policy, or a push of it runs.
    #[error("the active policy is being edited or pushed")]
    Locked,
    /// The `processId` is not that of an edit under way.
    #[error("no edit with the processId `{0}` is under way")]
    EditExpired(String),
    /// Deactivation of a policy that is not active.
    #[error("policy {0} is not active")]
    NotActive(String),
    /// Deletion of a policy that edges follow.
    #[error("Policy {0} is attached to device")]
    Attached(String),
    /// No task has this id.
    #[error("no task has the id `{0}`")]
    NoTask(String),
}

/// The answer to an edit.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edited {
    /// Policies that have to be activated again before the edit has an effect.
    pub(super) master_templates_affected: Vec<Uuid>,
    /// Ends the edit when given to an activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process_id: Option<String>,
}

/// What an activation says about edits under way.
#[derive(Debug, Default)]
pub(super) struct Release {
    /// `isEdited`: push whatever has been edited.
    pub(super) is_edited: bool,
    /// The edit to end.
    pub(super) process_id: Option<String>,
}

/// What becomes of the policy when its push is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It becomes, or stays, the active one.
    Activate,
    /// No policy is active any more.
    Deactivate,
}

/// Work for the edges, compiled when the activation was accepted.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) task: String,
    pub(super) policy_id: Uuid,
    pub(super) policy_name: String,
    pub(super) change: Change,
    pub(super) edges: Vec<EdgePolicy>,
}

/// The answer to an activation or deactivation.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The task to follow.
    pub(super) task: String,
    /// Nothing when the task failed its validation.
    pub(super) push: Option<Push>,
}

impl Store {
    /// The objects, to read.
    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The objects, to add to: nothing that is new can be part of the active policy.
    pub(super) fn objects_for_creation(&mut self) -> &mut Objects {
        &mut self.objects
    }

    /// The active policy.
    pub(super) fn active(&self) -> Option<Uuid> {
        self.active
    }

    /// Replaces the object `id` by what `edit` does, under the rules of locking.
    pub(super) fn edit(
        &mut self,
        caller: &Caller,
        id: Uuid,
        process_id: Option<&str>,
        edit: impl FnOnce(&mut Objects) -> Result<(), ObjectError>,
    ) -> Result<Edited, StoreError> {
        let in_force = self.is_in_force(id);
        if in_force {
            self.check_unlocked(caller, process_id)?;
        }
        edit(&mut self.objects)?;
        let Some(active) = self.active.filter(|_| in_force) else {
            return Ok(Edited {
                master_templates_affected: Vec::new(),
                process_id: None,
            });
        };
        let lock = self.lock.get_or_insert_with(|| EditLock {
            process_id: Uuid::new_v4().to_string(),
            holder: caller.session.clone(),
        });
        Ok(Edited {
            master_templates_affected: vec![active],
            process_id: Some(lock.process_id.clone()),
        })
    }

    /// Replaces a policy without regard to the lock, as `vsmart/central` does; a running push still forbids it.
    pub(super) fn edit_central(
        &mut self,
        id: Uuid,
        edit: impl FnOnce(&mut Objects) -> Result<(), ObjectError>,
    ) -> Result<Edited, StoreError> {
        if self.pushing == Some(id) {
            return Err(StoreError::Locked);
        }
        edit(&mut self.objects)?;
        let affected = self.active.filter(|active| *active == id);
        let process_id = affected
            .and(self.lock.as_ref())
            .map(|lock| lock.process_id.clone());
        Ok(Edited {
            master_templates_affected: affected.into_iter().collect(),
            process_id,
        })
    }

    /// Deletes a list.
    pub(super) fn delete_list(&mut self, kind: &ListKind, id: &str) -> Result<String, StoreError> {
        Ok(self.objects.delete_list(kind, id)?.name)
    }

    /// Deletes a definition.
    pub(super) fn delete_definition(&mut self, kind: DefinitionKind, id: &str) -> Result<String, StoreError> {
        Ok(self.objects.delete_definition(kind, id)?.name)
    }

    /// Deletes a policy that edges do not follow.
    pub(super) fn delete_policy(&mut self, id: &str) -> Result<String, StoreError> {
        let policy = self.objects.policy(id)?;
        if self.active == Some(policy.id) || self.pushing == Some(policy.id) {
            return Err(StoreError::Attached(policy.name.clone()));
        }
        Ok(self.objects.delete_policy(id)?.name)
    }

    /// Accepts an activation.
    pub(super) fn activate(
        &mut self,
        caller: &Caller,
        id: &str,
        release: &Release,
        places: &[Place<'_>],
    ) -> Result<Accepted, StoreError> {
        let policy = self.objects.policy(id)?;
        match (&release.process_id, &self.lock) {
            (Some(given), Some(lock)) if *given == lock.process_id => {}
            (Some(given), _) => return Err(StoreError::EditExpired(given.clone())),
            (None, Some(_)) if !release.is_edited => return Err(StoreError::Locked),
            (None, _) => {}
        }
        // Lists may have changed since the policy was stored.
        self.objects.check_policy(policy)?;
        compile::check_emulated(&policy.assembly, &self.objects).map_err(ObjectError::from)?;
        let edges = compile::compile(&policy.assembly, &self.objects, places).map_err(ObjectError::from)?;
        let (id, name) = (policy.id, policy.name.clone());
        Ok(self.accept(caller, id, name, Change::Activate, edges))
    }

    /// Accepts a deactivation.
    pub(super) fn deactivate(
        &mut self,
        caller: &Caller,
        id: &str,
        places: &[Place<'_>],
    ) -> Result<Accepted, StoreError> {
        let policy = self.objects.policy(id)?;
        if self.active != Some(policy.id) {
            return Err(StoreError::NotActive(policy.name.clone()));
        }
        if self
            .lock
            .as_ref()
            .is_some_and(|lock| lock.holder != caller.session)
        {
            return Err(StoreError::Locked);
        }
        let (id, name) = (policy.id, policy.name.clone());
        let edges = places.iter().map(|place| compile::no_policy(*place)).collect();
        Ok(self.accept(caller, id, name, Change::Deactivate, edges))
    }

    fn accept(
        &mut self,
        caller: &Caller,
        policy_id: Uuid,
        policy_name: String,
        change: Change,
        edges: Vec<EdgePolicy>,
    ) -> Accepted {
        self.last_task_number = caller.at_ms.max(self.last_task_number + 1);
        let id = format!("vsmart_policy_config-{}", self.last_task_number);
        if self.pushing.is_some() {
            let reason = "A vSmart policy operation is already in progress";
            self.tasks
                .insert(id.clone(), Task::refuse(id.clone(), caller, reason));
            return Accepted { task: id, push: None };
        }
        self.pushing = Some(policy_id);
        self.tasks.insert(id.clone(), Task::begin(id.clone(), caller));
        let push = Push {
            task: id.clone(),
            policy_id,
            policy_name,
            change,
            edges,
        };
        Accepted {
            task: id,
            push: Some(push),
        }
    }

    /// Notes that an edge took its policy.
    pub(super) fn note_pushed(&mut self, task: &str, site_id: u32, at_ms: u64) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.note(
                at_ms,
                &format!("Policy applied by the WAN edge of site {site_id}"),
            );
        }
    }

    /// Ends a push. After a failure the lock stays, since its edits are not on all edges.
    pub(super) fn end_push(&mut self, push: &Push, outcome: Result<(), String>, at_ms: u64) {
        self.pushing = None;
        let (state, line) = match outcome {
            Ok(()) => {
                self.active = (push.change == Change::Activate).then_some(push.policy_id);
                self.lock = None;
                (TaskState::Success, "Done - Push vSmart Policy".to_owned())
            }
            Err(reason) => (
                TaskState::Failure,
                format!("Failed to push vSmart policy: {reason}"),
            ),
        };
        if let Some(task) = self.tasks.get_mut(&push.task) {
            task.end(state, at_ms, &line);
        }
    }

    /// A task.
    pub(super) fn task(&self, id: &str) -> Result<&Task, StoreError> {
        self.tasks
            .get(id)
            .ok_or_else(|| StoreError::NoTask(id.to_owned()))
    }

    /// Tasks under way, oldest first.
    pub(super) fn running_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| task.is_running())
    }

    /// Checks that an edit is under way, which is all that extending it needs: it does not time out.
    pub(super) fn extend_lock(&self, process_id: &str) -> Result<(), StoreError> {
        match &self.lock {
            Some(lock) if lock.process_id == process_id => Ok(()),
            _ => Err(StoreError::EditExpired(process_id.to_owned())),
        }
    }

    /// Gives up an edit. What was stored stays stored, and waits for the next activation.
    pub(super) fn release_lock(&mut self, process_id: &str) -> Result<(), StoreError> {
        self.extend_lock(process_id)?;
        self.lock = None;
        Ok(())
    }

    fn is_in_force(&self, id: Uuid) -> bool {
        let policies = [self.active, self.pushing];
        policies
            .into_iter()
            .flatten()
            .any(|policy| self.objects.parts_of(policy).contains(&id))
    }

    fn check_unlocked(&self, caller: &Caller, process_id: Option<&str>) -> Result<(), StoreError> {
        if self.pushing.is_some() {
            return Err(StoreError::Locked);
        }
        match (&self.lock, process_id) {
            (Some(lock), Some(given)) if lock.process_id == given => Ok(()),
            (_, Some(given)) => Err(StoreError::EditExpired(given.to_owned())),
            (Some(lock), None) if lock.holder != caller.session => Err(StoreError::Locked),
            (_, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
