//! Writes core Events about pods, so that `kubectl describe` tells what happened.

use serde_json::{Value, json};
use tracing::debug;

use crate::api::{Api, Effect};
use crate::object;

/// Who reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    Scheduler,
    Kubelet,
}

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Normal,
    Warning,
}

/// Records an event about the pod. An event that cannot be written (its namespace is going) is dropped.
pub(super) fn record(
    api: &Api,
    pod: &Value,
    component: Component,
    (severity, reason): (Severity, &str),
    message: &str,
) {
    let Ok(resource) = api.resources.at_path("", "v1", "events") else {
        return;
    };
    let namespace = object::namespace(pod);
    let now = object::now();
    let component = match component {
        Component::Scheduler => "default-scheduler",
        Component::Kubelet => "kubelet",
    };
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"generateName": format!("{}.", object::name(pod)), "namespace": namespace},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": object::name(pod),
            "uid": object::uid(pod), "resourceVersion": object::resource_version(pod),
        },
        "type": format!("{severity:?}"), "reason": reason, "message": message, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": component, "host": pod["spec"]["nodeName"]},
        "reportingComponent": component, "reportingInstance": "",
    });
    if let Err(error) = api.create(&resource, namespace, event, Effect::Persist) {
        debug!(namespace, pod = object::name(pod), reason, %error, "event dropped");
    }
}
