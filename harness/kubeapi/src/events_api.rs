//! The two faces of an Event: `v1` (what is stored, what `kubectl describe` reads) and `events.k8s.io/v1`
//! (what recorders write).
//!
//! Owns the renaming between them, which loses nothing: every field of one has exactly one place in the other.

use serde_json::{Map, Value, json};

use crate::types;

/// (name in `v1`, name in `events.k8s.io/v1`)
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// A stored core Event as `events.k8s.io/v1` serves it.
pub(crate) fn from_core(core: &Value) -> Value {
    let mut event = core.clone();
    if let Value::Object(fields) = &mut event {
        for (core_name, new_name) in RENAMED {
            rename(fields, core_name, new_name);
        }
        fields.insert("apiVersion".to_owned(), json!("events.k8s.io/v1"));
    }
    if let Some(shape) = types::of_kind("events.k8s.io", "v1", "Event") {
        types::write_as(shape, &mut event);
    }
    event
}

/// An `events.k8s.io/v1` Event as it is stored.
pub(crate) fn to_core(event: Value) -> Value {
    let mut core = event;
    if let Value::Object(fields) = &mut core {
        for (core_name, new_name) in RENAMED {
            rename(fields, new_name, core_name);
        }
        fields.insert("apiVersion".to_owned(), json!("v1"));
    }
    core
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_the_way_there_and_back() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "type": "Normal", "reason": "Started",
            "involvedObject": {"kind": "Pod"}, "message": "m", "source": {"component": "kubelet"}, "count": 2,
            "firstTimestamp": "a", "lastTimestamp": "b", "reportingComponent": "c", "reportingInstance": "i",
            "series": {"count": 3, "lastObservedTime": "l"}, "eventTime": "t",
        });
        let event = from_core(&core);
        assert_eq!(
            (&event["note"], &event["regarding"]["kind"]),
            (&json!("m"), &json!("Pod"))
        );
        assert_eq!(event.get("message"), None);
        assert_eq!(to_core(event), core);
    }
}
