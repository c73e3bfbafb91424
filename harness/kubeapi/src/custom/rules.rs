//! Rules of a CustomResourceDefinition: defaults, validation, and what its deletion looks like.

use serde_json::{Value, json};

use super::definition::{Names, ScalePaths, Spec, Version};
use crate::object::{self, default_to, map_mut};
use crate::schema::cel::Rules;
use crate::schema::{Schema, structural};
use crate::status::{FieldError, FieldRule, Status};
use crate::strategy::{is_dns_label, is_subdomain};

/// Holds the definition back until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Says who allowed a definition in a group of the Kubernetes project.
const APPROVED: &str = "api-approved.kubernetes.io";

pub(crate) fn default_new(definition: &mut Value) -> Result<(), Status> {
    definition["status"] =
        json!({"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []});
    default_spec(definition)
}

/// A version that was once the stored one is remembered until a client says that no object has it any more.
pub(crate) fn default_replacement(definition: &mut Value) -> Result<(), Status> {
    default_spec(definition)
}

fn default_spec(definition: &mut Value) -> Result<(), Status> {
    let spec = map_mut(definition, "spec")?;
    spec.values_mut().for_each(drop_nulls);
    let names = spec.entry("names").or_insert_with(|| json!({}));
    let kind = object::text(names, "/kind").to_owned();
    if let Some(names) = names.as_object_mut() {
        default_to(names, "singular", kind.to_lowercase());
        default_to(names, "listKind", format!("{kind}List"));
    }
    default_to(spec, "conversion", json!({"strategy": "None"}));
    if spec.get("preserveUnknownFields") == Some(&Value::Bool(false)) {
        spec.remove("preserveUnknownFields");
    }
    let parsed = Spec::of(definition)?;
    let Some(storage) = parsed.storage_version() else {
        return Ok(());
    };
    let stored = map_mut(definition, "status")?
        .entry("storedVersions")
        .or_insert_with(|| json!([]));
    if let Some(stored) = stored.as_array_mut()
        && !stored.contains(&json!(storage))
    {
        stored.push(json!(storage));
    }
    Ok(())
}

/// A null field of a schema is one that is not there; a null in a list, for instance of an enum, is a value.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

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
    names(&spec.names, &mut errors);
    versions(&spec.versions, &mut errors);
    if spec.conversion.strategy != "None" {
        let value = json!(spec.conversion.strategy);
        let supported = vec!["None".to_owned()];
        let rule = FieldRule::Unsupported { value, supported };
        errors.push(FieldError::new("spec.conversion.strategy", rule));
    }
    if spec.preserve_unknown_fields {
        let expected = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true, expected));
    }
    stored_versions(definition, &spec, &mut errors);
    errors
}

/// An established definition keeps what its objects are addressed and stored by.
pub(crate) fn validate_change(current: &Value, next: &Value) -> Vec<FieldError> {
    let fixed: &[&str] = match object::condition_is_true(current, "Established") {
        true => &[
            "/spec/group",
            "/spec/names/plural",
            "/spec/scope",
            "/spec/names/kind",
        ],
        false => &["/spec/group", "/spec/names/plural"],
    };
    let changed = fixed
        .iter()
        .filter(|pointer| current.pointer(pointer) != next.pointer(pointer));
    changed
        .map(|pointer| {
            let value = object::text(next, pointer).to_owned();
            let field = pointer.trim_start_matches('/').replace('/', ".");
            FieldError::new(field, FieldRule::Immutable { value })
        })
        .collect()
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
    let expected = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                    alphabetic character, and end with an alphanumeric character";
    let mut label = |field: String, name: &str| {
        if name.is_empty() {
            errors.push(FieldError::required(field));
        } else if !is_dns_label(name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            errors.push(FieldError::invalid(field, name, expected));
        }
    };
    label("spec.names.plural".to_owned(), &names.plural);
    label("spec.names.singular".to_owned(), &names.singular);
    label("spec.names.kind".to_owned(), &names.kind.to_lowercase());
    label("spec.names.listKind".to_owned(), &names.list_kind.to_lowercase());
    for (at, name) in names.short_names.iter().enumerate() {
        label(format!("spec.names.shortNames[{at}]"), name);
    }
    for (at, name) in names.categories.iter().enumerate() {
        label(format!("spec.names.categories[{at}]"), name);
    }
    if !names.kind.is_empty() && names.kind == names.list_kind {
        let expected = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(
            "spec.names.listKind",
            &names.list_kind,
            expected,
        ));
    }
}

