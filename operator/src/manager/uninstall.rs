//! Uninstalling: the Manager as it was found.
//!
//! Owns the removal of all own objects, in the order in which nothing is removed that something else refers to. Invariants:
//! this is the only place where a policy is deactivated or an edge leaves the group, and only if nothing of others is in
//! them; an uninstall that stops in between can be repeated.

use serde_json::json;
use tracing::info;

use super::error::ManagerError;
use super::observe::{Backend, Identity, Observed};
use super::task::Start;
use super::transport::ManagerClient;
use super::wire;

/// What an uninstall came to.
#[derive(Debug, Default)]
pub struct Uninstalled {
    /// The objects that were removed, by kind and name.
    pub removed: Vec<String>,
    /// The objects that are still there, because others use them, with what the Manager says.
    pub left: Vec<(String, ManagerError)>,
}

impl ManagerClient {
    /// Removes all objects of this identity, after the edges have ceased to follow them.
    ///
    /// # Errors
    /// [`ManagerError::OthersInPolicy`] if others added something to the policy or the group: nothing is changed then.
    /// Any other [`ManagerError`] if the Manager cannot be reached, or refuses the deactivation.
    pub async fn uninstall(&self, identity: &Identity) -> Result<Uninstalled, ManagerError> {
        let mut observed = self.observe(identity).await?;
        let others = match identity.backend {
            Backend::Classic => wire::others(&observed.ids.policy_content, &observed.ids.definitions),
            Backend::PolicyGroups => observed.groups.others.clone(),
        };
        if !others.is_empty() {
            return Err(ManagerError::OthersInPolicy {
                policy: identity.policy_name.to_string(),
                others,
            });
        }
        // Also frees the lock that a predecessor may have died with.
        self.resume(identity, &mut observed).await?;
        match identity.backend {
            Backend::Classic => self.uninstall_policy(identity, &observed).await,
            Backend::PolicyGroups => self.uninstall_group(identity, &observed).await,
        }
    }

    async fn uninstall_policy(
        &self,
        identity: &Identity,
        observed: &Observed,
    ) -> Result<Uninstalled, ManagerError> {
        const PATH: &str = "template/policy/vsmart";
        let (ids, name) = (&observed.ids, &identity.policy_name);
        let mut uninstalled = Uninstalled::default();
        if let Some(id) = &ids.policy {
            if observed
                .objects
                .policy
                .as_ref()
                .is_some_and(|policy| policy.active)
            {
                let deactivation = Start {
                    path: format!("{PATH}/deactivate/{id}?confirm=true"),
                    body: json!({}),
                    if_expired: None,
                };
                self.push(&deactivation).await?;
                info!(policy = %name, "policy deactivated");
            }
            let path = format!("{PATH}/{id}");
            self.take_away(&mut uninstalled, format!("centralized policy {name}"), &path)
                .await?;
        }
        for (key, id) in &ids.definitions {
            let path = format!("{}/{id}", wire::definition_path(key.kind));
            self.take_away(&mut uninstalled, format!("definition {}", key.name(name)), &path)
                .await?;
        }
        for (list, id) in &ids.lists {
            let kind = observed.objects.lists[list].kind();
            let path = format!("{}/{id}", wire::list_path(kind));
            self.take_away(&mut uninstalled, format!("list {list}"), &path)
                .await?;
        }
        Ok(uninstalled)
    }

    /// Deletes an object; one that others use is left.
    pub(super) async fn take_away(
        &self,
        uninstalled: &mut Uninstalled,
        what: String,
        path: &str,
    ) -> Result<(), ManagerError> {
        match self.delete_object(path).await {
            Ok(()) => uninstalled.removed.push(what),
            Err(error @ ManagerError::Refused { .. }) => uninstalled.left.push((what, error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
