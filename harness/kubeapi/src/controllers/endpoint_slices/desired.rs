//! What the slices of a Service should say, given its pods. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::object;

/// An address family of slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const ALL: [Family; 2] = [Family::V4, Family::V6];

    pub(crate) fn address_type(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// Whether the Service has endpoints of this family.
    pub(crate) fn is_of(self, service: &Value) -> bool {
        object::items(service, "/spec/ipFamilies")
            .iter()
            .any(|family| family == self.address_type())
    }

    pub(crate) fn is_of_slice(self, slice: &Value) -> bool {
        slice["addressType"] == self.address_type()
    }

    /// Whether it is the family of what knows only one of the Service.
    pub(super) fn is_first_of(self, service: &Value) -> bool {
        object::text(service, "/spec/ipFamilies/0") == self.address_type()
    }

    pub(super) fn has(self, address: &IpAddr) -> bool {
        match self {
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

/// Endpoints that share one list of ports; a named target port can be another number in each pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) ports: Value,
    /// In the order of the pods' names.
    pub(crate) endpoints: Vec<Value>,
}

/// The endpoints of a Service in one family.
pub(super) fn groups(service: &Value, pods: &[Arc<Value>], family: Family) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for pod in pods {
        if matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed") {
            continue;
        }
        let Some(address) = object::pod_ips(pod).find(|address| family.has(address)) else {
            continue;
        };
        let ports = Value::Array(ports(service, pod));
        let group = groups.entry(ports.to_string()).or_insert_with(|| Group {
            ports,
            endpoints: Vec::new(),
        });
        group.endpoints.push(endpoint(service, pod, address));
    }
    groups.into_values().collect()
}

/// The ports of the Service, as the pod has them.
pub(super) fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let resolved = object::items(service, "/spec/ports").iter().filter_map(|port| {
        let number = match &port["targetPort"] {
            Value::String(name) => named_port(pod, name, &port["protocol"])?,
            number => number.clone(),
        };
        let mut endpoint_port = json!({
            "name": object::text(port, "/name"), "protocol": port["protocol"], "port": number,
        });
        if let Some(protocol) = port.get("appProtocol") {
            endpoint_port["appProtocol"] = protocol.clone();
        }
        Some(endpoint_port)
    });
    resolved.collect()
}

fn named_port(pod: &Value, name: &str, protocol: &Value) -> Option<Value> {
    let containers = object::items(pod, "/spec/containers").iter();
    let mut ports = containers.flat_map(|container| object::items(container, "/ports"));
    let port = ports.find(|port| port["name"] == name && port["protocol"] == *protocol)?;
    Some(port["containerPort"].clone())
}

fn endpoint(service: &Value, pod: &Value, address: IpAddr) -> Value {
    let serving = object::condition_is_true(pod, "Ready");
    let terminating = object::is_terminating(pod);
    let ready = service["spec"]["publishNotReadyAddresses"] == true || (serving && !terminating);
    json!({
        "addresses": [address.to_string()],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": reference(pod),
    })
}

/// How an endpoint names its pod.
pub(super) fn reference(pod: &Value) -> Value {
    json!({"kind": "Pod", "namespace": object::namespace(pod), "name": object::name(pod), "uid": object::uid(pod)})
}
