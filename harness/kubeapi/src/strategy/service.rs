//! Rules of a Service, and the addresses Services get.
//!
//! [`ClusterIps`] hands out every address of the range once before it reuses one, so that a late packet to a
//! deleted Service does not reach its successor.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

use super::{default_protocols, validation};
use crate::object::{self, default_to, map_mut};
use crate::status::{FieldError, FieldRule, Status};

pub(super) fn default_new(service: &mut Value) -> Result<(), Status> {
    default_spec(map_mut(service, "spec")?);
    if let Some(fields) = service.as_object_mut() {
        fields.insert("status".to_owned(), json!({"loadBalancer": {}}));
    }
    Ok(())
}

/// The address stays with the Service unless its type gives it up.
pub(super) fn default_replacement(current: &Value, service: &mut Value) -> Result<(), Status> {
    let spec = map_mut(service, "spec")?;
    default_spec(spec);
    if spec["type"] != "ExternalName" && current["spec"]["type"] != "ExternalName" {
        for field in ["clusterIP", "clusterIPs"] {
            if let Some(value) = current["spec"].get(field) {
                default_to(spec, field, value.clone());
            }
        }
    }
    Ok(())
}

fn default_spec(spec: &mut Map<String, Value>) {
    default_to(spec, "type", "ClusterIP");
    default_to(spec, "sessionAffinity", "None");
    if spec["type"] == "ExternalName" {
        return;
    }
    default_to(spec, "internalTrafficPolicy", "Cluster");
    default_to(spec, "ipFamilyPolicy", "SingleStack");
    default_to(spec, "ipFamilies", json!(["IPv4"]));
    if spec["type"] == "LoadBalancer" {
        default_to(spec, "externalTrafficPolicy", "Cluster");
        default_to(spec, "allocateLoadBalancerNodePorts", false);
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
        "ClusterIP" | "LoadBalancer" => {}
        "ExternalName" => {
            if object::text(spec, "/externalName").is_empty() {
                errors.push(FieldError::required("spec.externalName"));
            }
            return errors;
        }
        other => {
            let supported = ["ClusterIP", "ExternalName", "LoadBalancer"];
            errors.push(validation::unsupported("spec.type", other, &supported));
        }
    }
    let ports = object::items(spec, "/ports");
    if ports.is_empty() && spec["clusterIP"] != "None" {
        errors.push(FieldError::required("spec.ports"));
    }
    for (at, port) in ports.iter().enumerate() {
        errors.extend(validate_port(ports, at, port));
    }
    errors
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
    let value = object::text(service, "/spec/clusterIP").to_owned();
    vec![FieldError::new("spec.clusterIP", FieldRule::Immutable { value })]
}

/// The cluster IPs of one cluster.
#[derive(Debug)]
pub(crate) struct ClusterIps {
    range: Ipv4Net,
    used: BTreeSet<Ipv4Addr>,
    last: Option<Ipv4Addr>,
}

impl ClusterIps {
    pub(crate) fn new(range: Ipv4Net) -> Self {
        ClusterIps {
            range,
            used: BTreeSet::new(),
            last: None,
        }
    }

    /// Gives the Service its address, if its type has one: the one it asks for, or the next free one.
    pub(crate) fn assign(&mut self, service: &mut Value) -> Result<(), FieldError> {
        let wanted = object::text(service, "/spec/clusterIP").to_owned();
        if object::text(service, "/spec/type") == "ExternalName" {
            return Ok(());
        }
        let address = match wanted.as_str() {
            "None" => "None".to_owned(),
            "" => self.next_free()?.to_string(),
            text => self.reserve(text)?.to_string(),
        };
        service["spec"]["clusterIPs"] = json!([address]);
        service["spec"]["clusterIP"] = json!(address);
        Ok(())
    }

    /// Takes the Service's address back.
    pub(crate) fn release(&mut self, service: &Value) {
        if let Ok(address) = object::text(service, "/spec/clusterIP").parse() {
            self.used.remove(&address);
        }
    }

    fn reserve(&mut self, text: &str) -> Result<Ipv4Addr, FieldError> {
        let field = "spec.clusterIPs";
        let address: Ipv4Addr = text
            .parse()
            .ok()
            .filter(|address| self.range.contains(address))
            .ok_or_else(|| FieldError::invalid(field, text, "expected an address of the service range"))?;
        match self.used.insert(address) {
            true => Ok(address),
            false => Err(FieldError::invalid(
                field,
                text,
                "provided IP is already allocated",
            )),
        }
    }

    fn next_free(&mut self) -> Result<Ipv4Addr, FieldError> {
        let last = self.last;
        let after_last = self
            .range
            .hosts()
            .skip_while(move |&address| last.is_some_and(|last| address <= last));
        let found = after_last
            .chain(self.range.hosts())
            .find(|address| !self.used.contains(address));
        let address = found.ok_or_else(|| {
            FieldError::invalid(
                "spec.clusterIPs",
                self.range,
                "every address of the service range is allocated",
            )
        })?;
        self.used.insert(address);
        self.last = Some(address);
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(ips: &mut ClusterIps, wanted: &str) -> Result<String, FieldError> {
        let mut service = json!({"spec": {"type": "ClusterIP", "clusterIP": wanted}});
        ips.assign(&mut service)?;
        Ok(object::text(&service, "/spec/clusterIP").to_owned())
    }

    #[test]
    fn a_released_address_is_reused_only_after_the_rest_of_the_range() {
        let mut ips = ClusterIps::new("10.96.0.0/29".parse().expect("a network"));
        assert_eq!(assign(&mut ips, "").as_deref(), Ok("10.96.0.1"));
        ips.release(&json!({"spec": {"clusterIP": "10.96.0.1"}}));
        assert_eq!(assign(&mut ips, "10.96.0.3").as_deref(), Ok("10.96.0.3"));
        let rest: Vec<_> = (0..5).map(|_| assign(&mut ips, "").expect("free")).collect();
        assert_eq!(
            rest,
            ["10.96.0.2", "10.96.0.4", "10.96.0.5", "10.96.0.6", "10.96.0.1"]
        );
        assert!(assign(&mut ips, "").is_err());
    }

    #[test]
    fn a_taken_or_foreign_address_is_refused() {
        let mut ips = ClusterIps::new("10.96.0.0/24".parse().expect("a network"));
        assign(&mut ips, "10.96.0.9").expect("free");
        assert!(assign(&mut ips, "10.96.0.9").is_err());
        assert!(assign(&mut ips, "10.97.0.1").is_err());
        assert_eq!(assign(&mut ips, "None").as_deref(), Ok("None"));
    }
}
