//! Rules of a Pod: it is born pending, its spec is fixed but for images and tolerations, and it gets a grace
//! period once it has a node.

use serde_json::{Map, Value, json};

use super::default_protocols;
use super::validation;
use crate::object::{self, default_to, map_mut};
use crate::status::{FieldError, FieldRule, Status};

pub(super) fn default_new(pod: &mut Value) -> Result<(), Status> {
    default_spec(map_mut(pod, "spec")?);
    let pending = json!({"phase": "Pending", "qosClass": "BestEffort"});
    if let Some(fields) = pod.as_object_mut() {
        fields.insert("status".to_owned(), pending);
    }
    Ok(())
}

/// A client that replaces the object it once created does not know the node it was bound to.
pub(super) fn default_replacement(current: &Value, pod: &mut Value) -> Result<(), Status> {
    let spec = map_mut(pod, "spec")?;
    default_spec(spec);
    if let Some(node) = current["spec"].get("nodeName") {
        default_to(spec, "nodeName", node.clone());
    }
    Ok(())
}

fn default_spec(spec: &mut Map<String, Value>) {
    default_to(spec, "serviceAccountName", "default");
    default_to(spec, "enableServiceLinks", true);
    default_template_spec(spec);
}

/// What is assumed of the spec of a pod template as well.
pub(super) fn default_template_spec(spec: &mut Map<String, Value>) {
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "schedulerName", "default-scheduler");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "securityContext", json!({}));
    for field in ["containers", "initContainers"] {
        let containers = spec.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let policy = pull_policy(container.get("image").and_then(Value::as_str).unwrap_or_default());
            default_to(container, "imagePullPolicy", policy);
            default_to(container, "resources", json!({}));
            default_to(container, "terminationMessagePath", "/dev/termination-log");
            default_to(container, "terminationMessagePolicy", "File");
            default_protocols(container);
        }
    }
}

/// An image that may be another tomorrow is pulled each time.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let tag = name.split_once('@').is_none().then(|| name.split_once(':'));
    match tag {
        Some(None | Some((_, "latest"))) => "Always",
        _ => "IfNotPresent",
    }
}

pub(super) fn validate(pod: &Value) -> Vec<FieldError> {
    validate_spec("spec", &pod["spec"])
}

/// Checks the spec of a pod or of a pod template, which is at `path`.
pub(super) fn validate_spec(path: &str, spec: &Value) -> Vec<FieldError> {
    let containers = object::items(spec, "/containers");
    if containers.is_empty() {
        return vec![FieldError::required(format!("{path}.containers"))];
    }
    let mut errors = Vec::new();
    let mut names = Vec::new();
    for (at, container) in containers.iter().enumerate() {
        let name = object::text(container, "/name");
        let field = format!("{path}.containers[{at}].name");
        if name.is_empty() {
            errors.push(FieldError::required(field));
        } else if names.contains(&name) {
            let value = json!(name);
            errors.push(FieldError::new(field, FieldRule::Duplicate { value }));
        } else {
            errors.extend(validation::dns_label(&field, name));
        }
        names.push(name);
        if object::text(container, "/image").is_empty() {
            errors.push(FieldError::required(format!("{path}.containers[{at}].image")));
        }
        for (index, port) in object::items(container, "/ports").iter().enumerate() {
            let field = format!("{path}.containers[{at}].ports[{index}].containerPort");
            errors.extend(validation::port(&field, &port["containerPort"]));
        }
    }
    errors
}

pub(super) fn validate_change(current: &Value, pod: &Value) -> Vec<FieldError> {
    if fixed_part(&current["spec"]) == fixed_part(&pod["spec"]) {
        return Vec::new();
    }
    let why = "pod updates may not change fields other than `spec.containers[*].image`, \
               `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, \
               `spec.terminationGracePeriodSeconds` or `spec.tolerations`";
    vec![FieldError::new("spec", FieldRule::Forbidden { why })]
}

fn fixed_part(spec: &Value) -> Value {
    let mut fixed = spec.clone();
    if let Some(fields) = fixed.as_object_mut() {
        for free in [
            "activeDeadlineSeconds",
            "terminationGracePeriodSeconds",
            "tolerations",
        ] {
            fields.remove(free);
        }
        for list in ["containers", "initContainers"] {
            let containers = fields.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.remove("image");
            }
        }
    }
    fixed
}

/// A pod without a node has nothing to stop; neither has one that has ended.
pub(super) fn grace_seconds(pod: &Value, requested: Option<i64>) -> i64 {
    let ended = matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed");
    if ended || object::text(pod, "/spec/nodeName").is_empty() {
        return 0;
    }
    let own = pod
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64);
    match requested.or(own).unwrap_or(30) {
        // As upstream: there is no less than none, so it is the least there is.
        ..0 => 1,
        seconds => seconds,
    }
}
