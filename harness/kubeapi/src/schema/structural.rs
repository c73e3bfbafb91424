//! Whether a schema is structural: every field is specified once, with a type, outside of `allOf` and its like.
//!
//! Owns the rules a `CustomResourceDefinition` must keep to be accepted.

use serde_json::json;

use super::specification::{self, branches, nested};
use super::{Position, Schema, rules};
use crate::status::{FieldError, FieldRule};

impl Schema {
    /// What keeps the schema at `path`, which is the root of an object, from being served.
    pub(crate) fn violations(&self, path: &str) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.nullable {
            let why = "nullable cannot be true at the root";
            errors.push(forbidden(format!("{path}.nullable"), why));
        }
        errors.extend(specification::violations(self, path));
        // Rules about what is not there would only be found to fail once more.
        if errors.is_empty() {
            errors.extend(rules::definition::violations(self, path));
        }
        node(self, Level::Root, path, &mut errors);
        complete(self, self, path, path, &mut errors);
        if errors.is_empty() {
            errors.extend(bad_defaults(self, path));
        }
        errors
    }
}

/// Where in a schema a node is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

fn node(schema: &Schema, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    if schema.type_name == "array" && schema.items.is_none() {
        let at = format!("{path}.items");
        errors.push(FieldError::required_because(at, "must be specified"));
    }
    let [limits, parts] = split(schema, path);
    for (inner, at) in parts {
        let level = match at.ends_with(".items") {
            true => Level::Item,
            false => Level::Field,
        };
        node(inner, level, &at, errors);
    }
    if level == Level::Root && schema.additional_properties.is_some() {
        let why = "must not be used at the root";
        errors.push(forbidden(format!("{path}.additionalProperties"), why));
    }
    for (branch, at) in limits {
        value_only(branch, is_int_or_string_branch(schema, &at), &at, errors);
    }
    pattern(schema, path, errors);
    embedded(schema, level, path, errors);
    type_name(schema, level, path, errors);
}

/// The branches of a node, and its parts, with their paths.
fn split<'a>(schema: &'a Schema, path: &str) -> [Vec<(&'a Schema, String)>; 2] {
    let limits = branches(schema, path);
    let mut parts = nested(schema, path);
    parts.truncate(parts.len() - limits.len());
    [limits, parts]
}

fn type_name(schema: &Schema, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    let at = format!("{path}.type");
    let is_free = schema.is_int_or_string || schema.preserves_unknown();
    match schema.type_name.as_str() {
        "object" => {}
        "" if schema.is_embedded_resource => {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            errors.push(FieldError::required_because(at, why));
        }
        other if schema.is_embedded_resource => {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            errors.push(FieldError::invalid(at, other, why));
        }
        "" if !is_free => {
            let what = match level {
                Level::Root => "at the root",
                Level::Item => "for specified array items",
                Level::Field => "for specified object fields",
            };
            errors.push(FieldError::required_because(
                at,
                format!("must not be empty {what}"),
            ));
        }
        other if level == Level::Root && !other.is_empty() => {
            errors.push(FieldError::invalid(at, other, "must be object at the root"));
        }
        _ => {}
    }
    let at = format!("{path}.x-kubernetes-preserve-unknown-fields");
    if schema.is_int_or_string && schema.preserves_unknown() {
        errors.push(FieldError::limit(
            at,
            json!(true),
            "must be false if x-kubernetes-int-or-string is true",
        ));
    }
}

/// What an object, the root or one inside of it, says of its type and metadata.
fn embedded(schema: &Schema, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    if level == Level::Root || schema.is_embedded_resource {
        for field in ["kind", "apiVersion"] {
            let other = schema.properties.get(field).map(|property| &property.type_name);
            if let Some(other) = other.filter(|type_name| *type_name != "string") {
                let at = format!("{path}.properties[{field}].type");
                errors.push(FieldError::invalid(at, other, "must be string"));
            }
        }
        if let Some(metadata) = schema.properties.get("metadata") {
            limited_metadata(metadata, level, &format!("{path}.properties[metadata]"), errors);
        }
    }
    if schema.is_embedded_resource && schema.additional_properties.is_some() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(forbidden(format!("{path}.additionalProperties"), why));
    }
    if schema.is_embedded_resource && schema.properties.is_empty() && !schema.preserves_unknown() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required_because(format!("{path}.properties"), why));
    }
}

/// Of metadata a schema limits names alone, and gives them no defaults at the root.
fn limited_metadata(metadata: &Schema, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    if metadata.type_name != "object" {
        let at = format!("{path}.type");
        errors.push(FieldError::invalid(at, &metadata.type_name, "must be object"));
    }
    let is_name = |field: &String| ["name", "generateName"].contains(&field.as_str());
    if !metadata.properties.keys().all(is_name) || metadata.additional_properties.is_some() {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(forbidden(path, why));
    }
    for (name, property) in &metadata.properties {
        if level == Level::Root && property.default.is_some() {
            let why = "must not be set in top-level metadata";
            errors.push(forbidden(format!("{path}.properties[{name}].default"), why));
        }
    }
}

