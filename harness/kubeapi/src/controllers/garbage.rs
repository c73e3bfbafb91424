//! Deletes objects whose owners are gone, and holds owners back that wait for their dependents.
//!
//! Owns an index of who owns whom, by uid and up to the change it has come to, in the order of the store. Everything
//! it acts on it reads anew, and writes only to the state it has read. An owner is known by its uid: one of the same
//! name is another. References to kinds that are not served, and from objects outside of namespaces to objects inside,
//! are not judged; the object stays.
//!
//! # Limits
//! A dependent made while its owner lets go of its dependents may be deleted after it, as with kube-controller-manager.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use super::objects::{modify, target};
use crate::api::{Api, DeleteOptions, Effect, FOREGROUND, ORPHAN, Propagation};
use crate::object::{self, items, text};
use crate::resources::Scope;
use crate::status::{Reason, Status};
use crate::store::{Change, ChangeKind, Key};
use crate::strategy::Part;

/// How often an object that others keep writing is looked at anew.
const TRIES: usize = 5;

pub(super) async fn run(api: Arc<Api>, mut changes: UnboundedReceiver<Arc<Change>>) {
    let mut garbage = Garbage {
        api,
        places: HashMap::new(),
        dependents: HashMap::new(),
    };
    while let Some(change) = changes.recv().await {
        garbage.observe(&change);
    }
}

struct Garbage {
    api: Arc<Api>,
    /// By uid, every object there is.
    places: HashMap<String, (Arc<str>, Key)>,
    /// By the uid of the owner.
    dependents: HashMap<String, BTreeSet<String>>,
}

/// What an owner reference means for its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Present,
    Absent,
    /// Deletes its dependents before itself.
    Waiting,
    Unknown,
}

