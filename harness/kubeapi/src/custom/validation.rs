//! What a CustomResourceDefinition has to be, in the words of kube-apiserver, but for its versions.

use serde_json::{Value, json};

use super::definition::{Conversion, Names, Spec};
use super::versions;
use crate::object;
use crate::status::{FieldError, FieldRule};
use crate::strategy::{is_subdomain, service_label};

/// Says who allowed a definition in a group of the Kubernetes project.
const APPROVED: &str = "api-approved.kubernetes.io";

pub(crate) fn validate(definition: &Value) -> Vec<FieldError> {
    let spec = match Spec::of(definition) {
        Ok(spec) => spec,
        Err(status) => return vec![FieldError::invalid("spec", "", status.message)],
    };
    let mut errors = Vec::new();
    let name = object::name(definition);
    if name != format!("{}.{}", spec.names.plural, spec.group) {
        let expected = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name, expected));
    }
    group(definition, &spec.group, &mut errors);
    scope(&spec.scope, &mut errors);
    versions::own(&spec.versions, &mut errors);
    names(&spec.names, &mut errors);
    versions::shared(&spec.versions, &mut errors);
    conversion(&spec.conversion, &mut errors);
    if spec.preserve_unknown_fields {
        let expected = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::limit(
            "spec.preserveUnknownFields",
            json!(true),
            expected,
        ));
    }
    stored_versions(definition, &spec, &mut errors);
    errors
}

fn group(definition: &Value, group: &str, errors: &mut Vec<FieldError>) {
    if group.is_empty() {
        errors.push(FieldError::required("spec.group"));
    } else if !is_subdomain(group) || !group.contains('.') {
        let expected = "should be a domain with at least one dot";
        errors.push(FieldError::invalid("spec.group", group, expected));
    }
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|owner| group == *owner || group.ends_with(&format!(".{owner}")));
    if is_protected && definition["metadata"]["annotations"].get(APPROVED).is_none() {
        errors.push(FieldError::required_because(
            format!("metadata.annotations[{APPROVED}]"),
            format!("protected groups must have approval annotation \"{APPROVED}\""),
        ));
    }
}

fn scope(scope: &str, errors: &mut Vec<FieldError>) {
    match scope {
        "Cluster" | "Namespaced" => {}
        "" => errors.push(FieldError::required("spec.scope")),
        other => {
            let supported = vec!["Cluster".to_owned(), "Namespaced".to_owned()];
            let value = json!(other);
            errors.push(FieldError::new(
                "spec.scope",
                FieldRule::Unsupported { value, supported },
            ));
        }
    }
}

fn names(names: &Names, errors: &mut Vec<FieldError>) {
    for (field, name) in [
        ("plural", &names.plural),
        ("singular", &names.singular),
        ("kind", &names.kind),
        ("listKind", &names.list_kind),
    ] {
        if name.is_empty() {
            errors.push(FieldError::required(format!("spec.names.{field}")));
        }
    }
    for (field, name) in [("plural", &names.plural), ("singular", &names.singular)] {
        if !name.is_empty() {
            label(format!("spec.names.{field}"), name, errors);
        }
    }
    for (field, name) in [("kind", &names.kind), ("listKind", &names.list_kind)] {
        let complaints = service_label(&name.to_lowercase());
        if !name.is_empty() && !complaints.is_empty() {
            let expected = format!(
                "may have mixed case, but should otherwise match: {}",
                complaints.join(",")
            );
            errors.push(FieldError::invalid(format!("spec.names.{field}"), name, expected));
        }
    }
    for (at, name) in names.short_names.iter().enumerate() {
        label(format!("spec.names.shortNames[{at}]"), name, errors);
    }
    if !names.kind.is_empty() && names.kind == names.list_kind {
        let expected = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(
            "spec.names.listKind",
            &names.list_kind,
            expected,
        ));
    }
    for (at, name) in names.categories.iter().enumerate() {
        label(format!("spec.names.categories[{at}]"), name, errors);
    }
}

/// A name that has to be an RFC 1035 label.
pub(super) fn label(field: String, name: &str, errors: &mut Vec<FieldError>) {
    let complaints = service_label(name);
    if !complaints.is_empty() {
        errors.push(FieldError::invalid(field, name, complaints.join(",")));
    }
}

/// Webhooks are refused, since this server calls none: the objects of one version would be lost in another.
fn conversion(conversion: &Conversion, errors: &mut Vec<FieldError>) {
    let (client, reviews) = match &conversion.webhook {
        Some(webhook) => (
            webhook.client_config.is_some(),
            !webhook.conversion_review_versions.is_empty(),
        ),
        None => (false, false),
    };
    let fields = [
        ("spec.conversion.webhookClientConfig", client),
        ("spec.conversion.conversionReviewVersions", reviews),
    ];
    match conversion.strategy.as_str() {
        "None" => {
            let why = "should not be set when strategy is not set to Webhook";
            let set = fields.into_iter().filter(|(_, is_set)| *is_set);
            errors.extend(set.map(|(field, _)| FieldError::new(field, FieldRule::Forbidden { why })));
        }
        "Webhook" if client && reviews => {
            let why = "this server calls no conversion webhooks";
            errors.push(FieldError::new(
                "spec.conversion.strategy",
                FieldRule::Forbidden { why },
            ));
        }
        "Webhook" => {
            if !client {
                let why = "required when strategy is set to Webhook";
                errors.push(FieldError::required_because(fields[0].0, why));
            }
            if !reviews {
                errors.push(FieldError::required(fields[1].0));
            }
        }
        other => {
            let value = json!(other);
            let supported = vec!["None".to_owned(), "Webhook".to_owned()];
            let rule = FieldRule::Unsupported { value, supported };
            errors.push(FieldError::new("spec.conversion.strategy", rule));
        }
    }
}

fn stored_versions(definition: &Value, spec: &Spec, errors: &mut Vec<FieldError>) {
    let stored = object::items(definition, "/status/storedVersions");
    if stored.is_empty() && spec.storage_version().is_none() {
        let expected = "must have at least one stored version";
        errors.push(FieldError::limit("status.storedVersions", Value::Null, expected));
    }
    for (at, stored) in stored.iter().enumerate() {
        let stored = stored.as_str().unwrap_or_default();
        if !spec.versions.iter().any(|version| version.name == stored) {
            let expected = format!(
                "missing from spec.versions; {stored} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {stored} and removes \
                 {stored} from status.storedVersions"
            );
            errors.push(FieldError::invalid(
                format!("status.storedVersions[{at}]"),
                stored,
                expected,
            ));
        }
    }
}
