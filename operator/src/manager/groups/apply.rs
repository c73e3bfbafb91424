//! Application of a change set to policy groups.
//!
//! Owns the order of writes: profiles, objects, traffic policies, the group with its devices, one deployment, and only
//! then the removal of what is no longer used. An operator that stops in between leaves devices that are not up to date,
//! which its successor sees.

use futures::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::observe::Group;
use super::{GROUPS, OBJECTS, PRIORITIES, pairs, parcel, service_vpns, traffic};
use crate::core::{ChangeSet, DefinitionKey, DefinitionKind, List, ListName, ObjectKey};
use crate::manager::apply::PARALLEL_WRITES;
use crate::manager::error::ManagerError;
use crate::manager::observe::{Identity, Observed};
use crate::manager::task::Start;
use crate::manager::transport::ManagerClient;

#[derive(Debug, Deserialize)]
struct Created {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParcelCreated {
    parcel_id: String,
}

impl ManagerClient {
    pub(in crate::manager) async fn apply_to_group(
        &self,
        identity: &Identity,
        observed: &mut Observed,
        change_set: &ChangeSet,
    ) -> Result<(), ManagerError> {
        let mut writing = Writing {
            client: self,
            identity,
            observed,
        };
        writing.write(change_set).await?;
        writing.observed.objects.unconfirmed = false;
        let kept = writing.remove(change_set).await;
        observed.objects = change_set.applied_to(std::mem::take(&mut observed.objects));
        observed.objects.lists.extend(kept);
        Ok(())
    }
}

struct Writing<'a> {
    client: &'a ManagerClient,
    identity: &'a Identity,
    observed: &'a mut Observed,
}

