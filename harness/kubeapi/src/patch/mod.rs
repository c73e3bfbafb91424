//! The patch formats of `PATCH`.
//!
//! Owns turning a media type and a body into a [`Patch`] and applying it to one object. Knows nothing of
//! versions or storage; the result is treated by `api` like any other proposed object.

mod strategic;

use json_patch::jsonptr::Pointer;
use json_patch::{AddOperation, PatchOperation};
use serde_json::{Map, Value};
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::decoding::{self, Words};
use crate::status::{FieldError, FieldRule, Reason, Status};

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

/// As kube-apiserver: octets that the copies of one JSON patch may add, since each can double what the last one left.
const MAX_COPIED: usize = 3 << 20;

/// How deep what a JSON patch puts somewhere may be, as seen from the root: deeper JSON is not read.
const MAX_DEPTH: usize = 127;

impl Patch {
    pub(crate) fn parse(media_type: &str, body: &[u8]) -> Result<Patch, Status> {
        match media_type {
            "application/json-patch+json" => {
                // By way of values: of members that come twice, the last one counts.
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
            "application/merge-patch+json" => parse_map(body).map(Patch::Merge),
            "application/strategic-merge-patch+json" => parse_map(body).map(Patch::Strategic),
            _ => Err(Status::undetailed(
                Reason::UnsupportedMediaType,
                "415: Unsupported Media Type",
            )),
        }
    }

    /// The fields of a body that come twice, and those that a JSON patch does not have.
    pub(crate) fn strict_errors(&self, body: &[u8]) -> Vec<String> {
        let duplicates = decoding::duplicates(body);
        match self {
            Patch::Json(_) => {
                let unknown = unknown_members(body);
                let told = duplicates.into_iter().chain(unknown);
                told.map(|told| format!("json patch {told}")).collect()
            }
            Patch::Merge(_) | Patch::Strategic(_) => duplicates,
        }
    }

    /// How messages tell that the result is not of its kind.
    pub(crate) fn words(&self) -> Words {
        match self {
            Patch::Json(_) | Patch::Merge(_) => Words::Json,
            Patch::Strategic(_) => Words::Maps,
        }
    }

    /// A `422` for a patch whose result, `proposed`, is not of its kind.
    pub(crate) fn refusal(&self, proposed: &Value, why: &str) -> Status {
        let shown = match self {
            Patch::Json(_) | Patch::Merge(_) => proposed.to_string(),
            Patch::Strategic(patch) => go_text(patch),
        };
        let rule = FieldRule::Limit {
            value: Value::String(shown),
            expected: why.to_owned(),
        };
        Status::unprocessable("", "", "", &[FieldError::new("patch", rule)])
    }

    /// Reads what a client applies, as JSON or YAML, and what is told of keys that come twice: the last one counts.
    pub(crate) fn parse_applied(body: &[u8]) -> Result<(Value, Vec<String>), Status> {
        let undecodable =
            |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding YAML: {error}"));
        let (applied, twice): (Value, _) = match serde_json::from_slice(body) {
            Ok(applied) => (applied, twice_in_json(body)),
            Err(_) => {
                let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
                let applied = serde_saphyr::from_slice_with_options(body, options);
                (applied.map_err(|error| undecodable(&error))?, twice_in_yaml(body))
            }
        };
        if applied.is_object() {
            Ok((applied, twice))
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
            Patch::Json(operations) => {
                let mut copied = 0;
                operations.iter().try_for_each(|operation| {
                    admit_growth(object, operation, &mut copied)?;
                    apply_operation(object, operation)
                })
            }
            Patch::Merge(patch) => {
                json_patch::merge(object, patch);
                Ok(())
            }
            Patch::Strategic(patch) => strategic::merge(kind, object, patch),
        }
    }
}

/// JSON is YAML of one line.
fn twice_in_json(body: &[u8]) -> Vec<String> {
    let duplicates = decoding::duplicates(body).into_iter();
    duplicates
        .map(|told| {
            let key = told.trim_end_matches('"').rsplit(['.', '"']).next();
            format!("line 1: key \"{}\" already set in map", key.unwrap_or_default())
        })
        .collect()
}

/// The first key that comes twice.
fn twice_in_yaml(body: &[u8]) -> Vec<String> {
    let parsed: Result<Value, _> = serde_saphyr::from_slice(body);
    match parsed.as_ref().map_err(serde_saphyr::Error::without_snippet) {
        Err(serde_saphyr::Error::DuplicateMappingKey { key, location }) => {
            let key = key.as_deref().unwrap_or_default();
            vec![format!(
                "line {}: key \"{key}\" already set in map",
                location.line()
            )]
        }
        _ => Vec::new(),
    }
}

/// What the operations of a JSON patch have.
const OPERATION_FIELDS: [&str; 4] = ["op", "path", "from", "value"];

fn unknown_members(body: &[u8]) -> Vec<String> {
    let operations: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
    let members = operations.iter().enumerate().flat_map(|(at, operation)| {
        let members = operation.as_object().into_iter().flat_map(Map::keys);
        members.map(move |name| (at, name))
    });
    members
        .filter(|(_, name)| !OPERATION_FIELDS.contains(&name.as_str()))
        .map(|(at, name)| format!("unknown field \"[{at}].{name}\""))
        .collect()
}

/// A value as Go prints it, which is how upstream shows a strategic merge patch.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(go_text).collect();
            format!("[{}]", elements.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", go_text(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        scalar => scalar.to_string(),
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

/// Refuses what would make the object too deep, or all copies together too large.
fn admit_growth(object: &Value, operation: &PatchOperation, copied: &mut usize) -> Result<(), Status> {
    let at = |from: &Pointer| object.pointer(from.as_str());
    let (path, value) = match operation {
        PatchOperation::Add(add) => (&add.path, Some(&add.value)),
        PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
        PatchOperation::Move(moved) => (&moved.path, at(&moved.from)),
        PatchOperation::Copy(copy) => {
            *copied += at(&copy.from).map_or(0, |value| value.to_string().len());
            (&copy.path, at(&copy.from))
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    let depth_after = path.count() + value.map_or(0, depth);
    if depth_after > MAX_DEPTH || *copied > MAX_COPIED {
        return Err(rejected());
    }
    Ok(())
}

/// How many maps and lists are in each other.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(elements) => elements.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}

/// What upstream says of every JSON patch that cannot be applied.
fn rejected() -> Status {
    let message = "the server rejected our request due to an error in our request";
    Status::undetailed(Reason::Invalid, message)
}

fn is_absent(object: &Value, path: &Pointer) -> bool {
    object.pointer(path.as_str()).is_none()
}

/// What is merged into an object is one itself.
fn parse_map(body: &[u8]) -> Result<Value, Status> {
    let patch: Value = parse_json(body)?;
    let found = match patch {
        Value::Object(_) => return Ok(patch),
        Value::Null => "null",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    Err(Status::bad_request(format!(
        "error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
    )))
}

fn parse_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(body).map_err(|error| match error.is_eof() {
        true => Status::bad_request("error decoding patch: unexpected end of JSON input"),
        false => Status::bad_request(format!("error decoding patch: {error}")),
    })
}

#[cfg(test)]
mod tests;
