//! Who may use which name: of two definitions of one group, the first that had it.
//!
//! Owns `status.acceptedNames` and the conditions `NamesAccepted` and `Established`.

use serde_json::{Value, json};

use super::definition::Names;
use crate::object;

/// The definition with its names held against those that others of its group have.
pub(crate) fn settled<'a>(definition: &Value, others: impl Iterator<Item = &'a Value>) -> Value {
    let taken: Vec<Names> = others
        .filter(|other| other["spec"]["group"] == definition["spec"]["group"])
        .map(|other| Names::of(&other["status"]["acceptedNames"]))
        .collect();
    let wanted = Names::of(&definition["spec"]["names"]);
    let mut accepted = Names::of(&definition["status"]["acceptedNames"]);
    let conflict = accept(&wanted, &mut accepted, &taken);
    // Clients can write the status, so it may have any form.
    let mut status = definition["status"].as_object().cloned().unwrap_or_default();
    if !status.get("conditions").is_some_and(Value::is_array) {
        status.insert("conditions".to_owned(), json!([]));
    }
    status.insert("acceptedNames".to_owned(), as_json(&accepted));
    let names = match &conflict {
        None => condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => condition("NamesAccepted", "False", reason, message),
    };
    object::set_condition(&mut status, names);
    // Once established, a definition stays so: a later conflict only keeps its new names from being used.
    if conflict.is_none() {
        let message = "the initial names have been accepted";
        let established = condition("Established", "True", "InitialNamesAccepted", message);
        object::set_condition(&mut status, established);
    } else if !object::condition_is_true(definition, "Established") {
        let established = condition(
            "Established",
            "False",
            "NotAccepted",
            "not all names are accepted",
        );
        object::set_condition(&mut status, established);
    }
    let mut next = definition.clone();
    next["status"] = Value::Object(status);
    next
}

/// Accepts each name that is free; the last conflict is the one that is told.
fn accept(wanted: &Names, accepted: &mut Names, taken: &[Names]) -> Option<(&'static str, String)> {
    let is_resource_taken = |name: &String| {
        taken
            .iter()
            .any(|names| [&names.plural, &names.singular].contains(&name) || names.short_names.contains(name))
    };
    let is_kind_taken = |name: &String| {
        taken
            .iter()
            .any(|names| [&names.kind, &names.list_kind].contains(&name))
    };
    let mut conflict = None;
    let mut told = |reason, name: &str| conflict = Some((reason, format!("\"{name}\" is already in use")));
    match is_resource_taken(&wanted.plural) {
        true => told("PluralConflict", &wanted.plural),
        false => accepted.plural.clone_from(&wanted.plural),
    }
    match is_resource_taken(&wanted.singular) {
        true => told("SingularConflict", &wanted.singular),
        false => accepted.singular.clone_from(&wanted.singular),
    }
    match wanted.short_names.iter().find(|name| is_resource_taken(name)) {
        Some(name) => told("ShortNamesConflict", name),
        None => accepted.short_names.clone_from(&wanted.short_names),
    }
    match is_kind_taken(&wanted.kind) {
        true => told("KindConflict", &wanted.kind),
        false => accepted.kind.clone_from(&wanted.kind),
    }
    match is_kind_taken(&wanted.list_kind) {
        true => told("ListKindConflict", &wanted.list_kind),
        false => accepted.list_kind.clone_from(&wanted.list_kind),
    }
    accepted.categories.clone_from(&wanted.categories);
    conflict
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn as_json(names: &Names) -> Value {
    let mut value = json!({"plural": names.plural, "kind": names.kind});
    for (field, name) in [("singular", &names.singular), ("listKind", &names.list_kind)] {
        if !name.is_empty() {
            value[field] = json!(name);
        }
    }
    for (field, list) in [
        ("shortNames", &names.short_names),
        ("categories", &names.categories),
    ] {
        if !list.is_empty() {
            value[field] = json!(list);
        }
    }
    value
}
