//! Pods of workloads: how they are made from a template, counted, and chosen to go.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::{Api, Effect};
use crate::controllers::objects::delete;
use crate::controllers::recorder::{Component, Severity, record};
use crate::object::{self, text};
use crate::status::Status;

/// Whether the pod has come to its end, well or not.
pub(super) fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether the pod counts: it neither ended nor goes.
pub(super) fn is_active(pod: &Value) -> bool {
    !has_ended(pod) && !object::is_terminating(pod)
}

pub(super) fn is_ready(pod: &Value) -> bool {
    object::condition_is_true(pod, "Ready")
}

/// When the pod has been ready for long enough; `None` while it is not ready.
pub(super) fn available_from(pod: &Value, min_ready: SignedDuration) -> Option<Timestamp> {
    let ready = object::condition(pod, "Ready").filter(|condition| condition["status"] == "True")?;
    if min_ready.is_zero() {
        return Some(Timestamp::MIN);
    }
    object::time(ready, "/lastTransitionTime")?
        .checked_add(min_ready)
        .ok()
}

pub(super) fn is_available(pod: &Value, min_ready: SignedDuration, now: Timestamp) -> bool {
    available_from(pod, min_ready).is_some_and(|from| from <= now)
}

/// When the next of the pods becomes available by time alone.
pub(super) fn next_available<'a>(
    pods: impl Iterator<Item = &'a Arc<Value>>,
    min_ready: SignedDuration,
    now: Timestamp,
) -> Option<Timestamp> {
    pods.filter_map(|pod| available_from(pod, min_ready))
        .filter(|from| *from > now)
        .min()
}

/// `minReadySeconds` of a workload.
pub(super) fn min_ready(workload: &Value) -> SignedDuration {
    SignedDuration::from_secs(object::number(workload, "/spec/minReadySeconds"))
}

/// A pod by the template, that `owner` manages. Its name is still to be given.
pub(super) fn from_template(owner: &Value, template: &Value) -> Value {
    let mut metadata = json!({
        "namespace": owner["metadata"]["namespace"],
        "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"],
        "finalizers": template["metadata"]["finalizers"],
        "ownerReferences": [object::controller_reference(owner)],
    });
    object::drop_nulls(&mut metadata);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

pub(super) fn create(api: &Api, pod: Value) -> Result<Arc<Value>, Status> {
    let resource = api.resources.at_path("", "v1", "pods")?;
    let namespace = object::namespace(&pod).to_owned();
    api.create(&resource, &namespace, pod, Effect::Persist)
}

/// As [`create`], for workloads that tell of pods by their names only.
pub(super) fn create_and_tell(
    api: &Api,
    owner: &Value,
    component: Component,
    pod: Value,
) -> Result<(), Status> {
    match create(api, pod) {
        Ok(pod) => {
            let message = format!("Created pod: {}", object::name(&pod));
            record(
                api,
                owner,
                component,
                (Severity::Normal, "SuccessfulCreate"),
                &message,
            );
            Ok(())
        }
        Err(error) => {
            let message = format!("Error creating: {error}");
            record(
                api,
                owner,
                component,
                (Severity::Warning, "FailedCreate"),
                &message,
            );
            Err(error)
        }
    }
}

pub(super) fn delete_and_tell(
    api: &Api,
    owner: &Value,
    component: Component,
    pod: &Value,
) -> Result<(), Status> {
    if delete(api, pod)? {
        let message = format!("Deleted pod: {}", object::name(pod));
        record(
            api,
            owner,
            component,
            (Severity::Normal, "SuccessfulDelete"),
            &message,
        );
    }
    Ok(())
}

/// Sorts the pods so that those that are missed least come first: without a node, not running, not ready, of a low
/// deletion cost, on a node with many of them, ready since or created not long ago.
pub(super) fn rank_for_deletion(pods: &mut [Arc<Value>]) {
    let mut on_node: HashMap<String, usize> = HashMap::new();
    for pod in pods.iter() {
        *on_node.entry(text(pod, "/spec/nodeName").to_owned()).or_default() += 1;
    }
    pods.sort_by_cached_key(|pod| {
        let node = text(pod, "/spec/nodeName");
        let phase = match text(pod, "/status/phase") {
            "Pending" => 0,
            "Running" => 2,
            _ => 1,
        };
        let ready = object::condition(pod, "Ready").filter(|condition| condition["status"] == "True");
        let cost = pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
        let cost: i64 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
        (
            !node.is_empty(),
            phase,
            ready.is_some(),
            cost,
            Reverse(on_node.get(node).copied()),
            Reverse(ready.and_then(|ready| object::time(ready, "/lastTransitionTime"))),
            Reverse(object::time(pod, "/metadata/creationTimestamp")),
            object::name(pod).to_owned(),
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, ready_at: Option<&str>) -> Arc<Value> {
        let condition = |at: &str| json!([{"type": "Ready", "status": "True", "lastTransitionTime": at}]);
        Arc::new(json!({
            "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": ready_at.map(condition)},
        }))
    }

    fn ranked(mut pods: Vec<Arc<Value>>) -> Vec<String> {
        rank_for_deletion(&mut pods);
        pods.iter().map(|pod| object::name(pod).to_owned()).collect()
    }

    #[test]
    fn pods_that_serve_nobody_go_first_and_the_oldest_last() {
        let (early, late) = (Some("2026-01-01T00:00:01Z"), Some("2026-01-01T00:00:09Z"));
        let pods = vec![
            pod("oldest", "a", early),
            pod("youngest", "b", late),
            pod("unready", "c", None),
            pod("unscheduled", "", None),
        ];
        assert_eq!(ranked(pods), ["unscheduled", "unready", "youngest", "oldest"]);
    }

    #[test]
    fn crowded_nodes_are_relieved_unless_a_cost_says_otherwise() {
        let early = Some("2026-01-01T00:00:01Z");
        let mut pods = vec![
            pod("alone", "a", early),
            pod("crowded", "b", early),
            pod("other", "b", early),
        ];
        assert_eq!(ranked(pods.clone()), ["crowded", "other", "alone"]);
        let mut dear = (*pods[1]).clone();
        dear["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "7"});
        pods[1] = Arc::new(dear);
        assert_eq!(ranked(pods), ["other", "alone", "crowded"]);
    }

    #[test]
    fn a_pod_is_available_once_it_was_ready_for_long_enough() {
        let pod = pod("p", "a", Some("2026-01-01T00:00:01Z"));
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let min_ready = SignedDuration::from_secs(5);
        assert!(!is_available(&pod, min_ready, at("2026-01-01T00:00:05Z")));
        assert!(is_available(&pod, min_ready, at("2026-01-01T00:00:06Z")));
        let next = next_available([&pod].into_iter(), min_ready, at("2026-01-01T00:00:05Z"));
        assert_eq!(next, Some(at("2026-01-01T00:00:06Z")));
    }
}
