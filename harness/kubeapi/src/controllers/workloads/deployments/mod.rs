//! Deployments: one ReplicaSet per pod template, and the way from one to the next.
//!
//! Owns which ReplicaSet is the new one, its name and revision, and the writes; how many pods each set gets is for
//! `sizes` to say, what the Deployment tells of it for `status`. Each look takes one step; the change it makes leads to
//! the next look.

mod replica_sets;
pub(super) mod sizes;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{claims, pods};
use crate::api::Api;
use crate::controllers::objects::modify;
use crate::object::{self, number};
use crate::status::Status;
use crate::strategy::{Part, Workload};
use replica_sets::{Revisions, create, delete_surplus, resize, revise};
use sizes::{Bounds, Scaled, Set};

pub(super) fn sync(api: &Api, deployment: &Value, now: Timestamp) -> Result<Option<Timestamp>, Status> {
    if object::is_terminating(deployment) {
        return Ok(None);
    }
    let sets = claims::claim(api, deployment, Workload::ReplicaSet.storage(), |_| true)?;
    let mut revisions = Revisions::of(deployment, sets);
    let mut created = false;
    if deployment["spec"]["paused"] == true || is_rescaled(deployment, &revisions) {
        spread(api, deployment, &revisions)?;
    } else {
        let old_is_gone = !is_recreated(deployment) || !has_pods(api, &revisions.old);
        if let Some(set) = &revisions.new {
            revisions.new = Some(revise(api, deployment, set, revisions.newest())?);
        } else if old_is_gone {
            revisions.new = create(api, deployment, &revisions)?;
            created = revisions.new.is_some();
        }
        step(api, deployment, &revisions, old_is_gone)?;
    }
    let findings = status::Findings {
        new: revisions.new.as_ref(),
        created,
        old: &revisions.old,
        now,
    };
    let (status, due) = status::next(deployment, &findings);
    if status::is_complete(deployment, &status) {
        delete_surplus(api, deployment, &revisions.old)?;
    }
    report(api, deployment, revisions.new.as_deref(), &status)?;
    Ok(due)
}

/// Whether the replicas were changed since the ReplicaSets that have pods got their sizes.
fn is_rescaled(deployment: &Value, revisions: &Revisions) -> bool {
    let replicas = number(deployment, "/spec/replicas");
    let mut desired = revisions
        .all()
        .filter(|set| size(set) > 0)
        .map(replica_sets::desired);
    desired.any(|desired| desired.is_some_and(|desired| desired != replicas))
}

/// Follows a change of replicas without going on with the rollout.
fn spread(api: &Api, deployment: &Value, revisions: &Revisions) -> Result<(), Status> {
    let bounds = Bounds::of(deployment);
    let newest_first: Vec<&Arc<Value>> = revisions.new.iter().chain(revisions.old.iter().rev()).collect();
    let active: Vec<&Arc<Value>> = newest_first.iter().copied().filter(|set| size(set) > 0).collect();
    match active[..] {
        [] => newest_first
            .first()
            .map_or(Ok(()), |set| resize(api, deployment, set, bounds.replicas)),
        [only] => resize(api, deployment, only, bounds.replicas),
        _ => {
            let scaled = |set: &&Arc<Value>| Scaled {
                size: size(set),
                max_size_before: replica_sets::max_size(set)
                    .unwrap_or(number(deployment, "/status/replicas")),
            };
            let sizes = sizes::proportional(bounds, &active.iter().map(scaled).collect::<Vec<_>>());
            active
                .iter()
                .zip(sizes)
                .try_for_each(|(set, size)| resize(api, deployment, set, size))
        }
    }
}

/// One step of the rollout.
fn step(api: &Api, deployment: &Value, revisions: &Revisions, old_is_gone: bool) -> Result<(), Status> {
    let bounds = Bounds::of(deployment);
    let set = |set: &Arc<Value>| Set {
        size: size(set),
        available: number(set, "/status/availableReplicas"),
    };
    let new = revisions.new.as_ref().map_or(
        Set {
            size: 0,
            available: 0,
        },
        set,
    );
    let old: Vec<Set> = revisions.old.iter().map(set).collect();
    let (new_size, old_sizes) = if is_recreated(deployment) {
        sizes::recreate(bounds, new, &old, old_is_gone)
    } else {
        sizes::rolling_update(bounds, new, &old)
    };
    if let Some(set) = &revisions.new {
        resize(api, deployment, set, new_size)?;
    }
    let shrunk = revisions
        .old
        .iter()
        .zip(old_sizes)
        .filter(|(set, next)| size(set) != *next);
    shrunk
        .into_iter()
        .try_for_each(|(set, next)| resize(api, deployment, set, next))
}

fn is_recreated(deployment: &Value) -> bool {
    deployment["spec"]["strategy"]["type"] == "Recreate"
}

/// Whether a pod of the sets is left, also one that is going.
fn has_pods(api: &Api, sets: &[Arc<Value>]) -> bool {
    api.store.read(|state| {
        let Some(first) = sets.first() else { return false };
        let mut pods = state.scan("pods", Some(object::namespace(first)));
        pods.any(|(_, pod)| {
            !pods::has_ended(&pod) && sets.iter().any(|set| object::is_controlled_by(&pod, set))
        })
    })
}

/// How many pods a ReplicaSet asks for.
fn size(set: &Value) -> i64 {
    number(set, "/spec/replicas")
}

/// Upstream writes the revision along with the status, so that it is no change of the Deployment's generation.
fn report(api: &Api, deployment: &Value, new: Option<&Value>, status: &Value) -> Result<(), Status> {
    modify(api, deployment, Part::Status, |deployment| {
        if let Some(revision) = new.and_then(replica_sets::revision) {
            let metadata = object::metadata_mut(deployment)?;
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            annotations[replica_sets::REVISION] = json!(revision.to_string());
        }
        deployment["status"] = status.clone();
        Ok(())
    })
    .map(drop)
}
