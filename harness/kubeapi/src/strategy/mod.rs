//! The rules of each kind: defaults, validation, what an update may touch, how long a deletion waits.
//!
//! Owns nothing but the rules; storing is the business of `api`. Every rule sees the stored form of an object.

mod event;
mod kept;
mod keyed_data;
mod metadata;
mod names;
mod namespace;
mod node;
mod pod;
mod rbac;
mod service;
mod validation;
mod workload;

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::custom;
use crate::object::{self, default_to};
use crate::status::{FieldError, FieldRule, Status};
pub(crate) use kept::Kept;
pub(crate) use names::{is_subdomain, service_label};
pub(crate) use service::{Grants, Held, ServiceRanges, held};
pub(crate) use workload::Workload;

/// Which rules a resource follows beyond those of every object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    Plain,
    /// A custom resource: its definition says more.
    Custom,
    ConfigMap,
    Lease,
    /// It is kept and does nothing.
    Kept(Kept),
    Namespace,
    Node,
    Pod,
    Service,
    Secret,
    /// An Event of `v1`.
    Event,
    /// An Event of `events.k8s.io/v1`.
    NewEvent,
    EndpointSlice,
    Definition,
    Role,
    RoleBinding,
    Workload(Workload),
    ControllerRevision,
}

/// The part of an object a write is about; the rest is taken from the stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status.
    Main,
    /// The status alone.
    Status,
    /// The node of a pod, with the condition that tells of it.
    Binding,
    /// As the main part, with the finalizers in the spec of a namespace.
    Finalizers,
}

/// The rules that the metadata of an object inside of another breaks.
pub(crate) fn embedded_metadata(object: &Value) -> Vec<FieldError> {
    validation::metadata(object, validation::NameRule::PathSegment)
}

impl Strategy {
    /// Fills in what the client left open in a new object.
    pub(crate) fn default_new(self, object: &mut Value) -> Result<(), Status> {
        match self {
            Strategy::Plain
            | Strategy::Custom
            | Strategy::ConfigMap
            | Strategy::Lease
            | Strategy::Event
            | Strategy::NewEvent
            | Strategy::Role
            | Strategy::ControllerRevision => {}
            Strategy::Workload(workload) => workload::default_new(workload, object)?,
            Strategy::Kept(kept) => kept::default_new(kept, object)?,
            Strategy::RoleBinding => rbac::default_binding(object),
            Strategy::Namespace => namespace::default_new(object)?,
            Strategy::Node => node::default_new(object)?,
            Strategy::Pod => pod::default_new(object)?,
            Strategy::Service => service::default_new(object)?,
            Strategy::Secret => keyed_data::default_secret(object)?,
            Strategy::EndpointSlice => default_endpoint_slice(object)?,
            Strategy::Definition => custom::default_new(object)?,
        }
        Ok(())
    }

    /// Carries over what a replacement may leave out, before it is compared and checked.
    pub(crate) fn default_replacement(self, current: &Value, object: &mut Value) -> Result<(), Status> {
        match self {
            Strategy::Namespace => namespace::default_replacement(current, object),
            Strategy::Pod => pod::default_replacement(current, object),
            Strategy::Service => service::default_replacement(current, object),
            Strategy::Secret => keyed_data::default_secret(object),
            Strategy::EndpointSlice => default_endpoint_slice(object),
            Strategy::Definition => custom::default_replacement(object),
            Strategy::Kept(kept) => kept::default_replacement(kept, current, object),
            Strategy::RoleBinding => {
                rbac::default_binding(object);
                Ok(())
            }
            Strategy::Workload(workload) => workload::default_replacement(workload, object),
            Strategy::Plain
            | Strategy::Custom
            | Strategy::ConfigMap
            | Strategy::Lease
            | Strategy::Node
            | Strategy::Event
            | Strategy::NewEvent
            | Strategy::Role
            | Strategy::ControllerRevision => Ok(()),
        }
    }

    /// Fills in what the client left open in a status.
    pub(crate) fn default_status(self, object: &mut Value) {
        if self == Strategy::Service {
            service::default_status(object);
        }
    }

    /// The rules that a new object breaks.
    pub(crate) fn validate_new(self, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::of_new(self, object);
        errors.extend(self.validate(object));
        if self == Strategy::NewEvent {
            errors.extend(event::validate_new(object));
        }
        errors
    }

