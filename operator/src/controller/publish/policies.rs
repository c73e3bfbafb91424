//! SteeringPolicies: those that show annotations, and the status of all.
//!
//! Owns what is written where. Invariant: of a policy that a user wrote only the status is written; a policy of the
//! name that an annotation's would have is left alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::warn;

use super::super::custom::Custom;
use super::status::status;
use super::{BATCH_WRITES, PARALLEL_WRITES, Programming, WRITE_PATIENCE};
use crate::api::{
    GROUP, MANAGED_BY, MANAGED_BY_LABEL, PROGRAMMED, SteeringPolicy, SteeringPolicySpec,
    SteeringPolicyStatus, VERSION,
};
use crate::core::{Outcome, Refusal, Subject};

/// Namespace and name.
pub(super) type Name = (String, String);

pub(super) struct Policies {
    kubernetes: Client,
    copies: Custom<SteeringPolicy>,
}

/// One thing to write.
enum Write<'a> {
    /// The policy that shows annotations, and then its status.
    Policy(Box<SteeringPolicy>, &'a Outcome),
    /// The status of a policy that is as it should be.
    Status(Arc<SteeringPolicy>, &'a Outcome),
    /// The policy of annotations that are gone.
    Removal(Arc<SteeringPolicy>),
}

impl Policies {
    pub(super) fn start(kubernetes: &Client, changed: &Arc<Notify>) -> Self {
        Self {
            kubernetes: kubernetes.clone(),
            copies: Custom::start(Api::all(kubernetes.clone()), changed.clone()),
        }
    }

    /// Writes what differs from the outcomes; whether all could be written.
    pub(super) async fn show(
        &self,
        outcomes: &[Arc<Outcome>],
        programming: impl Fn(&Outcome) -> Programming,
        now: Timestamp,
    ) -> bool {
        let Some(copies) = self.copies.all() else {
            return true;
        };
        let mut writes = plan(outcomes, &copies);
        writes.retain(|write| match write {
            Write::Status(policy, outcome) => news(policy, outcome, &programming(outcome), now).is_some(),
            Write::Policy(..) | Write::Removal(_) => true,
        });
        let mut all = true;
        while !writes.is_empty() {
            let batch = writes.drain(..writes.len().min(BATCH_WRITES));
            // Collected first: a stream over borrowing closures would make this future unable to change threads.
            let batch: Vec<_> = batch.map(|write| self.write(write, &programming, now)).collect();
            let written: Vec<bool> = stream::iter(batch)
                .buffer_unordered(PARALLEL_WRITES)
                .collect()
                .await;
            all &= written.into_iter().all(|written| written);
        }
        all
    }

    /// The policies that already say that the fabric does what is asked.
    pub(super) fn say_programmed(&self) -> HashSet<Name> {
        let programmed = |policy: &Arc<SteeringPolicy>| {
            let conditions = policy.status.as_ref().map(|status| &status.conditions);
            conditions.is_some_and(|conditions| {
                conditions
                    .iter()
                    .any(|condition| condition.type_ == PROGRAMMED && condition.status == "True")
            })
        };
        let copies = self.copies.all().unwrap_or_default();
        copies
            .iter()
            .filter(|policy| programmed(policy))
            .map(|policy| name_of(policy))
            .collect()
    }

    async fn write(
        &self,
        write: Write<'_>,
        programming: &impl Fn(&Outcome) -> Programming,
        now: Timestamp,
    ) -> bool {
        let (kube_namespace, name) = match &write {
            Write::Policy(policy, _) => name_of(policy),
            Write::Status(policy, _) | Write::Removal(policy) => name_of(policy),
        };
        let api: Api<SteeringPolicy> = Api::namespaced(self.kubernetes.clone(), &kube_namespace);
        let written = async {
            match write {
                Write::Policy(policy, outcome) => {
                    let applied = api.patch(&name, &manner(), &Patch::Apply(&*policy)).await?;
                    write_status(&api, &applied, outcome, &programming(outcome), now).await
                }
                Write::Status(policy, outcome) => {
                    write_status(&api, &policy, outcome, &programming(outcome), now).await
                }
                Write::Removal(policy) => {
                    let same = Preconditions {
                        uid: policy.uid(),
                        ..Preconditions::default()
                    };
                    match api
                        .delete(&name, &DeleteParams::default().preconditions(same))
                        .await
                    {
                        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                        deleted => deleted.map(|_| ()),
                    }
                }
            }
        };
        let said = match timeout(WRITE_PATIENCE, written).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        warn!(kube_namespace, name, error = said, "policy not written");
        false
    }
}

async fn write_status(
    api: &Api<SteeringPolicy>,
    policy: &SteeringPolicy,
    outcome: &Outcome,
    programming: &Programming,
    now: Timestamp,
) -> kube::Result<()> {
    let Some(new) = news(policy, outcome, programming, now) else {
        return Ok(());
    };
    let patch = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "SteeringPolicy",
        "metadata": { "name": policy.name_any() }, "status": new,
    });
    api.patch_status(&policy.name_any(), &manner(), &Patch::Apply(&patch))
        .await?;
    Ok(())
}

