//! Application: a change set as requests.
//!
//! Owns the order of writes: lists, definition, policy, activation, and only then the removal of what is no longer
//! used. Whatever ends in an activation is marked on the Manager before it begins and unmarked when the fabric has
//! it, so that an operator that crashes in between is resumed by its successor.
//!
//! Invariants: at most one activation per change set; nothing is written if the activation cannot be allowed.

use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::error::{Call, ManagerError};
use super::observe::{Identity, Observed};
use super::task::Outcome;
use super::transport::ManagerClient;
use super::wire::{self, DefinitionCreated, ListCreated, PolicyCreated, TaskStarted};
use crate::core::{Activation, ChangeSet, Definition, DefinitionKey, List, ListKind, ListName};

/// Of the 100 requests per second that a Manager allows, writes of lists may be this many at a time.
const PARALLEL_WRITES: usize = 8;
const SKIPPED_DELAY_MIN: Duration = Duration::from_millis(100);
const SKIPPED_DELAY_MAX: Duration = Duration::from_secs(2);

impl ManagerClient {
    /// Writes a change set and waits until the fabric has it; `observed` then shows the new state.
    ///
    /// # Errors
    /// [`ManagerError`] if a write is refused, the policy or a name belongs to somebody else, or the push fails.
    /// What is on the Manager is then unknown: observe again before the next change set.
    pub async fn apply(
        &self,
        identity: &Identity,
        observed: &mut Observed,
        change_set: &ChangeSet,
    ) -> Result<(), ManagerError> {
        check_ground(identity, observed, change_set)?;
        let mut writing = Writing {
            client: self,
            identity,
            observed,
            process_id: None,
        };
        let written = writing.write(change_set).await;
        let process_id = writing.process_id;
        if let Err(error) = written {
            self.release(process_id).await;
            return Err(error);
        }
        let kept_definitions = self.remove_definitions(observed, change_set).await;
        let kept = self.remove(observed, change_set).await;
        self.unmark(observed).await?;
        observed.objects = change_set.applied_to(std::mem::take(&mut observed.objects));
        observed.objects.lists.extend(kept);
        observed.objects.definitions.extend(kept_definitions);
        Ok(())
    }

    /// Finishes the push that a predecessor began and did not see succeed; does nothing if there is none.
    ///
    /// What is pushed is the last definition that was stored, so this also frees a lock that died with its holder.
    ///
    /// # Errors
    /// [`ManagerError`] if the push fails; the next [`apply`](Self::apply) with an activation makes up for it.
    pub async fn resume(&self, identity: &Identity, observed: &mut Observed) -> Result<(), ManagerError> {
        let active = observed
            .objects
            .policy
            .as_ref()
            .is_some_and(|policy| policy.active);
        if !observed.objects.unconfirmed || !active {
            return Ok(());
        }
        info!(policy = %identity.policy_name, "finishing an interrupted edit");
        let mut writing = Writing {
            client: self,
            identity,
            observed,
            process_id: None,
        };
        writing.activate(Push::Stored).await?;
        self.unmark(observed).await?;
        observed.objects.unconfirmed = false;
        Ok(())
    }

    /// Gives the lock of a failed edit back, so that neither people nor the next attempt wait for it.
    async fn release(&self, process_id: Option<String>) {
        if let Some(id) = process_id
            && let Err(error) = self.delete(&format!("template/lock/{id}")).await
        {
            debug!(error = &error as &dyn std::error::Error, "lock not released");
        }
    }

    /// Removes unused definitions; returns those that could not be removed, which does no harm to steering.
    async fn remove_definitions(
        &self,
        observed: &mut Observed,
        change_set: &ChangeSet,
    ) -> Vec<(DefinitionKey, Definition)> {
        let mut kept = Vec::new();
        for key in &change_set.remove_definitions {
            let id = &observed.ids.definitions[key];
            let path = format!("{}/{id}", wire::definition_path(key.kind));
            match self.delete_object(&path).await {
                Ok(()) => {
                    observed.ids.definitions.remove(key);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(?key, error, "unused definition not removed");
                    kept.push((*key, observed.objects.definitions[key].clone()));
                }
            }
        }
        kept
    }

    /// Removes unused lists; returns those that could not be removed, which does no harm to steering.
    async fn remove(&self, observed: &mut Observed, change_set: &ChangeSet) -> Vec<(ListName, List)> {
        let ids = &observed.ids.lists;
        // Collected first: a stream over borrowing closures would make this future unable to change threads.
        let removals: Vec<_> = change_set
            .remove
            .iter()
            .map(|(name, list)| self.remove_list(name, list, &ids[name]))
            .collect();
        let removed: Vec<_> = stream::iter(removals)
            .buffer_unordered(PARALLEL_WRITES)
            .collect()
            .await;
        let kept: Vec<_> = removed.into_iter().flatten().collect();
        for name in change_set
            .remove
            .keys()
            .filter(|name| kept.iter().all(|(kept, _)| kept != *name))
        {
            observed.ids.lists.remove(name);
        }
        kept
    }

