//! Structural schemas: what a custom resource's objects look like, and what is done to objects by them.
//!
//! Owns the parsed form of an `openAPIV3Schema` and the walks over an object and its schema: pruning, defaults,
//! validation. Knows neither kinds nor storage. A schema that [`Schema::violations`] finds nothing in is safe for
//! every walk; any other is never served.

mod defaults;
mod embedded;
mod formats;
mod prune;
mod rules;
mod specification;
mod structural;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use rules::Rule;

/// One node of a schema (`JSONSchemaProps` of `apiextensions.k8s.io/v1`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Schema {
    /// Empty where the schema does not say.
    #[serde(rename = "type")]
    type_name: String,
    title: String,
    description: String,
    format: String,
    nullable: bool,
    default: Option<Value>,
    properties: BTreeMap<String, Schema>,
    additional_properties: Option<Additional>,
    required: Vec<String>,
    items: Option<Items>,
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
    preserve_unknown_fields: Option<bool>,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    is_embedded_resource: bool,
    #[serde(rename = "x-kubernetes-int-or-string")]
    is_int_or_string: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
    #[serde(rename = "x-kubernetes-validations")]
    rules: Vec<Rule>,
}

/// `items`: one schema of all elements. One for each is not served, and found by `specification`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
enum Items {
    All(Box<Schema>),
    Each,
}

impl TryFrom<Value> for Items {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::Array(_) => Ok(Items::Each),
            schema => serde_json::from_value(schema).map(|schema| Items::All(Box::new(schema))),
        }
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListType {
    /// Not at all: the list is one value.
    Atomic,
    /// By value; none comes twice.
    Set,
    /// By the fields in [`Schema::list_map_keys`]; no combination comes twice.
    Map,
}

/// `x-kubernetes-map-type`: whether the entries of an object are values of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapType {
    /// They are.
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
        match &self.items {
            Some(Items::All(items)) => Some(items),
            Some(Items::Each) | None => None,
        }
    }

    /// How the elements of a list are told apart.
    pub(crate) fn list_type(&self) -> ListType {
        match self.list_type.as_deref() {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map,
            _ => ListType::Atomic,
        }
    }

    /// The fields that make the key of an element, in a list of [`ListType::Map`].
    pub(crate) fn list_map_keys(&self) -> &[String] {
        &self.list_map_keys
    }

    /// Whether the entries of an object are values of their own.
    pub(crate) fn map_type(&self) -> MapType {
        match self.map_type.as_deref() {
            Some("atomic") => MapType::Atomic,
            _ => MapType::Granular,
        }
    }

    /// Whether fields that it does not specify stay.
    fn preserves_unknown(&self) -> bool {
        self.preserve_unknown_fields == Some(true)
    }

    /// The old state of a field of an object whose old state is `old`, where fields have one of their own.
    fn old_field<'a>(&self, old: Option<&'a Value>, name: &str) -> Option<&'a Value> {
        old.filter(|_| self.map_type() == MapType::Granular)?.get(name)
    }

    /// The old state of an element of a list whose old state is `old`, where elements are told apart by their keys.
    fn old_element<'a>(&self, old: Option<&'a Value>, value: &Value) -> Option<&'a Value> {
        if self.list_type() != ListType::Map {
            return None;
        }
        let key = self.key_of(value);
        old?.as_array()?.iter().find(|old| self.key_of(old) == key)
    }

    /// The fields by which the element of a map-like list is told from the others.
    fn key_of(&self, element: &Value) -> Value {
        let keys = self.list_map_keys().iter();
        let found = keys.filter_map(|key| Some((key.clone(), element.get(key)?.clone())));
        Value::Object(found.collect())
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