/// The status that a policy should have, if it has another one.
fn news(
    policy: &SteeringPolicy,
    outcome: &Outcome,
    programming: &Programming,
    now: Timestamp,
) -> Option<SteeringPolicyStatus> {
    let generation = match &outcome.subject {
        Subject::Policy { generation, .. } => *generation,
        Subject::Annotations { .. } => policy.metadata.generation.unwrap_or_default(),
    };
    let new = status(outcome, generation, programming, policy.status.as_ref(), now);
    (policy.status.as_ref() != Some(&new)).then_some(new)
}

fn manner() -> PatchParams {
    PatchParams::apply(MANAGED_BY).force()
}

fn name_of(policy: &SteeringPolicy) -> Name {
    (policy.namespace().unwrap_or_default(), policy.name_any())
}

fn is_own(policy: &SteeringPolicy) -> bool {
    policy
        .labels()
        .get(MANAGED_BY_LABEL)
        .is_some_and(|by| by == MANAGED_BY)
}

/// What has to be written for the outcomes to be shown.
fn plan<'a>(outcomes: &'a [Arc<Outcome>], copies: &[Arc<SteeringPolicy>]) -> Vec<Write<'a>> {
    let by_name: HashMap<Name, &Arc<SteeringPolicy>> =
        copies.iter().map(|policy| (name_of(policy), policy)).collect();
    let mut kept = HashSet::new();
    let mut writes = Vec::new();
    for outcome in outcomes {
        let service = &outcome.service;
        let (uid, name) = match &outcome.subject {
            // The policy that overrules it is what people see.
            Subject::Annotations { .. } if matches!(outcome.verdict, Err(Refusal::Overruled { .. })) => {
                continue;
            }
            Subject::Annotations { uid } => (Some(uid), service.name.clone()),
            Subject::Policy { name, .. } => (None, name.clone()),
        };
        let name = (service.kube_namespace.clone(), name);
        let copy = by_name.get(&name).copied();
        match (uid, copy) {
            (None, Some(policy)) => writes.push(Write::Status(policy.clone(), outcome)),
            (Some(uid), copy) if copy.is_none_or(|policy| is_own(policy)) => {
                let wanted = outcome
                    .intent
                    .as_ref()
                    .map(|intent| shown(&name, uid, SteeringPolicySpec::of(&service.name, intent)));
                match (wanted, copy) {
                    (Some(wanted), copy) if copy.is_none_or(|copy| differs(copy, &wanted)) => {
                        writes.push(Write::Policy(Box::new(wanted), outcome));
                    }
                    (_, Some(policy)) => writes.push(Write::Status(policy.clone(), outcome)),
                    // What cannot be understood cannot be shown; an Event says so.
                    (_, None) => {}
                }
                kept.insert(name);
            }
            _ => {}
        }
    }
    let gone = copies
        .iter()
        .filter(|policy| is_own(policy) && !kept.contains(&name_of(policy)));
    writes.extend(gone.map(|policy| Write::Removal(policy.clone())));
    writes
}

/// The policy that shows the annotations of a Service, and goes with it.
fn shown((kube_namespace, name): &Name, service_uid: &str, spec: SteeringPolicySpec) -> SteeringPolicy {
    let mut policy = SteeringPolicy::new(name, spec);
    let metadata = &mut policy.metadata;
    metadata.namespace = Some(kube_namespace.clone());
    metadata.labels = Some([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())].into());
    metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: name.clone(),
        uid: service_uid.to_owned(),
        ..OwnerReference::default()
    }]);
    policy
}

fn differs(copy: &SteeringPolicy, wanted: &SteeringPolicy) -> bool {
    copy.spec != wanted.spec || copy.owner_references() != wanted.owner_references()
}
