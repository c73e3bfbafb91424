//! Uninstalling the policy group.
//!
//! Invariant: an edge has ceased to follow the group before the group is deleted, also if an earlier attempt stopped in
//! between.

use super::apply::{deployment, devices};
use super::{GROUPS, OBJECTS, PRIORITIES, parcel};
use crate::manager::error::ManagerError;
use crate::manager::observe::{Identity, Observed};
use crate::manager::transport::ManagerClient;
use crate::manager::uninstall::Uninstalled;

impl ManagerClient {
    pub(in crate::manager) async fn uninstall_group(
        &self,
        identity: &Identity,
        observed: &Observed,
    ) -> Result<Uninstalled, ManagerError> {
        let (ids, name) = (&observed.groups, &identity.policy_name);
        let mut uninstalled = Uninstalled::default();
        if let Some(group) = &ids.group {
            let path = format!("{GROUPS}/{}", group.id);
            if !group.devices.is_empty() {
                let associated = devices(group.devices.keys());
                self.delete_with(&format!("{path}/device/associate"), &associated)
                    .await?;
            }
            for edge in &ids.edges {
                self.release_edge(&group.id, edge).await?;
            }
            self.take_away(&mut uninstalled, format!("policy group {name}"), &path)
                .await?;
        }
        if let Some(profile) = &ids.priorities {
            let path = format!("{PRIORITIES}/{profile}");
            let what = format!("application-priority profile {name}");
            self.take_away(&mut uninstalled, what, &path).await?;
        }
        if let Some(profile) = &ids.objects {
            for (list, id) in &ids.lists {
                let kind = observed.objects.lists[list].kind();
                let segment = parcel::segment(kind).expect("it was read as a parcel");
                let path = format!("{OBJECTS}/{profile}/{segment}/{id}");
                self.take_away(&mut uninstalled, format!("policy object {list}"), &path)
                    .await?;
            }
            let path = format!("{OBJECTS}/{profile}");
            let what = format!("policy-object profile {name}");
            self.take_away(&mut uninstalled, what, &path).await?;
        }
        Ok(uninstalled)
    }

    /// Has an edge that is not in the group any more cease to follow it, which takes one more deployment.
    async fn release_edge(&self, group: &str, edge: &str) -> Result<(), ManagerError> {
        match self.push(&deployment(group, [edge].into_iter())).await {
            // It does not follow the group.
            Ok(_) | Err(ManagerError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
