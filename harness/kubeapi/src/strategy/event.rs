//! Rules of Events: old ones, of `v1`, may say little; new ones, of `events.k8s.io/v1`, say when, what and by whom, and
//! only their series goes on.

use serde_json::Value;

use super::validation;
use crate::object::text;
use crate::status::{FieldError, FieldRule};

/// As upstream, of a reason, an action and the name of who reports.
const WORD_BYTES_MAX: usize = 128;
const MESSAGE_BYTES_MAX: usize = 1024;

/// What has no time of its own in a new Event.
const OLD_FIELDS: [&str; 2] = ["firstTimestamp", "lastTimestamp"];

/// The rules of every Event; `controller` is the name of the field of who reports.
pub(super) fn validate(event: &Value, controller: &str) -> Vec<FieldError> {
    let (own, of_object) = (
        text(event, "/metadata/namespace"),
        text(event, "/involvedObject/namespace"),
    );
    let elsewhere = || {
        let expected = "does not match event.namespace";
        FieldError::invalid("involvedObject.namespace", of_object, expected)
    };
    let mut errors = Vec::new();
    if event["eventTime"].is_null() {
        if own != of_object && (own, of_object) != ("default", "") {
            errors.push(elsewhere());
        }
        return errors;
    }
    if of_object.is_empty() && own != "default" && own != "kube-system" {
        errors.push(elsewhere());
    }
    let reporter = text(event, "/reportingComponent");
    if reporter.is_empty() {
        errors.push(FieldError::required(controller));
    }
    errors.extend(validation::qualified_name(controller, reporter));
    for field in ["reportingInstance", "action", "reason"] {
        let word = event[field].as_str().unwrap_or_default();
        if word.is_empty() {
            errors.push(FieldError::required(field));
        }
        errors.extend(too_long(field, word, WORD_BYTES_MAX));
    }
    errors.extend(too_long("message", text(event, "/message"), MESSAGE_BYTES_MAX));
    errors
}

fn too_long(field: &str, found: &str, bytes_max: usize) -> Option<FieldError> {
    let expected = format!("can have at most {bytes_max} characters");
    (found.len() > bytes_max).then(|| FieldError::invalid(field, "", expected))
}

/// What a new Event is held to beyond that.
pub(super) fn validate_new(event: &Value) -> Vec<FieldError> {
    let mut errors = validate_series(event);
    if event["eventTime"].is_null() {
        errors.push(FieldError::required("eventTime"));
    }
    let kind = text(event, "/type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(
            "type",
            "",
            format!("has invalid value: {kind}"),
        ));
    }
    let unset = |field: &str| FieldError::invalid(field, "", "needs to be unset");
    let given = OLD_FIELDS.iter().filter(|field| !event[**field].is_null());
    errors.extend(given.map(|field| unset(field)));
    if event["count"].as_i64().is_some_and(|count| count != 0) {
        errors.push(unset("count"));
    }
    if ["component", "host"]
        .iter()
        .any(|part| !event["source"][part].is_null())
    {
        errors.push(unset("source"));
    }
    errors
}

fn validate_series(event: &Value) -> Vec<FieldError> {
    let Some(series) = event["series"].as_object() else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    if series
        .get("count")
        .and_then(Value::as_i64)
        .is_none_or(|count| count < 2)
    {
        errors.push(FieldError::invalid("series.count", "", "should be at least 2"));
    }
    if series.get("lastObservedTime").is_none_or(Value::is_null) {
        errors.push(FieldError::required("series.lastObservedTime"));
    }
    errors
}

/// Of a new Event, nothing but the series changes.
pub(super) fn validate_new_change(current: &Value, event: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if current.get("series") != event.get("series") {
        errors.extend(validate_series(event));
    }
    for (field, told) in [
        ("involvedObject", "involvedObject"),
        ("reason", "reason"),
        ("message", "message"),
        ("source", "source"),
        ("firstTimestamp", "firstTimestamp"),
        ("lastTimestamp", "lastTimestamp"),
        ("count", "count"),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingComponent", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ] {
        if current.get(field) != event.get(field) {
            let expected = "field is immutable".to_owned();
            let value = event[field].clone();
            errors.push(FieldError::new(told, FieldRule::Limit { value, expected }));
        }
    }
    errors
}
