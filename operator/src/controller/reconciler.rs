//! One round against the Manager: observe, render, diff, apply.
//!
//! Owns the observed state between rounds, so that a change does not have to wait for a fresh look, and how often a round
//! goes on without what the Manager refuses. Invariants: after any failure, and after a round that was cut short, the next
//! one observes afresh; nobody is suspected of a refusal that a fresh look might explain.

use tracing::{info, warn};

use crate::core::{
    ChangeSet, Held, HoldBack, ObjectKey, Objects, Scope, Search, ServiceType, SteeringPolicy, TunnelReports,
    diff, keep, keep_for, render,
};
use crate::manager::{Identity, ManagerClient, ManagerError, Observed, Plan};

/// How many refusals a round looks into one by one, before it leaves out all that is new.
const REFUSALS_MAX: usize = 8;

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
    hold_back: HoldBack,
    /// The objects before the first write that was refused, until something was accepted.
    in_force: Option<Objects>,
}

/// What a round has seen.
struct Seen {
    observed: Observed,
    /// It was observed in this round.
    is_fresh: bool,
    refusals: usize,
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
            hold_back: HoldBack::default(),
            in_force: None,
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
    /// Classes that the Manager refuses are [held back](Self::held_back), and what is in force for them stays.
    ///
    /// # Errors
    /// [`ManagerError`]; the same call can be made again.
    pub async fn reconcile_knowing(
        &mut self,
        policy: &SteeringPolicy,
        knowledge: Knowledge,
    ) -> Result<Effect, ManagerError> {
        self.hold_back.begin(policy);
        // Taken, so that an error or a cancelled round leaves no stale state behind.
        let known = self.observed.take().filter(|_| !self.hold_back.is_trying());
        let mut seen = Seen {
            is_fresh: known.is_none(),
            observed: match known {
                Some(observed) => observed,
                None => self.manager.observe(&self.identity).await?,
            },
            refusals: 0,
        };
        if !policy.rules.is_empty() && seen.observed.sites.is_empty() {
            return Err(ManagerError::NoWanEdges);
        }
        loop {
            match self.write(policy, knowledge, &mut seen).await {
                Ok(effect) => {
                    self.hold_back.accept();
                    self.in_force = None;
                    self.observed = Some(seen.observed);
                    return Ok(effect);
                }
                Err(error) => self.go_on_without(policy, error, &mut seen).await?,
            }
        }
    }

    /// Writes what is not held back, if anything of it has to be written.
    async fn write(
        &self,
        policy: &SteeringPolicy,
        knowledge: Knowledge,
        seen: &mut Seen,
    ) -> Result<Effect, ManagerError> {
        let resumed = self.manager.resume(&self.identity, &mut seen.observed).await;
        let change_set = self.change_set(policy, knowledge, &seen.observed);
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
                .apply(&self.identity, &mut seen.observed, &change_set)
                .await?;
        }
        Ok(match change_set.activation {
            Some(_) => Effect::Activated,
            None if change_set.is_empty() => Effect::None,
            None => Effect::Written,
        })
    }

    /// Holds back who may be the reason for an error, and observes what was written up to there; the error itself if it is
    /// nobody's.
    async fn go_on_without(
        &mut self,
        policy: &SteeringPolicy,
        error: ManagerError,
        seen: &mut Seen,
    ) -> Result<(), ManagerError> {
        let refused = error.refused();
        if refused.is_empty() {
            return Err(error);
        }
        let is_policy = |(object, _): &(_, _)| *object == ObjectKey::Policy;
        // If a push was what was refused, what is stored by now would be taken for what is in force.
        if seen.is_fresh || refused.iter().any(is_policy) {
            seen.refusals += 1;
            let all_new = [(ObjectKey::Policy, error.to_string())];
            let refused = match seen.refusals {
                ..=REFUSALS_MAX => refused.as_slice(),
                _ => &all_new,
            };
            let asked = self.hold_back.asked(policy);
            let search = Search::new(&asked, self.in_force(&seen.observed), |rule| {
                let alone = SteeringPolicy {
                    rules: vec![rule.clone()],
                };
                self.identity.fit(self.render(&alone, &Observed::default()))
            });
            let suspicions = search.suspicions(refused);
            if suspicions.is_empty() {
                return Err(error);
            }
            for suspicion in &suspicions {
                warn!(
                    classes = suspicion.rules.len(),
                    first = %suspicion.rules[0].class,
                    error = suspicion.words,
                    "refused by the Manager, what is in force stays"
                );
            }
            self.hold_back.hold(suspicions);
            let before = std::mem::take(&mut seen.observed.objects);
            self.in_force.get_or_insert(before);
        }
        seen.observed = self.manager.observe(&self.identity).await?;
        seen.is_fresh = true;
        Ok(())
    }

    /// What [`reconcile`](Self::reconcile) would write; writes nothing.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be read, or what would be written is somebody else's.
    pub async fn plan(&self, policy: &SteeringPolicy) -> Result<Plan, ManagerError> {
        self.plan_knowing(policy, Knowledge::Whole).await
    }

    /// What [`reconcile_knowing`](Self::reconcile_knowing) would write; writes nothing.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be read, or what would be written is somebody else's.
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

    /// What steers, as far as is known.
    fn in_force<'a>(&'a self, observed: &'a Observed) -> &'a Objects {
        self.in_force.as_ref().unwrap_or(&observed.objects)
    }

    fn change_set(&self, policy: &SteeringPolicy, knowledge: Knowledge, observed: &Observed) -> ChangeSet {
        let mut desired = self.render(&self.hold_back.asked(policy), observed);
        if knowledge == Knowledge::Part {
            desired = keep(desired, self.in_force(observed));
        }
        if self.hold_back.kept().next().is_some() {
            desired = keep_for(desired, self.in_force(observed), self.hold_back.kept());
            // Lists of what is held back are not removed and created at each trial.
            for name in self.render(policy, observed).lists.into_keys() {
                if let Some(list) = observed.objects.lists.get(&name) {
                    desired.lists.entry(name).or_insert_with(|| list.clone());
                }
            }
        }
        diff(&self.identity.fit(desired), &observed.objects)
    }

    fn render(&self, policy: &SteeringPolicy, observed: &Observed) -> Objects {
        let scope = Scope {
            sites: observed.sites.clone(),
            inspection: self.inspection,
        };
        render(policy, &scope, &self.identity.owner, &observed.objects)
    }

    /// The classes that the Manager refuses, or may refuse.
    pub fn held_back(&self) -> impl Iterator<Item = &Held> {
        self.hold_back.held()
    }

    /// Whether another round would find out more about what is held back.
    #[must_use]
    pub fn has_more_to_try(&self) -> bool {
        self.hold_back.has_more_to_try()
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

    /// Has the next round go by what was looked at, and try again what is held back.
    pub fn learn(&mut self, observed: Observed) {
        self.observed = Some(observed);
        self.hold_back.retry();
    }

    /// Has the next round observe afresh, and try again what is held back.
    pub fn forget(&mut self) {
        self.observed = None;
        self.hold_back.retry();
    }

    /// Has the next round begin as the first one did: somebody else may have written in between.
    pub fn start_over(&mut self) {
        self.observed = None;
        self.hold_back = HoldBack::default();
        self.in_force = None;
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
