//! Observation: what is on the Manager.
//!
//! Owns telling own objects from foreign ones: own lists have the owner's prefix and mark, the own definition and
//! policy have the configured name and the mark. Invariant: reads only.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use serde_json::Value;

use super::error::{ManagerError, Taken};
use super::transport::ManagerClient;
use super::wire::{
    self, DEFINITION_KINDS, DefinitionIds, DefinitionRow, DeviceRow, LIST_KINDS, ListIds, ListRow, PolicyRow,
    Rows,
};
use crate::core::{CentralPolicy, DefinitionKey, DefinitionKind, List, ListName, Objects, Owner, PolicyName};

/// Under which names the operator's objects are on the Manager.
#[derive(Debug, Clone, Default)]
pub struct Identity {
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

fn sites(devices: Vec<DeviceRow>) -> BTreeSet<String> {
    let edges = devices
        .into_iter()
        .filter(|device| device.personality.as_deref() == Some("vedge"));
    edges.filter_map(|edge| edge.site_id).collect()
}

impl Identity {
    fn owns(&self, description: Option<&str>) -> bool {
        description.is_some_and(|description| description.contains(&self.owner.mark()))
    }

    fn own_list(&self, row: &ListRow) -> Option<ListName> {
        self.owner
            .own_list(&row.name)
            .filter(|_| self.owns(row.description.as_deref()))
    }
}

impl Observed {
    fn take_list(&mut self, row: ListRow, identity: &Identity, read: impl Fn(&[Value]) -> List) {
        let Some(name) = identity.own_list(&row) else {
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
