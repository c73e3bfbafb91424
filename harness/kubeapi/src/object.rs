//! Reading and writing the metadata of an object held as JSON.
//!
//! Owns the few accessors every other module needs, so that `value["metadata"]["name"]` is spelled once. Does
//! not know kinds.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::status::Status;

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

pub(crate) fn resource_version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}

/// The revision that stored this state of the object; `None` for what was never stored.
pub(crate) fn revision(object: &Value) -> Option<u64> {
    resource_version(object).parse().ok()
}

/// The string at a JSON pointer, or the empty string.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The whole number at a JSON pointer, or zero.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The time at a JSON pointer.
pub(crate) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// The elements of the array at a JSON pointer, or none.
pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The entries of the object at a JSON pointer, or none.
pub(crate) fn entries<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.as_str(), v))
}

pub(crate) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

pub(crate) fn is_terminating(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|stamp| !stamp.is_null())
}

pub(crate) fn has_finalizers(object: &Value) -> bool {
    !items(object, "/metadata/finalizers").is_empty() || !items(object, "/spec/finalizers").is_empty()
}

/// The owner that manages the object.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    let owners = items(object, "/metadata/ownerReferences");
    owners.iter().find(|owner| owner["controller"] == true)
}

/// Whether `owner` manages the object.
pub(crate) fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|controller| controller["uid"] == owner["metadata"]["uid"])
}

/// The reference that makes `owner` the manager of an object.
pub(crate) fn controller_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

/// The condition `kind` of the object's status.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = items(object, "/status/conditions");
    conditions.iter().find(|condition| condition["type"] == kind)
}

pub(crate) fn condition_is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// The addresses of a pod, first the primary one.
pub(crate) fn pod_ips(pod: &Value) -> impl Iterator<Item = IpAddr> {
    items(pod, "/status/podIPs")
        .iter()
        .filter_map(|entry| entry["ip"].as_str()?.parse().ok())
}

/// The metadata of the object, made if it is missing.
pub(crate) fn metadata_mut(object: &mut Value) -> Result<&mut Map<String, Value>, Status> {
    map_mut(object, "metadata")
}

/// The object under `key`, made if it is missing or null.
pub(crate) fn map_mut<'a>(object: &'a mut Value, key: &str) -> Result<&'a mut Map<String, Value>, Status> {
    let Value::Object(fields) = object else {
        return Err(Status::bad_request(format!(
            "expected a JSON object with a field \"{key}\""
        )));
    };
    let entry = fields.entry(key).or_insert(Value::Null);
    if entry.is_null() {
        *entry = json!({});
    }
    match entry {
        Value::Object(map) => Ok(map),
        other => Err(Status::bad_request(format!(
            "field \"{key}\": expected an object, found {other}"
        ))),
    }
}

/// Sets `fields[key]` unless it has a value that says something.
pub(crate) fn default_to(fields: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let entry = fields.entry(key).or_insert(Value::Null);
    if entry.is_null() || entry == "" {
        *entry = value.into();
    }
}

/// Removes every null field, however deep.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Sets the condition `kind`, keeping its transition time while the status stays the same.
pub(crate) fn set_condition(status: &mut Map<String, Value>, condition: Value) {
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Value::Array(conditions) = conditions else {
        return;
    };
    let mut condition = condition;
    let same_type = conditions
        .iter()
        .position(|existing| existing["type"] == condition["type"]);
    let unchanged_since = same_type
        .map(|at| &conditions[at])
        .filter(|existing| existing["status"] == condition["status"])
        .map(|existing| existing["lastTransitionTime"].clone());
    condition["lastTransitionTime"] = unchanged_since.unwrap_or_else(|| json!(now()));
    match same_type {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// Takes the condition `kind` away, and the list with its last one.
pub(crate) fn remove_condition(status: &mut Map<String, Value>, kind: &str) {
    if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
        conditions.retain(|condition| condition["type"] != kind);
        if conditions.is_empty() {
            status.remove("conditions");
        }
    }
}

/// The current time as `metav1.Time`: RFC 3339 with whole seconds.
pub(crate) fn now() -> String {
    whole_seconds(Timestamp::now())
}

pub(crate) fn whole_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The characters Kubernetes draws generated suffixes from: no vowels, nothing that looks like another.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The 64-bit FNV-1a hash: the same in every run.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The text in the suffix alphabet, one character for each.
pub(crate) fn safe_text(text: &str) -> String {
    let safe = |byte: u8| char::from(SUFFIX_ALPHABET[usize::from(byte) % SUFFIX_ALPHABET.len()]);
    text.bytes().map(safe).collect()
}

/// Five characters from the suffix alphabet, chosen by the digits of `seed`.
pub(crate) fn suffix(seed: u64) -> String {
    let base = SUFFIX_ALPHABET.len() as u64;
    (0..5u32)
        .scan(seed, |rest, _| {
            let digit = (*rest % base) as usize;
            *rest /= base;
            Some(char::from(SUFFIX_ALPHABET[digit]))
        })
        .collect()
}
