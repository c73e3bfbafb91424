//! Policy groups: which feature profiles reach which WAN edges, with which values for their variables.
//!
//! Owns groups and their devices; what a group means for one device is in `translate`, what edges have taken in `in_force`.
//! Invariant: a device is associated with one group at most, and the profiles of a group exist.

pub(super) mod in_force;
pub(super) mod translate;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::feature_profile::at::{At, PlaceError};
use super::feature_profile::catalog::Catalog;
use super::feature_profile::{self, Parcel};
use super::objects::Stamp;

/// A stored policy group.
#[derive(Debug, Clone)]
pub(super) struct PolicyGroup {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) profiles: Vec<Uuid>,
    /// By the UUID in the inventory.
    pub(super) devices: BTreeMap<String, Values>,
    /// Changes whenever the group is written.
    pub(super) revision: u64,
    pub(super) stamp: Stamp,
}

/// The values of a device's variables, by name; there may be some that no parcel has.
pub(super) type Values = Map<String, Value>;

/// Why something was not done to a policy group.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupError {
    /// The body.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// No group has this id.
    #[error("no policy group has the id `{0}`")]
    NotFound(String),
    /// Another group has this name.
    #[error("another policy group has the name `{0}`")]
    NameTaken(String),
    /// It names a profile that does not exist.
    #[error("/profiles/{place}/id: `{id}` is not the id of a feature profile")]
    Dangling { place: usize, id: Uuid },
    /// No WAN edge has this UUID.
    #[error("/devices/{place}/id: no WAN edge has the UUID `{id}`")]
    NoDevice { place: usize, id: String },
    /// The device belongs to another group.
    #[error("device {device} is already associated to group(s) {group}")]
    Associated { device: String, group: String },
    /// The device does not belong to the group.
    #[error("device {device} is not associated to policy group {group}")]
    NotAssociated { device: String, group: String },
    /// The group has devices, or edges still follow it.
    #[error("policy group {group} is attached to device {device}")]
    Attached { group: String, device: String },
    /// A group has the profile.
    #[error("profile {profile} is referenced by policy group {group}")]
    ProfileInUse { profile: String, group: String },
}

/// All policy groups.
#[derive(Debug, Default)]
pub(super) struct PolicyGroups(BTreeMap<Uuid, PolicyGroup>);

/// What a client says of a group.
#[derive(Debug)]
pub(super) struct GroupBody {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) profiles: Vec<Uuid>,
}

/// The values that a device is to have.
#[derive(Debug)]
pub(super) struct DeviceValues {
    device: String,
    values: Values,
}

/// Reads the body of a POST or PUT.
pub(super) fn parse(body: &Value) -> Result<GroupBody, PlaceError> {
    let root = At::root(body);
    let (name, description) = feature_profile::read_names(&root, &["solution", "profiles"])?;
    let fields = root.fields(&["name", "description", "solution", "profiles"])?;
    fields.need("solution")?.word(&["sdwan"])?;
    let mut profiles = Vec::new();
    for at in fields
        .get("profiles")
        .map(|at| at.items())
        .transpose()?
        .unwrap_or_default()
    {
        let at = at.fields(&["id"])?.need("id")?;
        let id = Uuid::parse_str(at.text()?).map_err(|_| at.refuse("the id of a feature profile"))?;
        if profiles.contains(&id) {
            return Err(at.rule(&"the profile is named twice"));
        }
        profiles.push(id);
    }
    Ok(GroupBody {
        name,
        description,
        profiles,
    })
}

/// Reads the body `{"devices": [{"id": …}]}`; each device once, in the order of the body.
pub(super) fn parse_devices(body: &Value) -> Result<Vec<String>, PlaceError> {
    let mut devices = Vec::new();
    for at in At::root(body)
        .fields(&["devices"])?
        .need("devices")?
        .some_items()?
    {
        let at = at.fields(&["id"])?.need("id")?;
        let id = at.text()?.to_owned();
        if devices.contains(&id) {
            return Err(at.rule(&"the device is named twice"));
        }
        devices.push(id);
    }
    Ok(devices)
}

