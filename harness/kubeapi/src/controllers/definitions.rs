//! Removes the objects of a deleted CustomResourceDefinition, then lets the definition go.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use crate::api::{Api, DeleteOptions, Effect};
use crate::custom::DEFINITIONS;
use crate::object;
use crate::selector::Selector;
use crate::store::{Change, ChangeKind};

pub(super) async fn run(api: Arc<Api>, mut changes: UnboundedReceiver<Arc<Change>>) {
    while let Some(change) = changes.recv().await {
        if *change.storage != *DEFINITIONS {
            // The collection of a custom resource has the name of its definition.
            if change.kind == ChangeKind::Deleted {
                finalize(&api, &change.storage);
            }
        } else if change.kind == ChangeKind::Modified && object::is_terminating(&change.object()) {
            empty(&api, &change.object());
            finalize(&api, &change.key.name);
        }
    }
}

fn empty(api: &Api, definition: &Value) {
    let resources = api.resources.current();
    let name = object::name(definition);
    let mut versions = resources.all().filter(|row| *row.storage == *name);
    let Some(resource) = versions.next() else {
        return;
    };
    let (everything, now) = (Selector::default(), DeleteOptions::default());
    if let Err(error) = api.delete_collection(resource, None, &everything, &now, Effect::Persist) {
        warn!(definition = name, %error, "delete custom resources");
    }
}

fn finalize(api: &Api, name: &str) {
    if let Err(error) = api.finalize_definition(name) {
        warn!(definition = name, %error, "finish deleting definition");
    }
}
