//! Rules of the kinds that are kept and do nothing: what clients read back, and what would be refused upstream.
//!
//! # Limits
//! Of each kind as much is checked as is most often wrong: what is required, and which values are known.

mod batch;
mod network;
mod policy;
mod storage;

use serde_json::{Map, Value, json};

use super::validation;
use crate::object;
use crate::status::{FieldError, FieldRule, Status};

/// A kind without a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Autoscaler,
    Claim,
    CronJob,
    DisruptionBudget,
    Endpoints,
    Ingress,
    IngressClass,
    Job,
    LimitRange,
    NetworkPolicy,
    PriorityClass,
    Quota,
    RuntimeClass,
    StorageClass,
    Volume,
    Webhooks,
}

/// Fills in what the client left open, and the status that a new object has.
pub(super) fn default_new(kept: Kept, object: &mut Value) -> Result<(), Status> {
    default_fields(kept, object)?;
    if kept == Kept::Job {
        batch::select_own_pods(object)?;
    }
    let status = match kept {
        Kept::Autoscaler => json!({"desiredReplicas": 0, "currentMetrics": null}),
        Kept::Claim | Kept::Volume => json!({"phase": "Pending"}),
        Kept::CronJob | Kept::Job | Kept::Quota => json!({}),
        Kept::DisruptionBudget => {
            json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0})
        }
        Kept::Ingress => json!({"loadBalancer": {}}),
        _ => return Ok(()),
    };
    if let Some(fields) = object.as_object_mut() {
        fields.insert("status".to_owned(), status);
    }
    Ok(())
}

/// Carries over what belongs to the object for good, and fills in what the client left open.
pub(super) fn default_replacement(kept: Kept, current: &Value, object: &mut Value) -> Result<(), Status> {
    if kept == Kept::Job {
        batch::keep_selector(current, object)?;
    }
    default_fields(kept, object)
}

fn default_fields(kept: Kept, object: &mut Value) -> Result<(), Status> {
    match kept {
        Kept::Autoscaler => policy::default_autoscaler(object::map_mut(object, "spec")?),
        Kept::Claim => storage::default_claim(object::map_mut(object, "spec")?),
        Kept::CronJob => batch::default_cron_job(object)?,
        Kept::IngressClass => network::default_ingress_class(object),
        Kept::Job => batch::default_job(object::map_mut(object, "spec")?)?,
        Kept::LimitRange => policy::default_limit_range(object),
        Kept::NetworkPolicy => network::default_network_policy(object::map_mut(object, "spec")?),
        Kept::PriorityClass => policy::default_priority_class(object),
        Kept::StorageClass => storage::default_class(object),
        Kept::Volume => storage::default_volume(object::map_mut(object, "spec")?),
        Kept::Webhooks => policy::default_webhooks(object),
        Kept::Endpoints => network::default_endpoints(object),
        Kept::DisruptionBudget | Kept::Ingress | Kept::Quota | Kept::RuntimeClass => {}
    }
    Ok(())
}

/// The rules the object breaks.
pub(super) fn validate(kept: Kept, object: &Value) -> Vec<FieldError> {
    match kept {
        Kept::Autoscaler => policy::validate_autoscaler(object),
        Kept::Claim => storage::validate_claim(object),
        Kept::CronJob => batch::validate_cron_job(object),
        Kept::DisruptionBudget => policy::validate_disruption_budget(object),
        Kept::Endpoints => network::validate_endpoints(object),
        Kept::Ingress => network::validate_ingress(object),
        Kept::IngressClass => required(object, &["spec.controller"]),
        Kept::Job => batch::validate_job("spec", &object["spec"]),
        Kept::NetworkPolicy => network::validate_network_policy(object),
        Kept::RuntimeClass => validation::dns_label("handler", object::text(object, "/handler")),
        Kept::StorageClass => required(object, &["provisioner"]),
        Kept::Volume => storage::validate_volume(object),
        Kept::LimitRange | Kept::PriorityClass | Kept::Quota | Kept::Webhooks => Vec::new(),
    }
}

/// The rules the step from one state to the next breaks.
pub(super) fn validate_change(kept: Kept, current: &Value, object: &Value) -> Vec<FieldError> {
    let fixed: &[&str] = match kept {
        Kept::IngressClass => &["spec.controller"],
        Kept::Job => &["spec.completionMode", "spec.selector", "spec.template"],
        Kept::PriorityClass => &["value", "preemptionPolicy"],
        Kept::RuntimeClass => &["handler"],
        Kept::StorageClass => &["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"],
        _ => &[],
    };
    let changed = fixed.iter().filter(|path| at(current, path) != at(object, path));
    changed
        .map(|path| {
            let value = at(object, path).clone();
            let expected = "field is immutable".to_owned();
            FieldError::new(*path, FieldRule::Limit { value, expected })
        })
        .collect()
}

/// The fields, by path, that the object leaves out.
fn required(object: &Value, paths: &[&str]) -> Vec<FieldError> {
    let missing = paths.iter().filter(|path| match at(object, path) {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    });
    missing.map(|path| FieldError::required(*path)).collect()
}

fn at<'v>(object: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(object, |value, step| &value[step])
}

/// The objects in a list of the object.
fn elements_mut<'v>(
    owner: &'v mut Map<String, Value>,
    field: &str,
) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    let list = owner.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests;
