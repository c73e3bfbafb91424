//! Strategic merge patch: JSON merge patch whose lists merge by key where the built-in types say so.
//!
//! Owns the directives `$patch`, `$retainKeys`, `$setElementOrder/F` and `$deleteFromPrimitiveList/F`. A list that
//! `topology` has no keys for is replaced, as for `atomic` lists upstream.

use serde_json::{Map, Value};

use crate::status::{Reason, Status};
use crate::topology::{Elements, builtin_elements};

/// Merges `patch` into `object`, which is of `kind`.
pub(super) fn merge(kind: &str, object: &mut Value, patch: &Value) -> Result<(), Status> {
    let Some(patch) = patch.as_object() else {
        return Err(Status::bad_request(
            "a strategic merge patch must be a JSON object",
        ));
    };
    merge_map(kind, "", object, patch)
}

fn merge_map(kind: &str, field: &str, target: &mut Value, patch: &Map<String, Value>) -> Result<(), Status> {
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            let fields = patch.iter().filter(|(key, _)| !key.starts_with('$'));
            *target = Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect());
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => return Err(unknown_directive("$patch", other)),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else {
        return Ok(());
    };
    retain_keys(fields, patch.get("$retainKeys"));
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            delete_from_set(fields.get_mut(list), value);
        } else if !key.starts_with('$') {
            merge_field(kind, field, fields, key, value)?;
        }
    }
    for (key, order) in patch {
        if let Some(list) = key.strip_prefix("$setElementOrder/") {
            reorder(&builtin_elements(kind, field, list), fields.get_mut(list), order);
        }
    }
    Ok(())
}

fn merge_field(
    kind: &str,
    parent: &str,
    fields: &mut Map<String, Value>,
    key: &str,
    value: &Value,
) -> Result<(), Status> {
    match value {
        Value::Null => {
            fields.remove(key);
        }
        Value::Object(patch) if patch.get("$patch").is_some_and(|directive| directive == "delete") => {
            fields.remove(key);
        }
        Value::Object(patch) => {
            let target = fields.entry(key).or_insert_with(|| Value::Object(Map::new()));
            merge_map(kind, key, target, patch)?;
        }
        Value::Array(patch) => {
            let target = fields.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(kind, key, &builtin_elements(kind, parent, key), target, patch)?;
        }
        scalar => {
            fields.insert(key.to_owned(), scalar.clone());
        }
    }
    Ok(())
}

fn merge_list(
    kind: &str,
    field: &str,
    how: &Elements<'_>,
    target: &mut Value,
    patch: &[Value],
) -> Result<(), Status> {
    let replaces = patch.iter().any(|element| element["$patch"] == "replace");
    let Value::Array(elements) = target else {
        *target = Value::Array(patch.to_vec());
        return Ok(());
    };
    match how {
        Elements::Set if !replaces => {
            let before = elements.clone();
            for element in patch {
                if !elements.contains(element) {
                    elements.push(element.clone());
                }
            }
            interleave(elements, &before, patch, |element| element);
            Ok(())
        }
        Elements::Keyed(keys) if !replaces => {
            let before = elements.clone();
            let merged = patch
                .iter()
                .try_for_each(|element| merge_element(kind, field, keys[0], elements, element));
            interleave(elements, &before, patch, |element| &element[keys[0]]);
            merged
        }
        _ => {
            *elements = patch
                .iter()
                .filter(|element| element.get("$patch").is_none())
                .cloned()
                .collect();
            Ok(())
        }
    }
}

fn merge_element(
    kind: &str,
    field: &str,
    key: &str,
    elements: &mut Vec<Value>,
    patch: &Value,
) -> Result<(), Status> {
    let (Some(fields), Some(wanted)) = (patch.as_object(), patch.get(key)) else {
        return Err(Status::new(
            Reason::Unknown,
            format!("map: {} does not contain declared merge key: {key}", shown(patch)),
        ));
    };
    let at = elements.iter().position(|element| &element[key] == wanted);
    if patch["$patch"] == "delete" {
        if let Some(at) = at {
            elements.remove(at);
        }
        return Ok(());
    }
    let at = at.unwrap_or_else(|| {
        elements.push(Value::Object(Map::new()));
        elements.len() - 1
    });
    merge_map(kind, field, &mut elements[at], fields)
}

/// Puts merged elements into upstream's order: those of the patch keep its order, all others theirs, and where the two
/// meet the one that stood first does, or the one that is new.
fn interleave(
    elements: &mut Vec<Value>,
    before: &[Value],
    patch: &[Value],
    identity: impl Fn(&Value) -> &Value,
) {
    let place =
        |list: &[Value], element: &Value| list.iter().position(|other| identity(other) == identity(element));
    let (mut patched, kept): (Vec<Value>, Vec<Value>) = elements
        .drain(..)
        .partition(|element| place(patch, element).is_some());
    patched.sort_by_key(|element| place(patch, element));
    let mut kept = kept.into_iter().peekable();
    for element in patched {
        let stood = place(before, &element);
        while let Some(first) = kept.next_if(|kept| stood.is_some() && place(before, kept) < stood) {
            elements.push(first);
        }
        elements.push(element);
    }
    elements.extend(kept);
}

fn retain_keys(fields: &mut Map<String, Value>, retained: Option<&Value>) {
    if let Some(Value::Array(retained)) = retained {
        fields.retain(|key, _| retained.iter().any(|name| name == key));
    }
}

fn delete_from_set(list: Option<&mut Value>, deleted: &Value) {
    if let (Some(Value::Array(elements)), Some(deleted)) = (list, deleted.as_array()) {
        elements.retain(|element| !deleted.contains(element));
    }
}

/// Elements that the order names come in that order; the others keep theirs, after them.
fn reorder(how: &Elements<'_>, list: Option<&mut Value>, order: &Value) {
    let (Some(Value::Array(elements)), Some(order)) = (list, order.as_array()) else {
        return;
    };
    let place = |element: &Value| {
        let found = order.iter().position(|named| match how {
            Elements::Keyed(keys) => named[keys[0]] == element[keys[0]],
            Elements::Set | Elements::Atomic => named == element,
        });
        found.unwrap_or(order.len())
    };
    elements.sort_by_key(place);
}

/// As Go prints a map of plain values.
fn shown(patch: &Value) -> String {
    let fields = patch.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields: Vec<String> = fields
        .map(|(key, value)| format!("{key}:{}", text(value)))
        .collect();
    format!("map[{}]", fields.join(" "))
}

fn unknown_directive(directive: &str, value: &str) -> Status {
    Status::bad_request(format!(
        "unknown value \"{value}\" of {directive}: expected merge, replace or delete"
    ))
}
