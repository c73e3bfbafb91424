//! Which workloads are refused, and which of their fields may change.
//!
//! The words are those of kube-apiserver. Of a pod template as much is checked as of a pod.

use serde_json::{Map, Value};

use super::Workload;
use crate::object;
use crate::selector::LabelSelector;
use crate::status::{FieldError, FieldRule};
use crate::strategy::{pod, validation};

const UPDATABLE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
    'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const UPDATABLE_FIELDS: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(in crate::strategy) fn validate(workload: Workload, object: &Value) -> Vec<FieldError> {
    let spec = &object["spec"];
    let mut errors = Vec::new();
    for field in [
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    ] {
        errors.extend(not_negative(&format!("spec.{field}"), &spec[field]));
    }
    errors.extend(validate_selector(workload, spec));
    errors.extend(validate_template(workload, &spec["template"]));
    errors.extend(match workload {
        Workload::ReplicaSet => Vec::new(),
        Workload::Deployment => validate_deployment(spec),
        Workload::StatefulSet => validate_stateful_set(spec),
        Workload::DaemonSet => validate_daemon_set(spec),
    });
    errors
}

fn validate_selector(workload: Workload, spec: &Value) -> Vec<FieldError> {
    let selector = &spec["selector"];
    if selector.is_null() {
        return vec![FieldError::required("spec.selector")];
    }
    let mut errors = validation::label_selector("spec.selector", selector);
    let parsed = LabelSelector::from_json(selector);
    if parsed.0.is_empty() {
        let kind = match workload {
            Workload::Deployment | Workload::ReplicaSet => "deployment",
            Workload::StatefulSet => "statefulset",
            Workload::DaemonSet => "daemonset",
        };
        let expected = format!("empty selector is invalid for {kind}");
        errors.push(invalid("spec.selector", selector, expected));
    } else if !parsed.matches(&spec["template"]) {
        errors.push(invalid(
            "spec.template.metadata.labels",
            &spec["template"]["metadata"]["labels"],
            "`selector` does not match template `labels`",
        ));
    }
    errors
}

fn validate_template(workload: Workload, template: &Value) -> Vec<FieldError> {
    let spec = &template["spec"];
    let mut errors = validation::labels("spec.template.labels", &template["metadata"]["labels"]);
    errors.extend(pod::validate_spec("spec.template.spec", spec));
    if spec["restartPolicy"] != "Always" {
        let rule = FieldRule::Unsupported {
            value: spec["restartPolicy"].clone(),
            supported: vec!["Always".to_owned()],
        };
        errors.push(FieldError::new("spec.template.spec.restartPolicy", rule));
    }
    if !spec["activeDeadlineSeconds"].is_null() {
        let why = match workload {
            Workload::Deployment | Workload::ReplicaSet => {
                "activeDeadlineSeconds in ReplicaSet is not Supported"
            }
            Workload::StatefulSet => "activeDeadlineSeconds in StatefulSet is not Supported",
            Workload::DaemonSet => "activeDeadlineSeconds in DaemonSet is not Supported",
        };
        let rule = FieldRule::Forbidden { why };
        errors.push(FieldError::new("spec.template.spec.activeDeadlineSeconds", rule));
    }
    errors
}

fn validate_deployment(spec: &Value) -> Vec<FieldError> {
    let strategy = &spec["strategy"];
    let rolling = &strategy["rollingUpdate"];
    let mut errors = match object::text(strategy, "/type") {
        "RollingUpdate" => {
            let field = "spec.strategy.rollingUpdate";
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            let mut errors = amount(&format!("{field}.maxUnavailable"), unavailable);
            errors.extend(amount(&format!("{field}.maxSurge"), surge));
            if is_zero(unavailable) && is_zero(surge) {
                let expected = "may not be 0 when `maxSurge` is 0";
                errors.push(invalid(format!("{field}.maxUnavailable"), unavailable, expected));
            }
            errors.extend(at_most_all(&format!("{field}.maxUnavailable"), unavailable));
            errors
        }
        "Recreate" if !rolling.is_null() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            vec![FieldError::new(
                "spec.strategy.rollingUpdate",
                FieldRule::Forbidden { why },
            )]
        }
        "Recreate" => Vec::new(),
        _ => vec![unsupported_strategy(
            "spec.strategy",
            strategy,
            &["Recreate", "RollingUpdate"],
        )],
    };
    let seconds = |field: &str| spec[field].as_i64();
    if let Some(deadline) = seconds("progressDeadlineSeconds")
        && deadline <= seconds("minReadySeconds").unwrap_or(0)
    {
        errors.push(invalid(
            "spec.progressDeadlineSeconds",
            &spec["progressDeadlineSeconds"],
            "must be greater than minReadySeconds",
        ));
    }
    errors
}

