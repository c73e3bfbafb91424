//! Rules that several kinds share: metadata, names, labels, ports.

use serde_json::{Value, json};

use super::names;
use crate::object;
use crate::status::{FieldError, FieldRule};

/// The form a kind's names take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameRule {
    /// RFC 1123 subdomain, up to 253 characters.
    Subdomain,
    /// RFC 1123 label, up to 63 characters.
    Label,
    /// RFC 1035 label: as above, and it starts with a letter.
    ServiceLabel,
    /// Anything that can stand in a path.
    PathSegment,
}

/// As upstream, of the keys and values of all annotations together.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

pub(super) fn metadata(object: &Value, rule: NameRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let base = object::text(object, "/metadata/generateName");
    if !base.is_empty() {
        let started = rule.complaints(&with_suffix(base));
        errors.extend(invalid("metadata.generateName", base, started));
    }
    let name = object::name(object);
    errors.extend(invalid("metadata.name", name, rule.complaints(name)));
    errors.extend(changeable(object));
    for finalizer in object::items(object, "/metadata/finalizers") {
        let finalizer = finalizer.as_str().unwrap_or_default();
        errors.extend(invalid(
            "metadata.finalizers",
            finalizer,
            names::qualified_name(finalizer),
        ));
    }
    errors
}

/// As [`metadata`], of what an update may change.
pub(super) fn metadata_change(current: &Value, object: &Value) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = new_finalizers(current, object).into_iter().collect();
    errors.extend(changeable(object));
    errors
}

fn changeable(object: &Value) -> Vec<FieldError> {
    let mut errors = labels("metadata.labels", &object["metadata"]["labels"]);
    errors.extend(annotations(&object["metadata"]["annotations"]));
    errors.extend(owners(object));
    errors
}

/// An object on its way out takes no new finalizers.
fn new_finalizers(current: &Value, object: &Value) -> Option<FieldError> {
    let held = object::items(current, "/metadata/finalizers");
    let finalizers = object::items(object, "/metadata/finalizers").iter();
    let added: Vec<String> = finalizers
        .filter(|finalizer| !held.contains(finalizer))
        .map(Value::to_string)
        .collect();
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    (!added.is_empty() && object::is_terminating(current))
        .then(|| FieldError::new("metadata.finalizers", FieldRule::ForbiddenBecause { why }))
}

impl NameRule {
    fn complaints(self, name: &str) -> Vec<String> {
        match self {
            NameRule::Subdomain => names::subdomain(name),
            NameRule::Label => names::label(name),
            NameRule::ServiceLabel => names::service_label(name),
            NameRule::PathSegment => names::path_segment(name),
        }
    }
}

/// A dash at the end of a base is fine, since something follows it.
fn with_suffix(base: &str) -> String {
    match base.strip_suffix('-') {
        Some(stem) if !stem.is_empty() => format!("{stem}a"),
        _ => base.to_owned(),
    }
}

pub(super) fn labels(field: &str, labels: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in object::entries(labels, "") {
        errors.extend(invalid(field, key, names::qualified_name(key)));
        let value = value.as_str().unwrap_or_default();
        errors.extend(invalid(field, value, names::label_value(value)));
    }
    errors
}

/// `metav1.LabelSelector`.
pub(super) fn label_selector(field: &str, selector: &Value) -> Vec<FieldError> {
    let mut errors = labels(&format!("{field}.matchLabels"), &selector["matchLabels"]);
    for (at, expression) in object::items(selector, "/matchExpressions").iter().enumerate() {
        let field = format!("{field}.matchExpressions[{at}]");
        let has_values = !object::items(expression, "/values").is_empty();
        match object::text(expression, "/operator") {
            "In" | "NotIn" if !has_values => errors.push(FieldError::required_because(
                format!("{field}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if has_values => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::new(
                    format!("{field}.values"),
                    FieldRule::Forbidden { why },
                ));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                format!("{field}.operator"),
                other,
                "not a valid selector operator",
            )),
        }
    }
    errors
}

/// The case of their keys does not matter.
fn annotations(annotations: &Value) -> Vec<FieldError> {
    let field = "metadata.annotations";
    let (mut errors, mut bytes) = (Vec::new(), 0);
    for (key, value) in object::entries(annotations, "") {
        errors.extend(invalid(field, key, names::qualified_name(&key.to_lowercase())));
        bytes += key.len() + value.as_str().unwrap_or_default().len();
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        let bytes_max = ANNOTATIONS_BYTES_MAX;
        errors.push(FieldError::new(field, FieldRule::TooLong { bytes_max }));
    }
    errors
}

fn owners(object: &Value) -> Vec<FieldError> {
    let field = "metadata.ownerReferences";
    let (mut errors, mut controller) = (Vec::new(), None);
    let owners = object::items(object, "/metadata/ownerReferences");
    for owner in owners {
        for (part, expected) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner[part].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::invalid(format!("{field}.{part}"), "", expected));
            }
        }
        let (kind, name) = (object::text(owner, "/kind"), object::text(owner, "/name"));
        if owner["apiVersion"] == "v1" && kind == "Event" {
            let expected = "/v1, Kind=Event is disallowed from being an owner".to_owned();
            let value = owner.clone();
            errors.push(FieldError::new(field, FieldRule::Limit { value, expected }));
        }
        if owner["controller"] != true {
            continue;
        }
        match controller.replace((kind, name)) {
            None => {}
            Some((first_kind, first_name)) => {
                let expected = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for \
                     {first_kind}/{first_name} and {kind}/{name}"
                );
                let value = json!(owners);
                errors.push(FieldError::new(field, FieldRule::Limit { value, expected }));
            }
        }
    }
    errors
}

