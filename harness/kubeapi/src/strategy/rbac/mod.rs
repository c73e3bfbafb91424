//! Rules of roles and their bindings: what a rule has to name, whom a binding may be for, and that it is for one role
//! for ever.

use serde_json::{Value, json};

use super::validation::{self, path_segment};
use crate::access::{RBAC_GROUP, Rule, rules_of};
use crate::object::{self, default_to};
use crate::resources::Scope;
use crate::status::{FieldError, FieldRule};

pub(super) fn default_binding(binding: &mut Value) {
    if let Some(role) = binding.get_mut("roleRef").and_then(Value::as_object_mut) {
        default_to(role, "apiGroup", RBAC_GROUP);
    }
    let subjects = binding.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten().filter_map(Value::as_object_mut) {
        if matches!(
            subject.get("kind").and_then(Value::as_str),
            Some("User" | "Group")
        ) {
            default_to(subject, "apiGroup", RBAC_GROUP);
        }
    }
}

pub(super) fn validate_role(role: &Value) -> Vec<FieldError> {
    let scope = scope_of(role);
    let rules = match rules_of(role) {
        Ok(rules) => rules,
        Err(error) => {
            return vec![FieldError::invalid(
                "rules",
                error,
                "expected a list of rules, each of lists of strings",
            )];
        }
    };
    let mut errors = Vec::new();
    let aggregation = role.get("aggregationRule").filter(|rule| !rule.is_null());
    if aggregation.is_some_and(|rule| object::items(rule, "/clusterRoleSelectors").is_empty()) {
        let expected = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required_because(
            "aggregationRule.clusterRoleSelectors",
            expected,
        ));
    }
    for (at, rule) in rules.iter().enumerate() {
        errors.extend(validate_rule(&format!("rules[{at}]"), rule, scope));
    }
    errors
}

fn validate_rule(field: &str, rule: &Rule, scope: Scope) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if rule.verbs.is_empty() {
        errors.push(FieldError::required_because(
            format!("{field}.verbs"),
            "verbs must contain at least one value",
        ));
    }
    if rule.non_resource_urls.is_empty() {
        if rule.api_groups.is_empty() {
            let expected = "resource rules must supply at least one api group";
            errors.push(FieldError::required_because(
                format!("{field}.apiGroups"),
                expected,
            ));
        }
        if rule.resources.is_empty() {
            let expected = "resource rules must supply at least one resource";
            errors.push(FieldError::required_because(
                format!("{field}.resources"),
                expected,
            ));
        }
        return errors;
    }
    let urls = || json!(rule.non_resource_urls);
    let field = format!("{field}.nonResourceURLs");
    if scope == Scope::Namespaced {
        let expected = "namespaced rules cannot apply to non-resource URLs";
        errors.push(shown(field.clone(), urls(), expected));
    }
    if !(rule.api_groups.is_empty() && rule.resources.is_empty() && rule.resource_names.is_empty()) {
        let expected = "rules cannot apply to both regular resources and non-resource URLs";
        errors.push(shown(field, urls(), expected));
    }
    errors
}

pub(super) fn validate_binding(binding: &Value) -> Vec<FieldError> {
    let scope = scope_of(binding);
    let mut errors = Vec::new();
    if object::text(binding, "/roleRef/apiGroup") != RBAC_GROUP {
        let found = object::text(binding, "/roleRef/apiGroup");
        errors.push(one_of("roleRef.apiGroup", found, ONLY_RBAC));
    }
    match (object::text(binding, "/roleRef/kind"), scope) {
        ("ClusterRole", _) | ("Role", Scope::Namespaced) => {}
        (found, Scope::Namespaced) => errors.push(one_of("roleRef.kind", found, ROLE_KINDS)),
        (found, Scope::Cluster) => errors.push(one_of("roleRef.kind", found, CLUSTER_ROLE_KINDS)),
    }
    match object::text(binding, "/roleRef/name") {
        "" => errors.push(FieldError::required("roleRef.name")),
        name => errors.extend(path_segment("roleRef.name", name)),
    }
    for (at, subject) in object::items(binding, "/subjects").iter().enumerate() {
        errors.extend(validate_subject(&format!("subjects[{at}]"), subject, scope));
    }
    errors
}

fn validate_subject(field: &str, subject: &Value, scope: Scope) -> Vec<FieldError> {
    let text = |name: &str| subject[name].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    if text("name").is_empty() {
        errors.push(FieldError::required(format!("{field}.name")));
    }
    let group = format!("{field}.apiGroup");
    match text("kind") {
        "ServiceAccount" => {
            if !text("name").is_empty() {
                errors.extend(validation::subdomain(&format!("{field}.name"), text("name")));
            }
            if !text("apiGroup").is_empty() {
                errors.push(one_of(group, text("apiGroup"), &[""]));
            }
            if scope == Scope::Cluster && text("namespace").is_empty() {
                errors.push(FieldError::required(format!("{field}.namespace")));
            }
        }
        "User" | "Group" if text("apiGroup") != RBAC_GROUP => {
            errors.push(one_of(group, text("apiGroup"), ONLY_RBAC));
        }
        "User" | "Group" => {}
        other => errors.push(one_of(format!("{field}.kind"), other, SUBJECT_KINDS)),
    }
    errors
}

/// A binding cannot come to mean another role: it has to be made anew.
pub(super) fn validate_binding_change(current: &Value, binding: &Value) -> Vec<FieldError> {
    if current.get("roleRef") == binding.get("roleRef") {
        return Vec::new();
    }
    let part = |name: &str| binding["roleRef"].get(name).cloned().unwrap_or_default();
    let role = json!({"APIGroup": part("apiGroup"), "Kind": part("kind"), "Name": part("name")});
    vec![shown("roleRef", role, "cannot change roleRef")]
}

fn scope_of(object: &Value) -> Scope {
    match object::namespace(object) {
        "" => Scope::Cluster,
        _ => Scope::Namespaced,
    }
}

const ONLY_RBAC: &[&str] = &["rbac.authorization.k8s.io"];
const ROLE_KINDS: &[&str] = &["Role", "ClusterRole"];
const CLUSTER_ROLE_KINDS: &[&str] = &["ClusterRole"];
const SUBJECT_KINDS: &[&str] = &["ServiceAccount", "User", "Group"];

fn one_of(field: impl Into<String>, found: &str, supported: &[&str]) -> FieldError {
    let value = json!(found);
    let supported = supported.iter().map(|&value| value.to_owned()).collect();
    FieldError::new(field, FieldRule::Unsupported { value, supported })
}

/// A value that is shown as JSON.
fn shown(field: impl Into<String>, value: Value, expected: &str) -> FieldError {
    let expected = expected.to_owned();
    FieldError::new(field, FieldRule::Limit { value, expected })
}

#[cfg(test)]
mod tests;
