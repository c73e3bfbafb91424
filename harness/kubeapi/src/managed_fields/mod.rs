//! Who owns which fields of an object, and server-side apply.
//!
//! Owns `metadata.managedFields`: every write passes here on its way from the client's object to the store, and
//! leaves an entry of what it changed. Knows types by their `Topology` alone, and nothing of storage or HTTP.
//!
//! # Limits
//! All versions of a kind are taken to have the same fields. An applied null is as nothing applied.

mod conflict;
mod entries;
mod field_set;
mod merge;
mod walk;

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::object;
use crate::resources::{Form, Resource, Subresource};
use crate::status::Status;
use crate::strategy::{Part, Strategy};
use crate::topology::Topology;
use conflict::{Conflict, refusal};
use entries::{Entries, Entry, Operation, Owner};
use field_set::FieldSet;

/// The owner of what was there before the first apply to an object nobody was tracked on.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The manager that `kubectl apply --server-side` names, which may take over from `kubectl apply`.
const KUBECTL: &str = "kubectl";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What nobody owns, since the path of the object or the server says it.
static UNOWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    let fields = json!({"f:apiVersion": {}, "f:kind": {}, "f:metadata": {
        ".": {}, "f:name": {}, "f:namespace": {}, "f:creationTimestamp": {}, "f:selfLink": {}, "f:uid": {},
        "f:generation": {}, "f:managedFields": {}, "f:resourceVersion": {},
    }});
    FieldSet::from_json(&fields).unwrap_or_default()
});

/// One write: to what, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writing<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) part: Part,
    pub(crate) manager: &'a str,
}

/// What an apply does to fields of others that it would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnConflict {
    Refuse,
    /// Takes them.
    Force,
}

/// The outcome of an apply.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The merged object.
    pub(crate) object: Value,
    pub(crate) claims: Claims,
}

/// The owners of an object after an apply.
#[derive(Debug)]
pub(crate) struct Claims {
    entries: Entries,
    applier: Owner,
}

impl Writing<'_> {
    /// Gives a new object to the one who created it.
    pub(crate) fn create(&self, object: &mut Value) {
        take_entries(object);
        let mut entries = Entries::default();
        let topology = self.resource.topology();
        self.give(
            &mut entries,
            walk::compare(topology, topology.blank(), object).changed,
        );
        set_entries(object, entries);
    }

    /// Gives what changed to the one who changed it. The entries themselves can be changed by clients, but not
    /// through a subresource; objects without any are not tracked.
    pub(crate) fn update(&self, current: &Value, next: &mut Value) {
        let sent = take_entries(next).filter(|_| self.part == Part::Main);
        let held = current.pointer("/metadata/managedFields");
        if sent.is_none() || sent.as_ref() == held {
            if let Some(held) = held {
                next["metadata"]["managedFields"] = held.clone();
            }
            if next == current {
                return;
            }
            take_entries(next);
        }
        let mut entries = inherited(current, sent.as_ref());
        if entries.is_empty() {
            return;
        }
        let mut changes = walk::compare(self.resource.topology(), current, next);
        self.limit(&mut changes.removed);
        entries.subtract(&changes.removed);
        self.limit(&mut changes.changed);
        entries.subtract(&changes.changed);
        self.give(&mut entries, changes.changed);
        entries.cap();
        set_entries(next, entries);
    }

    /// Merges what a client applies into the object, and takes out what it applied before and nobody else owns.
    pub(crate) fn apply(
        &self,
        live: &Value,
        applied: &Value,
        on_conflict: OnConflict,
    ) -> Result<Applied, Status> {
        let topology = self.resource.topology();
        let applied = merge::without_nulls(applied);
        let mut claimed = walk::fields(topology, &applied).map_err(|error| self.untyped(&applied, &error))?;
        self.limit(&mut claimed);
        let mut entries = Entries::of(live);
        if entries.is_empty() {
            let updater = Writing {
                manager: BEFORE_FIRST_APPLY,
                ..*self
            };
            updater.give(
                &mut entries,
                walk::compare(topology, topology.blank(), live).changed,
            );
        }
        let applier = self.owner(Operation::Apply);
        let last = entries.take(&applier);

        let mut object = merge::merge(topology, Some(live), &applied);
        if let Some(last) = &last {
            let dropped = dropped(topology, last, &entries, &claimed);
            merge::remove(topology, &mut object, dropped.as_map());
        }
        let mut changes = walk::compare(topology, live, &object);
        self.limit(&mut changes.changed);
        self.limit(&mut changes.removed);
        let conflicts = self.conflicts(live, &entries, &changes.changed);
        if on_conflict == OnConflict::Refuse && !conflicts.is_empty() {
            return Err(refusal(&conflicts));
        }
        entries.subtract(&changes.changed);
        entries.subtract(&changes.removed);
        claimed.subtract(&UNOWNED);
        entries.push(Entry {
            owner: applier.clone(),
            time: last.and_then(|last| last.time),
            fields: claimed,
        });
        self.sync_last_applied(&mut object, &applied);
        let claims = Claims { entries, applier };
        Ok(Applied { object, claims })
    }

    /// The fields of others that would change. What `kubectl apply` set before is no conflict for `kubectl`.
    fn conflicts(&self, live: &Value, entries: &Entries, changed: &FieldSet) -> Vec<Conflict> {
        let mut allowed = FieldSet::default();
        if self.manager == KUBECTL
            && let Some(last) = last_applied(live)
            && let Ok(last) = serde_json::from_str(last)
        {
            allowed = walk::fields(self.resource.topology(), &last).unwrap_or_default();
        }
        let conflict = |entry: &Entry| {
            let mut fields = entry.fields.common(changed);
            fields.subtract(&allowed);
            let owner = entry.owner.clone();
            (!fields.is_empty()).then_some(Conflict { owner, fields })
        };
        entries.0.iter().filter_map(conflict).collect()
    }

    /// Keeps the annotation that `kubectl apply` compares with true to what `kubectl` applied last.
    fn sync_last_applied(&self, object: &mut Value, applied: &Value) {
        if self.manager == KUBECTL && last_applied(object).is_some() {
            object["metadata"]["annotations"][LAST_APPLIED] = json!(format!("{applied}\n"));
        }
    }

    /// Adds the fields to the updates of the writer, as of now.
    fn give(&self, entries: &mut Entries, mut fields: FieldSet) {
        self.limit(&mut fields);
        fields.subtract(&UNOWNED);
        if !fields.is_empty() {
            entries.join(self.owner(Operation::Update), Some(object::now()), fields);
        }
    }

    /// Keeps only the fields that a write to the part can change.
    fn limit(&self, fields: &mut FieldSet) {
        match self.part {
            Part::Main if self.resource.strategy == Strategy::Namespace => {
                fields.retain(|field| field != "f:status" && field != "f:spec");
            }
            Part::Main | Part::Finalizers if self.resource.has(Subresource::Status) => {
                fields.retain(|field| field != "f:status");
            }
            Part::Main | Part::Finalizers => {}
            Part::Status | Part::Binding => fields.retain(|field| field == "f:status"),
        }
    }

    fn owner(&self, operation: Operation) -> Owner {
        let api_version = match &self.resource.form {
            // Fields are told by their stored names.
            Form::EventsApi => "v1".to_owned(),
            Form::Stored | Form::Custom(_) => self.resource.api_version(),
        };
        let subresource = match self.part {
            Part::Main => "",
            Part::Status | Part::Binding => "status",
            Part::Finalizers => "finalize",
        };
        let manager = if self.manager.is_empty() {
            "unknown"
        } else {
            self.manager
        };
        Owner {
            manager: manager.to_owned(),
            operation,
            api_version,
            subresource: subresource.to_owned(),
        }
    }

    fn untyped(&self, applied: &Value, error: &walk::ListError) -> Status {
        let Resource {
            group, version, kind, ..
        } = self.resource;
        let (namespace, name) = (object::namespace(applied), object::name(applied));
        Status::bad_request(format!(
            "failed to create typed patch object ({namespace}/{name}; {group}/{version}, Kind={kind}): {error}"
        ))
    }
}

