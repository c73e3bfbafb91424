//! Workloads and their revisions.

use serde_json::{Value, json};

use super::{AGE, Column, NAME, or_none};
use crate::object::{self, items, text};
use crate::selector::LabelSelector;

pub(super) const DEPLOYMENT: &[Column] = &[
    NAME,
    READY,
    Column::number("Up-to-date", |deployment| count(deployment, "updatedReplicas")),
    Column::number("Available", |deployment| count(deployment, "availableReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) const REPLICA_SET: &[Column] = &[
    NAME,
    Column::number("Desired", |set| json!(desired(set))),
    Column::number("Current", |set| count(set, "replicas")),
    Column::number("Ready", |set| count(set, "readyReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) const STATEFUL_SET: &[Column] = &[NAME, READY, AGE, CONTAINERS, IMAGES];

pub(super) const DAEMON_SET: &[Column] = &[
    NAME,
    Column::number("Desired", |set| count(set, "desiredNumberScheduled")),
    Column::number("Current", |set| count(set, "currentNumberScheduled")),
    Column::number("Ready", |set| count(set, "numberReady")),
    Column::number("Up-to-date", |set| count(set, "updatedNumberScheduled")),
    Column::number("Available", |set| count(set, "numberAvailable")),
    Column::new("Node Selector", |set| {
        let pairs = object::entries(set, "/spec/template/spec/nodeSelector");
        or_none(&LabelSelector::from_pairs(pairs).to_string())
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) const CONTROLLER_REVISION: &[Column] = &[
    NAME,
    Column::new("Controller", |revision| {
        let controller = object::controller(revision);
        json!(controller.map_or_else(|| "<none>".to_owned(), printed))
    }),
    Column::number("Revision", |revision| revision["revision"].clone()),
    AGE,
];

const READY: Column = Column::new("Ready", |workload| {
    json!(format!(
        "{}/{}",
        count(workload, "readyReplicas"),
        desired(workload)
    ))
});

const CONTAINERS: Column = Column::new("Containers", |workload| containers(workload, "/name")).wide();
const IMAGES: Column = Column::new("Images", |workload| containers(workload, "/image")).wide();
const SELECTOR: Column = Column::new("Selector", |workload| {
    or_none(&LabelSelector::from_json(&workload["spec"]["selector"]).to_string())
})
.wide();

fn printed(owner: &Value) -> String {
    let (group, _) = text(owner, "/apiVersion").split_once('/').unwrap_or_default();
    let kind = text(owner, "/kind").to_lowercase();
    format!("{kind}.{group}/{}", text(owner, "/name"))
}

fn count(workload: &Value, field: &str) -> Value {
    json!(workload["status"][field].as_i64().unwrap_or(0))
}

fn desired(workload: &Value) -> i64 {
    workload["spec"]["replicas"].as_i64().unwrap_or(0)
}

fn containers(workload: &Value, pointer: &str) -> Value {
    let containers = items(workload, "/spec/template/spec/containers").iter();
    json!(
        containers
            .map(|container| text(container, pointer))
            .collect::<Vec<_>>()
            .join(",")
    )
}
