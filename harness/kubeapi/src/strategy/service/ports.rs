//! Rules of the ports of a Service.

use serde_json::{Value, json};

use super::super::{names, validation};
use crate::object::{items, number, text};
use crate::status::{FieldError, FieldRule};

/// Each port on its own, and its name among the others.
pub(super) fn validate(spec: &Value) -> Vec<FieldError> {
    let ports = items(spec, "/ports");
    let mut errors = Vec::new();
    for (at, port) in ports.iter().enumerate() {
        let field = |name: &str| format!("spec.ports[{at}].{name}");
        match text(port, "/name") {
            "" if ports.len() > 1 => errors.push(FieldError::required(field("name"))),
            "" => {}
            name => {
                errors.extend(validation::dns_label(&field("name"), name));
                if ports[..at].iter().any(|earlier| earlier["name"] == name) {
                    let value = json!(name);
                    errors.push(FieldError::new(field("name"), FieldRule::Duplicate { value }));
                }
            }
        }
        errors.extend(validation::port(&field("port"), &port["port"]));
        let protocol = text(port, "/protocol");
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            let supported = ["SCTP", "TCP", "UDP"];
            errors.push(validation::unsupported(field("protocol"), protocol, &supported));
        }
        errors.extend(match &port["targetPort"] {
            Value::String(name) => validation::invalid(&field("targetPort"), name, names::port_name(name)),
            number => validation::port(&field("targetPort"), number),
        });
        if let Some(protocol) = port["appProtocol"].as_str() {
            errors.extend(validation::qualified_name(&field("appProtocol"), protocol));
        }
    }
    errors
}

/// No two of them are the same, and only some types have node ports.
pub(super) fn validate_numbers(spec: &Value) -> Vec<FieldError> {
    let ports = items(spec, "/ports");
    let (mut errors, mut repeats) = (Vec::new(), Vec::new());
    for (at, port) in ports.iter().enumerate() {
        let node_port = number(port, "/nodePort");
        let field = format!("spec.ports[{at}].nodePort");
        if node_port != 0 && spec["type"] == "ClusterIP" {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::new(&*field, FieldRule::Forbidden { why }));
        }
        let same = |name: &str| {
            let repeats =
                |earlier: &Value| earlier[name] == port[name] && earlier["protocol"] == port["protocol"];
            ports[..at].iter().any(repeats)
        };
        if node_port != 0 && same("nodePort") {
            let (value, expected) = (json!(node_port), "provided port is already allocated".to_owned());
            errors.push(FieldError::new(field, FieldRule::Limit { value, expected }));
        }
        if same("port") {
            let value = json!({
                "Name": "", "Protocol": port["protocol"], "AppProtocol": null, "Port": port["port"], "TargetPort": 0,
                "NodePort": 0,
            });
            repeats.push(FieldError::new(
                format!("spec.ports[{at}]"),
                FieldRule::Duplicate { value },
            ));
        }
    }
    errors.append(&mut repeats);
    errors
}