impl Claims {
    /// Writes the entries into `next`. The applier's has a new time if anything but the entries differs from
    /// `current`; who only claims what is there already gets none.
    pub(crate) fn settle(mut self, current: &Value, next: &mut Value) {
        let mut before = current.clone();
        take_entries(&mut before);
        take_entries(next);
        if *next != before
            && let Some(mut entry) = self.entries.take(&self.applier)
        {
            entry.time = Some(object::now());
            self.entries.push(entry);
        }
        set_entries(next, self.entries);
    }
}

/// The fields of the last apply that nobody owns any more, with the parents that only they gave a reason for.
fn dropped(topology: Topology<'_>, last: &Entry, others: &Entries, claimed: &FieldSet) -> FieldSet {
    let mut owned = others.all_fields();
    owned.add(claimed);
    with_named_parents(topology, &mut owned);
    let mut dropped = last.fields.clone();
    with_named_parents(topology, &mut dropped);
    dropped.subtract(&owned);
    dropped.subtract(&UNOWNED);
    // The parts that every object has are never dropped whole: there may be more in them, which nobody owns.
    let is_part = |element: &str| topology.blank().get(element.trim_start_matches("f:")).is_some();
    dropped.for_each(|element, node| node.belongs &= !is_part(element));
    dropped
}

/// Adds the fields above those of the set, but for list elements and entries of maps.
fn with_named_parents(at: Topology<'_>, set: &mut FieldSet) {
    set.for_each(|element, node| match element.strip_prefix("f:") {
        Some(name) => {
            node.belongs |= at.names(name);
            with_named_parents(at.field(name), &mut node.below);
        }
        None => with_named_parents(at.element(), &mut node.below),
    });
}

/// The entries a write starts from: the client's, unless there are none or it cannot mean them.
fn inherited(current: &Value, sent: Option<&Value>) -> Entries {
    // One empty entry, or an empty list, asks for a new start.
    if sent.is_some_and(|sent| *sent == json!([]) || *sent == json!([{}])) {
        return Entries::default();
    }
    sent.and_then(Entries::decode)
        .unwrap_or_else(|| Entries::of(current))
}

fn last_applied(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][LAST_APPLIED].as_str()
}

/// Takes the entries out of an object; `None` where there are none.
fn take_entries(object: &mut Value) -> Option<Value> {
    let entries = object
        .get_mut("metadata")?
        .as_object_mut()?
        .remove("managedFields");
    entries.filter(|entries| !entries.is_null())
}

fn set_entries(object: &mut Value, entries: Entries) {
    take_entries(object);
    if let Some(entries) = entries.encode() {
        object["metadata"]["managedFields"] = entries;
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
