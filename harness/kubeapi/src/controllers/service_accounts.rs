//! Gives each namespace its ServiceAccount `default`, and gives it back.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::debug;

use crate::api::{Api, Effect};
use crate::status::Reason;
use crate::store::{Change, ChangeKind};

const NAME: &str = "default";

pub(super) async fn run(api: Arc<Api>, mut changes: UnboundedReceiver<Arc<Change>>) {
    while let Some(change) = changes.recv().await {
        match (&*change.storage, change.kind) {
            ("namespaces", ChangeKind::Added) => ensure_default(&api, &change.key.name),
            ("serviceaccounts", ChangeKind::Deleted) if change.key.name == NAME => {
                ensure_default(&api, &change.key.namespace);
            }
            _ => {}
        }
    }
}

/// Creates the ServiceAccount unless it is there, or its namespace is going.
pub(crate) fn ensure_default(api: &Api, namespace: &str) {
    let Ok(resource) = api.resources.of_kind("v1", "ServiceAccount") else {
        return;
    };
    let account = json!({"metadata": {"name": NAME}});
    match api.create(&resource, namespace, account, Effect::Persist) {
        Ok(_) => {}
        Err(status) if status.reason == Reason::AlreadyExists => {}
        Err(error) => debug!(namespace, %error, "no default service account"),
    }
}
