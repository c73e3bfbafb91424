//! Whether a schema says what can be said: its words, its lists, its rules.
//!
//! Owns what a node of a schema may say, in the words of kube-apiserver; `structural` owns how nodes belong together.
//!
//! # Limits
//! Upstream says where in a rule a problem is.

use serde_json::{Value, json};

use super::{Additional, Items, ListType, MapType, Schema};
use crate::status::{FieldError, FieldRule};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];

/// What is wrong with what a schema at `path` and those inside of it say.
pub(super) fn violations(schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    node(schema, path, &mut errors);
    errors
}

fn node(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    words(schema, path, errors);
    for (inner, at) in nested(schema, path) {
        node(inner, &at, errors);
    }
    kinds_of_lists(schema, path, errors);
    if schema.list_type() == ListType::Map {
        keyed(schema, path, errors);
    }
    rules(schema, path, errors);
}

/// The schemas in a schema, with their paths.
pub(super) fn nested<'a>(schema: &'a Schema, path: &str) -> Vec<(&'a Schema, String)> {
    let additional = match &schema.additional_properties {
        Some(Additional::Of(inner)) => Some((&**inner, format!("{path}.additionalProperties"))),
        Some(Additional::Allowed(_)) | None => None,
    };
    let properties = schema.properties.iter();
    let properties = properties.map(|(name, inner)| (inner, format!("{path}.properties[{name}]")));
    let items = schema.items().map(|items| (items, format!("{path}.items")));
    let inside = additional.into_iter().chain(properties).chain(items);
    inside.chain(branches(schema, path)).collect()
}

/// The schemas that limit the values of a schema.
pub(super) fn branches<'a>(schema: &'a Schema, path: &str) -> Vec<(&'a Schema, String)> {
    let lists = [
        ("allOf", &schema.all_of),
        ("oneOf", &schema.one_of),
        ("anyOf", &schema.any_of),
    ];
    let listed = lists.into_iter().flat_map(|(name, list)| {
        let list = list.iter().enumerate();
        list.map(move |(at, schema)| (schema, format!("{path}.{name}[{at}]")))
    });
    let not = schema.not.as_deref().map(|not| (not, format!("{path}.not")));
    not.into_iter().chain(listed).collect()
}

fn words(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    let type_name = schema.type_name.as_str();
    if !type_name.is_empty() && !TYPES.contains(&type_name) {
        errors.push(unsupported(format!("{path}.type"), type_name, &TYPES));
    }
    let mut forbid = |is_broken: bool, field: &str, why: &'static str| {
        if is_broken {
            let rule = FieldRule::Forbidden { why };
            errors.push(FieldError::new(format!("{path}.{field}"), rule));
        }
    };
    forbid(schema.reference.is_some(), "$ref", "$ref is not supported");
    forbid(
        matches!(schema.items, Some(Items::Each)),
        "items",
        "items must be a schema object and not an array",
    );
    forbid(
        schema.unique_items,
        "uniqueItems",
        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
    );
    let is_open = matches!(
        schema.additional_properties,
        None | Some(Additional::Allowed(true))
    );
    forbid(
        !is_open && !schema.properties.is_empty(),
        "additionalProperties",
        "additionalProperties and properties are mutual exclusive",
    );
    if schema.preserve_unknown_fields == Some(false) {
        let at = format!("{path}.x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::limit(at, json!(false), "must be true or undefined"));
    }
}

fn kinds_of_lists(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    let at = format!("{path}.type");
    let mut expect = |is_said: bool, type_name: &str, why: &'static str| {
        if is_said && schema.type_name != type_name {
            errors.push(match schema.type_name.as_str() {
                "" => FieldError::required_because(&at, why),
                other => FieldError::invalid(&at, other, why),
            });
        }
    };
    let why = "must be object if x-kubernetes-map-type is specified";
    expect(schema.map_type.is_some(), "object", why);
    let why = "must be array if x-kubernetes-list-type is specified";
    expect(schema.list_type.is_some(), "array", why);
    let mut known = |said: &Option<String>, field: &str, supported: &[&str]| {
        if let Some(other) = said.as_deref().filter(|said| !supported.contains(said)) {
            errors.push(unsupported(format!("{path}.{field}"), other, supported));
        }
    };
    known(&schema.map_type, "x-kubernetes-map-type", &["atomic", "granular"]);
    known(
        &schema.list_type,
        "x-kubernetes-list-type",
        &["atomic", "set", "map"],
    );
    if let (ListType::Set, Some(items)) = (schema.list_type(), schema.items()) {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let field = match items.type_name.as_str() {
            "array" if items.list_type() != ListType::Atomic => Some("list"),
            "object" if items.map_type() != MapType::Atomic => Some("map"),
            _ => None,
        };
        let at = |field| format!("{path}.items.x-kubernetes-{field}-type");
        errors.extend(field.map(|field| FieldError::limit(at(field), json!(items.list_type), why)));
    }
    if !schema.list_map_keys().is_empty() && schema.list_type() != ListType::Map {
        let at = format!("{path}.x-kubernetes-list-type");
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match &schema.list_type {
            None => FieldError::required_because(at, why),
            Some(other) => FieldError::invalid(at, other, why),
        });
    }
}

