//! Pods and the nodes they are on.

use serde_json::{Value, json};

use super::{AGE, Column, NAME, or_none, or_unknown};
use crate::object::{self, items, text};

pub(super) const POD: &[Column] = &[
    NAME,
    Column::new("Ready", |pod| {
        let statuses = items(pod, "/status/containerStatuses");
        let ready = statuses.iter().filter(|status| status["ready"] == true).count();
        json!(format!("{ready}/{}", items(pod, "/spec/containers").len()))
    }),
    Column::new("Status", |pod| json!(pod_status(pod))),
    Column::new("Restarts", |pod| {
        let statuses = items(pod, "/status/containerStatuses").iter();
        json!(
            statuses
                .filter_map(|status| status["restartCount"].as_i64())
                .sum::<i64>()
                .to_string()
        )
    }),
    AGE,
    Column::new("IP", |pod| or_none(text(pod, "/status/podIP"))).wide(),
    Column::new("Node", |pod| or_none(text(pod, "/spec/nodeName"))).wide(),
    Column::new("Nominated Node", |pod| {
        or_none(text(pod, "/status/nominatedNodeName"))
    })
    .wide(),
    Column::new("Readiness Gates", |pod| {
        let gates = items(pod, "/spec/readinessGates");
        let open = gates
            .iter()
            .filter(|gate| object::condition_is_true(pod, text(gate, "/conditionType")))
            .count();
        if gates.is_empty() {
            json!("<none>")
        } else {
            json!(format!("{open}/{}", gates.len()))
        }
    })
    .wide(),
];

fn pod_status(pod: &Value) -> &str {
    if object::is_terminating(pod) {
        return "Terminating";
    }
    let reason = text(pod, "/status/reason");
    let mut waiting = items(pod, "/status/containerStatuses")
        .iter()
        .map(|status| text(status, "/state/waiting/reason"));
    let waiting = waiting.rfind(|reason| !reason.is_empty());
    match waiting {
        Some(waiting) => waiting,
        None if reason.is_empty() => text(pod, "/status/phase"),
        None => reason,
    }
}

pub(super) const NODE: &[Column] = &[
    NAME,
    Column::new("Status", |node| {
        let ready = if object::condition_is_true(node, "Ready") {
            "Ready"
        } else {
            "NotReady"
        };
        let cordoned = if node["spec"]["unschedulable"] == true {
            ",SchedulingDisabled"
        } else {
            ""
        };
        json!(format!("{ready}{cordoned}"))
    }),
    Column::new("Roles", |node| {
        let labels = object::entries(node, "/metadata/labels").map(|(key, _)| key);
        or_none(
            &labels
                .filter_map(|key| key.strip_prefix("node-role.kubernetes.io/"))
                .collect::<Vec<_>>()
                .join(","),
        )
    }),
    AGE,
    Column::new("Version", |node| {
        json!(text(node, "/status/nodeInfo/kubeletVersion"))
    }),
    Column::new("Internal-IP", |node| or_none(node_address(node, "InternalIP"))).wide(),
    Column::new("External-IP", |node| or_none(node_address(node, "ExternalIP"))).wide(),
    Column::new("OS-Image", |node| {
        or_unknown(text(node, "/status/nodeInfo/osImage"))
    })
    .wide(),
    Column::new("Kernel-Version", |node| {
        or_unknown(text(node, "/status/nodeInfo/kernelVersion"))
    })
    .wide(),
    Column::new("Container-Runtime", |node| {
        or_unknown(text(node, "/status/nodeInfo/containerRuntimeVersion"))
    })
    .wide(),
];

fn node_address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let address = items(node, "/status/addresses")
        .iter()
        .find(|address| address["type"] == kind);
    address.map_or("", |address| text(address, "/address"))
}
