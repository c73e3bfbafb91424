//! Writes core Events about what controllers do, so that `kubectl describe` tells what happened.

use serde_json::{Value, json};
use tracing::debug;

use crate::api::{Api, Effect};
use crate::object;

/// Who reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    Scheduler,
    Kubelet,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Component::Scheduler => "default-scheduler",
            Component::Kubelet => "kubelet",
            Component::Deployment => "deployment-controller",
            Component::ReplicaSet => "replicaset-controller",
            Component::StatefulSet => "statefulset-controller",
            Component::DaemonSet => "daemonset-controller",
        }
    }
}

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Normal,
    Warning,
}

/// Records an event about the object. An event that cannot be written (its namespace is going) is dropped.
pub(super) fn record(
    api: &Api,
    about: &Value,
    component: Component,
    (severity, reason): (Severity, &str),
    message: &str,
) {
    let Ok(resource) = api.resources.at_path("", "v1", "events") else {
        return;
    };
    let namespace = object::namespace(about);
    let now = object::now();
    let mut source = json!({"component": component.name()});
    if component == Component::Kubelet {
        source["host"] = about["spec"]["nodeName"].clone();
    }
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"generateName": format!("{}.", object::name(about)), "namespace": namespace},
        "involvedObject": {
            "apiVersion": about["apiVersion"], "kind": about["kind"], "namespace": namespace,
            "name": object::name(about), "uid": object::uid(about),
            "resourceVersion": object::resource_version(about),
        },
        "type": format!("{severity:?}"), "reason": reason, "message": message, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now, "source": source,
        "reportingComponent": component.name(), "reportingInstance": "",
    });
    if let Err(error) = api.create(&resource, namespace, event, Effect::Persist) {
        debug!(namespace, object = object::name(about), reason, %error, "event dropped");
    }
}
