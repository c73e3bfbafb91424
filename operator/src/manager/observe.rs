//! Observation: what is on the Manager.
//!
//! Owns telling own objects from foreign ones: own lists have the owner's prefix and mark, the own definition and
//! policy have the configured name and the mark. Invariant: reads only.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use serde_json::Value;

use super::error::{ManagerError, Taken};
use super::groups;
use super::transport::ManagerClient;
use super::wire::{
    self, DEFINITION_KINDS, DefinitionIds, DefinitionRow, DeviceRow, LIST_KINDS, ListIds, ListRow, PolicyRow,
    Rows,
};
use crate::core::{CentralPolicy, DefinitionKey, DefinitionKind, List, ListName, Objects, Owner, PolicyName};

/// As what kind of objects steering is on the Manager.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// A centralized policy with lists and definitions.
    #[default]
    Classic,
    /// A policy group with feature profiles (UX 2.0).
    PolicyGroups,
}

/// Under which names, and as what, the operator's objects are on the Manager.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Which kind of objects.
    pub backend: Backend,
    /// Prefix of lists and part of the mark.
    pub owner: Owner,
    /// Name of the centralized policy, which those of its definitions begin with.
    pub policy_name: PolicyName,
}

/// What was found on the Manager, and what is needed to write there.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The operator's own objects.
    pub objects: Objects,
    /// The ids of all sites that have a WAN edge.
    pub sites: BTreeSet<String>,
    /// The name of the active policy, if it is somebody else's.
    pub foreign_active: Option<String>,
    /// Controllers or edges that are offline, and get what was pushed when they are back.
    pub waiting_for: Vec<String>,
    pub(super) groups: groups::Ids,
    pub(super) ids: Ids,
}

/// The Manager's ids for the operator's objects, and what else a write has to respect.
#[derive(Debug, Clone, Default)]
pub(super) struct Ids {
    pub(super) lists: ListIds,
    pub(super) edit_mark: Option<String>,
    pub(super) definitions: DefinitionIds,
    pub(super) policy: Option<String>,
    /// The content of the own policy, with what others added to it.
    pub(super) policy_content: Value,
    pub(super) taken: Option<Taken>,
}

impl ManagerClient {
    /// Reads the operator's objects, the sites, and which policy is active.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be reached or does not answer as its API promises.
    pub async fn observe(&self, identity: &Identity) -> Result<Observed, ManagerError> {
        match identity.backend {
            Backend::Classic => self.observe_policy(identity).await,
            Backend::PolicyGroups => self.observe_group(identity).await,
        }
    }

    async fn observe_policy(&self, identity: &Identity) -> Result<Observed, ManagerError> {
        let lists = try_join_all(LIST_KINDS.map(|kind| async move {
            let rows: Rows<ListRow> = self.get(&wire::list_path(kind)).await?;
            Ok((kind, rows.data))
        }));
        let definitions = try_join_all(DEFINITION_KINDS.map(|kind| self.own_definitions(kind, identity)));
        let (lists, definitions, policies, devices) = tokio::try_join!(
            lists,
            definitions,
            self.get::<Rows<PolicyRow>>("template/policy/vsmart"),
            self.get::<Rows<DeviceRow>>("device"),
        )?;

        let mut observed = Observed {
            waiting_for: offline_controllers(&devices.data),
            sites: sites(devices.data),
            ..Observed::default()
        };
        for (kind, rows) in lists {
            for row in rows {
                observed.take_list(row, identity, |entries| wire::read_list(kind, entries));
            }
        }
        for found in definitions.into_iter().flatten() {
            match found {
                Found::Foreign => observed.ids.taken = Some(Taken::Definition),
                Found::Own { key, id, content } => {
                    let definition = wire::read_definition(key.kind, &content, &observed.ids.lists);
                    observed.objects.definitions.insert(key, definition);
                    observed.ids.definitions.insert(key, id);
                }
            }
        }
        for row in policies.data {
            observed.take_policy(row, identity);
        }
        Ok(observed)
    }

    async fn own_definitions(
        &self,
        kind: DefinitionKind,
        identity: &Identity,
    ) -> Result<Vec<Found>, ManagerError> {
        let path = wire::definition_path(kind);
        let rows: Rows<DefinitionRow> = self.get(&path).await?;
        let named = rows.data.into_iter().filter_map(|row| {
            let key = DefinitionKey::from_name(&row.name, kind, &identity.policy_name)?;
            Some((key, row))
        });
        try_join_all(named.map(async |(key, row)| {
            if !identity.owns(row.description.as_deref()) {
                return Ok(Found::Foreign);
            }
            let id = row.definition_id;
            let content = self.get(&format!("{path}/{id}")).await?;
            Ok(Found::Own { key, id, content })
        }))
        .await
    }
}

enum Found {
    Foreign,
    Own {
        key: DefinitionKey,
        id: String,
        content: Value,
    },
}

pub(super) fn sites(devices: Vec<DeviceRow>) -> BTreeSet<String> {
    let edges = devices.into_iter().filter(DeviceRow::is_edge);
    edges.filter_map(|edge| edge.site_id).collect()
}

/// The Controllers that do not get an activation before they are back.
fn offline_controllers(devices: &[DeviceRow]) -> Vec<String> {
    let controllers = devices
        .iter()
        .filter(|device| device.personality.as_deref() == Some("vsmart"));
    controllers
        .filter(|device| device.is_offline())
        .filter_map(|device| device.host_name.clone())
        .collect()
}

impl Identity {
    /// Desired objects as this kind of backend can show them.
    #[must_use]
    pub fn fit(&self, desired: Objects) -> Objects {
        match self.backend {
            Backend::Classic => desired,
            Backend::PolicyGroups => groups::fit(desired),
        }
    }

    /// Whether a description carries the mark of this owner, and not that of one whose name only begins like it.
    pub(super) fn owns(&self, description: Option<&str>) -> bool {
        let mark = self.owner.mark();
        let mut after = description
            .iter()
            .flat_map(|description| description.split(&mark))
            .skip(1);
        after.any(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    }

    /// The name of a list, if it is the operator's own.
    pub(super) fn own_list(&self, name: &str, description: Option<&str>) -> Option<ListName> {
        self.owner.own_list(name).filter(|_| self.owns(description))
    }
}

impl Observed {
    fn take_list(&mut self, row: ListRow, identity: &Identity, read: impl Fn(&[Value]) -> List) {
        let Some(name) = identity.own_list(&row.name, row.description.as_deref()) else {
            return;
        };
        if name == identity.owner.edit_mark() {
            self.objects.unconfirmed = true;
            self.ids.edit_mark = Some(row.list_id);
        } else {
            self.objects.lists.insert(name.clone(), read(&row.entries));
            self.ids.lists.insert(name, row.list_id);
        }
    }

    fn take_policy(&mut self, row: PolicyRow, identity: &Identity) {
        let named = row.policy_name == identity.policy_name.as_str();
        let own = named && identity.owns(row.policy_description.as_deref());
        if row.is_policy_activated && !own {
            self.foreign_active = Some(row.policy_name.clone());
        }
        if own {
            let content = wire::policy_content(&row);
            let assembly = wire::read_assembly(&content, &self.ids.definitions, &self.ids.lists);
            self.objects.policy = Some(CentralPolicy {
                assembly,
                active: row.is_policy_activated,
            });
            self.ids.policy_content = content;
            self.ids.policy = Some(row.policy_id);
        } else if named {
            self.ids.taken = Some(Taken::Policy);
        }
    }
}
