//! The schemas of a document: of its kinds, their lists, and all they refer to.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::kind_of;
use crate::custom::Custom;
use crate::resources::Resource;
use crate::topology::{Elements, Topology};
use crate::types::{catalogue, facts};

const PREFIX: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

pub(super) fn schemas(rows: &[&Resource]) -> Map<String, Value> {
    let mut schemas = Map::new();
    for name in ["DeleteOptions", "ListMeta", "ObjectMeta", "Status"] {
        add_definition(&mut schemas, &format!("{META}.{name}"));
    }
    for &row in rows {
        let name = component(row);
        match row.custom() {
            Some(custom) => {
                schemas.insert(name.clone(), custom_schema(custom));
            }
            None => add_definition(&mut schemas, &name),
        }
        let Some(schema) = schemas.get_mut(&name) else {
            continue;
        };
        schema["x-kubernetes-group-version-kind"] = json!([kind_of(row)]);
        if row.custom().is_none() {
            mark_lists(&mut schemas, &name, row.topology(), &mut HashSet::new());
        }
        if row.is_stored() {
            schemas.insert(list_component(row), list_schema(row, &name));
        }
    }
    schemas
}

/// The name of a kind's schema: `io.k8s.api.core.v1.Pod`, or `com.example.v1.Widget` of the group `example.com`.
pub(super) fn component(row: &Resource) -> String {
    let builtin = match row.custom() {
        Some(_) => None,
        None => catalogue().root(&row.group, &row.version, &row.kind),
    };
    match builtin {
        Some(root) => root.definition.clone(),
        None => {
            let group: Vec<&str> = row.group.split('.').rev().collect();
            format!("{}.{}.{}", group.join("."), row.version, row.kind)
        }
    }
}

/// The name of the schema of a kind's list.
pub(super) fn list_component(row: &Resource) -> String {
    let name = component(row);
    let (package, _) = name.rsplit_once('.').unwrap_or_default();
    format!("{package}.{}", row.list_kind())
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{PREFIX}{name}")})
}

/// Adds a definition, and those it refers to.
fn add_definition(schemas: &mut Map<String, Value>, name: &str) {
    if schemas.contains_key(name) {
        return;
    }
    let Some(definition) = catalogue().definitions.get(name) else {
        return;
    };
    let (mut definition, referred) = served(definition);
    list_values(name, &mut definition);
    schemas.insert(name.to_owned(), definition);
    for name in referred {
        add_definition(schemas, name);
    }
}

/// Lists the values of fields that have only some.
fn list_values(name: &str, definition: &mut Value) {
    let properties = definition.get_mut("properties").and_then(Value::as_object_mut);
    for (field, schema) in properties.into_iter().flatten() {
        if let Some(values) = facts::of(name, field).and_then(|fact| fact.values()) {
            let schema = match schema.get("items") {
                Some(_) => &mut schema["items"],
                None => schema,
            };
            schema["enum"] = json!(values);
        }
    }
}

/// A schema as documents have it, and the names it refers to. In OpenAPI 3.0 nothing stands beside a reference.
fn served(schema: &Value) -> (Value, Vec<&str>) {
    let mut referred = Vec::new();
    let value = match schema {
        Value::Object(fields) => {
            let mut object = Map::new();
            for (name, value) in fields {
                if let ("$ref", Some(target)) = (name.as_str(), value.as_str()) {
                    referred.extend(target.strip_prefix(PREFIX));
                    object.insert("allOf".to_owned(), json!([{"$ref": target}]));
                } else {
                    let (value, mut inner) = served(value);
                    referred.append(&mut inner);
                    object.insert(name.clone(), value);
                }
            }
            Value::Object(object)
        }
        Value::Array(elements) => {
            let elements = elements.iter().map(|element| {
                let (element, mut inner) = served(element);
                referred.append(&mut inner);
                element
            });
            Value::Array(elements.collect())
        }
        other => other.clone(),
    };
    (value, referred)
}

/// Says of every list in a kind how its elements merge.
fn mark_lists<'a>(
    schemas: &mut Map<String, Value>,
    name: &str,
    at: Topology<'a>,
    seen: &mut HashSet<(String, String)>,
) {
    let Some(definition) = catalogue().definitions.get(name) else {
        return;
    };
    let properties = definition["properties"].as_object().into_iter().flatten();
    for (field, schema) in properties {
        let within = at.field(field);
        if schema["type"] == "array"
            && let Some(marks) = marks(&within.elements())
            && let Some(served) = schemas[name]["properties"][field].as_object_mut()
        {
            served.extend(marks);
        }
        let inner = [
            &schema["$ref"],
            &schema["items"]["$ref"],
            &schema["additionalProperties"]["$ref"],
        ];
        for target in inner
            .into_iter()
            .filter_map(|reference| reference.as_str()?.strip_prefix(PREFIX))
        {
            if seen.insert((target.to_owned(), field.clone())) {
                mark_lists(schemas, target, within, seen);
            }
        }
    }
}

/// The extensions of a list that does not merge whole.
fn marks(elements: &Elements<'_>) -> Option<Map<String, Value>> {
    let marks = match elements {
        Elements::Keyed(keys) => json!({
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys,
            "x-kubernetes-patch-merge-key": keys.first(), "x-kubernetes-patch-strategy": "merge",
        }),
        Elements::Set => json!({"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}),
        Elements::Atomic => return None,
    };
    match marks {
        Value::Object(marks) => Some(marks),
        _ => None,
    }
}

/// The schema of a definition, with what every object has.
fn custom_schema(custom: &Custom) -> Value {
    let mut schema = custom.document.clone();
    if let Some(fields) = schema.as_object_mut() {
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        properties["apiVersion"] =
            json!({"type": "string", "description": "The group and version of this object."});
        properties["kind"] = json!({"type": "string", "description": "The kind of this object."});
        let reference = reference(&format!("{META}.ObjectMeta"));
        properties["metadata"] = json!({"description": "Standard object's metadata.", "allOf": [reference]});
    }
    schema
}

fn list_schema(row: &Resource, name: &str) -> Value {
    let kind = row.list_kind();
    let metadata = reference(&format!("{META}.ListMeta"));
    json!({
        "description": format!("{kind} is a list of {}.", row.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The group and version of this list."},
            "kind": {"type": "string", "description": "The kind of this list."},
            "metadata": {"description": "Standard list metadata.", "allOf": [metadata]},
            "items": {
                "description": format!("The objects of kind {}.", row.kind),
                "type": "array", "items": {"allOf": [reference(name)]},
            },
        },
        "x-kubernetes-group-version-kind": [{"group": row.group, "version": row.version, "kind": kind}],
    })
}