impl Garbage {
    fn observe(&mut self, change: &Change) {
        let (object, previous) = (change.object(), change.previous());
        let uid = object::uid(&object);
        let before = previous.as_deref().map(owner_uids).unwrap_or_default();
        let after = match change.kind {
            ChangeKind::Deleted => BTreeSet::new(),
            _ => owner_uids(&object),
        };
        for owner in before.difference(&after) {
            if let Some(dependents) = self.dependents.get_mut(*owner) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(*owner);
                }
            }
        }
        for owner in &after {
            let dependents = self.dependents.entry((*owner).to_owned()).or_default();
            dependents.insert(uid.to_owned());
        }
        if change.kind == ChangeKind::Deleted {
            self.places.remove(uid);
            for dependent in self.dependents.remove(uid).unwrap_or_default() {
                self.judge(&dependent, Some(uid));
            }
        } else {
            if change.kind == ChangeKind::Added {
                let place = (Arc::clone(&change.storage), change.key.clone());
                self.places.insert(uid.to_owned(), place);
            }
            self.act(&object, previous.as_deref());
        }
        if references(previous.as_deref()) != references(Some(&*object)) || change.kind == ChangeKind::Deleted
        {
            for owner in before.union(&after) {
                self.release_when_alone(owner);
            }
        }
    }

    /// What a new state of an object asks for.
    fn act(&self, object: &Value, previous: Option<&Value>) {
        let uid = object::uid(object);
        if object::is_terminating(object) {
            if has_finalizer(object, ORPHAN) {
                self.orphan(uid);
            } else if has_finalizer(object, FOREGROUND) {
                for dependent in self.dependents_of(uid) {
                    self.judge(&dependent, None);
                }
                self.release_when_alone(uid);
            }
        } else if references(previous) != references(Some(object)) {
            self.judge(uid, None);
        }
    }

    fn dependents_of(&self, uid: &str) -> BTreeSet<String> {
        self.dependents.get(uid).cloned().unwrap_or_default()
    }

    /// The object as it is now.
    fn get(&self, uid: &str) -> Option<Arc<Value>> {
        let (storage, key) = self.places.get(uid)?;
        let object = self.api.store.read(|state| state.get(storage, key))?;
        (object::uid(&object) == uid).then_some(object)
    }

    /// Deletes the object if it has owners and none of them is left. `gone` is the uid of an owner that is known to be.
    fn judge(&self, uid: &str, gone: Option<&str>) {
        for _ in 0..TRIES {
            let Some(object) = self.get(uid) else { return };
            match self.judge_state(&object, gone) {
                Err(error) if error.reason == Reason::Conflict => {}
                Err(error) if error.reason != Reason::NotFound => return complain(&object, &error),
                _ => return,
            }
        }
    }

    fn judge_state(&self, object: &Value, gone: Option<&str>) -> Result<(), Status> {
        if object::is_terminating(object) || references(Some(object)).is_empty() {
            return Ok(());
        }
        let owners: BTreeMap<&str, Owner> = items(object, "/metadata/ownerReferences")
            .iter()
            .map(|reference| (text(reference, "/uid"), self.owner(object, reference, gone)))
            .collect();
        let any = |state: Owner| owners.values().any(|owner| *owner == state);
        if any(Owner::Unknown) {
            return Ok(());
        }
        if any(Owner::Present) {
            let is_kept = |uid: &str| owners.get(uid) == Some(&Owner::Present);
            return self.retain_owners(object, is_kept);
        }
        let dependents = self.dependents_of(object::uid(object));
        let propagation = if any(Owner::Waiting) && !dependents.is_empty() {
            let mut dependents = dependents.iter().filter_map(|uid| self.get(uid));
            if dependents.any(|dependent| is_waiting(&dependent)) {
                // Two that wait for each other would wait for ever.
                return self.delete_unblocked(object);
            }
            Some(Propagation::Foreground)
        } else if has_finalizer(object, ORPHAN) || has_finalizer(object, FOREGROUND) {
            None
        } else {
            Some(Propagation::Background)
        };
        self.delete(object, propagation)
    }

    fn owner(&self, object: &Value, reference: &Value, gone: Option<&str>) -> Owner {
        let (uid, namespace) = (text(reference, "/uid"), object::namespace(object));
        let (api_version, kind) = (text(reference, "/apiVersion"), text(reference, "/kind"));
        match self.api.resources.of_kind(api_version, kind) {
            Ok(resource) if resource.scope == Scope::Namespaced && namespace.is_empty() => {
                return Owner::Unknown;
            }
            // Its kind may be gone with it.
            _ if gone == Some(uid) => return Owner::Absent,
            Ok(_) => {}
            Err(_) => return Owner::Unknown,
        }
        match self.get(uid) {
            Some(owner)
                if owner["kind"] == kind
                    && owner["metadata"]["name"] == reference["name"]
                    && matches!(object::namespace(&owner), found if found.is_empty() || found == namespace) =>
            {
                if is_waiting(&owner) {
                    Owner::Waiting
                } else {
                    Owner::Present
                }
            }
            _ => Owner::Absent,
        }
    }

    fn retain_owners(&self, object: &Value, is_kept: impl Fn(&str) -> bool) -> Result<(), Status> {
        modify(&self.api, object, Part::Main, |object| {
            if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
                owners.retain(|reference| is_kept(text(reference, "/uid")));
            }
            Ok(())
        })
        .map(drop)
    }

    fn delete(&self, object: &Value, propagation: Option<Propagation>) -> Result<(), Status> {
        let options = DeleteOptions::of_state(object, propagation);
        let target = target(&self.api, object)?;
        self.api.delete(&target, &options, Effect::Persist).map(drop)
    }

    fn delete_unblocked(&self, object: &Value) -> Result<(), Status> {
        let unblocked = modify(&self.api, object, Part::Main, |object| {
            let owners = object["metadata"]["ownerReferences"].as_array_mut();
            for reference in owners.into_iter().flatten() {
                reference["blockOwnerDeletion"] = json!(false);
            }
            Ok(())
        })?;
        self.delete(&unblocked, Some(Propagation::Foreground))
    }

    /// Lets go of an owner that deletes its dependents first, once none blocks it any more.
    fn release_when_alone(&self, uid: &str) {
        let Some(owner) = self.get(uid).filter(|owner| is_waiting(owner)) else {
            return;
        };
        let blocks = |dependent: &Value| {
            let references = items(dependent, "/metadata/ownerReferences").iter();
            let mut own = references.filter(|reference| reference["uid"] == uid);
            own.any(|reference| reference["blockOwnerDeletion"] == true)
        };
        let dependents = self.dependents_of(uid);
        if !dependents
            .iter()
            .filter_map(|uid| self.get(uid))
            .any(|object| blocks(&object))
        {
            self.remove_finalizer(&owner, FOREGROUND);
        }
    }

    /// Has the dependents forget their owner, which then goes alone.
    fn orphan(&self, uid: &str) {
        for dependent in self.dependents_of(uid).iter().filter_map(|uid| self.get(uid)) {
            match self.retain_owners(&dependent, |owner| owner != uid) {
                Err(error) if error.reason != Reason::NotFound => complain(&dependent, &error),
                _ => {}
            }
        }
        if let Some(owner) = self.get(uid) {
            self.remove_finalizer(&owner, ORPHAN);
        }
    }

    fn remove_finalizer(&self, object: &Value, finalizer: &str) {
        let removed = modify(&self.api, object, Part::Main, |object| {
            if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
                finalizers.retain(|found| found != finalizer);
            }
            Ok(())
        });
        match removed {
            Err(error) if error.reason != Reason::NotFound => complain(object, &error),
            _ => {}
        }
    }
}

fn references(object: Option<&Value>) -> &[Value] {
    object.map_or(&[], |object| items(object, "/metadata/ownerReferences"))
}

fn owner_uids(object: &Value) -> BTreeSet<&str> {
    let references = references(Some(object)).iter();
    references.map(|reference| text(reference, "/uid")).collect()
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    items(object, "/metadata/finalizers")
        .iter()
        .any(|found| found == finalizer)
}

/// Whether the object is being deleted after its dependents.
fn is_waiting(object: &Value) -> bool {
    object::is_terminating(object) && has_finalizer(object, FOREGROUND)
}

fn complain(object: &Value, error: &Status) {
    let (kube_namespace, name) = (object::namespace(object), object::name(object));
    warn!(kube_namespace, name, kind = text(object, "/kind"), %error, "collect garbage");
}
