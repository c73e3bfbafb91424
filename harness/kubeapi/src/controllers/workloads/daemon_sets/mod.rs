//! DaemonSets: one pod on every node that the pod fits on.
//!
//! Owns which node a pod is meant for, and the writes; which pods come and go is for `steps` to say.

mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::claims;
use super::deployments::sizes::{Round, amount};
use super::pods::{self, min_ready};
use super::revisions::{self, HASH, Revisions};
use crate::api::Api;
use crate::controllers::objects::modify;
use crate::controllers::recorder::{Component, Severity, record};
use crate::controllers::scheduling;
use crate::object::{self, text};
use crate::status::Status;
use crate::strategy::Part;
use steps::{Node, Pod, State, Update};

const REQUIRED_AFFINITY: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// What every pod of a DaemonSet tolerates, as key and effect.
const TOLERATED: [(&str, &str); 6] = [
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
];

pub(super) fn sync(api: &Api, set: &Value, now: Timestamp) -> Result<Option<Timestamp>, Status> {
    if object::is_terminating(set) {
        return Ok(None);
    }
    let revisions = Revisions::sync(api, set)?;
    let hash = revisions::hash(revisions.update());
    let Placed { nodes, pods } = placed(api, set, hash, now)?;
    let steps = steps::next(update(set, &nodes), &nodes);
    let mut done = steps
        .delete
        .iter()
        .try_for_each(|&id| delete(api, set, &pods[id]));
    if done.is_ok() {
        let template = revisions::template(revisions.update());
        done = steps.create.iter().try_for_each(|node| {
            let pod = pod(set, &template, hash, Some(node));
            pods::create_and_tell(api, set, Component::DaemonSet, pod)
        });
    }
    let Placed { nodes, pods } = placed(api, set, hash, now)?;
    report(api, set, &nodes, &pods)?;
    let is_live = |revision: &Value| {
        pods.iter()
            .any(|pod| object::label(pod, HASH) == Some(revisions::hash(revision)))
    };
    revisions.delete_surplus(api, set, is_live)?;
    done?;
    Ok(pods::next_available(pods.iter(), min_ready(set), now))
}

fn update(set: &Value, nodes: &BTreeMap<String, Node>) -> Update {
    let strategy = &set["spec"]["updateStrategy"];
    let wanted = nodes.values().filter(|node| node.is_wanted).count();
    let of_wanted = |field: &str| {
        let whole = i64::try_from(wanted).unwrap_or(i64::MAX);
        amount(&strategy["rollingUpdate"][field], whole, Round::Up)
    };
    if strategy["type"] == "OnDelete" {
        return Update::OnDelete;
    }
    match of_wanted("maxSurge") {
        0 => Update::Unavailable {
            max: of_wanted("maxUnavailable"),
        },
        max => Update::Surge { max },
    }
}

struct Placed {
    /// By name, with the pods that are meant for them.
    nodes: BTreeMap<String, Node>,
    /// By the numbers that the nodes have them by.
    pods: Vec<Arc<Value>>,
}

fn placed(api: &Api, set: &Value, hash: &str, now: Timestamp) -> Result<Placed, Status> {
    let mut pods = claims::claim(api, set, "pods", |_| true)?;
    pods.sort_by_cached_key(|pod| object::time(pod, "/metadata/creationTimestamp"));
    let any = pod(set, &set["spec"]["template"], hash, None);
    let mut nodes: BTreeMap<String, Node> = api.store.read(|state| {
        let nodes = state.scan("nodes", None);
        let node = |node: &Value| Node {
            is_wanted: scheduling::fits(&any, node),
            pods: Vec::new(),
        };
        nodes
            .map(|(key, object)| (key.name.clone(), node(&object)))
            .collect()
    });
    for (id, pod) in pods.iter().enumerate() {
        let state = if object::is_terminating(pod) {
            State::Terminating
        } else if pods::has_ended(pod) {
            State::Ended
        } else if pods::is_available(pod, min_ready(set), now) {
            State::Available
        } else {
            State::Unavailable
        };
        let is_updated = object::label(pod, HASH) == Some(hash);
        let node = nodes.entry(node_of(pod).to_owned()).or_default();
        node.pods.push(Pod {
            id,
            state,
            is_updated,
        });
    }
    Ok(Placed { nodes, pods })
}

/// The node that a pod is on or meant for.
fn node_of(pod: &Value) -> &str {
    let bound = text(pod, "/spec/nodeName");
    if !bound.is_empty() {
        return bound;
    }
    text(
        pod,
        &format!(
            "/spec/affinity/nodeAffinity/{REQUIRED_AFFINITY}/nodeSelectorTerms/0/matchFields/0/values/0"
        ),
    )
}

/// A pod for the node, or for any that it fits on.
fn pod(set: &Value, template: &Value, hash: &str, node: Option<&str>) -> Value {
    let mut pod = pods::from_template(set, template);
    pod["metadata"]["generateName"] = json!(format!("{}-", object::name(set)));
    pod["metadata"]["labels"][HASH] = json!(hash);
    let mut tolerations = object::items(&pod, "/spec/tolerations").to_vec();
    tolerations.extend(TOLERATED.map(|(key, effect)| {
        json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect})
    }));
    pod["spec"]["tolerations"] = json!(tolerations);
    if let Some(node) = node {
        let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
        pod["spec"]["affinity"]["nodeAffinity"][REQUIRED_AFFINITY] = json!({"nodeSelectorTerms": [term]});
    }
    pod
}

fn delete(api: &Api, set: &Value, pod: &Value) -> Result<(), Status> {
    if text(pod, "/status/phase") == "Failed" {
        let message = format!(
            "Found failed daemon pod {}/{} on node {}, will try to kill it",
            object::namespace(pod),
            object::name(pod),
            node_of(pod)
        );
        let what = (Severity::Warning, "FailedDaemonPod");
        record(api, set, Component::DaemonSet, what, &message);
    }
    pods::delete_and_tell(api, set, Component::DaemonSet, pod)
}

fn report(api: &Api, set: &Value, nodes: &BTreeMap<String, Node>, pods: &[Arc<Value>]) -> Result<(), Status> {
    let wanted: Vec<&Node> = nodes.values().filter(|node| node.is_wanted).collect();
    let count = |test: &dyn Fn(&Pod) -> bool| {
        let oldest = wanted.iter().filter_map(|node| node.pods.first());
        oldest.filter(|pod| test(pod)).count()
    };
    let available = count(&|pod| pod.state == State::Available);
    let misplaced = nodes
        .values()
        .filter(|node| !node.is_wanted && !node.pods.is_empty());
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"],
        "desiredNumberScheduled": wanted.len(), "currentNumberScheduled": count(&|_| true),
        "numberMisscheduled": misplaced.count(), "numberReady": count(&|pod| pods::is_ready(&pods[pod.id])),
    });
    let counts = [
        ("updatedNumberScheduled", count(&|pod| pod.is_updated)),
        ("numberAvailable", available),
        ("numberUnavailable", wanted.len() - available),
    ];
    for (field, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        status[field] = json!(count);
    }
    modify(api, set, Part::Status, |set| {
        set["status"] = status;
        Ok(())
    })
    .map(drop)
}
