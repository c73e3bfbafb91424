//! Budgets, limits, priorities, autoscalers and webhooks.

use serde_json::{Value, json};

use super::{AGE, Column, NAME};
use crate::object::{self, items, text};

pub(super) const DISRUPTION_BUDGET: &[Column] = &[
    NAME,
    Column::new("Min Available", |budget| {
        shown(&budget["spec"]["minAvailable"], "N/A")
    }),
    Column::new("Max Unavailable", |budget| {
        shown(&budget["spec"]["maxUnavailable"], "N/A")
    }),
    Column::number("Allowed Disruptions", |budget| {
        json!(
            budget["status"]["disruptionsAllowed"]
                .as_i64()
                .unwrap_or_default()
        )
    }),
    AGE,
];

pub(super) const LIMIT_RANGE: &[Column] = &[
    NAME,
    Column::new("Created At", |range| {
        json!(text(range, "/metadata/creationTimestamp"))
    }),
];

pub(super) const QUOTA: &[Column] = &[
    NAME,
    Column::new("Request", |quota| {
        json!(usage(quota, |name| !name.starts_with("limits.")))
    }),
    Column::new("Limit", |quota| {
        json!(usage(quota, |name| name.starts_with("limits.")))
    }),
    AGE,
];

fn usage(quota: &Value, counts: fn(&str) -> bool) -> String {
    let hard = object::entries(quota, "/status/hard").filter(|(name, _)| counts(name));
    let shown = hard.map(|(name, hard)| {
        let used = quota["status"]["used"][name].as_str().unwrap_or("0");
        format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
    });
    shown.collect::<Vec<_>>().join(", ")
}

pub(super) const PRIORITY_CLASS: &[Column] = &[
    NAME,
    Column::number("Value", |class| class["value"].clone()),
    Column::flag("Global-Default", |class| json!(class["globalDefault"] == true)),
    AGE,
    Column::new("PreemptionPolicy", |class| {
        json!(text(class, "/preemptionPolicy"))
    }),
];

pub(super) const RUNTIME_CLASS: &[Column] = &[
    NAME,
    Column::new("Handler", |class| json!(text(class, "/handler"))),
    AGE,
];

pub(super) const WEBHOOKS: &[Column] = &[
    NAME,
    Column::number("Webhooks", |configuration| {
        json!(items(configuration, "/webhooks").len())
    }),
    AGE,
];

pub(super) const AUTOSCALER: &[Column] = &[
    NAME,
    Column::new("Reference", |autoscaler| {
        let target = &autoscaler["spec"]["scaleTargetRef"];
        json!(format!("{}/{}", text(target, "/kind"), text(target, "/name")))
    }),
    Column::new("Targets", |autoscaler| {
        let metrics: Vec<String> = items(autoscaler, "/spec/metrics").iter().map(target).collect();
        json!(match metrics.len() {
            0 => "<none>".to_owned(),
            1 | 2 => metrics.join(", "),
            all => format!("{} + {} more...", metrics[..2].join(", "), all - 2),
        })
    }),
    Column::new("MinPods", |autoscaler| {
        shown(&autoscaler["spec"]["minReplicas"], "<unset>")
    }),
    Column::new("MaxPods", |autoscaler| autoscaler["spec"]["maxReplicas"].clone()),
    Column::new("Replicas", |autoscaler| {
        json!(
            autoscaler["status"]["currentReplicas"]
                .as_i64()
                .unwrap_or_default()
        )
    }),
    AGE,
];

/// What a metric is to be. What it is, nobody measures.
fn target(metric: &Value) -> String {
    let kind = text(metric, "/type");
    let mut field = kind.to_owned();
    if let Some(first) = field.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let metric = &metric[field];
    let target = &metric["target"];
    let wanted = match target["averageUtilization"].as_i64() {
        Some(percent) => format!("{percent}%"),
        None => target["averageValue"]
            .as_str()
            .or(target["value"].as_str())
            .unwrap_or_default()
            .to_owned(),
    };
    match kind {
        "Resource" | "ContainerResource" => format!("{}: <unknown>/{wanted}", text(metric, "/name")),
        _ => format!("<unknown>/{wanted}"),
    }
}

fn shown(value: &Value, absent: &str) -> Value {
    match value {
        Value::Null => json!(absent),
        Value::String(text) => json!(text),
        other => json!(other.to_string()),
    }
}
