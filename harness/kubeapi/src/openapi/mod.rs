//! The OpenAPI documents: operations for `kubectl create` and `apply`, schemas for `kubectl explain`.
//!
//! Computed from the resource table: built-in kinds have the schemas in `types`, custom resources those of their
//! definitions. The index is made without the documents, which are large and seldom asked for.

mod operations;
mod schemas;

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use crate::resources::{Resource, Resources};

/// The index of the OpenAPI v3 documents.
pub(crate) fn index(resources: &Resources) -> Value {
    let mut paths = Map::new();
    for group in resources.groups() {
        for version in resources.versions(group) {
            let root = path_of(group, version);
            let url = format!("/openapi/v3/{root}?hash={}", hash(resources, group, version));
            paths.insert(root, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// The hash of what a document is made of. Clients keep a document under it for good.
pub(crate) fn hash(resources: &Resources, group: &str, version: &str) -> String {
    let mut hasher = DefaultHasher::new();
    crate::VERSION.hash(&mut hasher);
    for row in resources.in_version(group, version) {
        (&row.kind, &row.plural, row.verbs).hash(&mut hasher);
        format!("{:?}{:?}", row.scope, row.subresources).hash(&mut hasher);
        if let Some(custom) = row.custom() {
            custom.document.to_string().hash(&mut hasher);
        }
    }
    format!("{:016X}", hasher.finish())
}

/// The OpenAPI v3 document of one group and version.
pub(crate) fn document(resources: &Resources, group: &str, version: &str) -> Value {
    let root = path_of(group, version);
    let mut paths = Map::new();
    let rows: Vec<&Resource> = resources.in_version(group, version).map(|row| &**row).collect();
    for row in &rows {
        paths.append(&mut operations::paths(&root, row));
    }
    let title = json!({"title": "Kubernetes", "version": crate::VERSION});
    let schemas = schemas::schemas(&rows);
    json!({"openapi": "3.0.0", "info": title, "paths": paths, "components": {"schemas": schemas}})
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

fn kind_of(row: &Resource) -> Value {
    json!({"group": row.group, "version": row.version, "kind": row.kind})
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}
