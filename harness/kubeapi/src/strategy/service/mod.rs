//! Rules of a Service: its types, its ports, and what of it may change.
//!
//! What it is given (families, addresses, node ports) is the business of `grants`.

mod families;
mod grants;
mod pools;

use serde_json::{Map, Value, json};

use super::{default_protocols, validation};
use crate::object::{self, default_to, map_mut};
use crate::status::{FieldError, FieldRule, Status};
pub(crate) use grants::{Grants, Held, ServiceRanges, held};

pub(super) fn default_new(service: &mut Value) -> Result<(), Status> {
    default_spec(map_mut(service, "spec")?);
    if let Some(fields) = service.as_object_mut() {
        fields.insert("status".to_owned(), json!({"loadBalancer": {}}));
    }
    Ok(())
}

/// What a Service was given stays with it, unless its type or policy gives it up.
pub(super) fn default_replacement(current: &Value, service: &mut Value) -> Result<(), Status> {
    let spec = map_mut(service, "spec")?;
    default_spec(spec);
    let before = &current["spec"];
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

/// A port that is still there keeps its node port, as long as the type has any.
fn keep_node_ports(before: &Value, spec: &mut Map<String, Value>) {
    let (had, has) = (
        has_node_ports(before),
        has_node_ports(&Value::Object(spec.clone())),
    );
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        let is_same = |old: &&Value| {
            Some(&old["port"]) == port.get("port") && Some(&old["protocol"]) == port.get("protocol")
        };
        let Some(old) = object::items(before, "/ports").iter().find(is_same) else {
            continue;
        };
        if has && let Some(number) = old.get("nodePort") {
            default_to(port, "nodePort", number.clone());
        } else if had && !has && port.get("nodePort") == old.get("nodePort") {
            port.remove("nodePort");
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
    if spec["type"] == "ExternalName" {
        return;
    }
    default_to(spec, "internalTrafficPolicy", "Cluster");
    if spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" {
        default_to(spec, "externalTrafficPolicy", "Cluster");
    }
    if spec["type"] == "LoadBalancer" {
        default_to(spec, "allocateLoadBalancerNodePorts", true);
    }
    default_protocols(spec);
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        let own = port.get("port").cloned().unwrap_or_default();
        default_to(port, "targetPort", own);
    }
}

pub(super) fn validate(service: &Value) -> Vec<FieldError> {
    let spec = &service["spec"];
    let mut errors = Vec::new();
    match object::text(spec, "/type") {
        "ClusterIP" => {}
        kind @ ("NodePort" | "LoadBalancer") => {
            if spec["clusterIP"] == "None" {
                let expected = format!("may not be set to 'None' for {kind} services");
                errors.push(FieldError::invalid("spec.clusterIPs[0]", "None", expected));
            }
        }
        "ExternalName" => {
            if object::text(spec, "/externalName").is_empty() {
                errors.push(FieldError::required("spec.externalName"));
            }
            return errors;
        }
        _ => errors.push(unsupported(
            "spec.type",
            &spec["type"],
            &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        )),
    }
    errors.extend(validate_families(spec));
    let ports = object::items(spec, "/ports");
    if ports.is_empty() && spec["clusterIP"] != "None" {
        errors.push(FieldError::required("spec.ports"));
    }
    for (at, port) in ports.iter().enumerate() {
        errors.extend(validate_port(ports, at, port));
        if spec["type"] == "ClusterIP" && object::number(port, "/nodePort") != 0 {
            let why = "may not be used when `type` is 'ClusterIP'";
            let field = format!("spec.ports[{at}].nodePort");
            errors.push(FieldError::new(field, FieldRule::Forbidden { why }));
        }
    }
    errors
}

fn validate_families(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let families = object::items(spec, "/ipFamilies");
    for (at, family) in families.iter().enumerate() {
        let field = format!("spec.ipFamilies[{at}]");
        if family != "IPv4" && family != "IPv6" {
            errors.push(unsupported(&field, family, &["IPv4", "IPv6"]));
        } else if families[..at].contains(family) {
            let rule = FieldRule::Duplicate {
                value: family.clone(),
            };
            errors.push(FieldError::new(field, rule));
        }
    }
    let policy = &spec["ipFamilyPolicy"];
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    if !policy.is_null() && policies.iter().all(|known| policy != known) {
        errors.push(unsupported("spec.ipFamilyPolicy", policy, &policies));
    }
    errors
}

fn unsupported(field: &str, value: &Value, supported: &[&str]) -> FieldError {
    let rule = FieldRule::Unsupported {
        value: value.clone(),
        supported: supported.iter().map(|&name| name.to_owned()).collect(),
    };
    FieldError::new(field, rule)
}

fn validate_port(all: &[Value], at: usize, port: &Value) -> Vec<FieldError> {
    let field = |name: &str| format!("spec.ports[{at}].{name}");
    let mut errors = validation::port(&field("port"), &port["port"]);
    if port["targetPort"].is_number() {
        errors.extend(validation::port(&field("targetPort"), &port["targetPort"]));
    }
    if !matches!(object::text(port, "/protocol"), "TCP" | "UDP" | "SCTP") {
        let found = object::text(port, "/protocol");
        errors.push(validation::unsupported(
            field("protocol"),
            found,
            &["SCTP", "TCP", "UDP"],
        ));
    }
    let name = object::text(port, "/name");
    if name.is_empty() && all.len() > 1 {
        errors.push(FieldError::required(field("name")));
    }
    for earlier in &all[..at] {
        if !name.is_empty() && object::text(earlier, "/name") == name {
            let value = json!(name);
            errors.push(FieldError::new(field("name"), FieldRule::Duplicate { value }));
        }
        if earlier["port"] == port["port"] && earlier["protocol"] == port["protocol"] {
            errors.push(FieldError::invalid(
                field("port"),
                &port["port"],
                "must be unique per protocol",
            ));
        }
    }
    errors
}

pub(super) fn validate_change(current: &Value, service: &Value) -> Vec<FieldError> {
    let kept = |object: &Value| object["spec"]["type"] != "ExternalName";
    if !kept(current) || !kept(service) || current["spec"]["clusterIP"] == service["spec"]["clusterIP"] {
        return Vec::new();
    }
    let rule = FieldRule::Limit {
        value: json!([service["spec"]["clusterIP"]]),
        expected: "may not change once set".to_owned(),
    };
    vec![FieldError::new("spec.clusterIPs[0]", rule)]
}
