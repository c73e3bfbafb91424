//! Observation of policy groups.
//!
//! Own are the profiles and the group that have the configured name and the mark, and of their parcels those with the
//! mark. Invariant: reads only.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;

use super::{GROUPS, OBJECTS, PRIORITIES, definitions, parcel, traffic};
use crate::core::{Assembly, CentralPolicy, DefinitionKey, DefinitionKind};
use crate::manager::error::{ManagerError, Taken};
use crate::manager::observe::{Identity, Observed, sites};
use crate::manager::transport::ManagerClient;
use crate::manager::wire::{DeviceRow, ListIds, Rows};

/// The Manager's ids for the operator's objects, and the edges.
#[derive(Debug, Clone, Default)]
pub(in crate::manager) struct Ids {
    pub(super) objects: Option<String>,
    pub(super) priorities: Option<String>,
    pub(super) group: Option<Group>,
    /// Parcels of lists.
    pub(super) lists: ListIds,
    /// Traffic policies by service VPN.
    pub(super) traffic: BTreeMap<u16, String>,
    /// The UUIDs of all WAN edges.
    pub(super) edges: BTreeSet<String>,
    /// Those of them that are offline.
    offline: BTreeSet<String>,
    pub(super) taken: Option<Taken>,
    /// What others added to the profiles and the group.
    pub(in crate::manager) others: Vec<String>,
}

/// The policy group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) id: String,
    /// The ids of its profiles; others may have added some.
    pub(super) profiles: BTreeSet<String>,
    /// The UUIDs of its devices, and whether each follows the group as it is now.
    pub(super) devices: BTreeMap<String, bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileRow {
    profile_id: String,
    profile_name: String,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Debug, Deserialize)]
struct GroupRow {
    id: String,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    profiles: Vec<Id>,
}

