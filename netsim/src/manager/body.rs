//! The JSON object that a client sends to create or replace something.
//!
//! Owns the separation of what the client decides from what the product adds to a row it gives out, since clients
//! send whole rows back. Invariant: after that separation an unknown key is an error, never ignored.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::shape::{self, ShapeError};

/// Keys that the product adds to rows; accepted and ignored in a body.
const ROW_KEYS: [&str; 22] = [
    "@rid",
    "activatedId",
    "createdBy",
    "createdOn",
    "definitionId",
    "infoTag",
    "isActivatedByVsmart",
    "isPolicyActivated",
    "lastUpdated",
    "lastUpdatedBy",
    "lastUpdatedOn",
    "listId",
    "optimized",
    "owner",
    "policyId",
    "policyVersion",
    "processId",
    "readOnly",
    "referenceCount",
    "references",
    "rid",
    "version",
];

/// Why a body was refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// JSON, but something else than an object.
    #[error("the body is not a JSON object")]
    NotObject,
    /// A key is missing, unknown or of another type.
    #[error("{0}")]
    Shape(serde_json::Error),
    /// The same, with its place.
    #[error(transparent)]
    Misfit(#[from] ShapeError),
    /// `processId` is there, but not as text.
    #[error("processId is not a string")]
    ProcessId,
}

/// A body that is an object of this shape; its other keys are the shape's to refuse.
pub(super) fn shaped<T: DeserializeOwned>(body: &Value) -> Result<T, BodyError> {
    // Serde takes an array for a structure, too.
    let object = body.as_object().ok_or(BodyError::NotObject)?;
    T::deserialize(object).map_err(BodyError::Shape)
}

/// The body of a POST or PUT of a list, definition or policy.
#[derive(Debug, Clone)]
pub(super) struct ObjectBody {
    object: Map<String, Value>,
    process_id: Option<String>,
}

impl ObjectBody {
    /// Takes a parsed body apart.
    pub(super) fn new(body: Value) -> Result<Self, BodyError> {
        let Value::Object(mut object) = body else {
            return Err(BodyError::NotObject);
        };
        let process_id = match object.get("processId") {
            None | Some(Value::Null) => None,
            // Some clients send an empty one with their first edit.
            Some(Value::String(id)) if id.is_empty() => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(BodyError::ProcessId),
        };
        object.retain(|key, value| {
            // Some definitions have a mode that the client decides; of all others it is `created`.
            let is_added_mode = key == "mode" && (value.is_null() || value == "created");
            !is_added_mode && !ROW_KEYS.contains(&key.as_str())
        });
        Ok(Self { object, process_id })
    }

    /// The edit that the client says it continues.
    pub(super) fn process_id(&self) -> Option<&str> {
        self.process_id.as_deref()
    }

    /// What the client decided, as it wrote it.
    pub(super) fn as_written(&self) -> &Map<String, Value> {
        &self.object
    }

    /// What the client decided, typed.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, BodyError> {
        Ok(shape::read_object(&self.object)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_sent_back_is_accepted() {
        let row = json!({"listId": "x", "name": "n", "@rid": 4, "references": [], "owner": "admin"});
        let body = ObjectBody::new(row).unwrap();
        assert_eq!(Value::Object(body.as_written().clone()), json!({"name": "n"}));
    }

    #[test]
    fn the_process_id_is_kept() {
        let body = ObjectBody::new(json!({"processId": "p"})).unwrap();
        assert_eq!(body.process_id(), Some("p"));
        assert!(ObjectBody::new(json!({"processId": 1})).is_err());
    }
}
