//! The patch formats of `PATCH`.
//!
//! Owns turning a media type and a body into a [`Patch`] and applying it to one object. Knows nothing of
//! versions or storage; the result is treated by `api` like any other proposed object.

mod strategic;

use json_patch::jsonptr::Pointer;
use json_patch::{AddOperation, PatchOperation};
use serde_json::Value;

use crate::status::{Reason, Status};

/// A parsed patch.
#[derive(Debug, Clone)]
pub(crate) enum Patch {
    /// RFC 6902, with the null test of kube-apiserver.
    Json(Vec<PatchOperation>),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' merge by list keys, for built-in kinds.
    Strategic(Value),
}

/// The media types that are read, in the order of the 415 message.
pub(crate) const MEDIA_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY,
];

/// The media type of server-side apply, which `managed_fields` does: it is more than a patch.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// Those of them that custom resources take.
pub(crate) const CUSTOM_MEDIA_TYPES: [&str; 3] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    APPLY,
];

/// As kube-apiserver: longer patches are refused before they are applied.
const MAX_OPERATIONS: usize = 10_000;

impl Patch {
    pub(crate) fn parse(media_type: &str, body: &[u8]) -> Result<Patch, Status> {
        match media_type {
            "application/json-patch+json" => {
                let operations: Vec<Value> = parse_json(body)?;
                if operations.len() > MAX_OPERATIONS {
                    let message = format!(
                        "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                        operations.len()
                    );
                    return Err(Status::new(Reason::RequestEntityTooLarge, message));
                }
                let operations = operations.into_iter().map(serde_json::from_value);
                let operations: Result<_, _> = operations.collect();
                operations.map(Patch::Json).map_err(|_| rejected())
            }
            "application/merge-patch+json" => parse_json(body).map(Patch::Merge),
            "application/strategic-merge-patch+json" => parse_json(body).map(Patch::Strategic),
            _ => Err(Status::undetailed(
                Reason::UnsupportedMediaType,
                "415: Unsupported Media Type",
            )),
        }
    }

    /// Reads what a client applies, as JSON or YAML.
    pub(crate) fn parse_applied(body: &[u8]) -> Result<Value, Status> {
        let undecodable =
            |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding YAML: {error}"));
        let applied: Value = match serde_json::from_slice(body) {
            Ok(applied) => applied,
            Err(_) => serde_saphyr::from_slice(body).map_err(|error| undecodable(&error))?,
        };
        if applied.is_object() {
            Ok(applied)
        } else {
            Err(undecodable(&"expected a map"))
        }
    }

    /// Refuses what custom resources do not know: a merge by the keys of built-in types.
    pub(crate) fn admit_custom(&self) -> Result<(), Status> {
        match self {
            Patch::Strategic(_) => Err(Status::unknown_format(&CUSTOM_MEDIA_TYPES)),
            _ => Ok(()),
        }
    }

    /// Changes `object`, which is of `kind`. On failure it may be half changed.
    pub(crate) fn apply(&self, kind: &str, object: &mut Value) -> Result<(), Status> {
        match self {
            Patch::Json(operations) => operations
                .iter()
                .try_for_each(|operation| apply_operation(object, operation)),
            Patch::Merge(patch) => {
                json_patch::merge(object, patch);
                Ok(())
            }
            Patch::Strategic(patch) => strategic::merge(kind, object, patch),
        }
    }
}

/// kube-apiserver lets a `test` for null pass on a path that does not exist, and kube-rs's finalizer relies on it.
fn apply_operation(object: &mut Value, operation: &PatchOperation) -> Result<(), Status> {
    if let PatchOperation::Test(test) = operation
        && test.value.is_null()
        && is_absent(object, &test.path)
    {
        return Ok(());
    }
    let operation = match operation {
        // It replaces what is not there, too.
        PatchOperation::Replace(replace) if is_absent(object, &replace.path) => {
            &PatchOperation::Add(AddOperation {
                path: replace.path.clone(),
                value: replace.value.clone(),
            })
        }
        other => other,
    };
    json_patch::patch(object, std::slice::from_ref(operation)).map_err(|_| rejected())
}

/// What upstream says of every JSON patch that cannot be applied.
fn rejected() -> Status {
    let message = "the server rejected our request due to an error in our request";
    Status::undetailed(Reason::Invalid, message)
}

fn is_absent(object: &Value, path: &Pointer) -> bool {
    object.pointer(path.as_str()).is_none()
}

fn parse_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(body).map_err(|error| match error.is_eof() {
        true => Status::bad_request("error decoding patch: unexpected end of JSON input"),
        false => Status::bad_request(format!("error decoding patch: {error}")),
    })
}

#[cfg(test)]
mod tests;
