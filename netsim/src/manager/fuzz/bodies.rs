//! Bodies that are nearly right, from bodies that are.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// What becomes of one place of a body.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Replace(Value),
    Remove,
    Repeat,
}

pub(super) fn junk() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // As text they are exact, so that they read back.
        any::<i32>().prop_map(|halves| Value::from(f64::from(halves) / 2.0)),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("00000000-0000-4000-8000-000000000000")),
        Just(json!("mpls")),
        Just(json!("1")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,8}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(super) fn change() -> impl Strategy<Value = (Index, Change)> {
    let change = prop_oneof![
        4 => junk().prop_map(Change::Replace),
        1 => Just(Change::Remove),
        1 => Just(Change::Repeat),
    ];
    (any::<Index>(), change)
}

/// The pointers to all places of a body but its root.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    let mut inside = |key: &str, value: &Value| {
        let place = format!("{place}/{key}");
        places(value, &place, found);
        found.push(place);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| inside(key, value)),
        Value::Array(elements) => {
            let numbered = elements.iter().enumerate();
            numbered.for_each(|(index, value)| inside(&index.to_string(), value));
        }
        _ => {}
    }
}

/// A body with one change; one without any place is changed as a whole.
pub(super) fn changed(body: &Value, place: &Index, change: &Change) -> Value {
    let mut all = Vec::new();
    places(body, "", &mut all);
    if all.is_empty() {
        return match change {
            Change::Replace(junk) => junk.clone(),
            Change::Remove => Value::Null,
            Change::Repeat => json!([body, body]),
        };
    }
    let place = place.get(&all);
    let mut body = body.clone();
    let (parent, key) = place.rsplit_once('/').unwrap();
    match (change, body.pointer_mut(parent).unwrap()) {
        (Change::Remove, Value::Object(fields)) => drop(fields.remove(key)),
        (Change::Remove, Value::Array(elements)) => drop(elements.remove(key.parse().unwrap())),
        (Change::Repeat, Value::Array(elements)) => {
            elements.push(elements[key.parse::<usize>().unwrap()].clone());
        }
        (Change::Repeat, Value::Object(fields)) => {
            let value = fields[key].clone();
            fields.insert(format!("{key}2"), value);
        }
        (Change::Replace(junk), _) => *body.pointer_mut(place).unwrap() = junk.clone(),
        (_, parent) => unreachable!("a place is in an object or array, not in {parent}"),
    }
    body
}
