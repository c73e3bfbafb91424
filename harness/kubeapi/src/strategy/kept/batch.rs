//! Jobs and CronJobs. None is run.

use serde_json::{Map, Value, json};

use crate::object::{self, default_to, map_mut};
use crate::status::{FieldError, Status};
use crate::strategy::pod;

pub(super) fn default_job(spec: &mut Map<String, Value>) -> Result<(), Status> {
    if [spec.get("completions"), spec.get("parallelism")]
        .iter()
        .all(Option::is_none)
    {
        default_to(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    default_to(spec, "backoffLimit", 6);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "manualSelector", false);
    default_to(spec, "suspend", false);
    default_to(spec, "podReplacementPolicy", "TerminatingOrFailed");
    default_template(spec)
}

pub(super) fn default_cron_job(job: &mut Value) -> Result<(), Status> {
    let spec = map_mut(job, "spec")?;
    default_to(spec, "concurrencyPolicy", "Allow");
    default_to(spec, "suspend", false);
    default_to(spec, "successfulJobsHistoryLimit", 3);
    default_to(spec, "failedJobsHistoryLimit", 1);
    let template = spec.entry("jobTemplate").or_insert_with(|| json!({}));
    map_mut(template, "metadata")?;
    default_template(map_mut(template, "spec")?)
}

/// Pods of a Job say themselves whether they are started again.
fn default_template(spec: &mut Map<String, Value>) -> Result<(), Status> {
    let template = spec.entry("template").or_insert_with(|| json!({}));
    map_mut(template, "metadata")?;
    let spec = map_mut(template, "spec")?;
    let restart = spec.get("restartPolicy").cloned();
    pod::default_template_spec(spec);
    if restart.is_none() {
        spec.remove("restartPolicy");
    }
    Ok(())
}

/// A new Job selects pods by its own identity, unless its client says which.
pub(super) fn select_own_pods(job: &mut Value) -> Result<(), Status> {
    if job["spec"]["manualSelector"] == true {
        return Ok(());
    }
    let (name, uid) = (object::name(job).to_owned(), object::uid(job).to_owned());
    let own = [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ];
    let spec = map_mut(job, "spec")?;
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    spec.insert("selector".to_owned(), selector);
    add_labels(spec.entry("template").or_insert_with(|| json!({})), &own)?;
    add_labels(job, &own)
}

fn add_labels(owner: &mut Value, own: &[(&str, &String)]) -> Result<(), Status> {
    let metadata = object::metadata_mut(owner)?;
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        for &(key, value) in own {
            labels.entry(key).or_insert_with(|| json!(value));
        }
    }
    Ok(())
}

/// A client that replaces the Job it once created does not know what was selected for it.
pub(super) fn keep_selector(current: &Value, job: &mut Value) -> Result<(), Status> {
    let spec = map_mut(job, "spec")?;
    default_to(spec, "selector", current["spec"]["selector"].clone());
    Ok(())
}

pub(super) fn validate_cron_job(job: &Value) -> Vec<FieldError> {
    let mut errors = super::required(job, &["spec.schedule"]);
    errors.extend(validate_job(
        "spec.jobTemplate.spec",
        &job["spec"]["jobTemplate"]["spec"],
    ));
    errors
}

pub(super) fn validate_job(path: &str, spec: &Value) -> Vec<FieldError> {
    let path = format!("{path}.template.spec");
    let pod = &spec["template"]["spec"];
    let mut errors = pod::validate_spec(&path, pod);
    let field = format!("{path}.restartPolicy");
    match object::text(pod, "/restartPolicy") {
        "OnFailure" | "Never" => {}
        "" => {
            let why = "valid values: \"OnFailure\", \"Never\"";
            errors.push(FieldError::required_because(field, why));
        }
        other => {
            let supported = ["Never", "OnFailure"];
            errors.push(crate::strategy::validation::unsupported(field, other, &supported));
        }
    }
    errors
}
