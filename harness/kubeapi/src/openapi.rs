//! The OpenAPI documents: operations for `kubectl create` and `apply`, schemas for `kubectl explain`.
//!
//! Computed from the resource table. Built-in resources have operations without schemas: enough to leave field
//! validation to the server. Custom resources have the schemas of their definitions as well.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use crate::custom::Custom;
use crate::patch::{CUSTOM_MEDIA_TYPES, MEDIA_TYPES};
use crate::resources::{Resource, Resources, Scope};
use crate::status::Status;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The index of the OpenAPI v3 documents.
pub(crate) fn index(resources: &Resources) -> Value {
    let mut paths = Map::new();
    for group in resources.groups() {
        for version in resources.versions(group) {
            let root = path_of(group, version);
            // Clients keep a document under its hash for good.
            let mut hasher = DefaultHasher::new();
            let document = document(resources, group, version).unwrap_or_default();
            document.to_string().hash(&mut hasher);
            let url = format!("/openapi/v3/{root}?hash={:016X}", hasher.finish());
            paths.insert(root, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// The OpenAPI v3 document of one group and version.
pub(crate) fn document(resources: &Resources, group: &str, version: &str) -> Result<Value, Status> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let root = path_of(group, version);
    for row in resources.in_version(group, version) {
        let place = match row.scope {
            Scope::Namespaced => "namespaces/{namespace}/",
            Scope::Cluster => "",
        };
        paths.insert(
            format!("/{root}/{place}{}/{{name}}", row.plural),
            json!({"patch": patch_operation(row)}),
        );
        if let Some(custom) = row.custom() {
            schemas.insert(component(row), schema(row, custom));
            schemas.insert(OBJECT_META.to_owned(), object_meta());
        }
    }
    if paths.is_empty() {
        return Err(Status::no_such_path());
    }
    let title = json!({"title": "Kubernetes", "version": crate::VERSION});
    Ok(json!({"openapi": "3.0.0", "info": title, "paths": paths, "components": {"schemas": schemas}}))
}

/// A gnostic `openapi.v2.Document` without definitions, by which `kubectl` validates nothing: the server does.
pub(crate) fn empty_v2_protobuf() -> Vec<u8> {
    /// A length-delimited field; all of these are shorter than 128 bytes, so the length is one byte.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap_or(0);
        [&[number << 3 | 2, length], content].concat()
    }
    let info = [field(1, b"Kubernetes"), field(2, crate::VERSION.as_bytes())].concat();
    let (swagger, info, paths) = (field(1, b"2.0"), field(2, &info), field(8, b""));
    [swagger, info, paths].concat()
}

fn patch_operation(row: &Resource) -> Value {
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let media_types = match row.custom() {
        Some(_) => &CUSTOM_MEDIA_TYPES[..],
        None => &MEDIA_TYPES[..],
    };
    let content = media_types
        .iter()
        .map(|&media_type| (media_type.to_owned(), json!({"schema": {"type": "object"}})));
    json!({
        "description": format!("partially update the specified {}", row.kind),
        "operationId": format!("patch{}{}", row.version.to_uppercase(), row.kind),
        "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")],
        "requestBody": {"required": true, "content": Value::Object(content.collect())},
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": kind_of(row),
    })
}

/// The schema of a definition, with what every object has.
fn schema(row: &Resource, custom: &Custom) -> Value {
    let mut schema = custom.document.clone();
    schema["x-kubernetes-group-version-kind"] = json!([kind_of(row)]);
    if let Some(fields) = schema.as_object_mut() {
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        properties["apiVersion"] =
            json!({"type": "string", "description": "The group and version of this object."});
        properties["kind"] = json!({"type": "string", "description": "The kind of this object."});
        let reference = format!("#/components/schemas/{OBJECT_META}");
        properties["metadata"] =
            json!({"description": "Standard object's metadata.", "allOf": [{"$ref": reference}]});
    }
    schema
}

/// The metadata people write; the rest is the server's.
fn object_meta() -> Value {
    let texts = |description: &str| json!({"type": "object", "description": description, "additionalProperties": {"type": "string"}});
    json!({
        "type": "object",
        "description": "ObjectMeta is metadata that all persisted resources must have.",
        "properties": {
            "name": {"type": "string", "description": "Unique within a namespace."},
            "generateName": {"type": "string", "description": "What a name is made from where none is given."},
            "namespace": {"type": "string", "description": "The space within which each name must be unique."},
            "labels": texts("Keys and values by which objects are selected."),
            "annotations": texts("Keys and values that tools keep on an object."),
            "finalizers": {
                "type": "array", "items": {"type": "string"},
                "description": "Must be empty before the object is removed.",
            },
        },
    })
}

fn kind_of(row: &Resource) -> Value {
    json!({"group": row.group, "version": row.version, "kind": row.kind})
}

/// The name of a schema: `com.example.v1.Widget` in the group `example.com`.
fn component(row: &Resource) -> String {
    let group: Vec<&str> = row.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), row.version, row.kind)
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}
