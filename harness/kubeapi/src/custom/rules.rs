//! Rules of a CustomResourceDefinition: defaults, what of it may change, and what its deletion looks like.

use serde_json::{Value, json};

use super::definition::Spec;
use crate::object::{self, default_to, map_mut};
use crate::status::{FieldError, FieldRule, Status};

/// Holds the definition back until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(crate) fn default_new(definition: &mut Value) -> Result<(), Status> {
    definition["status"] =
        json!({"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []});
    default_spec(definition)
}

/// A version that was once the stored one is remembered until a client says that no object has it any more.
pub(crate) fn default_replacement(definition: &mut Value) -> Result<(), Status> {
    default_spec(definition)
}

fn default_spec(definition: &mut Value) -> Result<(), Status> {
    let spec = map_mut(definition, "spec")?;
    spec.values_mut().for_each(drop_nulls);
    let names = spec.entry("names").or_insert_with(|| json!({}));
    let kind = object::text(names, "/kind").to_owned();
    if let Some(names) = names.as_object_mut()
        && !kind.is_empty()
    {
        default_to(names, "singular", kind.to_lowercase());
        default_to(names, "listKind", format!("{kind}List"));
    }
    default_to(spec, "conversion", json!({"strategy": "None"}));
    if spec.get("preserveUnknownFields") == Some(&Value::Bool(false)) {
        spec.remove("preserveUnknownFields");
    }
    let parsed = Spec::of(definition)?;
    let Some(storage) = parsed.storage_version() else {
        return Ok(());
    };
    let stored = map_mut(definition, "status")?
        .entry("storedVersions")
        .or_insert_with(|| json!([]));
    if let Some(stored) = stored.as_array_mut()
        && !stored.contains(&json!(storage))
    {
        stored.push(json!(storage));
    }
    Ok(())
}

/// A null field of a schema is one that is not there; a null in a list, for instance of an enum, is a value.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// An established definition keeps what its objects are addressed and stored by.
pub(crate) fn validate_change(current: &Value, next: &Value) -> Vec<FieldError> {
    let fixed: &[&str] = match object::condition_is_true(current, "Established") {
        true => &[
            "/spec/group",
            "/spec/names/plural",
            "/spec/scope",
            "/spec/names/kind",
        ],
        false => &["/spec/group", "/spec/names/plural"],
    };
    let changed = fixed
        .iter()
        .filter(|pointer| current.pointer(pointer) != next.pointer(pointer));
    changed
        .map(|pointer| {
            let value = object::text(next, pointer).to_owned();
            let field = pointer.trim_start_matches('/').replace('/', ".");
            FieldError::new(field, FieldRule::Immutable { value })
        })
        .collect()
}

/// What the first request to delete a definition writes, beyond the time of deletion.
pub(crate) fn begin_deletion(definition: &mut Value) {
    if let Ok(metadata) = object::metadata_mut(definition) {
        let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
        if let Some(finalizers) = finalizers.as_array_mut()
            && !finalizers.contains(&json!(CLEANUP))
        {
            finalizers.push(json!(CLEANUP));
        }
    }
    terminating(
        definition,
        "True",
        "InstanceDeletionInProgress",
        "CustomResource deletion is in progress",
    );
}

/// Lets go of a definition whose objects are gone. Whether it was held back.
pub(crate) fn end_deletion(definition: &mut Value) -> bool {
    let Some(Value::Array(finalizers)) = definition.pointer_mut("/metadata/finalizers") else {
        return false;
    };
    let before = finalizers.len();
    finalizers.retain(|finalizer| finalizer != CLEANUP);
    if finalizers.len() == before {
        return false;
    }
    terminating(
        definition,
        "False",
        "InstanceDeletionCompleted",
        "removed all instances",
    );
    true
}

fn terminating(definition: &mut Value, status: &str, reason: &str, message: &str) {
    let condition = json!({"type": "Terminating", "status": status, "reason": reason, "message": message});
    if let Ok(fields) = map_mut(definition, "status") {
        object::set_condition(fields, condition);
    }
}
