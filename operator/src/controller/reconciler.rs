//! One round against the Manager: observe, render, diff, apply.
//!
//! Owns the observed state between rounds, so that a change does not have to wait for a fresh look. Invariant: after
//! any failure, and after a round that was cut short, the next one observes afresh.

use tracing::{info, warn};

use crate::core::{ChangeSet, Scope, ServiceType, SteeringPolicy, TunnelReports, diff, keep, render};
use crate::manager::{Identity, ManagerClient, ManagerError, Observed, Plan};

/// What a round did to the fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it already was as asked.
    None,
    /// Objects were written that the edges do not look at.
    Written,
    /// The policy was activated.
    Activated,
}

/// Whether a policy says all that there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// What it does not say is not wanted.
    Whole,
    /// What it does not say may be wanted by a cluster that could not be looked at, and stays.
    Part,
}

/// Keeps the operator's objects on one Manager as a policy says.
#[derive(Debug)]
pub struct Reconciler {
    manager: ManagerClient,
    identity: Identity,
    inspection: ServiceType,
    observed: Option<Observed>,
}

impl Reconciler {
    /// A reconciler that has observed nothing yet.
    #[must_use]
    pub fn new(manager: ManagerClient, identity: Identity, inspection: ServiceType) -> Self {
        Self {
            manager,
            identity,
            inspection,
            observed: None,
        }
    }

    /// Makes the fabric do what `policy` says; writes nothing if it already does.
    ///
    /// # Errors
    /// [`ManagerError`]; the same call can be made again.
    pub async fn reconcile(&mut self, policy: &SteeringPolicy) -> Result<Effect, ManagerError> {
        self.reconcile_knowing(policy, Knowledge::Whole).await
    }

    /// Makes the fabric do what `policy` says; what it does not say is kept where it may not be all.
    ///
    /// # Errors
    /// [`ManagerError`]; the same call can be made again.
    pub async fn reconcile_knowing(
        &mut self,
        policy: &SteeringPolicy,
        knowledge: Knowledge,
    ) -> Result<Effect, ManagerError> {
        // Taken, so that an error or a cancelled round leaves no stale state behind.
        let mut observed = match self.observed.take() {
            Some(observed) => observed,
            None => self.manager.observe(&self.identity).await?,
        };
        if !policy.rules.is_empty() && observed.sites.is_empty() {
            return Err(ManagerError::NoWanEdges);
        }
        let resumed = self.manager.resume(&self.identity, &mut observed).await;
        let change_set = self.change_set(policy, knowledge, &observed);
        if change_set.activation.is_none() {
            // Nothing else will bring an interrupted edit to the fabric.
            resumed?;
        } else if let Err(error) = resumed {
            warn!(
                error = &error as &dyn std::error::Error,
                "interrupted edit not finished, a new one replaces it"
            );
        }
        if !change_set.is_empty() {
            announce(&change_set, policy);
            self.manager
                .apply(&self.identity, &mut observed, &change_set)
                .await?;
        }
        self.observed = Some(observed);
        Ok(match change_set.activation {
            Some(_) => Effect::Activated,
            None if change_set.is_empty() => Effect::None,
            None => Effect::Written,
        })
    }

    /// What [`reconcile`](Self::reconcile) would write; writes nothing.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be read, or would refuse the writes.
    pub async fn plan(&self, policy: &SteeringPolicy) -> Result<Plan, ManagerError> {
        self.plan_knowing(policy, Knowledge::Whole).await
    }

    /// What [`reconcile_knowing`](Self::reconcile_knowing) would write; writes nothing.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be read, or would refuse the writes.
    pub async fn plan_knowing(
        &self,
        policy: &SteeringPolicy,
        knowledge: Knowledge,
    ) -> Result<Plan, ManagerError> {
        let observed = self.manager.observe(&self.identity).await?;
        if !policy.rules.is_empty() && observed.sites.is_empty() {
            return Err(ManagerError::NoWanEdges);
        }
        let change_set = self.change_set(policy, knowledge, &observed);
        self.manager.plan(&self.identity, &observed, &change_set).await
    }

    fn change_set(&self, policy: &SteeringPolicy, knowledge: Knowledge, observed: &Observed) -> ChangeSet {
        let scope = Scope {
            sites: observed.sites.clone(),
            inspection: self.inspection,
        };
        let mut desired = render(policy, &scope, &self.identity.owner, &observed.objects);
        if knowledge == Knowledge::Part {
            desired = keep(desired, &observed.objects);
        }
        diff(&self.identity.fit(desired), &observed.objects)
    }

    /// The Controllers or edges that are offline and get the policy when they are back, as far as is known.
    #[must_use]
    pub fn waiting_for(&self) -> &[String] {
        self.observed
            .as_ref()
            .map_or(&[], |observed| &observed.waiting_for)
    }

    /// What the Manager reports of the tunnels.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be read.
    pub async fn tunnels(&self) -> Result<TunnelReports, ManagerError> {
        self.manager.tunnels().await
    }

    /// Logs in and observes ahead of the first round, and asks for the tunnels; `None` if there is no report of them.
    ///
    /// A failure is left for that round to meet.
    pub async fn warm_up(&mut self) -> Option<TunnelReports> {
        self.observed = self.manager.observe(&self.identity).await.ok();
        self.observed.as_ref()?;
        self.tunnels().await.ok()
    }

    /// What is on the Manager now; for [`learn`](Self::learn), if no round comes in between.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be read.
    pub async fn look(&self) -> Result<Observed, ManagerError> {
        self.manager.observe(&self.identity).await
    }

    /// Has the next round go by what was looked at.
    pub fn learn(&mut self, observed: Observed) {
        self.observed = Some(observed);
    }

    /// Has the next round observe afresh.
    pub fn forget(&mut self) {
        self.observed = None;
    }

    /// Ends the session on the Manager.
    pub async fn logout(&self) {
        if let Err(error) = self.manager.logout().await {
            warn!(error = &error as &dyn std::error::Error, "not logged out");
        }
    }
}

fn announce(change_set: &ChangeSet, policy: &SteeringPolicy) {
    info!(
        rules = policy.rules.len(),
        create = change_set.create.len(),
        edit = change_set.edit.len() + change_set.narrow.len(),
        definitions = change_set.definitions.len(),
        remove = change_set.remove.len(),
        activation = ?change_set.activation,
        "fabric differs from the annotations"
    );
}
