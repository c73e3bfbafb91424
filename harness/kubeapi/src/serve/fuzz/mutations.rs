//! Changes to JSON, and values that few expect.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// Any of the words.
pub(super) fn words(text: &'static str) -> impl Strategy<Value = &'static str> {
    select(text.split_whitespace().collect::<Vec<_>>())
}

/// A change to a JSON value, at one of its places.
#[derive(Debug, Clone)]
pub(super) enum Mutation {
    Set(Index, Value),
    Add(Index, String, Value),
    Remove(Index),
    Copy(Index, Index),
    Rename(Index, String),
}

pub(super) fn any_mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), odd_value()).prop_map(|(at, value)| Mutation::Set(at, value)),
        3 => (any::<Index>(), odd_key(), odd_value()).prop_map(|(at, key, value)| Mutation::Add(at, key, value)),
        2 => any::<Index>().prop_map(Mutation::Remove),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Copy(from, to)),
        1 => (any::<Index>(), odd_key()).prop_map(|(at, key)| Mutation::Rename(at, key)),
    ]
}

impl Mutation {
    pub(super) fn change(&self, value: &mut Value) {
        let places = pointers(value);
        let at = |index: &Index| index.get(&places).as_str();
        match self {
            Mutation::Set(place, new) => set(value, at(place), new.clone()),
            Mutation::Add(place, key, new) => match value.pointer_mut(at(place)) {
                Some(Value::Object(fields)) => drop(fields.insert(key.clone(), new.clone())),
                Some(Value::Array(elements)) => elements.push(new.clone()),
                _ => {}
            },
            Mutation::Remove(place) => drop(take(value, at(place))),
            Mutation::Copy(from, to) => {
                let copied = value.pointer(at(from)).cloned().unwrap_or_default();
                set(value, at(to), copied);
            }
            Mutation::Rename(place, key) => {
                let (parent, _) = at(place).rsplit_once('/').unwrap_or_default();
                if let Some(taken) = take(value, at(place))
                    && let Some(Value::Object(fields)) = value.pointer_mut(parent)
                {
                    fields.insert(key.clone(), taken);
                }
            }
        }
    }
}

fn set(value: &mut Value, at: &str, new: Value) {
    if let Some(place) = value.pointer_mut(at) {
        *place = new;
    }
}

fn take(value: &mut Value, at: &str) -> Option<Value> {
    let (parent, key) = at.rsplit_once('/')?;
    match value.pointer_mut(parent)? {
        Value::Object(fields) => fields.remove(&key.replace("~1", "/").replace("~0", "~")),
        Value::Array(elements) => Some(elements.remove(key.parse().ok()?)),
        _ => None,
    }
}

/// Every place in a value, as JSON pointers; the first is the whole.
pub(super) fn pointers(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    walk(
                        value,
                        &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                        found,
                    );
                }
            }
            Value::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    walk(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

/// Keys that mean something somewhere, or nothing anywhere.
fn odd_key() -> impl Strategy<Value = String> {
    let known = words(
        "metadata name namespace generateName uid resourceVersion generation labels annotations finalizers \
         ownerReferences deletionTimestamp deletionGracePeriodSeconds managedFields creationTimestamp apiVersion kind \
         spec status replicas selector template strategy type clusterIP clusterIPs ports nodePort paused items \
         conditions $patch $retainKeys $setElementOrder/ports $deleteFromPrimitiveList/finalizers é a/b ~ x.y",
    );
    prop_oneof![8 => known.prop_map(str::to_owned), 1 => ".{0,12}"]
}

/// Values that few expect.
pub(super) fn odd_value() -> impl Strategy<Value = Value> {
    let texts = words(
        "as bs default web 0 1 -1 18446744073709551616 10.96.0.1 10.96.0.300 fd00:96::1 None ClusterIP NodePort \
         ExternalName LoadBalancer RequireDualStack IPv6 Recreate RollingUpdate OnDelete 50% -1% 99999999999999999999% \
         1Gi 9e99Gi delete replace merge true 2026-01-01T00:00:00Z 9999-12-31T23:59:60Z foregroundDeletion orphan \
         Foreground ( a.*\\ self.x>1&& {.a[*]} .spec..replicas é\u{0}\u{7f} example.com/hold v1 apps/v1 Deployment \
         cluster-admin *",
    );
    let numbers = [i64::MAX, i64::MIN, i64::from(i32::MAX), 0, 1, -1, 3];
    let leaf = prop_oneof![
        8 => texts.prop_map(|text| json!(text)),
        2 => select(numbers.to_vec()).prop_map(|number| json!(number)),
        1 => select(vec![json!(u64::MAX), json!(1.5), json!(1e300), json!(true), json!(false), json!("")]),
        2 => Just(Value::Null),
        1 => Just(json!("x".repeat(300))),
        1 => ".{0,20}".prop_map(|text| json!(text)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => Just(json!({"uid": "u", "apiVersion": "v1", "kind": "Pod", "name": "as", "controller": true})),
        1 => Just(nested(100)),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|elements| json!(elements)),
            prop::collection::btree_map(odd_key(), inner, 0..3).prop_map(|fields| json!(fields)),
        ]
    })
}

/// As deep as JSON is read, about.
fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| json!([inner]))
}
