//! What the versions of a CustomResourceDefinition have to be.
//!
//! Owns which place is blamed: what all versions say alike is the definition's, as upstream keeps it; else it is that
//! of each version.

use serde_json::json;

use super::definition::{PrinterColumn, ScalePaths, Selectable, Version};
use super::validation::label;
use crate::schema::Schema;
use crate::status::{FieldError, FieldRule};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];

/// What is wrong with the versions by themselves.
pub(super) fn own(versions: &[Version], errors: &mut Vec<FieldError>) {
    for (at, version) in versions.iter().enumerate() {
        if version.schema.open_api_v3_schema.is_none() {
            let at = format!("spec.versions[{at}].schema.openAPIV3Schema");
            errors.push(FieldError::required(at));
        }
    }
    for (at, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{at}]");
        label(format!("{path}.name"), &version.name, errors);
        if !are_alike(versions, |version| &version.schema.open_api_v3_schema) {
            schema(version, &format!("{path}.schema"), errors);
        }
        if !are_alike(versions, |version| &version.subresources) {
            scale(version.subresources.scale.as_ref(), &path, errors);
        }
        if !are_alike(versions, |version| &version.additional_printer_columns) {
            columns(&version.additional_printer_columns, &path, errors);
        }
        if !are_alike(versions, |version| &version.selectable_fields) {
            selectable(version, &path, errors);
        }
    }
    let names: Vec<&str> = versions.iter().map(|version| version.name.as_str()).collect();
    let is_repeated = |(at, name): (usize, &&str)| names[..at].contains(name);
    if names.iter().enumerate().any(is_repeated) {
        let expected = "must contain unique version names".to_owned();
        let value = printed(versions);
        let rule = FieldRule::Printed { value, expected };
        errors.push(FieldError::new("spec.versions", rule));
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        let expected = "must have exactly one version marked as storage version".to_owned();
        let value = printed(versions);
        let rule = FieldRule::Printed { value, expected };
        errors.push(FieldError::new("spec.versions", rule));
    }
    if let Some(first) = versions.first() {
        label("spec.version".to_owned(), &first.name, errors);
    }
}

/// What is wrong with that in which all versions are alike.
pub(super) fn shared(versions: &[Version], errors: &mut Vec<FieldError>) {
    let Some(first) = versions.first() else {
        return;
    };
    if are_alike(versions, |version| &version.schema.open_api_v3_schema) {
        schema(first, "spec.validation", errors);
    }
    if are_alike(versions, |version| &version.subresources) {
        scale(first.subresources.scale.as_ref(), "spec", errors);
    }
    if are_alike(versions, |version| &version.additional_printer_columns) {
        columns(&first.additional_printer_columns, "spec", errors);
    }
    if are_alike(versions, |version| &version.selectable_fields) {
        selectable(first, "spec", errors);
    }
}

fn are_alike<'a, T: PartialEq + 'a>(versions: &'a [Version], part: impl Fn(&'a Version) -> &'a T) -> bool {
    versions.windows(2).all(|pair| part(&pair[0]) == part(&pair[1]))
}

/// The versions as Go prints them, without what they have in common.
fn printed(versions: &[Version]) -> String {
    let one = |version: &Version| {
        format!(
            "{{\"Name\":{:?},\"Served\":{},\"Storage\":{},\"Deprecated\":false,\"DeprecationWarning\":null,\
             \"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}}",
            version.name, version.served, version.storage
        )
    };
    let versions: Vec<String> = versions.iter().map(one).collect();
    format!("[{}]", versions.join(","))
}

fn schema(version: &Version, path: &str, errors: &mut Vec<FieldError>) {
    let at = format!("{path}.openAPIV3Schema");
    match version.schema.open_api_v3_schema.as_ref().map(Schema::parse) {
        None => {}
        Some(Ok(schema)) => errors.extend(schema.violations(&at)),
        Some(Err(error)) => errors.push(FieldError::invalid(at, "", error.to_string())),
    }
}

fn scale(scale: Option<&ScalePaths>, path: &str, errors: &mut Vec<FieldError>) {
    let Some(scale) = scale else {
        return;
    };
    let mut under = |field: &str, value: &str, roots: &[&str], expected: &'static str| {
        let at = format!("{path}.subresources.scale.{field}");
        if value.is_empty() {
            errors.push(FieldError::required(at));
        } else if !roots.iter().any(|root| value.starts_with(root)) {
            errors.push(FieldError::invalid(at, value, expected));
        }
    };
    let why = "should be a json path under .spec";
    under("specReplicasPath", &scale.spec_replicas_path, &[".spec."], why);
    let why = "should be a json path under .status";
    under(
        "statusReplicasPath",
        &scale.status_replicas_path,
        &[".status."],
        why,
    );
    if let Some(selector) = &scale.label_selector_path {
        let why = "should be a json path under either .spec or .status";
        under("labelSelectorPath", selector, &[".status.", ".spec."], why);
    }
}

fn columns(columns: &[PrinterColumn], path: &str, errors: &mut Vec<FieldError>) {
    for (at, column) in columns.iter().enumerate() {
        let field = |name: &str| format!("{path}.additionalPrinterColumns[{at}].{name}");
        if column.name.is_empty() {
            errors.push(FieldError::required(field("name")));
        }
        let expected = format!("must be one of {}", COLUMN_TYPES.join(","));
        match column.type_name.as_str() {
            "" => errors.push(FieldError::required_because(field("type"), expected)),
            known if COLUMN_TYPES.contains(&known) => {}
            other => errors.push(FieldError::invalid(field("type"), other, expected)),
        }
        if !column.format.is_empty() && !COLUMN_FORMATS.contains(&column.format.as_str()) {
            let expected = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(field("format"), &column.format, expected));
        }
        if column.json_path.is_empty() {
            errors.push(FieldError::required(field("JSONPath")));
        } else if crate::json_path::JsonPath::parse(&column.json_path).is_none() {
            let expected = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(
                field("JSONPath"),
                &column.json_path,
                expected,
            ));
        }
    }
}

fn selectable(version: &Version, path: &str, errors: &mut Vec<FieldError>) {
    let fields = &version.selectable_fields;
    let document = version.schema.open_api_v3_schema.as_ref();
    let Some(Ok(schema)) = document.map(Schema::parse) else {
        return;
    };
    for (at, Selectable { json_path }) in fields.iter().enumerate() {
        let field = format!("{path}.selectableFields[{at}].jsonPath");
        let type_name = schema.type_at(json_path);
        if json_path.is_empty() {
            errors.push(FieldError::required(field));
        } else if json_path.contains('[') {
            let expected = "is an invalid path: array notation is not allowed";
            errors.push(FieldError::invalid(field, json_path, expected));
        } else if type_name.is_none() {
            let expected = "is an invalid path: does not refer to a valid field";
            errors.push(FieldError::invalid(field, json_path, expected));
        } else if !["string", "boolean", "integer"].contains(&type_name.unwrap_or_default()) {
            let expected = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(field, json_path, expected));
        } else if fields[..at].iter().any(|other| other.json_path == *json_path) {
            let value = json!(json_path);
            errors.push(FieldError::new(field, FieldRule::Duplicate { value }));
        }
    }
}
