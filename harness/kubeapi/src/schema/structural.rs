//! Whether a schema is structural: every field is specified once, with a type, outside of `allOf` and its like.
//!
//! Owns the rules a `CustomResourceDefinition` must keep to be accepted.

use serde_json::Value;

use super::{Additional, ListType, MapType, Schema};
use crate::status::{FieldError, FieldRule};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// What keeps the schema at `path`, which is the root of an object, from being served.
pub(crate) fn violations(schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = format!("{path}.type");
    match schema.type_name.as_str() {
        "object" => {}
        "" => errors.push(FieldError::required_because(at, "must not be empty at the root")),
        other => errors.push(FieldError::invalid(at, other, "must be object at the root")),
    }
    if schema.is_embedded_resource || schema.nullable {
        let why = "must be false or undefined at the root";
        errors.push(FieldError::new(path, FieldRule::Forbidden { why }));
    }
    node(schema, path, &mut errors);
    errors.extend(bad_defaults(schema, path));
    errors
}

fn node(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    values(schema, path, errors);
    lists(schema, path, errors);
    if schema.additional_properties.is_some() && !schema.properties.is_empty() {
        let why = "must not be used together with properties";
        let at = format!("{path}.additionalProperties");
        errors.push(FieldError::new(at, FieldRule::Forbidden { why }));
    }
    if matches!(schema.additional_properties, Some(Additional::Allowed(false))) {
        let why = "must not be set to false";
        let at = format!("{path}.additionalProperties");
        errors.push(FieldError::new(at, FieldRule::Forbidden { why }));
    }
    for (name, property) in &schema.properties {
        typed(
            property,
            &format!("{path}.properties[{name}]"),
            "specified object fields",
            errors,
        );
    }
    if let Some(Additional::Of(inner)) = &schema.additional_properties {
        typed(
            inner,
            &format!("{path}.additionalProperties"),
            "additional object fields",
            errors,
        );
    }
    if let Some(items) = schema.items() {
        typed(items, &format!("{path}.items"), "specified array items", errors);
    }
    for (branch, at) in branches(schema, path) {
        value_only(branch, schema, &at, errors);
    }
}

fn typed(schema: &Schema, path: &str, what: &str, errors: &mut Vec<FieldError>) {
    if schema.type_name.is_empty() && !schema.is_int_or_string && !schema.preserves_unknown {
        let why = format!("must not be empty for {what}");
        errors.push(FieldError::required_because(format!("{path}.type"), why));
    }
    node(schema, path, errors);
}

/// Rules of one node alone.
fn values(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    let type_name = schema.type_name.as_str();
    if !type_name.is_empty() && !TYPES.contains(&type_name) {
        let supported = TYPES.map(str::to_owned).to_vec();
        let value = Value::from(type_name);
        errors.push(FieldError::new(
            format!("{path}.type"),
            FieldRule::Unsupported { value, supported },
        ));
    }
    if let Some(pattern) = &schema.pattern
        && let Err(error) = &pattern.compiled
    {
        let expected = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(
            format!("{path}.pattern"),
            &pattern.text,
            expected,
        ));
    }
    let mut forbid = |broken: bool, field: &str, why: &'static str| {
        if broken {
            let rule = FieldRule::Forbidden { why };
            errors.push(FieldError::new(format!("{path}.{field}"), rule));
        }
    };
    forbid(schema.reference.is_some(), "$ref", "$ref is not supported");
    forbid(
        schema.unique_items,
        "uniqueItems",
        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
    );
    forbid(
        schema.is_int_or_string && !type_name.is_empty(),
        "type",
        "must be empty if x-kubernetes-int-or-string is true",
    );
    forbid(
        schema.is_embedded_resource && type_name != "object",
        "x-kubernetes-embedded-resource",
        "may only be used with type object",
    );
    forbid(
        schema.is_embedded_resource && schema.properties.is_empty() && !schema.preserves_unknown,
        "properties",
        "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
    );
}

/// Rules of lists, and of maps that are one value.
fn lists(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    if schema.type_name == "array" && schema.items.is_none() {
        let at = format!("{path}.items");
        errors.push(FieldError::required_because(at, "must be specified"));
    }
    if schema.list_type() != ListType::Atomic && schema.type_name != "array" {
        let at = format!("{path}.type");
        let why = "must be array if x-kubernetes-list-type is specified";
        errors.push(FieldError::invalid(at, &schema.type_name, why));
    }
    if schema.map_type() == MapType::Atomic && schema.type_name != "object" {
        let at = format!("{path}.type");
        let why = "must be object if x-kubernetes-map-type is specified";
        errors.push(FieldError::invalid(at, &schema.type_name, why));
    }
    let at = format!("{path}.x-kubernetes-list-map-keys");
    match (schema.list_type(), schema.list_map_keys().is_empty()) {
        (ListType::Map, true) => {
            let why = "must not be empty if x-kubernetes-list-type is map";
            errors.push(FieldError::required_because(at, why));
        }
        (ListType::Atomic | ListType::Set, false) => {
            let why = "must be empty unless x-kubernetes-list-type is map";
            errors.push(FieldError::new(at, FieldRule::Forbidden { why }));
        }
        (ListType::Map, false) => map_keys(schema, path, errors),
        (ListType::Atomic | ListType::Set, true) => {}
    }
}

