//! Rules of a Service: its types, its ports, and what of it may change.
//!
//! What it is given (families, addresses, node ports) is the business of `grants`.

mod families;
mod grants;
mod pools;
mod ports;
mod validate;

use serde_json::{Map, Value, json};

use super::default_protocols;
use crate::object::{self, default_to, map_mut};
use crate::status::Status;
pub(crate) use grants::{Grants, Held, ServiceRanges, held};
pub(super) use validate::{validate, validate_change};

/// As long as a client stays with its pod, unless the Service says.
const AFFINITY_SECONDS: i64 = 10_800;

pub(super) fn default_new(service: &mut Value) -> Result<(), Status> {
    default_spec(map_mut(service, "spec")?);
    if let Some(fields) = service.as_object_mut() {
        fields.insert("status".to_owned(), json!({"loadBalancer": {}}));
    }
    Ok(())
}

/// An address of a load balancer is one that its packets arrive with, unless its provider says that it is not.
pub(super) fn default_status(service: &mut Value) {
    if service["spec"]["type"] != "LoadBalancer" {
        return;
    }
    let ingress = service.pointer_mut("/status/loadBalancer/ingress");
    let ingress = ingress.and_then(Value::as_array_mut);
    for point in ingress.into_iter().flatten().filter_map(Value::as_object_mut) {
        if point.get("ip").is_some_and(|ip| ip != "") {
            default_to(point, "ipMode", "VIP");
        }
    }
}

/// What a Service was given stays with it, unless its type or policy gives it up.
pub(super) fn default_replacement(current: &Value, service: &mut Value) -> Result<(), Status> {
    let spec = map_mut(service, "spec")?;
    default_spec(spec);
    let before = &current["spec"];
    drop_what_the_type_has_not(before, spec);
    if spec["type"] == "ExternalName" || before["type"] == "ExternalName" {
        return Ok(());
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilyPolicy", "ipFamilies"] {
        if let Some(value) = before.get(field) {
            default_to(spec, field, value.clone());
        }
    }
    if spec["ipFamilyPolicy"] == "SingleStack" {
        for field in ["clusterIPs", "ipFamilies"] {
            if before.get(field) == spec.get(field)
                && let Some(both) = spec.get_mut(field).and_then(Value::as_array_mut)
            {
                both.truncate(1);
            }
        }
    }
    keep_node_ports(before, spec);
    Ok(())
}

/// A port of the same name keeps its node port, as long as the type has any.
fn keep_node_ports(before: &Value, spec: &mut Map<String, Value>) {
    let (had, has) = (
        has_node_ports(before),
        has_node_ports(&Value::Object(spec.clone())),
    );
    let old = object::items(before, "/ports");
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    let mut ports: Vec<_> = ports
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
        .collect();
    let named: Vec<Value> = ports
        .iter()
        .filter_map(|port| port.get("nodePort").cloned())
        .collect();
    for port in &mut ports {
        if had && !has && old.iter().any(|old| port.get("nodePort") == old.get("nodePort")) {
            port.remove("nodePort");
        }
        let is_same = |old: &&Value| old.get("name") == port.get("name");
        let number = old.iter().find(is_same).and_then(|old| old.get("nodePort"));
        if let Some(number) = number.filter(|number| has && !named.contains(number)) {
            default_to(port, "nodePort", number.clone());
        }
    }
}

/// What the old type had and the new one has not goes, unless the client changes it, too.
fn drop_what_the_type_has_not(before: &Value, spec: &mut Map<String, Value>) {
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default();
    let mut dropped = Vec::new();
    if !matches!(kind, "NodePort" | "LoadBalancer") {
        dropped.extend(["externalTrafficPolicy", "healthCheckNodePort"]);
    }
    if kind != "LoadBalancer" {
        dropped.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if kind == "ExternalName" {
        dropped.extend([
            "internalTrafficPolicy",
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
        ]);
    }
    for field in dropped {
        if spec.get(field) == before.get(field) {
            spec.remove(field);
        }
    }
}

/// Whether Services of the type have node ports.
fn has_node_ports(spec: &Value) -> bool {
    match object::text(spec, "/type") {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

fn default_spec(spec: &mut Map<String, Value>) {
    default_to(spec, "type", "ClusterIP");
    default_to(spec, "sessionAffinity", "None");
    match spec["sessionAffinity"].as_str() {
        Some("ClientIP") => default_to(
            spec,
            "sessionAffinityConfig",
            json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}),
        ),
        Some("None") => drop(spec.remove("sessionAffinityConfig")),
        _ => {}
    }
    default_ports(spec);
    if spec["type"] == "ExternalName" {
        return;
    }
    default_to(spec, "internalTrafficPolicy", "Cluster");
    let has_addresses = spec
        .get("externalIPs")
        .and_then(Value::as_array)
        .is_some_and(|all| !all.is_empty());
    if spec["type"] == "NodePort"
        || spec["type"] == "LoadBalancer"
        || spec["type"] == "ClusterIP" && has_addresses
    {
        default_to(spec, "externalTrafficPolicy", "Cluster");
    }
    if spec["type"] == "LoadBalancer" {
        default_to(spec, "allocateLoadBalancerNodePorts", true);
    }
}

fn default_ports(spec: &mut Map<String, Value>) {
    default_protocols(spec);
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        let own = port.get("port").cloned().unwrap_or_default();
        default_to(port, "targetPort", own);
    }
}
