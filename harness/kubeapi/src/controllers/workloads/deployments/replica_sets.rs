//! The ReplicaSets of a Deployment: which one is new, their names, revisions and annotations.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::encoded;
use super::sizes::Bounds;
use super::{is_recreated, size};
use crate::api::{Api, Effect};
use crate::controllers::objects::{delete, modify};
use crate::controllers::recorder::{Component, Severity, record};
use crate::object::{self, number};
use crate::status::{Reason, Status};
use crate::strategy::Part;

/// The place of a template in the history of its Deployment.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const HASH: &str = "pod-template-hash";

/// The ReplicaSets of a Deployment.
pub(super) struct Revisions {
    /// That of the template as it is now.
    pub(super) new: Option<Arc<Value>>,
    /// Oldest first.
    pub(super) old: Vec<Arc<Value>>,
}

impl Revisions {
    pub(super) fn of(deployment: &Value, mut sets: Vec<Arc<Value>>) -> Self {
        let created = |set: &Value| object::time(set, "/metadata/creationTimestamp");
        sets.sort_by_cached_key(|set| (created(set), revision(set), object::name(set).to_owned()));
        let template = &deployment["spec"]["template"];
        let is_new = |set: &Value| without_hash(&set["spec"]["template"]) == *template;
        // Two may have the template, as one is adopted. To be the new one changes the revision, which must not
        // make the other one new.
        let candidates = sets.iter().enumerate().filter(|(_, set)| is_new(set));
        let new = candidates.min_by_key(|(_, set)| (created(set), object::name(set)));
        let new = new.map(|(at, _)| at).map(|at| sets.remove(at));
        Revisions { new, old: sets }
    }

    /// Oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    /// The revision that the new ReplicaSet has at least.
    pub(super) fn newest(&self) -> i64 {
        self.old.iter().filter_map(|set| revision(set)).max().unwrap_or(0) + 1
    }
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    template
}

fn annotation(set: &Value, key: &str) -> Option<i64> {
    set["metadata"]["annotations"][key].as_str()?.parse().ok()
}

pub(super) fn revision(set: &Value) -> Option<i64> {
    annotation(set, REVISION)
}

/// The replicas of the Deployment when the ReplicaSet got its size.
pub(super) fn desired(set: &Arc<Value>) -> Option<i64> {
    annotation(set, DESIRED)
}

/// The most pods the Deployment allowed itself then.
pub(super) fn max_size(set: &Value) -> Option<i64> {
    annotation(set, MAX)
}

/// Makes the ReplicaSet of the template. `None` if its name is taken by another one: then the Deployment counts a
/// collision, which makes for another name at the next look.
pub(super) fn create(
    api: &Api,
    deployment: &Value,
    revisions: &Revisions,
) -> Result<Option<Arc<Value>>, Status> {
    let bounds = Bounds::of(deployment);
    let all = revisions.old.iter().map(|set| size(set)).sum();
    let replicas = if is_recreated(deployment) {
        bounds.replicas
    } else {
        bounds.grown(0, all)
    };
    let mut set = replica_set(deployment, replicas);
    annotate(&mut set, deployment, revisions.newest())?;
    note_sizes(&mut set, bounds)?;
    let resource = api.resources.of_kind("apps/v1", "ReplicaSet")?;
    match api.create(&resource, object::namespace(deployment), set, Effect::Persist) {
        Ok(set) => {
            if replicas > 0 {
                tell(api, deployment, &set, (0, replicas));
            }
            Ok(Some(set))
        }
        Err(taken) if taken.reason == Reason::AlreadyExists => {
            modify(api, deployment, Part::Status, |deployment| {
                let collisions = number(deployment, "/status/collisionCount") + 1;
                deployment["status"]["collisionCount"] = json!(collisions);
                Ok(())
            })?;
            Err(Status::new(Reason::Conflict, taken.message))
        }
        Err(error) => {
            let message = format!("Failed to create new replica set: {error}");
            let what = (Severity::Warning, "ReplicaSetCreateError");
            record(api, deployment, Component::Deployment, what, &message);
            Err(error)
        }
    }
}

/// The hash is of the template, so that two runs of one scenario have the same names.
fn replica_set(deployment: &Value, replicas: i64) -> Value {
    let spec = &deployment["spec"];
    let collisions = number(deployment, "/status/collisionCount");
    let hash = encoded(object::fnv1a(&format!("{}{collisions}", spec["template"])));
    let mut template = spec["template"].clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = spec["selector"].clone();
    selector["matchLabels"][HASH] = json!(hash);
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", object::name(deployment)),
            "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [object::controller_reference(deployment)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    });
    if let Some(seconds) = spec.get("minReadySeconds") {
        set["spec"]["minReadySeconds"] = seconds.clone();
    }
    set
}

