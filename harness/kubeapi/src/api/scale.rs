//! The `scale` subresource: `autoscaling/v1 Scale` over the fields that a definition names, or over those of a
//! built-in workload.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{Api, Effect, Target};
use crate::custom::ScalePaths;
use crate::object;
use crate::patch::Patch;
use crate::resources::{Resource, Subresource};
use crate::selector::LabelSelector;
use crate::status::{FieldError, FieldRule, Reason, Status};
use crate::strategy::Part;

/// The change of a scale.
#[derive(Debug, Clone)]
pub(crate) enum ScaleChange {
    /// `PUT`: this scale.
    Replace(Value),
    /// `PATCH`: the scale as it is, with this.
    Patch(Patch),
}

impl Api {
    pub(crate) fn scale(&self, target: &Target) -> Result<Value, Status> {
        let scale = scale_of(paths(&target.resource)?, &*self.get(target)?);
        if scale["spec"].get("replicas").is_none() {
            let path = &paths(&target.resource)?.spec_replicas_path;
            let message =
                format!("Internal error occurred: the spec replicas field \"{path}\" does not exist");
            return Err(Status::new(Reason::InternalError, message));
        }
        Ok(scale)
    }

    /// Changes the replicas of the object, and answers with its new scale.
    pub(crate) fn rescale(
        &self,
        target: &Target,
        change: ScaleChange,
        effect: Effect,
    ) -> Result<Value, Status> {
        let resource = &target.resource;
        let paths = paths(resource)?;
        let changed = self.modify(target, Part::Main, effect, |current| {
            let mut object = (*resource.encode(current)).clone();
            let mut scale = scale_of(paths, &object);
            match change {
                ScaleChange::Replace(body) => scale = body,
                ScaleChange::Patch(patch) => patch.apply("Scale", &mut scale)?,
            }
            let replicas = replicas(resource, paths, &scale)?;
            set(&mut object, &paths.spec_replicas_path, replicas)?;
            let metadata = object::metadata_mut(&mut object)?;
            for field in ["uid", "resourceVersion"] {
                if let Some(expected) = scale["metadata"].get(field).filter(|value| *value != "") {
                    metadata.insert(field.to_owned(), expected.clone());
                }
            }
            Ok(resource.decode(object))
        })?;
        Ok(scale_of(paths, &changed))
    }
}

static WORKLOAD: LazyLock<ScalePaths> = LazyLock::new(|| ScalePaths {
    spec_replicas_path: ".spec.replicas".to_owned(),
    status_replicas_path: ".status.replicas".to_owned(),
    label_selector_path: Some(".spec.selector".to_owned()),
});

fn paths(resource: &Resource) -> Result<&ScalePaths, Status> {
    let scale = match resource.custom() {
        Some(custom) => custom.scale.as_ref(),
        None => resource.has(Subresource::Scale).then(|| &*WORKLOAD),
    };
    scale.ok_or_else(Status::no_such_path)
}

fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let kept = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
    let kept = kept
        .iter()
        .filter_map(|&field| Some((field.to_owned(), metadata.get(field)?.clone())));
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": Value::Object(kept.collect()), "spec": {},
        "status": {"replicas": at(object, &paths.status_replicas_path).and_then(Value::as_i64).unwrap_or(0)},
    });
    if let Some(replicas) = at(object, &paths.spec_replicas_path).and_then(Value::as_i64) {
        scale["spec"]["replicas"] = json!(replicas);
    }
    let selector = paths.label_selector_path.as_deref();
    match selector.and_then(|path| at(object, path)) {
        Some(Value::String(selector)) => scale["status"]["selector"] = json!(selector),
        // That of a workload is a selector; of a custom resource only a string counts.
        Some(selector) if std::ptr::eq(paths, &*WORKLOAD) => {
            scale["status"]["selector"] = json!(LabelSelector::from_json(selector).to_string());
        }
        _ => {}
    }
    scale
}

/// The replicas that are asked for.
fn replicas(resource: &Resource, paths: &ScalePaths, scale: &Value) -> Result<i64, Status> {
    let Some(replicas) = scale.pointer("/spec/replicas").and_then(Value::as_i64) else {
        let path = &paths.spec_replicas_path;
        return Err(Status::bad_request(format!(
            "the spec replicas field \"{path}\" cannot be empty"
        )));
    };
    if replicas < 0 {
        let value = json!(replicas);
        let expected = "must be greater than or equal to 0".to_owned();
        let error = FieldError::new("spec.replicas", FieldRule::Limit { value, expected });
        let name = object::name(scale);
        return Err(Status::unprocessable("Scale", &resource.group, name, &[error]));
    }
    Ok(replicas)
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('.').split('.')
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    steps(path).try_fold(object, |value, step| value.get(step))
}

fn set(object: &mut Value, path: &str, replicas: i64) -> Result<(), Status> {
    let path = path.trim_start_matches('.');
    let (parents, field) = path.rsplit_once('.').unwrap_or(("", path));
    let mut owner = object;
    for step in parents.split('.') {
        object::map_mut(owner, step)?;
        owner = &mut owner[step];
    }
    owner[field] = json!(replicas);
    Ok(())
}