    async fn remove_list(&self, name: &ListName, list: &List, id: &str) -> Option<(ListName, List)> {
        match self.delete_list(list.kind(), id).await {
            Ok(()) => None,
            Err(error) => {
                warn!(list = %name, error = &error as &dyn std::error::Error, "unused list not removed");
                Some((name.clone(), list.clone()))
            }
        }
    }

    async fn create_list(
        &self,
        name: &ListName,
        list: &List,
        mark: &str,
    ) -> Result<(ListName, String), ManagerError> {
        let body = wire::list_body(name, list, mark);
        let created: ListCreated = self.post(&wire::list_path(list.kind()), &body).await?;
        Ok((name.clone(), created.list_id))
    }

    async fn unmark(&self, observed: &mut Observed) -> Result<(), ManagerError> {
        match observed.ids.edit_mark.take() {
            Some(id) => self.delete_list(ListKind::Vpn, &id).await,
            None => Ok(()),
        }
    }

    async fn delete_list(&self, kind: ListKind, id: &str) -> Result<(), ManagerError> {
        self.delete_object(&format!("{}/{id}", wire::list_path(kind)))
            .await
    }

    async fn delete_object(&self, path: &str) -> Result<(), ManagerError> {
        match self.delete(path).await {
            Err(ManagerError::Refused { status, message, .. })
                if status == 404 || message.contains("Failed to find specified resource") =>
            {
                Ok(())
            }
            outcome => outcome,
        }
    }
}

fn check_ground(
    identity: &Identity,
    observed: &Observed,
    change_set: &ChangeSet,
) -> Result<(), ManagerError> {
    if change_set.activation.is_none() {
        return Ok(());
    }
    let own = identity.policy_name.to_string();
    if let Some(active) = &observed.foreign_active {
        return Err(ManagerError::ForeignPolicyActive {
            active: active.clone(),
            own,
        });
    }
    if let Some(what) = observed.ids.taken {
        return Err(ManagerError::NameTaken {
            what,
            name: own,
            mark: identity.owner.mark(),
        });
    }
    Ok(())
}

/// How an activation is asked for.
#[derive(Debug, Clone, Copy)]
enum Push {
    /// Of a policy that is not active.
    First,
    /// Of an edit, ending its lock.
    Edit,
    /// Of whatever is stored, whoever holds the lock.
    Stored,
}

/// A change set on its way, with the lock that it holds.
struct Writing<'a> {
    client: &'a ManagerClient,
    identity: &'a Identity,
    observed: &'a mut Observed,
    process_id: Option<String>,
}