impl Writing<'_> {
    async fn write(&mut self, change_set: &ChangeSet) -> Result<(), ManagerError> {
        self.create_profiles().await?;
        self.create_lists(change_set).await?;
        for (name, list) in &change_set.edit {
            self.edit_list(name, list).await?;
        }
        self.write_traffic(change_set).await?;
        for (name, list) in &change_set.narrow {
            self.edit_list(name, list).await?;
        }
        let edited = change_set.activation.is_some()
            || !change_set.edit.is_empty()
            || !change_set.definitions.is_empty()
            || !change_set.settle.is_empty()
            || !change_set.narrow.is_empty()
            || !change_set.remove_definitions.is_empty();
        if edited {
            self.write_group()
                .await
                .map_err(|error| error.of(ObjectKey::Policy))?;
            for up_to_date in self.group().devices.values_mut() {
                *up_to_date = false;
            }
        } else if !change_set.unmark {
            return Ok(());
        }
        self.associate().await?;
        self.deploy().await.map_err(|error| error.of(ObjectKey::Policy))
    }

    fn mark(&self) -> String {
        self.identity.owner.mark()
    }

    async fn create_profiles(&mut self) -> Result<(), ManagerError> {
        let body = json!({ "name": self.identity.policy_name.as_str(), "description": self.mark() });
        let ids = &mut self.observed.groups;
        for (path, id) in [(OBJECTS, &mut ids.objects), (PRIORITIES, &mut ids.priorities)] {
            if id.is_none() {
                let created: Created = self.client.post(path, &body).await?;
                *id = Some(created.id);
            }
        }
        Ok(())
    }

    /// The path of the parcels of a kind of list.
    fn list_path(&self, list: &List) -> String {
        let profile = self.observed.groups.objects.as_deref();
        let profile = profile.expect("profiles are written before their parcels");
        let segment = parcel::segment(list.kind()).expect("desired objects were fitted");
        format!("{OBJECTS}/{profile}/{segment}")
    }

    async fn create_lists(&mut self, change_set: &ChangeSet) -> Result<(), ManagerError> {
        let mark = self.mark();
        let creations: Vec<_> = change_set
            .create
            .iter()
            .map(|(name, list)| create_list(self.client, self.list_path(list), name, list, &mark))
            .collect();
        let created: Vec<_> = stream::iter(creations)
            .buffer_unordered(PARALLEL_WRITES)
            .collect()
            .await;
        let mut outcome = Ok(());
        for created in created {
            match created {
                Ok((name, id)) => drop(self.observed.groups.lists.insert(name, id)),
                Err(error) => outcome = Err(error.and_before(outcome)),
            }
        }
        outcome
    }

    async fn edit_list(&self, name: &ListName, list: &List) -> Result<(), ManagerError> {
        let id = &self.observed.groups.lists[name];
        let path = format!("{}/{id}", self.list_path(list));
        let body = parcel::body(name.as_str(), &self.mark(), list);
        let edited = self.client.put::<Value>(&path, &body).await;
        edited
            .map(|_| ())
            .map_err(|error| error.of(ObjectKey::List(name.clone())))
    }

    async fn write_traffic(&mut self, change_set: &ChangeSet) -> Result<(), ManagerError> {
        // One traffic policy holds all of a service VPN, so nothing is between one definition and another.
        let written = change_set.definitions.iter().chain(&change_set.settle);
        let mut definitions = self.observed.objects.definitions.clone();
        definitions.extend(written.map(|(key, definition)| (*key, definition.clone())));
        definitions.retain(|key, _| !change_set.remove_definitions.contains(key));
        let changed = service_vpns(
            change_set
                .definitions
                .keys()
                .chain(change_set.settle.keys())
                .chain(&change_set.remove_definitions),
        );
        let pairs = pairs(definitions);
        let (mark, ids) = (self.mark(), &mut self.observed.groups);
        let profile = ids.priorities.as_deref();
        let profile = profile.expect("profiles are written before their parcels");
        let path = format!("{PRIORITIES}/{profile}/traffic-policy");
        for service_vpn in changed {
            let id = ids.traffic.get(&service_vpn);
            let Some(pair) = pairs.get(&service_vpn) else {
                if let Some(id) = id {
                    self.client.delete_object(&format!("{path}/{id}")).await?;
                }
                ids.traffic.remove(&service_vpn);
                continue;
            };
            let key = DefinitionKey {
                service_vpn,
                kind: DefinitionKind::Data,
            };
            let name = key.name(&self.identity.policy_name);
            let body = traffic::body(&name, &mark, service_vpn, pair, &ids.lists);
            match id {
                Some(id) => {
                    let edited = self.client.put::<Value>(&format!("{path}/{id}"), &body).await;
                    edited.map_err(|error| refused(error, service_vpn))?;
                }
                None => {
                    let created: Result<ParcelCreated, _> = self.client.post(&path, &body).await;
                    let created = created.map_err(|error| refused(error, service_vpn))?;
                    ids.traffic.insert(service_vpn, created.parcel_id);
                }
            }
        }
        Ok(())
    }

    /// Has the group with both profiles, and with those that others added.
    async fn write_group(&mut self) -> Result<(), ManagerError> {
        let mark = self.mark();
        let ids = &mut self.observed.groups;
        let own = [&ids.objects, &ids.priorities];
        let mut profiles = ids.group.clone().unwrap_or_default().profiles;
        let before = profiles.len();
        profiles.extend(own.into_iter().flatten().cloned());
        if ids.group.is_some() && before == profiles.len() {
            return Ok(());
        }
        let wire: Vec<_> = profiles.iter().map(|id| json!({ "id": id })).collect();
        let body = json!({
            "name": self.identity.policy_name.as_str(), "description": mark, "solution": "sdwan", "profiles": wire,
        });
        match &mut ids.group {
            Some(group) => {
                let path = format!("{GROUPS}/{}", group.id);
                self.client.put::<Value>(&path, &body).await?;
                group.profiles = profiles;
            }
            None => {
                let created: Created = self.client.post(GROUPS, &body).await?;
                ids.group = Some(Group {
                    id: created.id,
                    profiles,
                    ..Group::default()
                });
            }
        }
        Ok(())
    }

    /// Has all edges in the group.
    async fn associate(&mut self) -> Result<(), ManagerError> {
        let ids = &mut self.observed.groups;
        let group = ids
            .group
            .as_mut()
            .expect("the group is written before its devices");
        let missing: Vec<&String> = ids
            .edges
            .iter()
            .filter(|edge| !group.devices.contains_key(*edge))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let path = format!("{GROUPS}/{}/device/associate", group.id);
        self.client.post::<Value>(&path, &devices(missing.iter())).await?;
        group
            .devices
            .extend(missing.into_iter().map(|edge| (edge.clone(), false)));
        Ok(())
    }

    fn group(&mut self) -> &mut Group {
        let group = self.observed.groups.group.as_mut();
        group.expect("the group is written before its devices")
    }

    /// Deploys to the devices that are not up to date.
    async fn deploy(&mut self) -> Result<(), ManagerError> {
        let group = self.group();
        let stale = group.devices.iter().filter(|(_, up_to_date)| !**up_to_date);
        let deployment = deployment(&group.id, stale.map(|(id, _)| id));
        self.observed.waiting_for = self.client.push(&deployment).await?;
        info!(group = %self.identity.policy_name, "policy group deployed");
        for up_to_date in self.group().devices.values_mut() {
            *up_to_date = true;
        }
        Ok(())
    }

    /// Removes unused lists; returns those that could not be removed, which does no harm to steering.
    async fn remove(&mut self, change_set: &ChangeSet) -> Vec<(ListName, List)> {
        let mut kept = Vec::new();
        for (name, list) in &change_set.remove {
            let path = format!("{}/{}", self.list_path(list), self.observed.groups.lists[name]);
            match self.client.delete_object(&path).await {
                Ok(()) => {
                    self.observed.groups.lists.remove(name);
                }
                Err(error) => {
                    warn!(list = %name, error = &error as &dyn std::error::Error, "unused list not removed");
                    kept.push((name.clone(), list.clone()));
                }
            }
        }
        kept
    }
}

pub(super) fn devices<'a>(ids: impl Iterator<Item = impl AsRef<str> + 'a>) -> Value {
    let rows: Vec<_> = ids.map(|id| json!({ "id": id.as_ref() })).collect();
    json!({ "devices": rows })
}

/// What starts a deployment of a group.
pub(super) fn deployment<'a>(group: &str, ids: impl Iterator<Item = impl AsRef<str> + 'a>) -> Start {
    Start {
        path: format!("{GROUPS}/{group}/device/deploy"),
        body: devices(ids),
        if_expired: None,
    }
}

/// The error as one of all that a traffic policy holds.
fn refused(error: ManagerError, service_vpn: u16) -> ManagerError {
    let key = |kind| ObjectKey::Definition(DefinitionKey { service_vpn, kind });
    error
        .of(key(DefinitionKind::Data))
        .of(key(DefinitionKind::AppRoute))
}

async fn create_list(
    client: &ManagerClient,
    path: String,
    name: &ListName,
    list: &List,
    mark: &str,
) -> Result<(ListName, String), ManagerError> {
    let body = parcel::body(name.as_str(), mark, list);
    let created: Result<ParcelCreated, _> = client.post(&path, &body).await;
    let created = created.map_err(|error| error.of(ObjectKey::List(name.clone())))?;
    Ok((name.clone(), created.parcel_id))
}
