//! The form that upstream's encoder gives an object.
//!
//! Invariant: a field that is zero and means the same when it is not there is not there, one that is always written is
//! there, and what is in this form already stays as it is.

use serde_json::Value;

use super::facts::Presence;
use super::shape::{Shape, Struct};

/// Brings a value of a shape into the form in which it is written.
pub(crate) fn write_as(shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Struct(id), value @ Value::Object(_)) => write_fields(id.get(), value),
        (Shape::List(inner), Value::Array(elements)) if has_fields(inner) => {
            elements.iter_mut().for_each(|element| write_as(inner, element));
        }
        (Shape::Map(inner), Value::Object(entries)) if has_fields(inner) => {
            entries.values_mut().for_each(|entry| write_as(inner, entry));
        }
        _ => {}
    }
}

fn write_fields(owner: &Struct, value: &mut Value) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    object.retain(
        |name, value| match owner.fields.get(name).map(|field| field.presence) {
            Some(Presence::UnlessZero) => !is_zero(value),
            Some(Presence::WhenSet) => !value.is_null(),
            Some(Presence::OrNull) if value.as_array().is_some_and(Vec::is_empty) => false,
            Some(Presence::OrNull | Presence::OrZero) | None => true,
        },
    );
    for (name, zero) in &owner.always {
        let value = object.entry(name).or_insert(Value::Null);
        if value.is_null() {
            value.clone_from(zero);
        }
    }
    for (name, value) in object.iter_mut() {
        if let Some(field) = owner.fields.get(name) {
            write_as(&field.shape, value);
        }
    }
}

fn has_fields(shape: &Shape) -> bool {
    match shape {
        Shape::Struct(_) => true,
        Shape::List(inner) | Shape::Map(inner) => has_fields(inner),
        _ => false,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::of_kind;

    fn written(kind: &str, mut object: Value) -> Value {
        let (group, kind) = kind.rsplit_once('/').unwrap_or(("", kind));
        let shape = of_kind(group, "v1", kind).expect("a kind with a type");
        write_as(shape, &mut object);
        let once = object.clone();
        write_as(shape, &mut object);
        assert_eq!(object, once, "what is written is written so again");
        object
    }

    #[test]
    fn zeros_are_not_written_unless_they_say_something() {
        let pod = json!({
            "metadata": {"name": "p", "generateName": "", "labels": {}, "finalizers": []},
            "spec": {
                "nodeName": "", "hostNetwork": false, "automountServiceAccountToken": false, "nodeSelector": {},
                "terminationGracePeriodSeconds": 0, "volumes": [{"name": "v", "hostPath": {"path": "/x", "type": ""}}],
                "containers": [{"name": "c", "env": [{"name": "E", "value": ""}], "resources": {}, "ports": []}],
            },
            "status": {},
        });
        let expected = json!({
            "metadata": {"name": "p"},
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": "v", "hostPath": {"path": "/x", "type": ""}}],
                "containers": [{"name": "c", "env": [{"name": "E"}], "resources": {}}],
            },
            "status": {},
        });
        assert_eq!(written("Pod", pod), expected);
    }

    #[test]
    fn what_is_always_written_is_zero_or_null() {
        let event = written("Event", json!({"metadata": {}, "reason": ""}));
        let expected = json!({
            "metadata": {}, "involvedObject": {}, "source": {}, "firstTimestamp": null, "lastTimestamp": null,
            "eventTime": null, "reportingComponent": "", "reportingInstance": "",
        });
        assert_eq!(event, expected);
        let role = json!({"metadata": {}, "rules": []});
        assert_eq!(
            written("rbac.authorization.k8s.io/ClusterRole", role),
            json!({"metadata": {}, "rules": null})
        );
        let spec = &written("apps/Deployment", json!({"metadata": {}}))["spec"];
        assert_eq!(spec["selector"], Value::Null);
        assert_eq!(
            spec["template"],
            json!({"metadata": {}, "spec": {"containers": null}})
        );
    }
}