/// Of built-in kinds: a finalizer says whose it is, unless it is upstream's own.
pub(super) fn finalizers(object: &Value) -> Vec<FieldError> {
    let finalizers = object::items(object, "/metadata/finalizers").iter().enumerate();
    finalizers
        .filter_map(|(at, finalizer)| {
            owned_finalizer(&format!("metadata.finalizers[{at}]"), finalizer.as_str()?)
        })
        .collect()
}

fn owned_finalizer(field: &str, finalizer: &str) -> Option<FieldError> {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    let is_owned = finalizer.contains('/') || STANDARD.contains(&finalizer);
    let expected = "name is neither a standard finalizer name nor is it fully qualified";
    (!is_owned).then(|| FieldError::invalid(field, finalizer, expected))
}

/// The finalizers in the spec of a namespace: qualified names that say whose they are.
pub(super) fn namespace_finalizers(namespace: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, finalizer) in object::items(namespace, "/spec/finalizers").iter().enumerate() {
        let field = format!("spec.finalizers[{at}]");
        let finalizer = finalizer.as_str().unwrap_or_default();
        errors.extend(invalid(&field, finalizer, names::qualified_name(finalizer)));
        errors.extend(owned_finalizer(&field, finalizer));
    }
    errors
}

/// One error per complaint about the value.
pub(super) fn invalid(field: &str, value: &str, complaints: Vec<String>) -> Vec<FieldError> {
    let complaints = complaints.into_iter();
    complaints
        .map(|complaint| FieldError::invalid(field, value, complaint))
        .collect()
}

pub(super) fn dns_label(field: &str, name: &str) -> Vec<FieldError> {
    invalid(field, name, names::label(name))
}

pub(super) fn path_segment(field: &str, name: &str) -> Vec<FieldError> {
    invalid(field, name, names::path_segment(name))
}

pub(super) fn qualified_name(field: &str, name: &str) -> Vec<FieldError> {
    invalid(field, name, names::qualified_name(name))
}

pub(super) fn subdomain(field: &str, name: &str) -> Vec<FieldError> {
    invalid(field, name, names::subdomain(name))
}

pub(super) fn port(field: &str, port: &Value) -> Vec<FieldError> {
    match port.as_i64() {
        Some(1..=65535) => Vec::new(),
        _ => vec![FieldError::new(
            field,
            FieldRule::Limit {
                value: json!(port.as_i64().unwrap_or_default()),
                expected: "must be between 1 and 65535, inclusive".to_owned(),
            },
        )],
    }
}

pub(super) fn immutable(current: &Value, object: &Value, field: &str) -> Vec<FieldError> {
    if current.get(field) == object.get(field) {
        return Vec::new();
    }
    vec![FieldError::new(
        field,
        FieldRule::Limit {
            value: object[field].clone(),
            expected: "field is immutable".to_owned(),
        },
    )]
}

/// A value that is none of the supported ones.
pub(super) fn unsupported(field: impl Into<String>, found: &str, supported: &[&str]) -> FieldError {
    let supported = supported.iter().map(|&value| value.to_owned()).collect();
    let value = json!(found);
    FieldError::new(field, FieldRule::Unsupported { value, supported })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(metadata: Value) -> Vec<String> {
        let object = json!({"metadata": metadata});
        let errors = [self::metadata(&object, NameRule::Subdomain), finalizers(&object)].concat();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn metadata_that_keeps_the_rules_is_fine() {
        let found = told(json!({
            "name": "a", "generateName": "a-", "labels": {"example.com/a": "", "b": "C_1"},
            "annotations": {"Example.COM/a": "any text, of any length"}, "finalizers": ["example.com/a", "orphan"],
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1", "controller": true},
                {"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "2"},
            ],
        }));
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn every_broken_part_is_told() {
        let owner = json!({"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "1", "controller": true});
        let found = told(json!({
            "name": "A", "generateName": "B-", "labels": {"a b": "-"}, "finalizers": ["mine"],
            "annotations": {"a/b/c": "", "large": "x".repeat(ANNOTATIONS_BYTES_MAX)},
            "ownerReferences": [owner, {"controller": true}],
        }));
        let starts = [
            "metadata.generateName: Invalid value: \"B-\": a lowercase RFC 1123 subdomain",
            "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
            "metadata.labels: Invalid value: \"a b\": name part must consist of",
            "metadata.labels: Invalid value: \"-\": a valid label must be",
            "metadata.annotations: Invalid value: \"a/b/c\": a qualified name must",
            "metadata.annotations: Too long: may not be more than 262144 bytes",
            "metadata.ownerReferences: Invalid value: {",
            "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
            "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences: Invalid value: [",
            "metadata.finalizers[0]: Invalid value: \"mine\": name is neither",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