impl Writing<'_> {
    async fn write(&mut self, change_set: &ChangeSet) -> Result<(), ManagerError> {
        self.create_lists(change_set).await?;
        for (name, list) in &change_set.edit {
            self.edit_list(name, list).await?;
        }
        for (key, definition) in &change_set.definitions {
            self.write_definition(*key, definition).await?;
        }
        for (name, list) in &change_set.narrow {
            self.edit_list(name, list).await?;
        }
        if change_set.assembly.is_some() || change_set.activation == Some(Activation::Edit) {
            self.write_policy(change_set).await?;
        }
        match change_set.activation {
            Some(Activation::First) => self.activate(Push::First).await,
            Some(Activation::Edit) => self.activate(Push::Edit).await,
            None => Ok(()),
        }
    }

    /// Creates lists, and the mark of what ends in an activation.
    async fn create_lists(&mut self, change_set: &ChangeSet) -> Result<(), ManagerError> {
        let owner = &self.identity.owner;
        let mark = (change_set.activation.is_some() && self.observed.ids.edit_mark.is_none())
            .then(|| (owner.edit_mark(), edit_mark()));
        let lists = change_set
            .create
            .iter()
            .chain(mark.as_ref().map(|(name, list)| (name, list)));
        let description = owner.mark();
        let creations: Vec<_> = lists
            .map(|(name, list)| self.client.create_list(name, list, &description))
            .collect();
        let created: Vec<_> = stream::iter(creations)
            .buffer_unordered(PARALLEL_WRITES)
            .try_collect()
            .await?;
        for (name, id) in created {
            if name == owner.edit_mark() {
                self.observed.ids.edit_mark = Some(id);
            } else {
                self.observed.ids.lists.insert(name, id);
            }
        }
        Ok(())
    }

    async fn edit_list(&mut self, name: &ListName, list: &List) -> Result<(), ManagerError> {
        let id = self
            .observed
            .ids
            .lists
            .get(name)
            .expect("a list to edit was observed");
        let path = format!("{}/{id}", wire::list_path(list.kind()));
        let body = wire::list_body(name, list, &self.identity.owner.mark());
        self.edit(&path, body).await
    }

    async fn write_definition(
        &mut self,
        key: DefinitionKey,
        definition: &Definition,
    ) -> Result<(), ManagerError> {
        let path = wire::definition_path(key.kind);
        let ids = &self.observed.ids;
        let name = key.name(&self.identity.policy_name);
        let mark = self.identity.owner.mark();
        let body = wire::definition_body(key.kind, &name, &mark, definition, &ids.lists);
        match ids.definitions.get(&key) {
            Some(id) => self.edit(&format!("{path}/{id}"), body).await,
            None => {
                let created: DefinitionCreated = self.client.post(&path, &body).await?;
                self.observed.ids.definitions.insert(key, created.definition_id);
                Ok(())
            }
        }
    }

    async fn write_policy(&mut self, change_set: &ChangeSet) -> Result<(), ManagerError> {
        const PATH: &str = "template/policy/vsmart";
        let ids = &mut self.observed.ids;
        if let Some(assembly) = &change_set.assembly {
            ids.policy_content =
                wire::write_assembly(&ids.policy_content, &ids.definitions, assembly, &ids.lists);
        }
        let active = change_set.activation == Some(Activation::Edit);
        let body = wire::policy_body(
            self.identity.policy_name.as_str(),
            &self.identity.owner.mark(),
            active,
            &ids.policy_content,
        );
        match ids.policy.clone() {
            // Does not look at the lock, so it does not have to be named.
            Some(id) if active => self.replace(&format!("{PATH}/central/{id}"), &body).await,
            Some(id) => self.replace(&format!("{PATH}/{id}"), &body).await,
            None => {
                let created: PolicyCreated = self.client.post(PATH, &body).await?;
                self.observed.ids.policy = Some(created.policy_id);
                Ok(())
            }
        }
    }

    /// Replaces an object, as part of the edit that this change set is.
    async fn edit(&mut self, path: &str, body: Value) -> Result<(), ManagerError> {
        let body = wire::with_process_id(body, self.process_id.as_deref());
        self.replace(path, &body).await
    }

    async fn replace(&mut self, path: &str, body: &Value) -> Result<(), ManagerError> {
        let answer: Value = self.client.put(path, body).await?;
        self.process_id = wire::process_id(&answer).or(self.process_id.take());
        Ok(())
    }

    async fn activate(&mut self, push: Push) -> Result<(), ManagerError> {
        let started = Instant::now();
        let mut delay = SKIPPED_DELAY_MIN;
        loop {
            let task = self.start(push).await?;
            info!(policy = %self.identity.policy_name, task, ?push, "policy activation started");
            match self.client.await_task(&task).await? {
                Outcome::Pushed { waiting_for } => {
                    let elapsed = started.elapsed();
                    if waiting_for.is_empty() {
                        info!(task, ?elapsed, "policy in force");
                    } else {
                        warn!(
                            task,
                            ?elapsed,
                            ?waiting_for,
                            "policy scheduled, controllers are offline"
                        );
                    }
                    return Ok(());
                }
                Outcome::Skipped { reason } => {
                    let patience = self.client.patience.busy;
                    if started.elapsed() + delay > patience {
                        let call = Call {
                            method: reqwest::Method::POST,
                            path: format!("task {task}"),
                        };
                        return Err(ManagerError::Busy {
                            call,
                            patience,
                            reason,
                        });
                    }
                    debug!(task, reason, "push skipped, trying again");
                    sleep(delay).await;
                    delay = (delay * 2).min(SKIPPED_DELAY_MAX);
                }
            }
        }
    }

    async fn start(&self, push: Push) -> Result<String, ManagerError> {
        const PATH: &str = "template/policy/vsmart/activate";
        let id = self
            .observed
            .ids
            .policy
            .as_deref()
            .expect("the policy is written before it is activated");
        let (central, plain) = (
            format!("{PATH}/central/{id}?confirm=true"),
            format!("{PATH}/{id}?confirm=true"),
        );
        let edited = json!({ "isEdited": true });
        let started: Result<TaskStarted, _> = match push {
            Push::First => self.client.post(&plain, &json!({})).await,
            Push::Edit => {
                let body = wire::with_process_id(edited.clone(), self.process_id.as_deref());
                self.client.post(&central, &body).await
            }
            Push::Stored => self.client.post(&plain, &edited).await,
        };
        match started {
            // The lock of the edit ran out; the edit itself is stored.
            Err(ManagerError::Refused { message, .. }) if message.contains("edit request has expired") => {
                let started: TaskStarted = self.client.post(&plain, &edited).await?;
                Ok(started.id)
            }
            started => Ok(started?.id),
        }
    }
}

/// The list that says "an edit is in progress"; its entry has no meaning, a list just needs one.
fn edit_mark() -> List {
    List::ServiceVpn(0)
}