/// Reads the body of a PUT of variables.
pub(super) fn parse_variables(body: &Value) -> Result<Vec<DeviceValues>, PlaceError> {
    let fields = At::root(body).fields(&["solution", "devices"])?;
    fields.get("solution").map(|at| at.word(&["sdwan"])).transpose()?;
    let mut devices = Vec::new();
    for at in fields.need("devices")?.some_items()? {
        let device = at.fields(&["device-id", "variables"])?;
        let id = device.need("device-id")?.text()?.to_owned();
        let mut values = Map::new();
        for at in device.need("variables")?.items()? {
            let variable = at.fields(&["name", "value"])?;
            let name = variable.need("name")?.text()?.to_owned();
            // A variable without a value is one to be asked for.
            let Some(value) = variable.get("value").filter(|at| !at.value.is_null()) else {
                continue;
            };
            if values.insert(name, value.value.clone()).is_some() {
                return Err(at.rule(&"the variable is given twice"));
            }
        }
        devices.push(DeviceValues { device: id, values });
    }
    Ok(devices)
}

impl PolicyGroups {
    /// All groups.
    pub(super) fn all(&self) -> impl Iterator<Item = &PolicyGroup> {
        self.0.values()
    }

    /// A group, by the text of its id.
    pub(super) fn group(&self, id: &str) -> Result<&PolicyGroup, GroupError> {
        let found = Uuid::parse_str(id).ok().and_then(|id| self.0.get(&id));
        found.ok_or_else(|| GroupError::NotFound(id.to_owned()))
    }

    /// Stores a new group, or a new version of one.
    pub(super) fn put(&mut self, group: PolicyGroup, catalog: &Catalog) -> Result<(), GroupError> {
        let taken = |other: &PolicyGroup| other.name == group.name && other.id != group.id;
        if self.0.values().any(taken) {
            return Err(GroupError::NameTaken(group.name));
        }
        for (place, &id) in group.profiles.iter().enumerate() {
            if catalog.profile_of(id).is_none() {
                return Err(GroupError::Dangling { place, id });
            }
        }
        self.0.insert(group.id, group);
        Ok(())
    }

    /// Deletes a group without devices; that no edge follows it is for the caller to check.
    pub(super) fn delete(&mut self, id: &str) -> Result<PolicyGroup, GroupError> {
        let group = self.group(id)?;
        if let Some(device) = group.devices.keys().next() {
            return Err(GroupError::Attached {
                group: group.name.clone(),
                device: device.clone(),
            });
        }
        let id = group.id;
        Ok(self.0.remove(&id).expect("the group was found above"))
    }

    /// Associates these devices, which exist, with a group.
    pub(super) fn associate(&mut self, id: &str, devices: &[String]) -> Result<(), GroupError> {
        let id = self.group(id)?.id;
        for other in self.0.values().filter(|other| other.id != id) {
            if let Some(device) = devices.iter().find(|device| other.devices.contains_key(*device)) {
                return Err(GroupError::Associated {
                    device: device.clone(),
                    group: other.name.clone(),
                });
            }
        }
        let group = self.0.get_mut(&id).expect("the group was found above");
        for device in devices {
            group.devices.entry(device.clone()).or_default();
        }
        Ok(())
    }

    /// Ends the association of these devices with a group. Edges are left alone.
    pub(super) fn disassociate(&mut self, id: &str, devices: &[String]) -> Result<(), GroupError> {
        let group = self.of_devices(id, devices)?;
        group.devices.retain(|device, _| !devices.contains(device));
        Ok(())
    }

    /// Gives devices of a group these values of variables instead of those that they have.
    pub(super) fn set_variables(&mut self, id: &str, values: Vec<DeviceValues>) -> Result<(), GroupError> {
        let devices: Vec<String> = values.iter().map(|of| of.device.clone()).collect();
        let group = self.of_devices(id, &devices)?;
        for DeviceValues { device, values } in values {
            group.devices.insert(device, values);
        }
        Ok(())
    }

    /// A group that all these devices belong to.
    fn of_devices(&mut self, id: &str, devices: &[String]) -> Result<&mut PolicyGroup, GroupError> {
        let group = self.group(id)?;
        if let Some(device) = devices.iter().find(|device| !group.devices.contains_key(*device)) {
            return Err(GroupError::NotAssociated {
                device: device.clone(),
                group: group.name.clone(),
            });
        }
        let id = group.id;
        Ok(self.0.get_mut(&id).expect("the group was found above"))
    }
}

impl PolicyGroup {
    /// The traffic policies and other parcels of its profiles.
    pub(super) fn parcels<'a>(&'a self, catalog: &'a Catalog) -> impl Iterator<Item = &'a Parcel> {
        self.profiles.iter().flat_map(|&profile| catalog.parcels(profile))
    }

    /// The names of the variables of its parcels.
    pub(super) fn variables(&self, catalog: &Catalog) -> BTreeSet<String> {
        self.parcels(catalog)
            .flat_map(|parcel| parcel.variables.clone())
            .collect()
    }
}
