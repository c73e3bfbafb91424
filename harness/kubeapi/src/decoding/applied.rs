//! What a client applies, held against the type before it is merged.

use serde_json::Value;

use crate::resources::Resource;
use crate::topology::{Elements, Topology};
use crate::types::{self, Shape};

/// The first field of `applied` that its kind does not have, or whose value is of another type, as upstream's
/// merge tells it: `.spec.foo: field not declared in schema`.
pub(crate) fn undeclared(resource: &Resource, applied: &Value) -> Option<String> {
    let Some(custom) = resource.custom() else {
        let shape = types::of_kind(&resource.group, &resource.version, &resource.kind)?;
        return below(shape, resource.topology(), "", applied);
    };
    let unknown = custom.schema.prune(&mut applied.clone());
    let metadata = types::object_meta().and_then(|shape| {
        let at = Topology::builtin("").field("metadata");
        below(shape, at, ".metadata", &applied["metadata"])
    });
    metadata.or_else(|| unknown.first().map(|path| format!(".{path}: {UNDECLARED}")))
}

const UNDECLARED: &str = "field not declared in schema";

fn below(shape: &Shape, at: Topology<'_>, path: &str, value: &Value) -> Option<String> {
    match (shape, value) {
        (_, Value::Null) | (Shape::Raw | Shape::Any, _) => None,
        (Shape::Either(object, _), Value::Object(_)) => below(object, at, path, value),
        (Shape::Either(_, other), _) => below(other, at, path, value),
        (Shape::Struct(id), Value::Object(fields)) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match id.get().fields.get(name) {
                Some(field) => below(&field.shape, at.field(name), &path, value),
                None => Some(format!("{path}: {UNDECLARED}")),
            }
        }),
        (Shape::Map(inner), Value::Object(entries)) => entries
            .iter()
            .find_map(|(name, value)| below(inner, at.field(name), &format!("{path}.{name}"), value)),
        (Shape::List(inner), Value::Array(elements)) => {
            elements.iter().enumerate().find_map(|(index, value)| {
                let path = format!("{path}[{}]", element(at, index, value));
                below(inner, at.element(), &path, value)
            })
        }
        (shape, value) => unexpected(shape, value).map(|why| format!("{path}: {why}")),
    }
}

/// How an element is called: by its keys, its value or its place.
fn element(at: Topology<'_>, index: usize, value: &Value) -> String {
    match at.elements() {
        Elements::Atomic => index.to_string(),
        Elements::Set => format!("={value}"),
        Elements::Keyed(keys) => {
            let told = keys.into_iter().map(|key| {
                let own = value.get(key).cloned().or_else(|| at.default_of_key(key));
                format!("{key}={}", own.unwrap_or_default())
            });
            told.collect::<Vec<_>>().join(",")
        }
    }
}

fn unexpected(shape: &Shape, value: &Value) -> Option<String> {
    let shown = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match shape {
        Shape::Struct(_) | Shape::Map(_) => Some(format!("expected map, got &{{{shown}}}")),
        Shape::List(_) => Some(format!("expected list, got &{{{shown}}}")),
        Shape::Int32 | Shape::Int64 | Shape::Float if !value.is_number() => {
            let found = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            Some(format!("expected numeric (int or float), got {found}"))
        }
        Shape::Text(_) | Shape::Bytes | Shape::Time | Shape::MicroTime if !value.is_string() => Some(
            format!("expected string, got &value.valueUnstructured{{Value:{shown}}}"),
        ),
        Shape::Bool if !value.is_boolean() => Some(format!("expected boolean, got &{{{shown}}}")),
        _ => None,
    }
}
