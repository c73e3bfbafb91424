//! Keeps the pods of Deployments, ReplicaSets, StatefulSets and DaemonSets as they ask for.
//!
//! Owns which workloads to look at after a change, and when to look again because time matters. Level-triggered: each
//! look reads the store as it is, so looking twice does nothing, and one task does all looks, so none runs into another.

mod claims;
mod daemon_sets;
mod deployments;
mod pods;
mod replica_sets;
mod revisions;
mod stateful_sets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use crate::api::Api;
use crate::object;
use crate::selector::LabelSelector;
use crate::status::Reason;
use crate::store::{Change, Key, State};
use crate::strategy::Workload;

/// How long to wait after a look that failed.
const RETRY: SignedDuration = SignedDuration::from_secs(1);
/// Nothing to do is looked at again once a day, which costs nothing and bounds every wait.
const IDLE: Duration = Duration::from_secs(24 * 3600);

type Item = (Workload, Key);

pub(super) async fn run(api: Arc<Api>, mut changes: UnboundedReceiver<Arc<Change>>) {
    // When to look at what without a change.
    let mut agenda: BTreeMap<Item, Timestamp> = BTreeMap::new();
    loop {
        let mut dirty = BTreeSet::new();
        let wait = agenda.values().min().map_or(IDLE, |&due| until(due));
        match tokio::time::timeout(wait, changes.recv()).await {
            Ok(Some(change)) => affected(&api, &change, &mut dirty),
            Ok(None) => return,
            Err(_) => {}
        }
        while let Ok(change) = changes.try_recv() {
            affected(&api, &change, &mut dirty);
        }
        let now = Timestamp::now();
        dirty.extend(agenda.extract_if(.., |_, due| *due <= now).map(|(item, _)| item));
        for item in dirty {
            match look(&api, &item, now) {
                Some(due) => agenda.insert(item, due),
                None => agenda.remove(&item),
            };
            tokio::task::yield_now().await;
        }
    }
}

/// From the wall clock, which the times in objects are of.
fn until(due: Timestamp) -> Duration {
    let left = due.duration_since(Timestamp::now());
    Duration::try_from(left).unwrap_or_default()
}

/// Brings one workload nearer to what it asks for, and says when to look again.
fn look(api: &Api, (workload, key): &Item, now: Timestamp) -> Option<Timestamp> {
    let object = api.store.read(|state| state.get(workload.storage(), key))?;
    let looked = match workload {
        Workload::ReplicaSet => replica_sets::sync(api, &object, now),
        Workload::Deployment => deployments::sync(api, &object, now),
        Workload::StatefulSet => stateful_sets::sync(api, &object, now),
        Workload::DaemonSet => daemon_sets::sync(api, &object, now),
    };
    match looked {
        Ok(due) => due,
        // It was deleted or changed meanwhile; that change is on its way here.
        Err(error) if matches!(error.reason, Reason::NotFound | Reason::Conflict) => None,
        Err(error) => {
            let (kube_namespace, name) = (&key.namespace, &key.name);
            warn!(kube_namespace, name, kind = workload.kind(), %error, "sync workload");
            Some(now + RETRY)
        }
    }
}

/// The workloads that a change can concern.
fn affected(api: &Api, change: &Change, dirty: &mut BTreeSet<Item>) {
    let states = [Some(change.object()), change.previous()];
    let states = states.iter().flatten();
    match &*change.storage {
        "pods" | "replicasets.apps" | "controllerrevisions.apps" => api.store.read(|state| {
            for object in states {
                owners(state, object, dirty);
            }
        }),
        "nodes" => api.store.read(|state| {
            let sets = state.scan(Workload::DaemonSet.storage(), None);
            dirty.extend(sets.map(|(key, _)| (Workload::DaemonSet, key.clone())));
        }),
        _ => {}
    }
    if let Some(workload) = Workload::ALL
        .into_iter()
        .find(|workload| *change.storage == *workload.storage())
    {
        dirty.insert((workload, change.key.clone()));
    }
}

/// The workload that manages the object, and the one that manages that; else those that could adopt it.
fn owners(state: &State, object: &Value, dirty: &mut BTreeSet<Item>) {
    let namespace = object::namespace(object);
    let Some(controller) = object::controller(object) else {
        for workload in Workload::ALL {
            let all = state.scan(workload.storage(), Some(namespace));
            let selecting = all.filter(|(_, owner)| selector(owner).matches(object));
            dirty.extend(selecting.map(|(key, _)| (workload, key.clone())));
        }
        return;
    };
    let workload = Workload::ALL
        .into_iter()
        .find(|workload| controller["kind"] == workload.kind());
    let Some(workload) = workload.filter(|_| controller["apiVersion"] == "apps/v1") else {
        return;
    };
    let key = Key::new(namespace, object::text(controller, "/name"));
    if let Some(owner) = state.get(workload.storage(), &key)
        && object::controller(&owner).is_some()
    {
        owners(state, &owner, dirty);
    }
    dirty.insert((workload, key));
}

fn selector(workload: &Value) -> LabelSelector {
    LabelSelector::from_json(&workload["spec"]["selector"])
}

/// The text of a hash, in letters that a name may have.
fn encoded(hash: u64) -> String {
    let digits = (hash ^ (hash >> 32)) & u64::from(u32::MAX);
    object::safe_text(&digits.to_string())
}
