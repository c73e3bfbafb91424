//! Budgets, limits, priorities, autoscalers and webhooks. None is enforced or called.

use serde_json::{Map, Value, json};

use super::{elements_mut, required};
use crate::object::default_to;
use crate::status::{FieldError, FieldRule};
use crate::strategy::validation;

/// The largest value is the default one, and the default one is asked for.
pub(super) fn default_limit_range(range: &mut Value) {
    let spec = range.pointer_mut("/spec").and_then(Value::as_object_mut);
    let limits = spec.into_iter().flat_map(|spec| elements_mut(spec, "limits"));
    for limit in limits.filter(|limit| limit.get("type") == Some(&json!("Container"))) {
        for (from, to) in [
            ("max", "default"),
            ("default", "defaultRequest"),
            ("min", "defaultRequest"),
        ] {
            let Some(Value::Object(values)) = limit.get(from).cloned() else {
                continue;
            };
            let target = limit.entry(to).or_insert_with(|| json!({}));
            if let Some(target) = target.as_object_mut() {
                for (name, value) in values {
                    target.entry(name).or_insert(value);
                }
            }
        }
    }
}

pub(super) fn default_priority_class(class: &mut Value) {
    if let Some(fields) = class.as_object_mut() {
        default_to(fields, "preemptionPolicy", "PreemptLowerPriority");
        default_to(fields, "value", 0);
    }
}

/// Without metrics, pods are held to four fifths of the CPU they ask for.
pub(super) fn default_autoscaler(spec: &mut Map<String, Value>) {
    default_to(spec, "minReplicas", 1);
    let metrics = json!([{
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }]);
    default_to(spec, "metrics", metrics);
}

pub(super) fn default_webhooks(configuration: &mut Value) {
    let is_mutating = configuration["kind"] == "MutatingWebhookConfiguration";
    let fields = configuration.as_object_mut().into_iter();
    for webhook in fields.flat_map(|fields| elements_mut(fields, "webhooks")) {
        default_to(webhook, "failurePolicy", "Fail");
        default_to(webhook, "matchPolicy", "Equivalent");
        default_to(webhook, "namespaceSelector", json!({}));
        default_to(webhook, "objectSelector", json!({}));
        default_to(webhook, "timeoutSeconds", 10);
        if is_mutating {
            default_to(webhook, "reinvocationPolicy", "Never");
        }
        for rule in elements_mut(webhook, "rules") {
            default_to(rule, "scope", "*");
        }
        let service = webhook
            .get_mut("clientConfig")
            .and_then(|client| client.get_mut("service"));
        if let Some(service) = service.and_then(Value::as_object_mut) {
            default_to(service, "port", 443);
        }
    }
}

pub(super) fn validate_autoscaler(autoscaler: &Value) -> Vec<FieldError> {
    let spec = &autoscaler["spec"];
    let (least, most) = (&spec["minReplicas"], &spec["maxReplicas"]);
    let most = most.as_i64().unwrap_or_default();
    let limit = |expected: &str| {
        let (value, expected) = (json!(most), expected.to_owned());
        FieldError::new("spec.maxReplicas", FieldRule::Limit { value, expected })
    };
    let mut errors = Vec::new();
    if most < 1 {
        errors.push(limit("must be greater than 0"));
    }
    if least.as_i64().is_some_and(|least| most < least) {
        errors.push(limit("must be greater than or equal to `minReplicas`"));
    }
    errors.extend(required(
        autoscaler,
        &["spec.scaleTargetRef.kind", "spec.scaleTargetRef.name"],
    ));
    errors
}

pub(super) fn validate_disruption_budget(budget: &Value) -> Vec<FieldError> {
    let spec = &budget["spec"];
    let mut errors = validation::label_selector("spec.selector", &spec["selector"]);
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let rule = FieldRule::Limit {
            value: spec.clone(),
            expected: "minAvailable and maxUnavailable cannot be both set".to_owned(),
        };
        errors.push(FieldError::new("spec", rule));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if spec[field].as_i64().is_some_and(|count| count < 0) {
            let value = spec[field].clone();
            let expected = "must be greater than or equal to 0".to_owned();
            errors.push(FieldError::new(
                format!("spec.{field}"),
                FieldRule::Limit { value, expected },
            ));
        }
    }
    errors
}
