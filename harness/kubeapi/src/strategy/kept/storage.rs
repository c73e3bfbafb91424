//! Volumes, claims and their classes. None is bound or provided.

use serde_json::{Map, Value};

use super::required;
use crate::object::{self, default_to};
use crate::status::{FieldError, FieldRule};

pub(super) fn default_claim(spec: &mut Map<String, Value>) {
    default_to(spec, "volumeMode", "Filesystem");
}

pub(super) fn default_volume(spec: &mut Map<String, Value>) {
    default_to(spec, "persistentVolumeReclaimPolicy", "Retain");
    default_to(spec, "volumeMode", "Filesystem");
}

pub(super) fn default_class(class: &mut Value) {
    if let Some(fields) = class.as_object_mut() {
        default_to(fields, "reclaimPolicy", "Delete");
        default_to(fields, "volumeBindingMode", "Immediate");
    }
}

pub(super) fn validate_claim(claim: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if object::items(claim, "/spec/accessModes").is_empty() {
        let why = "at least 1 access mode is required";
        errors.push(FieldError::required_because("spec.accessModes", why));
    }
    if claim["spec"]["resources"]["requests"].get("storage").is_none() {
        errors.push(FieldError::required("spec.resources[storage]"));
    }
    errors
}

pub(super) fn validate_volume(volume: &Value) -> Vec<FieldError> {
    let mut errors = required(volume, &["spec.accessModes", "spec.capacity"]);
    if volume["spec"]["capacity"].get("storage").is_none() {
        let rule = FieldRule::Unsupported {
            value: volume["spec"]["capacity"].clone(),
            supported: vec!["storage".to_owned()],
        };
        errors.push(FieldError::new("spec.capacity", rule));
    }
    // Every other field of the spec is a place the data is at.
    let is_source = |name: &str| !COMMON.contains(&name);
    if !object::entries(volume, "/spec").any(|(name, _)| is_source(name)) {
        errors.push(FieldError::required_because("spec", "must specify a volume type"));
    }
    errors
}

/// What volumes of all types have.
const COMMON: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];
