//! The operations of the API on stored objects, without HTTP.
//!
//! Owns the order in which a write is checked, defaulted and stored. The HTTP routes, the in-process client and
//! the controllers all come through here, so there is one set of rules. Every write is one store transaction.

mod create;
mod definitions;
mod delete;
mod list;
mod modify;
mod scale;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::Ipv4Net;
use serde_json::{Value, json};

pub(crate) use delete::{DeleteOptions, Deleted};
pub(crate) use list::{ListRequest, Page, VersionMatch, WatchStart};
pub(crate) use scale::ScaleChange;

use crate::object;
use crate::resources::{Registry, Resource, Scope};
use crate::status::Status;
use crate::store::{Key, State, Store};
use crate::strategy::{ClusterIps, Strategy};

/// Whether a write is stored or only checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    #[default]
    Persist,
    DryRun,
}

/// The address of one object.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) resource: Arc<Resource>,
    pub(crate) key: Key,
}

impl Target {
    pub(crate) fn new(resource: &Arc<Resource>, namespace: &str, name: &str) -> Self {
        let namespace = match resource.scope {
            Scope::Namespaced => namespace,
            Scope::Cluster => "",
        };
        Target {
            resource: Arc::clone(resource),
            key: Key::new(namespace, name),
        }
    }

    fn not_found(&self) -> Status {
        Status::not_found(&self.resource.subject(&self.key.name))
    }

    fn conflict(&self, why: &str) -> Status {
        Status::conflict(&self.resource.subject(&self.key.name), why)
    }
}

/// The API of one cluster.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) resources: Registry,
    cluster_ips: Mutex<ClusterIps>,
}

impl Api {
    pub(crate) fn new(service_cidr: Ipv4Net, history: usize) -> Self {
        Api {
            store: Arc::new(Store::new(history)),
            resources: Registry::new(),
            cluster_ips: Mutex::new(ClusterIps::new(service_cidr)),
        }
    }

    /// The object as its resource serves it.
    pub(crate) fn get(&self, target: &Target) -> Result<Arc<Value>, Status> {
        let stored = self.store.read(|state| fetch(state, target))?;
        Ok(target.resource.encode(&stored))
    }

    /// Stores an object, with what follows from it.
    fn put(&self, state: &mut State, resource: &Resource, object: Value) -> Arc<Value> {
        let stored = state.put(&resource.storage, object);
        if resource.strategy == Strategy::Definition {
            self.settle_definitions(state);
        }
        stored
    }

    /// Takes an object out of the store, with what only existing objects hold.
    fn remove(&self, state: &mut State, target: &Target) -> Option<Arc<Value>> {
        let last = state.remove(&target.resource.storage, &target.key)?;
        match target.resource.strategy {
            Strategy::Service => self.cluster_ips().release(&last),
            Strategy::Definition => self.settle_definitions(state),
            _ => {}
        }
        Some(last)
    }

    /// The lock is only ever taken inside a store transaction, and an assignment that panics has assigned nothing.
    fn cluster_ips(&self) -> MutexGuard<'_, ClusterIps> {
        self.cluster_ips.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fetch(state: &State, target: &Target) -> Result<Arc<Value>, Status> {
    state
        .get(&target.resource.storage, &target.key)
        .map(Arc::clone)
        .ok_or_else(|| target.not_found())
}

/// Holds what a client sent against the path it was sent to, and brings it into its stored form.
fn decode(resource: &Resource, namespace: &str, mut body: Value) -> Result<Value, Status> {
    let Some(fields) = body.as_object_mut() else {
        return Err(Status::bad_request("the request body must be a JSON object"));
    };
    for (field, expected) in [
        ("apiVersion", resource.api_version()),
        ("kind", resource.kind.clone()),
    ] {
        match fields.get(field) {
            None | Some(Value::Null) => {
                fields.insert(field.to_owned(), json!(expected));
            }
            Some(found) if *found == expected => {}
            Some(found) => {
                let message =
                    format!("{field} in the data ({found}) does not match the expected \"{expected}\"");
                return Err(Status::bad_request(message));
            }
        }
    }
    let metadata = object::metadata_mut(&mut body)?;
    match metadata
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        "" if namespace.is_empty() => {
            metadata.remove("namespace");
        }
        "" => {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        found if found == namespace => {}
        _ => {
            let message =
                "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Status::bad_request(message));
        }
    }
    Ok(resource.decode(body))
}

#[cfg(test)]
mod tests;
