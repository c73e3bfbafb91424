//! A cursor over the history: what one watcher has yet to see.
//!
//! Owns the translation of changes into the watcher's point of view: an object that starts to match its
//! selector is added, one that stops is deleted. Never skips: a watcher that falls behind the history learns so.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch as tokio_watch;

use super::{Change, ChangeKind, Document, Expired, Store};
use crate::selector::Selector;

/// The objects a watcher looks at.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) storage: Arc<str>,
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Selector,
}

/// One event in the watcher's point of view.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchEvent {
    /// What happened to the object, as far as the watcher can see it.
    pub kind: ChangeKind,
    /// Its new state, or its last one.
    pub object: Arc<Value>,
}

/// A running watch.
#[derive(Debug)]
pub(crate) struct Watch {
    store: Arc<Store>,
    scope: Scope,
    seen: u64,
    newest: tokio_watch::Receiver<u64>,
}

impl Watch {
    /// A watch of everything after `revision`.
    pub(crate) fn after(store: &Arc<Store>, scope: Scope, revision: u64) -> Self {
        let newest = store.newest.subscribe();
        Watch {
            store: Arc::clone(store),
            scope,
            seen: revision,
            newest,
        }
    }

    /// The revision up to which everything has been delivered.
    pub(crate) fn revision(&self) -> u64 {
        self.seen
    }

    /// Waits for the next events; `seen` only moves past what is returned, so dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Vec<WatchEvent>, Expired> {
        loop {
            // The receiver is marked before the read, so a write in between wakes the wait below.
            self.newest.borrow_and_update();
            let events = self.poll()?;
            if !events.is_empty() {
                return Ok(events);
            }
            if self.newest.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn poll(&mut self) -> Result<Vec<WatchEvent>, Expired> {
        let (changes, newest) = self.store.read(|state| {
            let changes = state
                .history
                .after(self.seen)?
                .filter(|change| self.scope.covers(change));
            Ok((changes.map(Arc::clone).collect::<Vec<_>>(), state.revision))
        })?;
        self.seen = self.seen.max(newest);
        Ok(changes
            .iter()
            .filter_map(|change| self.scope.view(change))
            .collect())
    }
}

impl Scope {
    fn covers(&self, change: &Change) -> bool {
        change.storage == self.storage
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| change.key.namespace == *namespace)
    }

    fn view(&self, change: &Change) -> Option<WatchEvent> {
        let matches =
            |object: &Document| self.selector.is_everything() || self.selector.matches(&object.read());
        let matches_now = change.kind != ChangeKind::Deleted && matches(&change.object);
        let matched_before = change.previous.as_ref().is_some_and(matches);
        let (kind, object) = match (matched_before, matches_now) {
            (false, false) => return None,
            (false, true) => (ChangeKind::Added, change.object.read()),
            (true, true) => (ChangeKind::Modified, change.object.read()),
            (true, false) => (ChangeKind::Deleted, last_matching(change)),
        };
        Some(WatchEvent { kind, object })
    }
}

/// The state a watcher knew last, with the revision of the change that took it out of view: with its own old
/// revision a resumed watch would replay the change.
fn last_matching(change: &Change) -> Arc<Value> {
    match &change.previous {
        Some(previous) if change.kind == ChangeKind::Modified => {
            let mut object = (*previous.read()).clone();
            object["metadata"]["resourceVersion"] = json!(change.revision.to_string());
            Arc::new(object)
        }
        _ => change.object.read(),
    }
}