/// The keys of a map-like list are fields of its elements that are always there.
fn keyed(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    let keys = schema.list_map_keys();
    let at = format!("{path}.x-kubernetes-list-map-keys");
    if keys.is_empty() {
        let why = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required_because(&at, why));
    }
    let Some(items) = schema.items() else {
        return;
    };
    if items.type_name != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(
            format!("{path}.items.type"),
            &items.type_name,
            why,
        ));
        return;
    }
    for (number, key) in keys.iter().enumerate() {
        if keys[..number].contains(key) {
            errors.push(FieldError::limit(
                &at,
                json!(keys),
                "must not contain duplicate entries",
            ));
        }
        let Some(property) = items.properties.get(key) else {
            errors.push(FieldError::limit(
                &at,
                json!(keys),
                "entries must all be names of item properties",
            ));
            continue;
        };
        if ["array", "object"].contains(&property.type_name.as_str()) {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            let at = format!("{path}.items.properties[{key}].type");
            errors.push(FieldError::invalid(at, &items.type_name, why));
        }
        if !items.required.contains(key) && property.default.is_none() {
            let at = format!("{path}.items.properties[{key}].default");
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required_because(at, why));
        }
    }
}

/// What rules say, but for their expressions.
fn rules(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    for (at, rule) in schema.rules.iter().enumerate() {
        let source = &rule.source;
        let field = |name: &str| format!("{path}.x-kubernetes-validations[{at}].{name}");
        let has_lines = |text: &str| text.trim().contains(['\n', '\r']);
        if source.rule.trim().is_empty() {
            errors.push(FieldError::required_because(
                field("rule"),
                "rule is not specified",
            ));
        } else if !source.message.is_empty() && source.message.trim().is_empty() {
            let why = "must be non-empty if specified";
            errors.push(FieldError::limit(field("message"), json!(source.message), why));
        } else if has_lines(&source.message) {
            errors.push(FieldError::limit(
                field("message"),
                json!(source.message),
                "must not contain line breaks",
            ));
        } else if has_lines(&source.rule) && source.message.trim().is_empty() {
            let why = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required_because(field("message"), why));
        }
        if let Some(reason) = source
            .reason
            .as_deref()
            .filter(|reason| !REASONS.contains(reason))
        {
            errors.push(unsupported(field("reason"), reason, &REASONS));
        }
        if !source.field_path.is_empty() && field_at(schema, &source.field_path).is_none() {
            errors.push(FieldError::limit(
                field("fieldPath"),
                json!(source.field_path),
                "must be a valid path",
            ));
        }
    }
}

impl Schema {
    /// The type of the field at a path as `.spec.color`, empty where it has none.
    pub(crate) fn type_at(&self, path: &str) -> Option<&str> {
        field_at(self, path).map(|schema| schema.type_name.as_str())
    }
}

/// The schema at a path as `.spec.containers` or `.labels['app']`.
fn field_at<'a>(schema: &'a Schema, path: &str) -> Option<&'a Schema> {
    let mut rest = path;
    let mut found = schema;
    while !rest.is_empty() {
        let (name, behind) = match rest.strip_prefix("['") {
            Some(quoted) => quoted.split_once("']")?,
            None => {
                let named = rest.strip_prefix('.')?;
                named.split_at(named.find(['.', '[']).unwrap_or(named.len()))
            }
        };
        found = found.field(name)?;
        rest = behind;
    }
    Some(found)
}

fn unsupported(field: String, value: &str, supported: &[&str]) -> FieldError {
    let supported = supported.iter().map(|&one| one.to_owned()).collect();
    let value = Value::from(value);
    FieldError::new(field, FieldRule::Unsupported { value, supported })
}