/// Gives the new ReplicaSet what the Deployment says beside its template, and its place in the history.
pub(super) fn revise(
    api: &Api,
    deployment: &Value,
    set: &Arc<Value>,
    newest: i64,
) -> Result<Arc<Value>, Status> {
    modify(api, set, Part::Main, |set| {
        annotate(set, deployment, newest)?;
        let spec = object::map_mut(set, "spec")?;
        match deployment["spec"].get("minReadySeconds") {
            Some(seconds) => spec.insert("minReadySeconds".to_owned(), seconds.clone()),
            None => spec.remove("minReadySeconds"),
        };
        Ok(())
    })
}

fn annotate(set: &mut Value, deployment: &Value, newest: i64) -> Result<(), Status> {
    let before = revision(set);
    let annotations = annotations(set)?;
    for (key, value) in object::entries(deployment, "/metadata/annotations") {
        if ![LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAX].contains(&key) {
            annotations[key] = value.clone();
        }
    }
    if before.is_none_or(|before| before < newest) {
        annotations[REVISION] = json!(newest.to_string());
        if let Some(before) = before {
            let history = match annotations[REVISION_HISTORY].as_str() {
                Some(earlier) => format!("{earlier},{before}"),
                None => before.to_string(),
            };
            annotations[REVISION_HISTORY] = json!(history);
        }
    }
    Ok(())
}

fn annotations(set: &mut Value) -> Result<&mut Value, Status> {
    let metadata = object::metadata_mut(set)?;
    Ok(metadata.entry("annotations").or_insert_with(|| json!({})))
}

fn note_sizes(set: &mut Value, bounds: Bounds) -> Result<(), Status> {
    let annotations = annotations(set)?;
    annotations[DESIRED] = json!(bounds.replicas.to_string());
    annotations[MAX] = json!((bounds.replicas + bounds.max_surge).to_string());
    Ok(())
}

/// Gives the ReplicaSet its next size, and notes for what it has that.
pub(super) fn resize(api: &Api, deployment: &Value, set: &Arc<Value>, next: i64) -> Result<(), Status> {
    let bounds = Bounds::of(deployment);
    modify(api, set, Part::Main, |set| {
        set["spec"]["replicas"] = json!(next);
        note_sizes(set, bounds)
    })?;
    if size(set) != next {
        tell(api, deployment, set, (size(set), next));
    }
    Ok(())
}

fn tell(api: &Api, deployment: &Value, set: &Value, (from, to): (i64, i64)) {
    let direction = if to > from { "up" } else { "down" };
    let name = object::name(set);
    let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
    let what = (Severity::Normal, "ScalingReplicaSet");
    record(api, deployment, Component::Deployment, what, &message);
}

/// Deletes the oldest ReplicaSets without pods that are more than `revisionHistoryLimit`.
pub(super) fn delete_surplus(api: &Api, deployment: &Value, old: &[Arc<Value>]) -> Result<(), Status> {
    let limit = usize::try_from(number(deployment, "/spec/revisionHistoryLimit")).unwrap_or(0);
    let is_empty = |set: &&Arc<Value>| size(set) == 0 && number(set, "/status/replicas") == 0;
    let mut empty: Vec<&Arc<Value>> = old.iter().filter(is_empty).collect();
    empty.sort_by_key(|set| revision(set));
    for set in &empty[..empty.len().saturating_sub(limit)] {
        delete(api, set)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_replica_sets_with_the_template_the_same_one_stays_new() {
        let template = json!({"metadata": {"labels": {"app": "web"}}});
        let deployment = json!({"spec": {"template": template}});
        let set = |name: &str, revision: &str| {
            Arc::new(json!({
                "metadata": {
                    "name": name, "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {REVISION: revision},
                },
                "spec": {"template": template},
            }))
        };
        for revisions in [["1", ""], ["1", "2"], ["3", "2"]] {
            let [a, b] = revisions;
            let revisions = Revisions::of(&deployment, vec![set("b", b), set("a", a)]);
            let names: Vec<&str> = revisions.all().map(|set| object::name(set)).collect();
            assert_eq!(names, ["b", "a"], "the last one is the new one");
        }
    }
}
