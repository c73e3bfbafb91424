//! The writes of a change set, up to its activation.
//!
//! Owns their order: lists, definitions, policy, activation. Whatever ends in an activation is marked on the Manager
//! before it begins, so that an operator that crashes in between is resumed by its successor; all edits of what is in
//! force are one edit under one lock.

use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tracing::info;

use super::apply::PARALLEL_WRITES;
use super::error::ManagerError;
use super::observe::{Identity, Observed};
use super::task::Start;
use super::transport::ManagerClient;
use super::wire::{self, DefinitionCreated, ListCreated, PolicyCreated, PolicyRow, Rows};
use crate::core::{Activation, ChangeSet, Definition, DefinitionKey, List, ListName, ObjectKey};

const POLICIES: &str = "template/policy/vsmart";

/// How an activation is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Push {
    /// Of a policy that is not active.
    First,
    /// Of an edit, ending its lock.
    Edit,
    /// Of whatever is stored, whoever holds the lock.
    Stored,
}

/// A change set on its way, with the lock that it holds.
pub(super) struct Writing<'a> {
    client: &'a ManagerClient,
    identity: &'a Identity,
    observed: &'a mut Observed,
    process_id: Option<String>,
    /// Something was replaced, which may be in force.
    edited: bool,
}

/// What a change set leaves behind that was not brought to its end.
pub(super) struct Remains {
    /// The lock that is held.
    pub(super) process_id: Option<String>,
    /// Something was replaced, which may be in force.
    pub(super) edited: bool,
}

impl<'a> Writing<'a> {
    pub(super) fn new(client: &'a ManagerClient, identity: &'a Identity, observed: &'a mut Observed) -> Self {
        Self {
            client,
            identity,
            observed,
            process_id: None,
            edited: false,
        }
    }

    pub(super) fn into_remains(self) -> Remains {
        Remains {
            process_id: self.process_id,
            edited: self.edited,
        }
    }

    pub(super) async fn write(&mut self, change_set: &ChangeSet) -> Result<(), ManagerError> {
        self.create_lists(change_set).await?;
        for (name, list) in &change_set.edit {
            self.edit_list(name, list).await?;
        }
        for (key, definition) in &change_set.definitions {
            self.write_definition(*key, definition).await?;
        }
        let refused = |error: ManagerError| error.of(ObjectKey::Policy);
        if change_set.assembly.is_some() && !change_set.settle.is_empty() {
            self.write_policy(change_set).await.map_err(refused)?;
        }
        for (key, definition) in &change_set.settle {
            self.write_definition(*key, definition).await?;
        }
        for (name, list) in &change_set.narrow {
            self.edit_list(name, list).await?;
        }
        if change_set.assembly.is_some() || change_set.activation == Some(Activation::Edit) {
            self.write_policy(change_set).await.map_err(refused)?;
        }
        let push = match change_set.activation {
            Some(Activation::First) => Push::First,
            Some(Activation::Edit) => Push::Edit,
            None => return Ok(()),
        };
        // Only what is in force is locked by an edit, and only then nobody else can have activated another policy.
        if self.process_id.is_none() {
            self.check_active().await?;
        }
        self.activate(push).await.map_err(refused)
    }

    /// Checks that no policy of others has become active since the Manager was observed.
    async fn check_active(&self) -> Result<(), ManagerError> {
        let policies: Rows<PolicyRow> = self.client.get(POLICIES).await?;
        let own = self.observed.ids.policy.as_deref();
        let other = |row: &PolicyRow| row.is_policy_activated && own != Some(row.policy_id.as_str());
        match policies.data.into_iter().find(other) {
            None => Ok(()),
            Some(other) => Err(ManagerError::ForeignPolicyActive {
                active: other.policy_name,
                own: self.identity.policy_name.to_string(),
            }),
        }
    }

    /// Creates lists, and the mark of what ends in an activation. All are tried, so that it is known which are refused.
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
            .map(|(name, list)| create_list(self.client, name, list, &description))
            .collect();
        let created: Vec<_> = stream::iter(creations)
            .buffer_unordered(PARALLEL_WRITES)
            .collect()
            .await;
        let mut outcome = Ok(());
        for created in created {
            match created {
                Ok((name, id)) if name == owner.edit_mark() => self.observed.ids.edit_mark = Some(id),
                Ok((name, id)) => drop(self.observed.ids.lists.insert(name, id)),
                Err(error) => outcome = Err(error.and_before(outcome)),
            }
        }
        outcome
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
        let edited = self.edit(&path, body).await;
        edited.map_err(|error| error.of(ObjectKey::List(name.clone())))
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
        let refused = |error: ManagerError| error.of(ObjectKey::Definition(key));
        match ids.definitions.get(&key) {
            Some(id) => self.edit(&format!("{path}/{id}"), body).await.map_err(refused),
            None => {
                let created: Result<DefinitionCreated, _> = self.client.post(&path, &body).await;
                let id = created.map_err(refused)?.definition_id;
                self.observed.ids.definitions.insert(key, id);
                Ok(())
            }
        }
    }

    async fn write_policy(&mut self, change_set: &ChangeSet) -> Result<(), ManagerError> {
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
            Some(id) if active => self.replace(&format!("{POLICIES}/central/{id}"), &body).await,
            Some(id) => self.replace(&format!("{POLICIES}/{id}"), &body).await,
            None => {
                let created: PolicyCreated = self.client.post(POLICIES, &body).await?;
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
        self.edited = true;
        self.process_id = wire::process_id(&answer).or(self.process_id.take());
        Ok(())
    }

    pub(super) async fn activate(&mut self, push: Push) -> Result<(), ManagerError> {
        let waiting_for = self.client.push(&self.start(push)).await?;
        info!(policy = %self.identity.policy_name, ?push, "policy activated");
        self.observed.waiting_for = waiting_for;
        Ok(())
    }

    fn start(&self, push: Push) -> Start {
        const PATH: &str = "template/policy/vsmart/activate";
        let id = self
            .observed
            .ids
            .policy
            .as_deref()
            .expect("the policy is written before it is activated");
        let plain = format!("{PATH}/{id}?confirm=true");
        let edited = json!({ "isEdited": true });
        match push {
            Push::First => Start {
                path: plain,
                body: json!({}),
                if_expired: None,
            },
            Push::Edit => Start {
                path: format!("{PATH}/central/{id}?confirm=true"),
                body: wire::with_process_id(edited.clone(), self.process_id.as_deref()),
                if_expired: Some((plain, edited)),
            },
            Push::Stored => Start {
                path: plain,
                body: edited,
                if_expired: None,
            },
        }
    }
}

/// The list that says "an edit is in progress"; its entry has no meaning, a list just needs one.
fn edit_mark() -> List {
    List::ServiceVpn(0)
}

async fn create_list(
    client: &ManagerClient,
    name: &ListName,
    list: &List,
    mark: &str,
) -> Result<(ListName, String), ManagerError> {
    let body = wire::list_body(name, list, mark);
    let created: Result<ListCreated, _> = client.post(&wire::list_path(list.kind()), &body).await;
    let created = created.map_err(|error| error.of(ObjectKey::List(name.clone())))?;
    Ok((name.clone(), created.list_id))
}
