//! Empties terminating namespaces, then lets them go.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use crate::api::{Api, DeleteOptions, Effect, Target};
use crate::object;
use crate::resources::Scope;
use crate::selector::Selector;
use crate::store::{Change, ChangeKind, Key};

pub(super) async fn run(api: Arc<Api>, mut changes: UnboundedReceiver<Arc<Change>>) {
    while let Some(change) = changes.recv().await {
        if *change.storage == *"namespaces" {
            if change.kind == ChangeKind::Modified && object::is_terminating(&change.object()) {
                empty(&api, &change.key.name);
                finalize(&api, &change.key.name);
            }
        } else if change.kind == ChangeKind::Deleted && is_terminating(&api, &change.key.namespace) {
            finalize(&api, &change.key.namespace);
        }
    }
}

fn empty(api: &Api, namespace: &str) {
    let resources = api.resources.current();
    for resource in resources
        .all()
        .filter(|resource| resource.scope == Scope::Namespaced)
    {
        let deleted = api.delete_collection(
            resource,
            Some(namespace),
            &Selector::default(),
            &DeleteOptions::default(),
            Effect::Persist,
        );
        if let Err(error) = deleted {
            warn!(namespace, resource = resource.plural, %error, "empty namespace");
        }
    }
}

fn is_terminating(api: &Api, namespace: &str) -> bool {
    let owner = api
        .store
        .read(|state| state.get("namespaces", &Key::new("", namespace)));
    owner.is_some_and(|namespace| object::is_terminating(&namespace))
}

/// Fails only when the namespace is gone already.
fn finalize(api: &Api, name: &str) {
    if let Ok(resource) = api.resources.at_path("", "v1", "namespaces") {
        let _gone = api.finalize_namespace(&Target::new(&resource, "", name));
    }
}