/// The keys of a map-like list are fields of its elements that are always there.
fn map_keys(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    for key in schema.list_map_keys() {
        let items = schema.items();
        let Some(property) = items.and_then(|items| items.properties.get(key)) else {
            let at = format!("{path}.x-kubernetes-list-map-keys");
            let why = "entries must all be names of item properties";
            errors.push(FieldError::invalid(at, key, why));
            continue;
        };
        let is_required = items.is_some_and(|items| items.required.contains(key));
        if !is_required && property.default.is_none() {
            let at = format!("{path}.items.properties[{key}].default");
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required_because(at, why));
        }
    }
}

/// A branch of `allOf` and its like limits values; what they are is said outside of it.
fn value_only(branch: &Schema, outside: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    let forbidden = [
        (
            !branch.type_name.is_empty() && !outside.is_int_or_string,
            "type",
            "must be empty to be structural",
        ),
        (
            !branch.description.is_empty(),
            "description",
            "must be empty to be structural",
        ),
        (
            branch.default.is_some(),
            "default",
            "must be undefined to be structural",
        ),
        (branch.nullable, "nullable", "must be false to be structural"),
        (
            branch.additional_properties.is_some(),
            "additionalProperties",
            "must be undefined to be structural",
        ),
        (
            branch.preserves_unknown,
            "x-kubernetes-preserve-unknown-fields",
            "must be undefined to be structural",
        ),
    ];
    for (_, field, why) in forbidden.into_iter().filter(|(broken, ..)| *broken) {
        let at = format!("{path}.{field}");
        errors.push(FieldError::new(at, FieldRule::Forbidden { why }));
    }
    for (name, property) in &branch.properties {
        let at = format!("{path}.properties[{name}]");
        match outside.field(name) {
            Some(outside) => value_only(property, outside, &at, errors),
            None if outside.preserves_unknown => {}
            None => errors.push(FieldError::required_because(
                at,
                "must be specified outside of this branch, too, to be structural",
            )),
        }
    }
    if let (Some(items), Some(outside)) = (branch.items(), outside.items()) {
        value_only(items, outside, &format!("{path}.items"), errors);
    }
    for (inner, at) in branches(branch, path) {
        value_only(inner, outside, &at, errors);
    }
}

fn branches<'a>(schema: &'a Schema, path: &str) -> Vec<(&'a Schema, String)> {
    let lists = [
        ("allOf", &schema.all_of),
        ("anyOf", &schema.any_of),
        ("oneOf", &schema.one_of),
    ];
    let listed = lists.into_iter().flat_map(|(name, list)| {
        list.iter()
            .enumerate()
            .map(move |(at, schema)| (schema, format!("{path}.{name}[{at}]")))
    });
    let not = schema.not.as_deref().map(|not| (not, format!("{path}.not")));
    listed.chain(not).collect()
}

/// Defaults that the schema itself would refuse or prune.
fn bad_defaults(schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(default) = schema.default_value() {
        let at = format!("{path}.default");
        let mut pruned = serde_json::json!({"default": default});
        let around = Schema {
            properties: [("default".to_owned(), schema.clone())].into(),
            ..Schema::default()
        };
        if !around.prune(&mut pruned).is_empty() {
            let rule = FieldRule::Limit {
                value: default.clone(),
                expected: "must not have unknown fields".to_owned(),
            };
            errors.push(FieldError::new(&at, rule));
        }
        let mut complete = default.clone();
        schema.fill_in(&mut complete);
        errors.extend(schema.validate_value(&complete, &at));
    }
    for (name, property) in &schema.properties {
        errors.extend(bad_defaults(property, &format!("{path}.properties[{name}]")));
    }
    if let Some(Additional::Of(inner)) = &schema.additional_properties {
        errors.extend(bad_defaults(inner, &format!("{path}.additionalProperties")));
    }
    if let Some(items) = schema.items() {
        errors.extend(bad_defaults(items, &format!("{path}.items")));
    }
    errors
}
