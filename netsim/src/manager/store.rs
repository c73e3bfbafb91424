//! The Manager's state: objects, which policy is active, the edit lock, and tasks.
//!
//! Owns the rules of editing and activating; who may edit is in `lock`, what becomes of an accepted activation in
//! `pushes`. Parsing is done before, pushing to edges after. Everything here is synchronous and takes the time from its
//! caller. Invariant: the edges get what was stored when an activation was accepted, and at most one policy is active.

mod deploy;
mod lock;
mod pushes;

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use super::caller::Caller;
use super::compile::{self, Place};
use super::definition::{Definition, DefinitionKind};
use super::faults::{Fault, Faults};
use super::feature_profile::catalog::{Catalog, CatalogError};
use super::list::ListKind;
use super::objects::{ObjectError, Objects};
use super::policy_group::in_force::{Clash, InForce};
use super::policy_group::translate::TranslateError;
use super::policy_group::{GroupError, PolicyGroups};
use super::task::{Task, Work};
use super::task_list::TaskList;
use super::template;
use lock::EditLock;
pub use pushes::Change;
pub(super) use pushes::{Accepted, Origin, Push, PushEnd, Scheduled, Side};
use pushes::{Order, Running};

/// The Manager's state.
#[derive(Debug)]
pub(super) struct Store {
    objects: Objects,
    active: Option<Uuid>,
    lock: EditLock,
    /// The policy that was edited without the lock, until the edit is pushed.
    unpushed: Option<Uuid>,
    running: Option<Running>,
    /// How many pushes were accepted.
    pushes: u64,
    /// What edges wait for until a Controller is back, by site and side.
    scheduled: BTreeMap<(u32, Side), Scheduled>,
    tasks: TaskList,
    faults: Faults,
    catalog: Catalog,
    groups: PolicyGroups,
    in_force: InForce,
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
    /// Another user holds the lock, so nothing is pushed.
    #[error("another user holds the edit lock")]
    Held,
    /// The `processId` is not that of an edit under way.
    #[error("no edit with the processId `{0}` is under way")]
    EditExpired(String),
    /// A template is attached again, and nothing has been edited.
    #[error("no edit of the active policy is under way")]
    NothingEdited,
    /// Deactivation of a policy that is not active.
    #[error("policy {0} is not active")]
    NotActive(String),
    /// Deletion of a policy that edges follow.
    #[error("Policy {0} is attached to device")]
    Attached(String),
    /// No task has this id.
    #[error("no task has the id `{0}`")]
    NoTask(String),
    /// Only what runs can be cancelled.
    #[error("task {0} is not running")]
    NotRunning(String),
    /// About a feature profile or parcel.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// About a policy group.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A policy group cannot be what a device follows.
    #[error(transparent)]
    Translate(#[from] TranslateError),
    /// A vSmart policy and a policy group want the same.
    #[error(transparent)]
    Clash(#[from] Clash),
}

/// The answer to an edit.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edited {
    /// The templates that have to be pushed again before the edit has an effect.
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

#[cfg(test)]
impl Default for Store {
    fn default() -> Self {
        Self::new(Faults::default())
    }
}

impl Store {
    /// Without objects.
    pub(super) fn new(faults: Faults) -> Self {
        Self {
            objects: Objects::default(),
            active: None,
            lock: EditLock::default(),
            unpushed: None,
            running: None,
            pushes: 0,
            scheduled: BTreeMap::new(),
            tasks: TaskList::default(),
            faults,
            catalog: Catalog::default(),
            groups: PolicyGroups::default(),
            in_force: InForce::default(),
        }
    }

    /// The objects, to read.
    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The objects, to add to: nothing that is new can be part of the active policy.
    pub(super) fn objects_for_creation(&mut self) -> &mut Objects {
        &mut self.objects
    }

    /// The active policy: the last one that every edge took.
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
        self.edit_all(caller, &[id], process_id, edit)
    }

    /// Replaces definitions, or adds them, all or none, under the rules of locking.
    pub(super) fn edit_definitions(
        &mut self,
        caller: &Caller,
        definitions: Vec<Definition>,
        process_id: Option<&str>,
    ) -> Result<Edited, StoreError> {
        let ids: Vec<Uuid> = definitions.iter().map(|definition| definition.id).collect();
        self.edit_all(caller, &ids, process_id, |objects| {
            objects.put_definitions(definitions)
        })
    }

    fn edit_all(
        &mut self,
        caller: &Caller,
        ids: &[Uuid],
        process_id: Option<&str>,
        edit: impl FnOnce(&mut Objects) -> Result<(), ObjectError>,
    ) -> Result<Edited, StoreError> {
        let in_force = self.are_in_force(ids);
        if in_force {
            if self.running.is_some() || self.is_held() {
                return Err(StoreError::Locked);
            }
            self.lock.may_edit(caller, process_id)?;
        }
        edit(&mut self.objects)?;
        if !in_force {
            return Ok(Edited {
                master_templates_affected: Vec::new(),
                process_id: None,
            });
        }
        Ok(Edited {
            master_templates_affected: vec![template::ID],
            process_id: Some(self.lock.take(caller)),
        })
    }

    /// Replaces a policy without regard to the lock, as `vsmart/central` does; a running push still forbids it.
    pub(super) fn edit_central(
        &mut self,
        caller: &Caller,
        id: Uuid,
        edit: impl FnOnce(&mut Objects) -> Result<(), ObjectError>,
    ) -> Result<Edited, StoreError> {
        if self.is_pushing(id) {
            return Err(StoreError::Locked);
        }
        edit(&mut self.objects)?;
        let affected = self.followed().any(|followed| followed == id);
        if affected {
            self.unpushed = Some(id);
        }
        let process_id = self.lock.process_id(caller.at_ms).filter(|_| affected);
        Ok(Edited {
            master_templates_affected: affected.then_some(template::ID).into_iter().collect(),
            process_id: process_id.map(ToOwned::to_owned),
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
        if self.followed().any(|followed| followed == policy.id) {
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
        let policy_id = self.objects.policy(id)?.id;
        self.check_not_held()?;
        self.lock.may_push(caller, release)?;
        self.activation(caller, Work::PushVsmartPolicy, policy_id, places)
    }

    /// Accepts that the template of the Controllers is attached again, which pushes what has been edited of the active
    /// policy, whoever edited it; of the one that edges follow, if no push has succeeded.
    pub(super) fn attach_again(
        &mut self,
        caller: &Caller,
        work: Work,
        places: &[Place<'_>],
    ) -> Result<Accepted, StoreError> {
        self.check_not_held()?;
        let locked = self.lock.process_id(caller.at_ms).is_some();
        let policy = self.active.or_else(|| self.in_force.newest_vsmart_policy());
        let edited = policy.filter(|_| locked || self.unpushed == policy);
        self.activation(caller, work, edited.ok_or(StoreError::NothingEdited)?, places)
    }

    /// Accepts a deactivation: of the active policy, or without one of a policy that some edges follow.
    pub(super) fn deactivate(
        &mut self,
        caller: &Caller,
        id: &str,
        release: &Release,
        places: &[Place<'_>],
    ) -> Result<Accepted, StoreError> {
        let policy = self.objects.policy(id)?;
        let is_followed = self.in_force.vsmart_policies().any(|id| id == policy.id);
        if self.active.map_or(!is_followed, |active| active != policy.id) {
            return Err(StoreError::NotActive(policy.name.clone()));
        }
        self.check_not_held()?;
        if !release.is_edited {
            self.lock.may_edit(caller, release.process_id.as_deref())?;
        }
        let order = Order {
            work: Work::PushVsmartPolicy,
            change: Change::Deactivate,
            policy_id: policy.id,
            policy_name: policy.name.clone(),
            edges: places.iter().map(|place| compile::no_policy(*place)).collect(),
        };
        Ok(self.accept(caller, order))
    }

    /// What edges cannot follow fails as a task, since only they know; everything else is refused at once.
    fn activation(
        &mut self,
        caller: &Caller,
        work: Work,
        policy_id: Uuid,
        places: &[Place<'_>],
    ) -> Result<Accepted, StoreError> {
        let policy = self.objects.policy_of(policy_id);
        // Lists may have changed since the policy was stored.
        self.objects.check_policy(policy)?;
        let edges = match compile::compile(&policy.assembly, &self.objects, places) {
            Ok(edges) => edges,
            Err(unfit) => {
                let reason = format!("policy {}: {unfit}", policy.name);
                return Ok(self.refuse(caller, work, &reason));
            }
        };
        let order = Order {
            work,
            change: Change::Activate,
            policy_id,
            policy_name: policy.name.clone(),
            edges,
        };
        self.check_clashes(&order)?;
        Ok(self.accept(caller, order))
    }

    /// A task.
    pub(super) fn task(&self, id: &str) -> Result<&Task, StoreError> {
        self.tasks
            .get(id)
            .ok_or_else(|| StoreError::NoTask(id.to_owned()))
    }

    /// Tasks under way, oldest first.
    pub(super) fn running_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.running()
    }

    /// The `processId` of the edit under way.
    #[cfg(test)]
    pub(super) fn edit_under_way(&self, caller: &Caller) -> Option<String> {
        self.lock.process_id(caller.at_ms).map(ToOwned::to_owned)
    }

    fn is_pushing(&self, policy: Uuid) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.policy_id == policy)
    }

    /// The policies that edges follow, or are to: the active one, the one being pushed, and those of pushes that only
    /// some edges took.
    fn followed(&self) -> impl Iterator<Item = Uuid> {
        let pushing = self.running.as_ref().map(|running| running.policy_id);
        let known = self.active.into_iter().chain(pushing);
        known.chain(self.in_force.vsmart_policies())
    }

    fn are_in_force(&self, ids: &[Uuid]) -> bool {
        self.followed()
            .any(|policy| ids.iter().any(|id| self.objects.is_part_of(*id, policy)))
    }

    /// Whether another user holds the lock, which is thereby felt.
    fn is_held(&self) -> bool {
        let holds = |fault: &Fault| matches!(fault, Fault::HoldLock {}).then_some(());
        self.faults.feel(holds).is_some()
    }

    fn check_not_held(&self) -> Result<(), StoreError> {
        if self.is_held() {
            Err(StoreError::Held)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
