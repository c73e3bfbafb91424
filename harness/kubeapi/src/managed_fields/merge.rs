//! Writing values: what a client applies over what there is, and taking fields out.

use serde_json::{Map, Value};

use super::field_set::belongs;
use super::walk::{elements, find};
use crate::topology::Topology;

/// `applied` over `live`: maps and lists merge where their type says so, everything else is replaced.
pub(super) fn merge(at: Topology<'_>, live: Option<&Value>, applied: &Value) -> Value {
    match (live, applied) {
        (_, Value::Object(applied)) if !at.is_atomic_map() => {
            let mut merged = live.and_then(Value::as_object).cloned().unwrap_or_default();
            for (key, value) in applied {
                let value = merge(at.field(key), merged.get(key), value);
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Some(Value::Array(live)), Value::Array(applied)) => {
            let lists = (elements(at, "", live), elements(at, "", applied));
            let (Ok(Some(live)), Ok(Some(applied))) = lists else {
                return Value::Array(applied.clone());
            };
            Value::Array(merge_elements(at, &live, &applied))
        }
        _ => applied.clone(),
    }
}

/// The applied elements in their order; each of the others stays behind the one it was behind.
fn merge_elements(at: Topology<'_>, live: &[(String, &Value)], applied: &[(String, &Value)]) -> Vec<Value> {
    let mut merged = Vec::with_capacity(live.len() + applied.len());
    let mut rest = live;
    let mut done: Vec<&str> = Vec::with_capacity(applied.len());
    for (element, value) in applied {
        while let [(next, kept), tail @ ..] = rest {
            if find(applied, next).is_none() {
                merged.push((*kept).clone());
            } else if !done.contains(&next.as_str()) {
                break;
            }
            rest = tail;
        }
        merged.push(merge(at.element(), find(live, element), value));
        done.push(element);
    }
    let kept = rest
        .iter()
        .filter(|(element, _)| find(applied, element).is_none());
    merged.extend(kept.map(|(_, value)| (*value).clone()));
    merged
}

/// Takes the fields of a set out of `value`, with all that is below them, and what is empty then.
pub(super) fn remove(at: Topology<'_>, value: &mut Value, set: &Map<String, Value>) {
    match value {
        Value::Object(fields) if !at.is_atomic_map() => fields.retain(|key, value| {
            let node = set.get(&["f:", key].concat());
            stays(at.field(key), value, node) && (node.is_none() || !is_blank(value))
        }),
        Value::Array(list) => {
            let Ok(Some(elements)) = elements(at, "", list) else {
                return;
            };
            let keys: Vec<String> = elements.into_iter().map(|(key, _)| key).collect();
            let mut keys = keys.iter();
            list.retain_mut(|value| {
                let node = keys.next().and_then(|key| set.get(key));
                stays(at.element(), value, node)
            });
        }
        _ => {}
    }
}

/// Whether a value is not to be removed itself; if so, what is below it may have been.
fn stays(at: Topology<'_>, value: &mut Value, node: Option<&Value>) -> bool {
    let Some(node) = node.and_then(Value::as_object) else {
        return true;
    };
    if belongs(node) {
        return false;
    }
    remove(at, value, node);
    true
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Takes out what is null: whoever applies it says nothing about the field.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let said = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                said.map(|(key, value)| (key.clone(), without_nulls(value)))
                    .collect(),
            )
        }
        Value::Array(list) => Value::Array(list.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}
