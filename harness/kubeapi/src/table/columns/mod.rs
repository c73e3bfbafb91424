//! The printer columns of each kind, as upstream's printers define them.
//!
//! A column of priority 1 is only shown with `-o wide`.

mod access;
mod batch;
mod events;
mod machines;
mod network;
mod policy;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use crate::object::{self, items, text};
use crate::resources::Resource;
use access::{ROLE, ROLE_BINDING};
use batch::{CRON_JOB, JOB};
use events::{CORE_EVENT, EVENTS_API};
use machines::{NODE, POD};
use network::{ENDPOINT_SLICE, ENDPOINTS, INGRESS, INGRESS_CLASS, NETWORK_POLICY, SERVICE};
use policy::{AUTOSCALER, DISRUPTION_BUDGET, LIMIT_RANGE, PRIORITY_CLASS, QUOTA, RUNTIME_CLASS, WEBHOOKS};
use storage::{CLAIM, STORAGE_CLASS, VOLUME};
use workloads::{CONTROLLER_REVISION, DAEMON_SET, DEPLOYMENT, REPLICA_SET, STATEFUL_SET};

/// One column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    format: Format,
    priority: u8,
    pub(super) cell: fn(&Value) -> Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Name,
    Text,
    Number,
    Flag,
    Date,
}

impl Column {
    pub(super) fn definition(&self) -> Value {
        let (kind, format) = match self.format {
            Format::Name => ("string", "name"),
            Format::Text => ("string", ""),
            Format::Number => ("integer", ""),
            Format::Flag => ("boolean", ""),
            Format::Date => ("date", ""),
        };
        json!({"name": self.name, "type": kind, "format": format, "description": self.name, "priority": self.priority})
    }

    const fn new(name: &'static str, cell: fn(&Value) -> Value) -> Self {
        Column {
            name,
            format: Format::Text,
            priority: 0,
            cell,
        }
    }

    const fn number(name: &'static str, cell: fn(&Value) -> Value) -> Self {
        Column {
            format: Format::Number,
            ..Column::new(name, cell)
        }
    }

    const fn flag(name: &'static str, cell: fn(&Value) -> Value) -> Self {
        Column {
            format: Format::Flag,
            ..Column::new(name, cell)
        }
    }

    const fn wide(self) -> Self {
        Column { priority: 1, ..self }
    }
}

const NAME: Column = Column {
    format: Format::Name,
    ..Column::new("Name", |object| json!(object::name(object)))
};
const AGE: Column = Column::new("Age", |object| {
    json!(age_at(object, "/metadata/creationTimestamp"))
});

pub(super) fn of(resource: &Resource) -> &'static [Column] {
    if resource.custom().is_some() {
        return &[NAME];
    }
    match resource.kind.as_str() {
        "Pod" => POD,
        "Service" => SERVICE,
        "EndpointSlice" => ENDPOINT_SLICE,
        "Node" => NODE,
        "Namespace" => NAMESPACE,
        "Event" if resource.group.is_empty() => CORE_EVENT,
        "Event" => EVENTS_API,
        "Lease" => LEASE,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "ServiceAccount" => SERVICE_ACCOUNT,
        "CustomResourceDefinition" => DEFINITION,
        "CronJob" => CRON_JOB,
        "Endpoints" => ENDPOINTS,
        "HorizontalPodAutoscaler" => AUTOSCALER,
        "Ingress" => INGRESS,
        "IngressClass" => INGRESS_CLASS,
        "Job" => JOB,
        "LimitRange" => LIMIT_RANGE,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => WEBHOOKS,
        "NetworkPolicy" => NETWORK_POLICY,
        "PersistentVolume" => VOLUME,
        "PersistentVolumeClaim" => CLAIM,
        "PodDisruptionBudget" => DISRUPTION_BUDGET,
        "PriorityClass" => PRIORITY_CLASS,
        "ResourceQuota" => QUOTA,
        "RuntimeClass" => RUNTIME_CLASS,
        "StorageClass" => STORAGE_CLASS,
        "Role" | "ClusterRole" => ROLE,
        "RoleBinding" | "ClusterRoleBinding" => ROLE_BINDING,
        "Deployment" => DEPLOYMENT,
        "ReplicaSet" => REPLICA_SET,
        "StatefulSet" => STATEFUL_SET,
        "DaemonSet" => DAEMON_SET,
        "ControllerRevision" => CONTROLLER_REVISION,
        _ => OTHER,
    }
}

const OTHER: &[Column] = &[NAME, AGE];

const NAMESPACE: &[Column] = &[
    NAME,
    Column::new("Status", |namespace| json!(text(namespace, "/status/phase"))),
    AGE,
];

const LEASE: &[Column] = &[
    NAME,
    Column::new("Holder", |lease| json!(text(lease, "/spec/holderIdentity"))),
    AGE,
];

const CONFIG_MAP: &[Column] = &[
    NAME,
    Column::new("Data", |map| json!(size(map, &["/data", "/binaryData"]))),
    AGE,
];

const SECRET: &[Column] = &[
    NAME,
    Column::new("Type", |secret| json!(text(secret, "/type"))),
    Column::new("Data", |secret| json!(size(secret, &["/data"]))),
    AGE,
];

const SERVICE_ACCOUNT: &[Column] = &[
    NAME,
    Column::number("Secrets", |account| json!(items(account, "/secrets").len())),
    AGE,
];

const DEFINITION: &[Column] = &[
    NAME,
    Column {
        format: Format::Date,
        ..Column::new("Created At", |definition| {
            json!(text(definition, "/metadata/creationTimestamp"))
        })
    },
];

fn size(object: &Value, pointers: &[&str]) -> usize {
    pointers
        .iter()
        .map(|pointer| object::entries(object, pointer).count())
        .sum()
}

fn age_at(object: &Value, pointer: &str) -> String {
    age::since(text(object, pointer), Timestamp::now())
}

/// Keys and values as `a=b,c=d`.
fn pairs(object: &Value, pointer: &str) -> String {
    let pairs = object::entries(object, pointer);
    let pairs = pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(",")
}

/// A `metav1.LabelSelector` as `kubectl -l` takes it.
fn selector(selector: &Value) -> Value {
    let mut terms = vec![pairs(selector, "/matchLabels")];
    for expression in items(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let values = items(expression, "/values").iter().filter_map(Value::as_str);
        let values = values.collect::<Vec<_>>().join(",");
        terms.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.retain(|term| !term.is_empty());
    or_none(&terms.join(","))
}

/// The containers of a pod template: names, or images.
fn containers(template: &Value, field: &str) -> Value {
    let containers = items(template, "/spec/containers").iter();
    let named = containers.filter_map(|container| container[field].as_str());
    json!(named.collect::<Vec<_>>().join(","))
}

fn or_none(value: &str) -> Value {
    json!(if value.is_empty() { "<none>" } else { value })
}

fn or_unknown(value: &str) -> Value {
    json!(if value.is_empty() { "<unknown>" } else { value })
}
