//! Structural schemas: what a custom resource's objects look like, and what is done to objects by them.
//!
//! Owns the parsed form of an `openAPIV3Schema` and the walks over an object and its schema: pruning, defaults,
//! validation. Knows neither kinds nor storage. A schema that [`structural::violations`] finds nothing in is
//! safe for every walk; any other is never served.

pub(crate) mod cel;
mod defaults;
mod formats;
mod prune;
pub(crate) mod structural;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// One node of a schema (`JSONSchemaProps` of `apiextensions.k8s.io/v1`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Schema {
    /// Empty where the schema does not say.
    #[serde(rename = "type")]
    type_name: String,
    description: String,
    format: String,
    nullable: bool,
    default: Option<Value>,
    properties: BTreeMap<String, Schema>,
    additional_properties: Option<Additional>,
    required: Vec<String>,
    items: Option<Box<Schema>>,
    #[serde(rename = "enum")]
    allowed: Vec<Value>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,
    multiple_of: Option<f64>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    pattern: Option<Pattern>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    min_properties: Option<usize>,
    max_properties: Option<usize>,
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
    unique_items: bool,
    #[serde(rename = "$ref")]
    reference: Option<String>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    preserves_unknown: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    is_embedded_resource: bool,
    #[serde(rename = "x-kubernetes-int-or-string")]
    is_int_or_string: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: ListType,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: MapType,
}

/// `additionalProperties`: a boolean or a schema.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
enum Additional {
    Allowed(bool),
    Of(Box<Schema>),
}

impl TryFrom<Value> for Additional {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::Bool(allowed) => Ok(Additional::Allowed(allowed)),
            schema => serde_json::from_value(schema).map(|schema| Additional::Of(Box::new(schema))),
        }
    }
}

/// A regular expression of `pattern`. One that does not compile is a violation, found by `structural`.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
struct Pattern {
    text: String,
    compiled: Result<Regex, regex::Error>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        let compiled = Regex::new(&text);
        Pattern { text, compiled }
    }
}

/// `x-kubernetes-list-type`: how the elements of a list are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ListType {
    /// Not at all: the list is one value.
    #[default]
    Atomic,
    /// By value; none comes twice.
    Set,
    /// By the fields in [`Schema::list_map_keys`]; no combination comes twice.
    Map,
}

/// `x-kubernetes-map-type`: whether the entries of an object are values of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MapType {
    /// They are.
    #[default]
    Granular,
    /// The object is one value.
    Atomic,
}

impl Schema {
    /// Reads an `openAPIV3Schema`.
    pub(crate) fn parse(schema: &Value) -> Result<Self, serde_json::Error> {
        Schema::deserialize(schema)
    }

    /// The schema of a field: the property of that name, else the one of all additional properties.
    pub(crate) fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(match &self.additional_properties {
            Some(Additional::Of(schema)) => Some(schema),
            Some(Additional::Allowed(_)) | None => None,
        })
    }

    /// The schema of the elements of a list.
    pub(crate) fn items(&self) -> Option<&Schema> {
        self.items.as_deref()
    }

    /// How the elements of a list are told apart.
    pub(crate) fn list_type(&self) -> ListType {
        self.list_type
    }

    /// The fields that make the key of an element, in a list of [`ListType::Map`].
    pub(crate) fn list_map_keys(&self) -> &[String] {
        &self.list_map_keys
    }

    /// Whether the entries of an object are values of their own.
    pub(crate) fn map_type(&self) -> MapType {
        self.map_type
    }

    fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// Whether a null stands for "not given", and is treated like an absent field.
    fn drops_null(&self) -> bool {
        !self.nullable
    }
}

/// What `apiVersion`, `kind` and `metadata` are in an object: its own, not fields of the schema.
const TYPE_AND_METADATA: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Whether the node is the root of an object, which has the fields above whether the schema lists them or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Root,
    Inside,
}

impl Position {
    fn owns(self, schema: &Schema, field: &str) -> bool {
        (self == Position::Root || schema.is_embedded_resource) && TYPE_AND_METADATA.contains(&field)
    }
}

/// The path of a field, as `spec.ports[0].name`.
fn child(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

fn element(path: &str, at: usize) -> String {
    format!("{path}[{at}]")
}

#[cfg(test)]
mod tests;