fn validate_stateful_set(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let policy = object::text(spec, "/podManagementPolicy");
    if !matches!(policy, "OrderedReady" | "Parallel") {
        let expected = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid("spec.podManagementPolicy", policy, expected));
    }
    let strategy = &spec["updateStrategy"];
    let rolling = &strategy["rollingUpdate"];
    match object::text(strategy, "/type") {
        "RollingUpdate" => errors.extend(not_negative(
            "spec.updateStrategy.rollingUpdate.partition",
            &rolling["partition"],
        )),
        "OnDelete" if !rolling.is_null() => errors.push(invalid(
            "spec.updateStrategy.rollingUpdate",
            rolling,
            "only allowed for updateStrategy 'RollingUpdate'",
        )),
        "OnDelete" => {}
        _ => errors.push(invalid(
            "spec.updateStrategy",
            strategy,
            "must be 'RollingUpdate' or 'OnDelete'",
        )),
    }
    errors.extend(not_negative("spec.ordinals.start", &spec["ordinals"]["start"]));
    match object::text(spec, "/serviceName") {
        "" => {}
        name => errors.extend(validation::dns_label("spec.serviceName", name)),
    }
    errors
}

fn validate_daemon_set(spec: &Value) -> Vec<FieldError> {
    let strategy = &spec["updateStrategy"];
    match object::text(strategy, "/type") {
        "OnDelete" => return Vec::new(),
        "RollingUpdate" => {}
        _ => {
            let supported = ["RollingUpdate", "OnDelete"];
            return vec![unsupported_strategy("spec.updateStrategy", strategy, &supported)];
        }
    }
    let rolling = &strategy["rollingUpdate"];
    let mut errors = Vec::new();
    for field in ["maxUnavailable", "maxSurge"] {
        let path = format!("spec.updateStrategy.rollingUpdate.{field}");
        errors.extend(amount(&path, &rolling[field]));
        errors.extend(at_most_all(&path, &rolling[field]));
    }
    match (is_zero(&rolling["maxUnavailable"]), is_zero(&rolling["maxSurge"])) {
        (false, false) => errors.push(invalid(
            "spec.updateStrategy.rollingUpdate.maxSurge",
            &rolling["maxSurge"],
            "may not be set when maxUnavailable is non-zero",
        )),
        (true, true) => errors.push(FieldError::required_because(
            "spec.updateStrategy.rollingUpdate.maxUnavailable",
            "cannot be 0 when maxSurge is 0",
        )),
        _ => {}
    }
    errors
}

pub(in crate::strategy) fn validate_change(
    workload: Workload,
    current: &Value,
    object: &Value,
) -> Vec<FieldError> {
    let (before, after) = (&current["spec"], &object["spec"]);
    if workload == Workload::StatefulSet {
        let fixed = |spec: &Value| {
            let fields = spec.as_object().into_iter().flatten();
            let fixed = fields.filter(|(key, _)| !UPDATABLE_FIELDS.contains(&key.as_str()));
            fixed
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect::<Map<_, _>>()
        };
        return (fixed(before) != fixed(after))
            .then(|| FieldError::new("spec", FieldRule::Forbidden { why: UPDATABLE }))
            .into_iter()
            .collect();
    }
    (before["selector"] != after["selector"])
        .then(|| invalid("spec.selector", &after["selector"], "field is immutable"))
        .into_iter()
        .collect()
}

/// A ControllerRevision holds an object, and keeps it.
pub(in crate::strategy) fn validate_revision(revision: &Value) -> Vec<FieldError> {
    let mut errors = not_negative("revision", &revision["revision"]);
    errors.extend(match &revision["data"] {
        Value::Null => Some(FieldError::required_because("data", "data is mandatory")),
        Value::Object(_) => None,
        _ => Some(FieldError::required_because(
            "data",
            "data must be a valid JSON object",
        )),
    });
    errors
}

pub(in crate::strategy) fn validate_revision_change(current: &Value, revision: &Value) -> Vec<FieldError> {
    (current["data"] != revision["data"])
        .then(|| invalid("data", &revision["data"], "field is immutable"))
        .into_iter()
        .collect()
}

fn invalid(field: impl Into<String>, value: &Value, expected: impl Into<String>) -> FieldError {
    let (value, expected) = (value.clone(), expected.into());
    FieldError::new(field, FieldRule::Limit { value, expected })
}

fn not_negative(field: &str, value: &Value) -> Vec<FieldError> {
    let negative = value.as_i64().is_some_and(|number| number < 0);
    negative
        .then(|| invalid(field, value, "must be greater than or equal to 0"))
        .into_iter()
        .collect()
}

/// A number or a percentage.
fn amount(field: &str, value: &Value) -> Vec<FieldError> {
    match value.as_str() {
        Some(text) if percent(text).is_none() => {
            let expected = "a valid percent string must be a numeric string followed by an ending '%' \
                            (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            vec![invalid(field, value, expected)]
        }
        Some(_) => Vec::new(),
        None => not_negative(field, value),
    }
}

fn at_most_all(field: &str, value: &Value) -> Vec<FieldError> {
    let too_much = value
        .as_str()
        .and_then(percent)
        .is_some_and(|percent| percent > 100);
    too_much
        .then(|| invalid(field, value, "must not be greater than 100%"))
        .into_iter()
        .collect()
}

fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    digits.parse().ok()
}

fn is_zero(value: &Value) -> bool {
    value == 0 || value.as_str().and_then(percent) == Some(0)
}

fn unsupported_strategy(field: &str, strategy: &Value, supported: &[&str]) -> FieldError {
    let rule = FieldRule::Unsupported {
        value: strategy.clone(),
        supported: supported.iter().map(|&name| name.to_owned()).collect(),
    };
    FieldError::new(field, rule)
}