#[derive(Debug, Deserialize)]
struct Id {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Devices {
    devices: Vec<AssociatedRow>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssociatedRow {
    id: String,
    #[serde(default)]
    policy_group_up_to_date: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParcelRow {
    parcel_id: String,
    payload: Payload,
}

#[derive(Debug, Deserialize)]
struct Payload {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    data: Value,
}

impl ManagerClient {
    /// Reads the operator's policy group and all in it, and the edges.
    pub(in crate::manager) async fn observe_group(
        &self,
        identity: &Identity,
    ) -> Result<Observed, ManagerError> {
        let (objects, priorities, groups, devices) = tokio::try_join!(
            self.get::<Vec<ProfileRow>>(OBJECTS),
            self.get::<Vec<ProfileRow>>(PRIORITIES),
            self.get::<Vec<GroupRow>>(GROUPS),
            self.get::<Rows<DeviceRow>>("device"),
        )?;
        let mut ids = Ids {
            edges: edges(&devices.data, |_| true),
            offline: edges(&devices.data, DeviceRow::is_offline),
            ..Ids::default()
        };
        let mut observed = Observed {
            sites: sites(devices.data),
            ..Observed::default()
        };
        ids.objects = ids.own_profile(objects, identity);
        ids.priorities = ids.own_profile(priorities, identity);
        if let Some(row) = groups
            .into_iter()
            .find(|row| row.name == identity.policy_name.as_str())
        {
            if identity.owns(row.description.as_deref()) {
                ids.group = Some(self.group(row).await?);
            } else {
                ids.taken = Some(Taken::PolicyGroup);
            }
        }
        self.observe_lists(identity, &mut ids, &mut observed).await?;
        self.observe_traffic(identity, &mut ids, &mut observed).await?;
        ids.note_other_profiles();
        observed.objects.policy = ids.policy();
        observed.objects.unconfirmed = ids.stale().any(|edge| !ids.offline.contains(edge));
        observed.waiting_for = ids.waiting_for();
        observed.groups = ids;
        Ok(observed)
    }

    async fn group(&self, row: GroupRow) -> Result<Group, ManagerError> {
        let associated: Devices = self.get(&format!("{GROUPS}/{}/device/associate", row.id)).await?;
        let devices = associated.devices.into_iter();
        Ok(Group {
            id: row.id,
            profiles: row.profiles.into_iter().map(|profile| profile.id).collect(),
            devices: devices.map(|row| (row.id, row.policy_group_up_to_date)).collect(),
        })
    }

    async fn observe_lists(
        &self,
        identity: &Identity,
        ids: &mut Ids,
        observed: &mut Observed,
    ) -> Result<(), ManagerError> {
        let Some(profile) = ids.objects.as_deref() else {
            return Ok(());
        };
        let lists = try_join_all(parcel::KINDS.map(|kind| async move {
            let segment = parcel::segment(kind).expect("it is a kind of parcel");
            let rows: Rows<ParcelRow> = self.get(&format!("{OBJECTS}/{profile}/{segment}")).await?;
            Ok::<_, ManagerError>((kind, rows.data))
        }));
        for (kind, rows) in lists.await? {
            for row in rows {
                let payload = row.payload;
                let Some(name) = identity.own_list(&payload.name, payload.description.as_deref()) else {
                    ids.others.push(format!("policy object {}", payload.name));
                    continue;
                };
                let list = parcel::read(kind, &payload.data);
                observed.objects.lists.insert(name.clone(), list);
                ids.lists.insert(name, row.parcel_id);
            }
        }
        Ok(())
    }

    async fn observe_traffic(
        &self,
        identity: &Identity,
        ids: &mut Ids,
        observed: &mut Observed,
    ) -> Result<(), ManagerError> {
        let Some(profile) = &ids.priorities else {
            return Ok(());
        };
        let rows: Rows<ParcelRow> = self
            .get(&format!("{PRIORITIES}/{profile}/traffic-policy"))
            .await?;
        let mut pairs = BTreeMap::new();
        for row in rows.data {
            let payload = row.payload;
            let own = identity.owns(payload.description.as_deref());
            let key = DefinitionKey::from_name(&payload.name, DefinitionKind::Data, &identity.policy_name);
            if let Some(DefinitionKey { service_vpn, .. }) = key.filter(|_| own) {
                pairs.insert(service_vpn, traffic::read(&payload.data, service_vpn, &ids.lists));
                ids.traffic.insert(service_vpn, row.parcel_id);
            } else {
                ids.others.push(format!("traffic policy {}", payload.name));
            }
        }
        observed.objects.definitions = definitions(pairs);
        Ok(())
    }
}

impl Ids {
    fn own_profile(&mut self, rows: Vec<ProfileRow>, identity: &Identity) -> Option<String> {
        let row = rows
            .into_iter()
            .find(|row| row.profile_name == identity.policy_name.as_str())?;
        if !identity.owns(row.description.as_deref()) {
            self.taken = Some(Taken::Profile);
            return None;
        }
        Some(row.profile_id)
    }

    fn policy(&self) -> Option<CentralPolicy> {
        let group = self.group.as_ref()?;
        let whole = [&self.objects, &self.priorities]
            .into_iter()
            .all(|profile| profile.as_ref().is_some_and(|id| group.profiles.contains(id)));
        Some(CentralPolicy {
            assembly: match whole {
                true => Assembly::Service(BTreeMap::new()),
                false => Assembly::Altered,
            },
            active: !group.devices.is_empty(),
        })
    }

    fn note_other_profiles(&mut self) {
        let own = [&self.objects, &self.priorities];
        let group = self.group.iter();
        let profiles = group.flat_map(|group| &group.profiles);
        let others = profiles.filter(|id| own.iter().all(|own| own.as_ref() != Some(id)));
        self.others.extend(others.map(|id| format!("profile {id}")));
    }

    /// The edges that do not follow the group as it is now, though they have begun to.
    fn stale(&self) -> impl Iterator<Item = &String> {
        let group = self.group.iter().filter(|group| !group.devices.is_empty());
        group.flat_map(|group| {
            let edges = self.edges.iter();
            edges.filter(|edge| group.devices.get(*edge) != Some(&true))
        })
    }

    /// Of these, those that will when they are back.
    fn waiting_for(&self) -> Vec<String> {
        self.stale()
            .filter(|edge| self.offline.contains(*edge))
            .cloned()
            .collect()
    }

    /// Which object of others is in the way.
    pub(in crate::manager) fn taken(&self) -> Option<Taken> {
        self.taken
    }
}

/// The UUIDs of the WAN edges that fit.
fn edges(devices: &[DeviceRow], fits: impl Fn(&DeviceRow) -> bool) -> BTreeSet<String> {
    let edges = devices.iter().filter(|device| device.is_edge() && fits(device));
    edges.filter_map(|edge| edge.uuid.clone()).collect()
}
