//! The operations of the API on stored objects, without HTTP.
//!
//! Owns the order in which a write is checked, defaulted and stored. The HTTP routes, the in-process client and
//! the controllers all come through here, so there is one set of rules. Every write is one store transaction.

mod apply;
mod binding;
mod create;
mod definitions;
mod delete;
mod list;
mod modify;
mod propagation;
mod scale;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub(crate) use apply::AppliedTo;
pub(crate) use delete::{DeleteOptions, Deleted};
pub(crate) use list::{ListRequest, Page, VersionMatch, WatchStart};
pub(crate) use modify::Strictness;
pub(crate) use propagation::{FOREGROUND, ORPHAN, Propagation};
pub(crate) use scale::ScaleChange;

use crate::access::RuleIndex;
use crate::faults::{Faults, LEASES};
use crate::managed_fields::Writing;
use crate::object;
use crate::resources::{Registry, Resource, Scope};
use crate::status::{FieldError, Status};
use crate::store::{Key, State, Store};
use crate::strategy::{Grants, Part, ServiceRanges, Strategy, held};

/// Whether a write is stored or only checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    #[default]
    Persist,
    DryRun,
}

/// The field manager of what the server writes itself, and of writes from inside its process.
const OWN_MANAGER: &str = "kubeapi";

/// Who writes, and to what end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write<'a> {
    /// The field manager; nobody in particular if empty.
    pub(crate) manager: &'a str,
    pub(crate) effect: Effect,
}

/// A write from inside the process.
impl From<Effect> for Write<'static> {
    fn from(effect: Effect) -> Self {
        Write {
            manager: OWN_MANAGER,
            effect,
        }
    }
}

impl<'a> Write<'a> {
    fn of(self, resource: &'a Resource, part: Part) -> Writing<'a> {
        Writing {
            resource,
            part,
            manager: self.manager,
        }
    }
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

    /// Holds the object's name against the one of the address.
    fn check_name(&self, object: &Value) -> Result<(), Status> {
        match object::name(object) {
            "" => Err(Status::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                self.key.name
            ))),
            name if name == self.key.name => Ok(()),
            name => Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                self.key.name
            ))),
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
    pub(crate) rules: Arc<RuleIndex>,
    pub(crate) faults: Faults,
    grants: Mutex<Grants>,
}

impl Api {
    pub(crate) fn new(services: impl Into<ServiceRanges>, history: usize) -> Self {
        let store = Arc::new(Store::new(history));
        let rules = Arc::new(RuleIndex::default());
        store.observe(Arc::clone(&rules) as _);
        Api {
            faults: Faults::new(Arc::clone(&store)),
            store,
            resources: Registry::new(),
            rules,
            grants: Mutex::new(Grants::new(services.into())),
        }
    }

    /// The object as its resource serves it.
    pub(crate) fn get(&self, target: &Target) -> Result<Arc<Value>, Status> {
        let stored = self.store.read(|state| fetch(state, target))?;
        Ok(target.resource.encode(&stored))
    }

    /// Lets a wrong clock of the writer show in a Lease that is stored.
    fn skew(&self, resource: &Resource, current: Option<&Value>, next: &mut Value, effect: Effect) {
        if *resource.storage == *LEASES && effect == Effect::Persist {
            self.faults.skew_lease(current, next);
        }
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
            Strategy::Service => self.grants().release(held(&last)),
            Strategy::Definition => self.settle_definitions(state),
            _ => {}
        }
        Some(last)
    }

    /// The lock is only ever taken inside a store transaction, and an assignment that panics has assigned nothing.
    fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fetch(state: &State, target: &Target) -> Result<Arc<Value>, Status> {
    state
        .get(&target.resource.storage, &target.key)
        .ok_or_else(|| target.not_found())
}

/// Holds what a client sent against the path it was sent to, and brings it into its stored form.
fn decode(resource: &Resource, namespace: &str, body: Value) -> Result<Value, Status> {
    Ok(resource.decode(placed(resource, namespace, body)?))
}

/// As [`decode`], of what a client applies.
fn decode_part(resource: &Resource, namespace: &str, body: Value) -> Result<Value, Status> {
    Ok(resource.decode_part(placed(resource, namespace, body)?))
}

/// A body that says another `field` than its path.
fn misplaced(resource: &Resource, field: &str, found: &str, body: &Value) -> Status {
    let (kind, version) = (&resource.kind, resource.api_version());
    let said = |pointer: &str| object::text(body, pointer).to_owned();
    match (resource.custom(), field) {
        (Some(_), "kind") => {
            let expected = format!("must be {kind}");
            let error = FieldError::invalid("kind", found, expected);
            Status::unprocessable(found, &resource.group, object::name(body), &[error])
        }
        (Some(_), _) => Status::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({version})"
        )),
        (None, _) => {
            let (said, why) = match field {
                "kind" => (found.to_owned(), "converting it: unknown conversion".to_owned()),
                _ => (
                    said("/kind"),
                    format!("no kind {:?} is registered for version {found:?}", said("/kind")),
                ),
            };
            let version = object::text(body, "/apiVersion");
            let (_, version) = version.rsplit_once('/').unwrap_or(("", version));
            Status::bad_request(format!(
                "{said} in version {version:?} cannot be handled as a {kind}: {why}"
            ))
        }
    }
}

fn placed(resource: &Resource, namespace: &str, mut body: Value) -> Result<Value, Status> {
    if !body.is_object() {
        return Err(Status::bad_request("the request body must be a JSON object"));
    }
    for (field, expected) in [
        ("apiVersion", resource.api_version()),
        ("kind", resource.kind.clone()),
    ] {
        match &body[field] {
            Value::Null => body[field] = json!(expected),
            found if *found == expected => {}
            found => {
                let found = found.as_str().unwrap_or_default();
                return Err(misplaced(resource, field, found, &body));
            }
        }
    }
    let metadata = object::metadata_mut(&mut body)?;
    match metadata
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        _ if resource.scope == Scope::Cluster => {
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
    Ok(body)
}

#[cfg(test)]
mod tests;
