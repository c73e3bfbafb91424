//! Ingresses, their classes, network policies and Endpoints. None moves a packet.

use serde_json::{Map, Value, json};

use super::elements_mut;
use crate::object::{self, default_to, items, text};
use crate::status::{FieldError, FieldRule};
use crate::strategy::validation;

pub(super) fn default_endpoints(endpoints: &mut Value) {
    let fields = endpoints.as_object_mut().into_iter();
    for subset in fields.flat_map(|fields| elements_mut(fields, "subsets")) {
        for port in elements_mut(subset, "ports") {
            default_to(port, "protocol", "TCP");
        }
    }
}

pub(super) fn default_ingress_class(class: &mut Value) {
    if let Some(parameters) = class
        .pointer_mut("/spec/parameters")
        .and_then(Value::as_object_mut)
    {
        default_to(parameters, "scope", "Cluster");
    }
}

/// A policy is about what comes in, and about what goes out if it has rules for that.
pub(super) fn default_network_policy(spec: &mut Map<String, Value>) {
    default_to(spec, "podSelector", json!({}));
    let types = match spec.get("egress").and_then(Value::as_array) {
        Some(rules) if !rules.is_empty() => json!(["Ingress", "Egress"]),
        _ => json!(["Ingress"]),
    };
    default_to(spec, "policyTypes", types);
    for direction in ["ingress", "egress"] {
        for rule in elements_mut(spec, direction) {
            for port in elements_mut(rule, "ports") {
                default_to(port, "protocol", "TCP");
            }
        }
    }
}

pub(super) fn validate_endpoints(endpoints: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, subset) in items(endpoints, "/subsets").iter().enumerate() {
        let field = format!("subsets[{at}]");
        let ports = items(subset, "/ports");
        if items(subset, "/addresses").is_empty() && items(subset, "/notReadyAddresses").is_empty() {
            let why = "must specify `addresses` or `notReadyAddresses`";
            errors.push(FieldError::required_because(field.clone(), why));
        }
        for (at, port) in ports.iter().enumerate() {
            if ports.len() > 1 && text(port, "/name").is_empty() {
                errors.push(FieldError::required(format!("{field}.ports[{at}].name")));
            }
            errors.extend(validation::port(
                &format!("{field}.ports[{at}].port"),
                &port["port"],
            ));
        }
    }
    errors
}

pub(super) fn validate_ingress(ingress: &Value) -> Vec<FieldError> {
    let spec = &ingress["spec"];
    let rules = items(spec, "/rules");
    if rules.is_empty() && spec["defaultBackend"].is_null() {
        let rule = FieldRule::Limit {
            value: spec.clone(),
            expected: "either `defaultBackend` or `rules` must be specified".to_owned(),
        };
        return vec![FieldError::new("spec", rule)];
    }
    let mut errors = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        for (index, path) in items(rule, "/http/paths").iter().enumerate() {
            let field = format!("spec.rules[{at}].http.paths[{index}]");
            errors.extend(validate_path(&field, path));
        }
    }
    errors
}

fn validate_path(field: &str, path: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let place = text(path, "/path");
    match text(path, "/pathType") {
        "" => errors.push(FieldError::required_because(
            format!("{field}.pathType"),
            "pathType must be specified",
        )),
        "Exact" | "Prefix" if !place.starts_with('/') => errors.push(FieldError::invalid(
            format!("{field}.path"),
            place,
            "must be an absolute path",
        )),
        "Exact" | "Prefix" | "ImplementationSpecific" => {}
        other => {
            let supported = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(validation::unsupported(
                format!("{field}.pathType"),
                other,
                &supported,
            ));
        }
    }
    let backend = &path["backend"];
    if !backend["resource"].is_object() && text(backend, "/service/name").is_empty() {
        errors.push(FieldError::required(format!("{field}.backend.service.name")));
    }
    errors
}

pub(super) fn validate_network_policy(policy: &Value) -> Vec<FieldError> {
    let mut errors = validation::label_selector("spec.podSelector", &policy["spec"]["podSelector"]);
    for (at, found) in object::items(policy, "/spec/policyTypes").iter().enumerate() {
        let found = found.as_str().unwrap_or_default();
        if !["Egress", "Ingress"].contains(&found) {
            let field = format!("spec.policyTypes[{at}]");
            errors.push(validation::unsupported(field, found, &["Egress", "Ingress"]));
        }
    }
    errors
}