fn pattern(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(pattern) = &schema.pattern
        && let Err(error) = &pattern.compiled
    {
        let expected = format!("must be a valid regular expression, but isn't: {error}");
        let at = format!("{path}.pattern");
        errors.push(FieldError::invalid(at, &pattern.text, expected));
    }
}

/// The types of a value that is either may be named where it says so: in its `anyOf`, or in that of its first `allOf`.
fn is_int_or_string_branch(schema: &Schema, path: &str) -> bool {
    schema.is_int_or_string && (path.contains(".anyOf[") || path.ends_with(".allOf[0]"))
}

/// A branch of `allOf` and its like limits values; what they are is said outside of it.
fn value_only(branch: &Schema, may_have_type: bool, path: &str, errors: &mut Vec<FieldError>) {
    for (inner, at) in branches(branch, path) {
        value_only(inner, may_have_type, &at, errors);
    }
    if let Some(items) = branch.items() {
        value_only(items, false, &format!("{path}.items"), errors);
    }
    for (name, property) in &branch.properties {
        value_only(property, false, &format!("{path}.properties[{name}]"), errors);
    }
    pattern(branch, path, errors);
    let (empty, undefined, off) = (
        "must be empty to be structural",
        "must be undefined to be structural",
        "must be false to be structural",
    );
    let said = [
        (!branch.type_name.is_empty() && !may_have_type, "type", empty),
        (
            branch.additional_properties.is_some(),
            "additionalProperties",
            undefined,
        ),
        (branch.default.is_some(), "default", undefined),
        (!branch.title.is_empty(), "title", empty),
        (!branch.description.is_empty(), "description", empty),
        (branch.nullable, "nullable", off),
        (
            branch.preserves_unknown(),
            "x-kubernetes-preserve-unknown-fields",
            off,
        ),
        (branch.is_embedded_resource, "x-kubernetes-embedded-resource", off),
        (branch.is_int_or_string, "x-kubernetes-int-or-string", off),
        (
            !branch.list_map_keys.is_empty(),
            "x-kubernetes-list-map-keys",
            empty,
        ),
        (branch.list_type.is_some(), "x-kubernetes-list-type", undefined),
        (branch.map_type.is_some(), "x-kubernetes-map-type", undefined),
        (!branch.rules.is_empty(), "x-kubernetes-validations", empty),
    ];
    let said = said.into_iter().filter(|(is_said, ..)| *is_said);
    errors.extend(said.map(|(_, field, why)| forbidden(format!("{path}.{field}"), why)));
    if branch.properties.contains_key("metadata") {
        let why = "must not be specified in a nested context";
        errors.push(forbidden(format!("{path}.properties[metadata]"), why));
    }
}

/// What branches of the root speak of is specified outside of them. Upstream asks that of the root alone.
fn complete(branch: &Schema, outside: &Schema, path: &str, outside_path: &str, errors: &mut Vec<FieldError>) {
    for (inner, at) in branches(branch, path) {
        for (name, property) in &inner.properties {
            let at = format!("{at}.properties[{name}]");
            let outside_path = format!("{outside_path}.properties[{name}]");
            match outside.properties.get(name) {
                Some(outside) => complete(property, outside, &at, &outside_path, errors),
                None => {
                    let why = format!("because it is defined in {at}");
                    errors.push(FieldError::required_because(outside_path, why));
                }
            }
        }
        complete(inner, outside, &at, outside_path, errors);
    }
}

/// Defaults that the schema itself would refuse or prune.
fn bad_defaults(schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(default) = schema.default_value() {
        let at = format!("{path}.default");
        let mut pruned = default.clone();
        let removed = schema.prune_at(&mut pruned, Position::Inside);
        if !removed.is_empty() {
            errors.push(FieldError::limit(
                &at,
                default.clone(),
                "must not have unknown fields",
            ));
        }
        let mut complete = default.clone();
        schema.fill_in(&mut complete);
        let mut broken = schema.validate_value(&complete);
        if broken.is_empty() {
            broken.extend(schema.rules_broken_by_default(&complete));
        }
        errors.extend(broken.into_iter().map(|error| FieldError {
            field: match error.field.as_str() {
                "" | "<nil>" => at.clone(),
                inner => format!("{at}.{inner}"),
            },
            ..error
        }));
    }
    let [_, parts] = split(schema, path);
    errors.extend(parts.into_iter().flat_map(|(inner, at)| bad_defaults(inner, &at)));
    errors
}

fn forbidden(field: impl Into<String>, why: &'static str) -> FieldError {
    FieldError::new(field, FieldRule::Forbidden { why })
}
