//! `meta.k8s.io/v1 Table`: the rows `kubectl get` prints.
//!
//! Owns the shape of the answer; the columns of each kind are in `columns` and `custom`, the wording of ages in
//! `age`.

mod age;
mod columns;
mod custom;

use serde_json::{Value, json};

use crate::object;
use crate::resources::Resource;

/// What of the object goes along with its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

/// The table of `objects`, which are in their served form.
pub(crate) fn table<'a>(
    resource: &Resource,
    objects: impl Iterator<Item = &'a Value>,
    include: IncludeObject,
    metadata: Value,
) -> Value {
    let columns = columns::of(resource);
    let custom = resource.custom().map(custom::of).unwrap_or_default();
    let definitions = columns.iter().map(columns::Column::definition);
    let definitions: Vec<Value> = definitions
        .chain(custom.iter().map(custom::Printer::definition))
        .collect();
    let rows = objects.map(|object| {
        let cells = columns.iter().map(|column| (column.cell)(object));
        let cells: Vec<Value> = cells
            .chain(custom.iter().map(|column| column.cell(object)))
            .collect();
        let mut row = json!({"cells": cells});
        match include {
            IncludeObject::None => row["object"] = Value::Null,
            IncludeObject::Metadata => row["object"] = partial(object),
            IncludeObject::Object => row["object"] = object.clone(),
        }
        row
    });
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows.collect::<Vec<_>>(),
    })
}

/// The object's metadata as `PartialObjectMetadata`.
pub(crate) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
    })
}

/// `metadata` of a table that shows one object.
pub(crate) fn metadata_of_one(object: &Value) -> Value {
    json!({"resourceVersion": object::resource_version(object)})
}

#[cfg(test)]
mod tests;
