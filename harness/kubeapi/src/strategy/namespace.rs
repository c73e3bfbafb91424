//! Rules of a Namespace: it is born active, and its contents hold back its removal through a finalizer.

use serde_json::{Value, json};

use crate::object::{self, default_to, map_mut, metadata_mut};
use crate::status::Status;

pub(super) fn default_new(namespace: &mut Value) -> Result<(), Status> {
    let name = object::name(namespace).to_owned();
    map_mut(namespace, "spec")?.insert("finalizers".to_owned(), json!(["kubernetes"]));
    map_mut(namespace, "status")?.insert("phase".to_owned(), json!("Active"));
    let labels = metadata_mut(namespace)?
        .entry("labels")
        .or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        default_to(labels, "kubernetes.io/metadata.name", name);
    }
    Ok(())
}

/// Its finalizers have a path of their own.
pub(super) fn default_replacement(current: &Value, namespace: &mut Value) -> Result<(), Status> {
    let finalizers = current["spec"]["finalizers"].clone();
    map_mut(namespace, "spec")?.insert("finalizers".to_owned(), finalizers);
    Ok(())
}
