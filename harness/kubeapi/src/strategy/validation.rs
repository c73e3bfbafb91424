//! Rules that several kinds share: names, labels, ports.

use serde_json::Value;

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

pub(super) fn metadata(object: &Value, rule: NameRule) -> Vec<FieldError> {
    let name = object::name(object);
    let mut errors = match rule {
        NameRule::Subdomain => subdomain("metadata.name", name),
        NameRule::Label => dns_label("metadata.name", name),
        NameRule::ServiceLabel if name.starts_with(|c: char| c.is_ascii_digit()) => {
            vec![FieldError::invalid(
                "metadata.name",
                name,
                "a DNS-1035 label must start with a letter",
            )]
        }
        NameRule::ServiceLabel => dns_label("metadata.name", name),
        NameRule::PathSegment => path_segment("metadata.name", name),
    };
    errors.extend(labels("metadata.labels", &object["metadata"]["labels"]));
    for (key, value) in object::entries(object, "/metadata/annotations") {
        if !value.is_string() || !is_qualified_name(key) {
            let expected = "an annotation is a qualified name and a string";
            errors.push(FieldError::invalid(
                "metadata.annotations",
                format!("{key}={value}"),
                expected,
            ));
        }
    }
    errors
}

pub(super) fn labels(field: &str, labels: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in object::entries(labels, "") {
        let valid = value.as_str().is_some_and(is_label_value);
        if !valid || !is_qualified_name(key) {
            let pair = format!("{key}={value}");
            let expected =
                "a label is a qualified name and a value of up to 63 alphanumerics, '-', '_' or '.'";
            errors.push(FieldError::invalid(field, pair, expected));
        }
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

pub(super) fn dns_label(field: &str, name: &str) -> Vec<FieldError> {
    if is_dns_label(name) {
        return Vec::new();
    }
    let expected = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                    and must start and end with an alphanumeric character (63 characters at most)";
    vec![FieldError::invalid(field, name, expected)]
}

pub(super) fn port(field: &str, port: &Value) -> Vec<FieldError> {
    match port.as_i64() {
        Some(1..=65535) => Vec::new(),
        _ => vec![FieldError::invalid(
            field,
            port,
            "must be between 1 and 65535, inclusive",
        )],
    }
}

pub(super) fn immutable(current: &Value, object: &Value, field: &str) -> Vec<FieldError> {
    if current.get(field) == object.get(field) {
        return Vec::new();
    }
    vec![FieldError::new(
        field,
        FieldRule::Immutable {
            value: object[field].to_string(),
        },
    )]
}

pub(super) fn path_segment(field: &str, name: &str) -> Vec<FieldError> {
    if !matches!(name, "." | "..") && !name.contains(['/', '%']) {
        return Vec::new();
    }
    vec![FieldError::invalid(
        field,
        name,
        "may not be '.' or '..', and may not contain '/' or '%'",
    )]
}

pub(super) fn subdomain(field: &str, name: &str) -> Vec<FieldError> {
    if is_subdomain(name) {
        return Vec::new();
    }
    let expected = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                    and must start and end with an alphanumeric character";
    vec![FieldError::invalid(field, name, expected)]
}

pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label_of_any_length)
}

pub(crate) fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_label_of_any_length(name)
}

fn is_dns_label_of_any_length(name: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().all(|byte| alphanumeric(&byte) || byte == b'-')
        && name.as_bytes().first().is_some_and(alphanumeric)
        && name.as_bytes().last().is_some_and(alphanumeric)
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name_part(value)
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name),
        None => is_name_part(key),
    }
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}
