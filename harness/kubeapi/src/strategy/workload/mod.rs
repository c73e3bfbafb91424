//! The workloads of `apps/v1`, and what is assumed of them.

mod validate;

use serde_json::{Map, Value, json};

use super::pod;
use crate::object::{default_to, drop_nulls, map_mut};
use crate::status::Status;
pub(super) use validate::{validate, validate_change, validate_revision, validate_revision_change};

/// The kinds that own pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Workload {
    ReplicaSet,
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Workload {
    pub(crate) const ALL: [Workload; 4] = [
        Workload::ReplicaSet,
        Workload::Deployment,
        Workload::StatefulSet,
        Workload::DaemonSet,
    ];

    /// The name of the collection in the store.
    pub(crate) fn storage(self) -> &'static str {
        match self {
            Workload::ReplicaSet => "replicasets.apps",
            Workload::Deployment => "deployments.apps",
            Workload::StatefulSet => "statefulsets.apps",
            Workload::DaemonSet => "daemonsets.apps",
        }
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Workload::ReplicaSet => "ReplicaSet",
            Workload::Deployment => "Deployment",
            Workload::StatefulSet => "StatefulSet",
            Workload::DaemonSet => "DaemonSet",
        }
    }
}

pub(super) fn default_new(workload: Workload, object: &mut Value) -> Result<(), Status> {
    default_replacement(workload, object)?;
    let status = match workload {
        Workload::Deployment => json!({}),
        Workload::ReplicaSet => json!({"replicas": 0}),
        Workload::StatefulSet => json!({"replicas": 0, "availableReplicas": 0}),
        Workload::DaemonSet => json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        }),
    };
    if let Some(fields) = object.as_object_mut() {
        fields.insert("status".to_owned(), status);
    }
    Ok(())
}

pub(super) fn default_replacement(workload: Workload, object: &mut Value) -> Result<(), Status> {
    map_mut(object, "spec")?;
    // A client that knows the type sends `creationTimestamp: null` in a template.
    drop_nulls(&mut object["spec"]);
    let spec = map_mut(object, "spec")?;
    if workload != Workload::DaemonSet {
        default_to(spec, "replicas", 1);
    }
    if workload != Workload::ReplicaSet {
        default_to(spec, "revisionHistoryLimit", 10);
    }
    match workload {
        Workload::ReplicaSet => {}
        Workload::Deployment => {
            default_to(spec, "progressDeadlineSeconds", 600);
            default_rolling_update(
                spec,
                "strategy",
                &json!({"maxUnavailable": "25%", "maxSurge": "25%"}),
            )?;
        }
        Workload::DaemonSet => {
            default_rolling_update(
                spec,
                "updateStrategy",
                &json!({"maxUnavailable": 1, "maxSurge": 0}),
            )?;
        }
        Workload::StatefulSet => {
            default_to(spec, "podManagementPolicy", "OrderedReady");
            default_to(spec, "serviceName", "");
            let retain = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
            default_to(spec, "persistentVolumeClaimRetentionPolicy", retain);
            default_rolling_update(spec, "updateStrategy", &json!({"partition": 0}))?;
        }
    }
    let template = spec.entry("template").or_insert_with(|| json!({}));
    map_mut(template, "metadata")?;
    pod::default_template_spec(map_mut(template, "spec")?);
    Ok(())
}

fn default_rolling_update(
    spec: &mut Map<String, Value>,
    field: &str,
    defaults: &Value,
) -> Result<(), Status> {
    let strategy = spec.entry(field).or_insert_with(|| json!({}));
    if let Some(fields) = strategy.as_object_mut() {
        default_to(fields, "type", "RollingUpdate");
    }
    if strategy["type"] == "RollingUpdate" {
        let rolling = map_mut(strategy, "rollingUpdate")?;
        for (key, value) in defaults.as_object().into_iter().flatten() {
            default_to(rolling, key, value.clone());
        }
    }
    Ok(())
}
