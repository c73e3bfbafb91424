//! Events: what an author can do to a cluster, to its API, to the WAN and to the Manager while flows run.

use std::collections::BTreeMap;

use super::fields::{Fields, Kind, mapping, named, set, string};
use super::manifests::Inventory;
use super::{Name, Resolved, api, faults, flows, manager};
use crate::document::{Entry, Key, Notes, Span};
use crate::model::{Event, ReadinessProbe, Topology};
use crate::names;

pub(super) const EVENT: Kind = Kind {
    singular: "event",
    plural: "events",
    is_word: true,
};

/// Words of the timeline that cannot name an event.
const RESERVED: [&str; 2] = ["start", "stop"];

pub(super) fn resolve(
    notes: &mut Notes<'_>,
    entry: Option<&Entry>,
    inventory: &Inventory,
    topology: Option<&Topology>,
) -> Resolved<Event> {
    let mut resolved = Resolved {
        names: Vec::new(),
        values: BTreeMap::new(),
    };
    let Some(entry) = entry else { return resolved };
    for entry in named(notes, entry, &EVENT) {
        let name = &entry.key.text;
        if RESERVED.contains(&name.as_str()) {
            let message = format!("an event cannot be named `{name}`");
            notes.error(
                entry.key.span,
                message,
                format!("in a timeline `{name}` is a step; rename it"),
            );
            continue;
        }
        resolved.names.push(Name {
            text: name.clone(),
            span: entry.key.span,
        });
        if let Some(event) = event(notes, entry, inventory, topology) {
            resolved.values.insert(name.clone(), event);
        }
    }
    resolved
}

fn event(
    notes: &mut Notes<'_>,
    entry: &Entry,
    inventory: &Inventory,
    topology: Option<&Topology>,
) -> Option<Event> {
    const KEYS: [&str; 8] = [
        "kubectl",
        "readiness",
        "impair",
        "cut",
        "flap",
        "heal",
        "manager",
        "api",
    ];
    let what = format!("event `{}`", entry.key.text);
    let fields = Fields::of(notes, entry.key.span, &entry.value, &what, &KEYS)?;
    let entry = fields.only(notes, &KEYS)?;
    match entry.key.text.as_str() {
        "kubectl" => kubectl(notes, entry, inventory),
        "readiness" => readiness(notes, entry, inventory),
        "manager" => manager::event(notes, entry, topology),
        "api" => api::event(notes, entry, inventory),
        _ => faults::event(notes, entry, topology),
    }
}

fn kubectl(notes: &mut Notes<'_>, kubectl: &Entry, inventory: &Inventory) -> Option<Event> {
    let fields = Fields::of(
        notes,
        kubectl.key.span,
        &kubectl.value,
        "`kubectl`",
        &["annotate", "set", "unset", "delete"],
    )?;
    match (fields.optional("annotate"), fields.optional("delete")) {
        (Some(annotate), None) => {
            let service = flows::service(notes, &annotate.value, inventory);
            let annotations = annotations(notes, annotate.key.span, &fields)?;
            Some(Event::Annotate {
                service: service?,
                annotations,
            })
        }
        (None, Some(delete)) => {
            for entry in ["set", "unset"].iter().filter_map(|key| fields.optional(key)) {
                notes.error(
                    entry.key.span,
                    format!("`{}` does not go with `delete`", entry.key.text),
                    "remove it",
                );
            }
            let service = flows::service(notes, &delete.value, inventory)?;
            Some(Event::DeleteService { service })
        }
        _ => {
            let message = "expected either `annotate` or `delete` in `kubectl`";
            notes.error(
                kubectl.key.span,
                message,
                "an event does one thing; make two events of it",
            );
            None
        }
    }
}

fn readiness(notes: &mut Notes<'_>, readiness: &Entry, inventory: &Inventory) -> Option<Event> {
    const KEYS: [&str; 2] = ["fails", "passes"];
    let fields = Fields::of(notes, readiness.key.span, &readiness.value, "`readiness`", &KEYS)?;
    let entry = fields.only(notes, &KEYS)?;
    let probe = match entry.key.text.as_str() {
        "passes" => ReadinessProbe::Passes,
        _ => ReadinessProbe::Fails,
    };
    let pod = flows::pod(notes, &entry.value, inventory)?;
    Some(Event::Readiness { pod, probe })
}

fn annotations(
    notes: &mut Notes<'_>,
    place: Span,
    fields: &Fields<'_>,
) -> Option<BTreeMap<String, Option<String>>> {
    let mut annotations = BTreeMap::new();
    if let Some(entry) = fields.optional("set") {
        for entry in mapping(notes, &entry.value, "a mapping of annotations to their values")? {
            let value = string(notes, &entry.value, "the value of an annotation");
            if is_annotation(notes, &entry.key) {
                annotations.insert(entry.key.text.clone(), Some(value.unwrap_or_default().to_owned()));
            }
        }
    }
    if let Some(entry) = fields.optional("unset") {
        let keys = set(notes, &entry.value, "annotations", |notes, node, text| {
            let is_set = annotations.contains_key(text);
            if is_set {
                notes.error(
                    node.span,
                    format!("annotation `{text}` is both set and unset"),
                    "remove one",
                );
            }
            !is_set
                && is_annotation(
                    notes,
                    &Key {
                        text: text.to_owned(),
                        span: node.span,
                    },
                )
        });
        annotations.extend(keys.into_iter().map(|key| (key.to_owned(), None)));
    }
    if fields.optional("set").is_none() && fields.optional("unset").is_none() {
        let hint = "add `set: {KEY: VALUE}`, `unset: [KEY]` or both";
        notes.error(place, "missing `set` or `unset` beside `annotate`", hint);
    }
    Some(annotations)
}

fn is_annotation(notes: &mut Notes<'_>, key: &Key) -> bool {
    let valid = names::is_annotation_key(&key.text);
    if !valid {
        let message = format!("expected the key of an annotation, found `{}`", key.text);
        notes.error(
            key.span,
            message,
            "a key is a name, or a DNS prefix, `/` and a name",
        );
    }
    valid
}
