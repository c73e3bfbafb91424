//! Feature profiles and policy groups in the Manager's state.
//!
//! Owns what concerns both groups and what is in force: deploying, and what must not be deleted. Edits of profiles, parcels
//! and groups take no lock and do nothing to edges; they wait for the next deployment.

use super::pushes::Order;
use super::{Accepted, Change, Store, StoreError};
use crate::manager::Device;
use crate::manager::caller::Caller;
use crate::manager::feature_profile::catalog::Catalog;
use crate::manager::feature_profile::{Profile, ProfileKind};
use crate::manager::policy_group::in_force::{GroupPart, InForce};
use crate::manager::policy_group::translate::{self, TranslateError, Translated};
use crate::manager::policy_group::{GroupError, PolicyGroup, PolicyGroups};
use crate::manager::task::Work;
use crate::policy::EdgePolicy;

/// What a deployment does to one device.
struct Planned {
    own: EdgePolicy,
    /// Nothing when it takes the group away.
    part: Option<GroupPart>,
}

impl Store {
    /// Profiles and parcels.
    pub(in crate::manager) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Profiles and parcels, to change.
    pub(in crate::manager) fn catalog_mut(&mut self) -> &mut Catalog {
        &mut self.catalog
    }

    /// Policy groups.
    pub(in crate::manager) fn groups(&self) -> &PolicyGroups {
        &self.groups
    }

    /// Policy groups, to change.
    pub(in crate::manager) fn groups_mut(&mut self) -> &mut PolicyGroups {
        &mut self.groups
    }

    /// What edges follow.
    pub(in crate::manager) fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// Stores a new policy group, or a new version of one.
    pub(in crate::manager) fn put_group(&mut self, group: PolicyGroup) -> Result<(), StoreError> {
        Ok(self.groups.put(group, &self.catalog)?)
    }

    /// Deletes a profile that no group has.
    pub(in crate::manager) fn delete_profile(
        &mut self,
        kind: ProfileKind,
        id: &str,
    ) -> Result<Profile, StoreError> {
        let profile = self.catalog.profile(kind, id)?;
        if let Some(group) = self
            .groups
            .all()
            .find(|group| group.profiles.contains(&profile.id))
        {
            let (profile, group) = (profile.name.clone(), group.name.clone());
            return Err(GroupError::ProfileInUse { profile, group }.into());
        }
        Ok(self.catalog.delete_profile(kind, id)?)
    }

    /// Deletes a group that no device has and no edge follows.
    pub(in crate::manager) fn delete_group(
        &mut self,
        id: &str,
        inventory: &[Device],
    ) -> Result<PolicyGroup, StoreError> {
        let group = self.groups.group(id)?;
        let followed = |device: &&Device| self.in_force.is_followed(device.site_id, group.id);
        if let Some(device) = inventory.iter().find(followed) {
            return Err(GroupError::Attached {
                group: group.name.clone(),
                device: device.uuid(),
            }
            .into());
        }
        Ok(self.groups.delete(id)?)
    }

    /// Whether the edge of a device follows the group as it is now.
    pub(in crate::manager) fn is_up_to_date(&self, group: &PolicyGroup, device: &Device) -> bool {
        let Some(values) = group.devices.get(&device.uuid()) else {
            return false;
        };
        let now = translate::fingerprint(group, values, &self.catalog);
        (self.in_force.group(device.site_id))
            .is_some_and(|part| part.group == group.id && part.fingerprint == now)
    }

    /// The group as an associated device is to follow it.
    pub(in crate::manager) fn translated(
        &self,
        group: &PolicyGroup,
        device: &Device,
    ) -> Result<Translated, StoreError> {
        let values = group
            .devices
            .get(&device.uuid())
            .ok_or_else(|| not_associated(group, device))?;
        Ok(translate::translate(group, values, &self.catalog, device)?)
    }

    /// Accepts a deployment of a group to devices: to those that are associated with it its policy, from those that are no
    /// more and still follow it that policy is taken away. What edges cannot follow fails as a task, as of an activation.
    pub(in crate::manager) fn deploy(
        &mut self,
        caller: &Caller,
        id: &str,
        devices: &[&Device],
    ) -> Result<Accepted, StoreError> {
        let group = self.groups.group(id)?.clone();
        if let Some(reason) = self.missing_variables(&group, devices) {
            return Ok(self.refuse(caller, Work::DeployPolicyGroup, &reason));
        }
        let (mut plan, mut unfit) = (Vec::new(), Vec::new());
        for device in devices {
            match self.plan(&group, device) {
                Ok(planned) => plan.push(planned),
                Err(StoreError::Translate(TranslateError::Unfit(problem))) => problem.add_to(&mut unfit),
                Err(refused) => return Err(refused),
            }
        }
        if !unfit.is_empty() {
            let unfit: Vec<String> = unfit.iter().map(ToString::to_string).collect();
            let reason = format!("policy group {}: {}", group.name, unfit.join("; "));
            return Ok(self.refuse(caller, Work::DeployPolicyGroup, &reason));
        }
        let order = Order {
            work: Work::DeployPolicyGroup,
            change: Change::Deploy,
            policy_id: group.id,
            policy_name: group.name,
            edges: plan.iter().map(|planned| planned.own.clone()).collect(),
        };
        self.check_clashes(&order)?;
        let accepted = self.accept(caller, order);
        if let Ok(push) = &accepted.push {
            for Planned { own, part } in plan {
                self.in_force.deploy(push.number, own.site_id, part);
            }
        }
        Ok(accepted)
    }

    fn plan(&self, group: &PolicyGroup, device: &Device) -> Result<Planned, StoreError> {
        let followed = self.in_force.is_followed(device.site_id, group.id);
        let Some(values) = group.devices.get(&device.uuid()) else {
            if !followed {
                return Err(not_associated(group, device).into());
            }
            return Ok(Planned {
                own: EdgePolicy::none(device.site_id),
                part: None,
            });
        };
        let translated = self.translated(group, device)?;
        let own = translated.compile(device)?;
        let part = GroupPart {
            group: group.id,
            fingerprint: translate::fingerprint(group, values, &self.catalog),
            policy: own.clone(),
            translated,
        };
        Ok(Planned {
            own,
            part: Some(part),
        })
    }

    /// What is said of the variables that have no value; nothing when all have one.
    fn missing_variables(&self, group: &PolicyGroup, devices: &[&Device]) -> Option<String> {
        let of_device = devices.iter().filter_map(|device| {
            let missing = translate::missing(group, group.devices.get(&device.uuid())?, &self.catalog);
            let names: Vec<String> = missing.into_iter().collect();
            (!names.is_empty()).then(|| {
                format!(
                    "device {}: no value for variables {}",
                    device.uuid(),
                    names.join(", ")
                )
            })
        });
        let reasons: Vec<String> = of_device.collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

fn not_associated(group: &PolicyGroup, device: &Device) -> GroupError {
    GroupError::NotAssociated {
        device: device.uuid(),
        group: group.name.clone(),
    }
}