fn versions(versions: &[Version], errors: &mut Vec<FieldError>) {
    let names: Vec<&str> = versions.iter().map(|version| version.name.as_str()).collect();
    let mut refuse = |field: &str, value: Value, expected: &str| {
        let expected = expected.to_owned();
        errors.push(FieldError::new(field, FieldRule::Limit { value, expected }));
    };
    if versions.iter().filter(|version| version.storage).count() != 1 {
        let expected = "must have exactly one version marked as storage version";
        refuse("spec.versions", json!(names), expected);
    }
    if !versions.iter().any(|version| version.storage) {
        let expected = "must have at least one stored version";
        refuse("status.storedVersions", Value::Null, expected);
    }
    let is_repeated = |(at, name): (usize, &&str)| names[..at].contains(name);
    if names.iter().enumerate().any(is_repeated) {
        refuse("spec.versions", json!(names), "must contain unique version names");
    }
    for (at, version) in versions.iter().enumerate() {
        one_version(version, &format!("spec.versions[{at}]"), errors);
    }
}

fn one_version(version: &Version, path: &str, errors: &mut Vec<FieldError>) {
    if !is_dns_label(&version.name) {
        let expected = "a DNS-1035 label must consist of lower case alphanumeric characters or '-'";
        errors.push(FieldError::invalid(
            format!("{path}.name"),
            &version.name,
            expected,
        ));
    }
    let at = format!("{path}.schema.openAPIV3Schema");
    match &version.schema.open_api_v3_schema {
        None => errors.push(FieldError::required(at)),
        Some(document) => {
            match Schema::parse(document) {
                Ok(schema) => errors.extend(structural::violations(&schema, &at)),
                Err(error) => errors.push(FieldError::invalid(&at, "", error.to_string())),
            }
            errors.extend(Rules::parse(document).violations(&at));
        }
    }
    if let Some(scale) = &version.subresources.scale {
        scale_paths(scale, &format!("{path}.subresources.scale"), errors);
    }
    for (index, column) in version.additional_printer_columns.iter().enumerate() {
        let at = format!("{path}.additionalPrinterColumns[{index}]");
        if column.name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name")));
        }
        if crate::json_path::JsonPath::parse(&column.json_path).is_none() {
            let expected = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(
                format!("{at}.jsonPath"),
                &column.json_path,
                expected,
            ));
        }
        let types = ["boolean", "date", "integer", "number", "string"];
        if !types.contains(&column.type_name.as_str()) {
            let value = json!(column.type_name);
            let supported = types.map(str::to_owned).to_vec();
            let rule = FieldRule::Unsupported { value, supported };
            errors.push(FieldError::new(format!("{at}.type"), rule));
        }
    }
}

fn scale_paths(scale: &ScalePaths, path: &str, errors: &mut Vec<FieldError>) {
    let mut under = |field: &str, value: &str, roots: &[&str], expected: &'static str| {
        if value.is_empty() {
            errors.push(FieldError::required(format!("{path}.{field}")));
        } else if !roots.iter().any(|root| value.starts_with(root)) {
            errors.push(FieldError::invalid(format!("{path}.{field}"), value, expected));
        }
    };
    under(
        "specReplicasPath",
        &scale.spec_replicas_path,
        &[".spec."],
        "should be a json path under .spec",
    );
    under(
        "statusReplicasPath",
        &scale.status_replicas_path,
        &[".status."],
        "should be a json path under .status",
    );
    if let Some(selector) = &scale.label_selector_path {
        under(
            "labelSelectorPath",
            selector,
            &[".status.", ".spec."],
            "should be a json path under either .spec or .status",
        );
    }
}

fn stored_versions(definition: &Value, spec: &Spec, errors: &mut Vec<FieldError>) {
    for (at, stored) in object::items(definition, "/status/storedVersions")
        .iter()
        .enumerate()
    {
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

/// What the first request to delete a definition writes, beyond the time of deletion.
pub(crate) fn begin_deletion(definition: &mut Value) {
    if let Ok(metadata) = object::metadata_mut(definition) {
        let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
        if let Some(finalizers) = finalizers.as_array_mut()
            && !finalizers.contains(&json!(CLEANUP))
        {
            finalizers.push(json!(CLEANUP));
        }
    }
    terminating(
        definition,
        "True",
        "InstanceDeletionInProgress",
        "CustomResource deletion is in progress",
    );
}

/// Lets go of a definition whose objects are gone. Whether it was held back.
pub(crate) fn end_deletion(definition: &mut Value) -> bool {
    let Some(Value::Array(finalizers)) = definition.pointer_mut("/metadata/finalizers") else {
        return false;
    };
    let before = finalizers.len();
    finalizers.retain(|finalizer| finalizer != CLEANUP);
    if finalizers.len() == before {
        return false;
    }
    terminating(
        definition,
        "False",
        "InstanceDeletionCompleted",
        "removed all instances",
    );
    true
}

fn terminating(definition: &mut Value, status: &str, reason: &str, message: &str) {
    let condition = json!({"type": "Terminating", "status": status, "reason": reason, "message": message});
    if let Ok(fields) = map_mut(definition, "status") {
        object::set_condition(fields, condition);
    }
}
