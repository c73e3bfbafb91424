//! The objects, their one revision counter, and the history that watches are served from.
//!
//! Owns atomicity and order: every change happens under one lock, gets the next revision, and is visible to
//! every reader and watcher in that order. Knows collections and keys, not kinds.

mod document;
mod history;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch as tokio_watch};

use crate::object;
pub(crate) use document::Document;
use document::Trees;
pub use history::ChangeKind;
use history::History;
pub(crate) use history::{Change, Expired};
pub use watch::WatchEvent;
pub(crate) use watch::{Scope, Watch};

/// The place of an object in its collection. The namespace of a cluster-scoped object is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn of(object: &Value) -> Self {
        Key::new(object::namespace(object), object::name(object))
    }
}

pub(crate) type Collection = BTreeMap<Key, Document>;

/// The shared store.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    /// Carries the newest revision; every change wakes its receivers.
    newest: tokio_watch::Sender<u64>,
}

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct State {
    revision: u64,
    collections: HashMap<Arc<str>, Collection>,
    trees: Arc<Trees>,
    history: History,
    subscribers: Vec<mpsc::UnboundedSender<Arc<Change>>>,
    observers: Vec<Arc<dyn Observer>>,
}

/// Something that is up to date with the store after each write. It hears of a change inside the transaction, so it
/// must be quick, and must not use the store.
pub(crate) trait Observer: fmt::Debug + Send + Sync {
    fn changed(&self, change: &Change);
}

impl Store {
    /// A store that keeps the last `history` changes for watches and paged lists.
    pub(crate) fn new(history: usize) -> Self {
        let state = State {
            revision: 1,
            collections: HashMap::new(),
            trees: Arc::default(),
            history: History::new(history, 1),
            subscribers: Vec::new(),
            observers: Vec::new(),
        };
        Store {
            state: Mutex::new(state),
            newest: tokio_watch::Sender::new(1),
        }
    }

    /// Runs `transaction` with nothing else reading or writing, then wakes the watchers.
    ///
    /// There is no rollback: a transaction checks everything before its first change.
    pub(crate) fn write<T>(&self, transaction: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = transaction(&mut state);
        let revision = state.revision;
        self.newest
            .send_if_modified(|newest| std::mem::replace(newest, revision) != revision);
        result
    }

    pub(crate) fn read<T>(&self, query: impl FnOnce(&State) -> T) -> T {
        query(&self.lock())
    }

    /// Every change from now on, without loss. For consumers inside this process only: a slow one costs memory.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Arc<Change>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().subscribers.push(sender);
        receiver
    }

    /// Tells `observer` of every change from now on.
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) {
        self.lock().observers.push(observer);
    }

    /// A panic inside a transaction can only come from its checks, before the first change, so the state is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, storage: &str, key: &Key) -> Option<Arc<Value>> {
        let document = self.collections.get(storage)?.get(key)?;
        Some(document.read())
    }

    /// The objects of a collection in key order, of one namespace if one is given.
    pub(crate) fn scan<'a>(
        &'a self,
        storage: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, Arc<Value>)> {
        self.documents(storage, namespace)
            .map(|(key, document)| (key, document.read()))
    }

    fn documents<'a>(
        &'a self,
        storage: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Document)> {
        let first = Key::new(namespace.unwrap_or_default(), "");
        self.collections
            .get(storage)
            .into_iter()
            .flat_map(move |collection| collection.range(first.clone()..))
            .take_while(move |(key, _)| namespace.is_none_or(|namespace| key.namespace == namespace))
    }

    /// The objects as they were at `revision`, none of them read.
    pub(crate) fn scan_at(
        &self,
        storage: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Collection, Expired> {
        let mut snapshot: Collection = self
            .documents(storage, namespace)
            .map(|(key, document)| (key.clone(), document.clone()))
            .collect();
        for change in self.history.after(revision)?.rev() {
            if *change.storage != *storage || namespace.is_some_and(|wanted| change.key.namespace != wanted) {
                continue;
            }
            match &change.previous {
                Some(previous) => snapshot.insert(change.key.clone(), previous.clone()),
                None => snapshot.remove(&change.key),
            };
        }
        Ok(snapshot)
    }

    /// Whether a collection has no object, in the namespace if one is given.
    pub(crate) fn is_empty(&self, storage: &str, namespace: Option<&str>) -> bool {
        self.documents(storage, namespace).next().is_none()
    }

    /// Whether no collection has an object in the namespace.
    pub(crate) fn namespace_is_empty(&self, namespace: &str) -> bool {
        self.collections
            .keys()
            .all(|storage| self.is_empty(storage, Some(namespace)))
    }

    /// Forgets the history: who has not seen all of it has to start anew.
    pub(crate) fn compact(&mut self) {
        self.history.compact(self.revision);
    }

    /// Stores the object under its own name, at the next revision.
    pub(crate) fn put(&mut self, storage: &Arc<str>, object: Value) -> Arc<Value> {
        let object = self.at_next_revision(object);
        let key = Key::of(&object);
        let document = Trees::keep(&self.trees, Arc::clone(&object));
        let collection = self.collections.entry(Arc::clone(storage)).or_default();
        let previous = collection.insert(key.clone(), document.clone());
        let kind = if previous.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.record(storage, key, kind, document, previous);
        object
    }

    /// Sets what an existing object is removed as; it is no change by itself.
    pub(crate) fn amend(&mut self, storage: &Arc<str>, object: Value) {
        let key = Key::of(&object);
        let held = self
            .collections
            .get_mut(storage)
            .and_then(|held| held.get_mut(&key));
        if let Some(held) = held {
            *held = Trees::keep(&self.trees, Arc::new(object));
        }
    }

    /// Removes the object and returns its last state, which carries the revision of the removal.
    pub(crate) fn remove(&mut self, storage: &Arc<str>, key: &Key) -> Option<Arc<Value>> {
        let previous = self.collections.get_mut(storage)?.remove(key)?;
        let last = self.at_next_revision((*previous.read()).clone());
        let document = Trees::keep(&self.trees, Arc::clone(&last));
        self.record(
            storage,
            key.clone(),
            ChangeKind::Deleted,
            document,
            Some(previous),
        );
        Some(last)
    }

    fn at_next_revision(&mut self, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        Arc::new(object)
    }

    fn record(
        &mut self,
        storage: &Arc<str>,
        key: Key,
        kind: ChangeKind,
        object: Document,
        previous: Option<Document>,
    ) {
        let change = Arc::new(Change {
            revision: self.revision,
            time: Timestamp::now(),
            storage: Arc::clone(storage),
            key,
            kind,
            object,
            previous,
        });
        for observer in &self.observers {
            observer.changed(&change);
        }
        self.history.push(Arc::clone(&change));
        self.subscribers
            .retain(|subscriber| subscriber.send(Arc::clone(&change)).is_ok());
    }
}

#[cfg(test)]
mod tests;
