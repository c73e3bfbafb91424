//! Events of both APIs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::age;
use super::{Column, NAME};
use crate::object::text;

pub(super) const CORE_EVENT: &[Column] = &[
    Column::new("Last Seen", |event| json!(last_seen(event, "/lastTimestamp"))),
    Column::new("Type", |event| json!(text(event, "/type"))),
    Column::new("Reason", |event| json!(text(event, "/reason"))),
    Column::new("Object", |event| json!(about(event, "/involvedObject"))),
    Column::new("Subobject", |event| {
        json!(text(event, "/involvedObject/fieldPath"))
    })
    .wide(),
    Column::new("Source", |event| {
        let reporter = text(event, "/reportingComponent");
        let component = text(event, "/source/component");
        let name = if component.is_empty() { reporter } else { component };
        let host = text(event, "/source/host");
        json!(if host.is_empty() {
            name.to_owned()
        } else {
            format!("{name}, {host}")
        })
    })
    .wide(),
    Column::new("Message", |event| json!(text(event, "/message").trim())),
    Column::new("First Seen", |event| json!(first_seen(event, "/firstTimestamp"))).wide(),
    Column::number("Count", |event| json!(times(event, "/count"))).wide(),
    Column { priority: 1, ..NAME },
];

pub(super) const EVENTS_API: &[Column] = &[
    Column::new("Last Seen", |event| {
        json!(last_seen(event, "/deprecatedLastTimestamp"))
    }),
    Column::new("Type", |event| json!(text(event, "/type"))),
    Column::new("Reason", |event| json!(text(event, "/reason"))),
    Column::new("Object", |event| json!(about(event, "/regarding"))),
    Column::new("Message", |event| json!(text(event, "/note").trim())),
    Column::new("First Seen", |event| {
        json!(first_seen(event, "/deprecatedFirstTimestamp"))
    })
    .wide(),
    Column::number("Count", |event| json!(times(event, "/deprecatedCount"))).wide(),
    Column { priority: 1, ..NAME },
];

fn about(event: &Value, pointer: &str) -> String {
    let kind = text(event, &format!("{pointer}/kind")).to_lowercase();
    let name = text(event, &format!("{pointer}/name"));
    if name.is_empty() {
        kind
    } else {
        format!("{kind}/{name}")
    }
}

fn first_seen(event: &Value, pointer: &str) -> String {
    let own = text(event, pointer);
    let stamp = if own.is_empty() {
        text(event, "/eventTime")
    } else {
        own
    };
    age::since(stamp, Timestamp::now())
}

fn last_seen(event: &Value, pointer: &str) -> String {
    let candidates = [
        text(event, "/series/lastObservedTime"),
        text(event, pointer),
        text(event, "/eventTime"),
    ];
    let stamp = candidates
        .into_iter()
        .find(|stamp| !stamp.is_empty())
        .unwrap_or_default();
    age::since(stamp, Timestamp::now())
}

fn times(event: &Value, pointer: &str) -> i64 {
    let count = |pointer: &str| event.pointer(pointer).and_then(Value::as_i64);
    count("/series/count").or_else(|| count(pointer)).unwrap_or(1)
}
