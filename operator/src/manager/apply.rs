//! Application: a change set as requests.
//!
//! Owns what comes before and after the writes: whether they are allowed, and the removal of what is no longer used when
//! the fabric has ceased to use it. An edit that a predecessor did not finish is finished.
//!
//! Invariants: at most one activation per change set; nothing is written if the activation cannot be allowed.

use futures::stream::{self, StreamExt};
use tracing::{debug, info, warn};

use super::error::{ManagerError, Taken};
use super::observe::{Backend, Identity, Observed};
use super::transport::ManagerClient;
use super::wire;
use super::write::{Push, Writing};
use crate::core::{ChangeSet, Definition, DefinitionKey, List, ListKind, ListName};

/// Of the 100 requests per second that a Manager allows, writes of lists may be this many at a time.
pub(super) const PARALLEL_WRITES: usize = 8;

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
        if identity.backend == Backend::PolicyGroups {
            return self.apply_to_group(identity, observed, change_set).await;
        }
        let mut writing = Writing::new(self, identity, observed);
        if let Err(error) = writing.write(change_set).await {
            let remains = writing.into_remains();
            self.release(remains.process_id).await;
            let begun = remains.edited || observed.objects.unconfirmed;
            if !begun && !error.refused().is_empty() {
                // Nothing of what is in force was touched, so there is nothing that a successor would have to finish.
                self.unmark(observed).await?;
            }
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
    /// What is pushed is the last definition that was stored, so this also frees a lock that died with its holder. Policy
    /// groups have no lock: [`apply`](Self::apply) finishes their deployment.
    ///
    /// # Errors
    /// [`ManagerError`] if the push fails; the next [`apply`](Self::apply) with an activation makes up for it.
    pub async fn resume(&self, identity: &Identity, observed: &mut Observed) -> Result<(), ManagerError> {
        let active = observed
            .objects
            .policy
            .as_ref()
            .is_some_and(|policy| policy.active);
        // What is stored may not be what the operator wrote, and only the next change set puts that right.
        let by_apply = identity.backend == Backend::PolicyGroups;
        if !observed.objects.unconfirmed || !active || by_apply {
            return Ok(());
        }
        info!(policy = %identity.policy_name, "finishing an interrupted edit");
        Writing::new(self, identity, observed)
            .activate(Push::Stored)
            .await?;
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
}

/// Whether what the change set writes may be written.
pub(super) fn check_ground(
    identity: &Identity,
    observed: &Observed,
    change_set: &ChangeSet,
) -> Result<(), ManagerError> {
    let own = identity.policy_name.to_string();
    let taken = |what: Taken| ManagerError::NameTaken {
        what,
        name: own.clone(),
        mark: identity.owner.mark(),
    };
    if identity.backend == Backend::PolicyGroups {
        return observed.groups.taken().map_or(Ok(()), |what| Err(taken(what)));
    }
    if change_set.activation.is_none() {
        return Ok(());
    }
    if let Some(active) = &observed.foreign_active {
        return Err(ManagerError::ForeignPolicyActive {
            active: active.clone(),
            own,
        });
    }
    observed.ids.taken.map_or(Ok(()), |what| Err(taken(what)))
}