    /// The rules of its kind that the object breaks.
    pub(crate) fn validate(self, object: &Value) -> Vec<FieldError> {
        match self {
            Strategy::ConfigMap => keyed_data::validate_config_map(object),
            Strategy::Secret => keyed_data::validate_secret(object),
            Strategy::Lease => validate_lease(object),
            Strategy::Namespace => validation::namespace_finalizers(object),
            Strategy::Kept(kept) => kept::validate(kept, object),
            Strategy::Pod => pod::validate(object),
            Strategy::Service => service::validate(object),
            Strategy::EndpointSlice => validate_endpoint_slice(object),
            Strategy::Definition => custom::validate(object),
            Strategy::Role => rbac::validate_role(object),
            Strategy::RoleBinding => rbac::validate_binding(object),
            Strategy::Workload(workload) => workload::validate(workload, object),
            Strategy::ControllerRevision => workload::validate_revision(object),
            Strategy::Event => event::validate(object, "reportingComponent"),
            Strategy::NewEvent => event::validate(object, "reportingController"),
            _ => Vec::new(),
        }
    }

    /// The rules the step from one state to the next breaks.
    pub(crate) fn validate_change(self, current: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::of_replacement(self, current, object);
        errors.extend(match self {
            Strategy::ConfigMap => keyed_data::validate_change(current, object),
            Strategy::Kept(kept) => kept::validate_change(kept, current, object),
            Strategy::Secret => {
                let mut errors = validation::immutable(current, object, "type");
                errors.extend(keyed_data::validate_change(current, object));
                errors
            }
            Strategy::Pod => pod::validate_change(current, object),
            Strategy::Service => service::validate_change(current, object),
            Strategy::EndpointSlice => validation::immutable(current, object, "addressType"),
            Strategy::Definition => custom::validate_change(current, object),
            Strategy::RoleBinding => rbac::validate_binding_change(current, object),
            Strategy::Workload(workload) => workload::validate_change(workload, current, object),
            Strategy::ControllerRevision => workload::validate_revision_change(current, object),
            Strategy::NewEvent => event::validate_new_change(current, object),
            _ => Vec::new(),
        });
        errors
    }

    /// The seconds between the request to delete and the removal.
    pub(crate) fn grace_seconds(self, object: &Value, requested: Option<i64>) -> i64 {
        match self {
            Strategy::Pod => pod::grace_seconds(object, requested),
            _ => 0,
        }
    }

    fn name_rule(self) -> validation::NameRule {
        match self {
            Strategy::Namespace | Strategy::Workload(Workload::StatefulSet) => validation::NameRule::Label,
            Strategy::Service => validation::NameRule::ServiceLabel,
            Strategy::Role | Strategy::RoleBinding | Strategy::Event => validation::NameRule::PathSegment,
            _ => validation::NameRule::Subdomain,
        }
    }
}

fn default_endpoint_slice(slice: &mut Value) -> Result<(), Status> {
    let Some(fields) = slice.as_object_mut() else {
        return Ok(());
    };
    let Some(Value::Array(ports)) = fields.get_mut("ports") else {
        return Ok(());
    };
    for port in ports.iter_mut().filter_map(Value::as_object_mut) {
        default_to(port, "name", "");
        default_to(port, "protocol", "TCP");
    }
    Ok(())
}

fn validate_endpoint_slice(slice: &Value) -> Vec<FieldError> {
    let address_type = object::text(slice, "/addressType");
    let mut errors = match address_type {
        "IPv4" | "IPv6" | "FQDN" => Vec::new(),
        "" => vec![FieldError::required("addressType")],
        other => vec![validation::unsupported(
            "addressType",
            other,
            &["FQDN", "IPv4", "IPv6"],
        )],
    };
    for (at, endpoint) in object::items(slice, "/endpoints").iter().enumerate() {
        let field = format!("endpoints[{at}].addresses");
        let addresses = object::items(endpoint, "/addresses");
        if addresses.is_empty() {
            errors.push(FieldError::required_because(
                field.clone(),
                "must contain at least 1 address",
            ));
        }
        for (at, address) in addresses.iter().enumerate() {
            let address = address.as_str().unwrap_or_default();
            // Upstream tells the place of an address in its list only where it is none at all.
            let (field, expected) = match (address_type, address.parse::<IpAddr>()) {
                ("IPv4" | "IPv6", Err(_)) => (
                    format!("{field}[{at}]"),
                    "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                ),
                ("IPv4", Ok(IpAddr::V6(_))) => (field.clone(), "must be an IPv4 address"),
                ("IPv6", Ok(IpAddr::V4(_))) => (field.clone(), "must be an IPv6 address"),
                _ => continue,
            };
            errors.push(FieldError::invalid(field, address, expected));
        }
    }
    errors
}

fn validate_lease(lease: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, least, expected) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        if lease["spec"][field].as_i64().is_some_and(|value| value < least) {
            let value = lease["spec"][field].clone();
            let expected = expected.to_owned();
            errors.push(FieldError::new(
                format!("spec.{field}"),
                FieldRule::Limit { value, expected },
            ));
        }
    }
    errors
}

/// Defaults the ports of a container or a Service.
fn default_protocols(owner: &mut Map<String, Value>) {
    let ports = owner.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        default_to(port, "protocol", "TCP");
    }
}
