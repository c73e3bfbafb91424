//! How refusals look to clients: status, and the product's error envelope.
//!
//! Invariant: every refusal of the API goes through here, so every one has the envelope.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::manager::body::BodyError;
use crate::manager::definition::DefinitionError;
use crate::manager::history::query::QueryError;
use crate::manager::list::ListError;
use crate::manager::objects::ObjectError;
use crate::manager::store::StoreError;
use crate::manager::template::TemplateError;
use crate::manager::vsmart_policy::PolicyError;
use crate::telemetry::TelemetryError;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nothing is at this path.
    #[error("no resource at {0}")]
    NoPath(String),
    /// The path is right, the method is not.
    #[error("method {method} is not allowed at {path}")]
    Method { method: String, path: String },
    /// A write without the session's XSRF token.
    #[error("X-XSRF-TOKEN is missing or is not that of the session")]
    Token,
    /// The body did not arrive, or is too large.
    #[error("read the body: {0}")]
    Unreadable(axum::Error),
    /// The body is not JSON.
    #[error("malformed JSON: {0}")]
    Malformed(serde_json::Error),
    /// The body of an activation.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A kind of definition that the emulation does not have.
    #[error("definitions of type {0} are not emulated")]
    DefinitionKind(String),
    /// The query of a device's resource.
    #[error("read the query: {0}")]
    Query(QueryRejection),
    /// A device's resource, of no device or of several.
    #[error("name one device as deviceId=SYSTEM-IP")]
    NoDeviceId,
    /// A query of statistics.
    #[error(transparent)]
    Statistics(#[from] QueryError),
    /// A parameter of a resource of statistics.
    #[error("{name} is `{found}`, not {form}")]
    Parameter {
        name: &'static str,
        found: String,
        form: &'static str,
    },
    /// There is no such WAN edge.
    #[error("no WAN edge has the system IP {0}")]
    NoDevice(String),
    /// The edge did not tell.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A fault to inject.
    #[error("no fault: {0}")]
    Fault(serde_json::Error),
    /// No such fault is in force.
    #[error("no fault with the id `{0}` is in force")]
    NoFault(String),
    /// A list.
    #[error(transparent)]
    List(#[from] ListError),
    /// A definition.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// A vSmart policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The template of the Controllers.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The state forbids it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Self {
        Self::Store(StoreError::Object(error))
    }
}

impl Refusal {
    /// Status, message and code; the details are the error's own text.
    fn answer(&self) -> (StatusCode, &'static str, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::NoPath(_) => (StatusCode::NOT_FOUND, "Resource not found", "REST0001"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "REST0002"),
            Self::Token => (StatusCode::FORBIDDEN, "Session token mismatch", "REST0003"),
            Self::Unreadable(_) | Self::Malformed(_) | Self::Body(_) => {
                (BAD, "Invalid JSON payload", "REST0004")
            }
            Self::Fault(_) => (BAD, "Invalid fault", "PATHPROOF0001"),
            Self::NoFault(_) => (StatusCode::NOT_FOUND, "Fault not found", "PATHPROOF0002"),
            Self::List(_) => (BAD, "Invalid policy list", "POLICY0002"),
            Self::DefinitionKind(_) | Self::Definition(_) | Self::Policy(_) => {
                (BAD, "Invalid policy", "POLICY0004")
            }
            Self::Query(_) | Self::NoDeviceId => (BAD, "Invalid query", "DEVICE0001"),
            Self::Statistics(_) | Self::Parameter { .. } => (BAD, "Invalid query", "STATS0001"),
            Self::NoDevice(_) => (StatusCode::NOT_FOUND, "Device not found", "DEVICE0002"),
            Self::Telemetry(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Failed to get device data",
                "DEVICE0003",
            ),
            Self::Template(TemplateError::Body(_)) => (BAD, "Invalid JSON payload", "REST0004"),
            Self::Template(_) => (BAD, "Invalid Template Id", "TEMPLATE0004"),
            Self::Store(error) => of_store(error),
        }
    }
}

fn of_store(error: &StoreError) -> (StatusCode, &'static str, &'static str) {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match error {
        StoreError::Object(ObjectError::NotFound { .. }) | StoreError::NoTask(_) => (
            StatusCode::NOT_FOUND,
            "Failed to find specified resource",
            "POLICY0003",
        ),
        StoreError::Object(ObjectError::NameTaken { .. }) => (BAD, "Duplicate policy name", "POLICY0001"),
        StoreError::Object(ObjectError::InUse { .. }) | StoreError::Attached(_) => {
            (BAD, "Policy delete failed", "POLICY0005")
        }
        StoreError::Object(
            ObjectError::DanglingInSequence { .. }
            | ObjectError::DanglingInDefaultAction { .. }
            | ObjectError::DanglingInAssembly { .. }
            | ObjectError::Compile(_),
        ) => (BAD, "Invalid policy", "POLICY0004"),
        StoreError::Object(ObjectError::DanglingInList { .. }) => (BAD, "Invalid policy list", "POLICY0002"),
        StoreError::Locked => (BAD, "Template locked in edit mode.", "TEMPLATE0001"),
        StoreError::Held => (BAD, "Failed to acquire lock", "TEMPLATE0003"),
        StoreError::NotRunning(_) => (BAD, "Failed to cancel task", "TASK0001"),
        StoreError::EditExpired(_) | StoreError::NothingEdited => {
            (BAD, "Template edit request has expired", "TEMPLATE0002")
        }
        StoreError::NotActive(_) => (BAD, "Policy is not activated", "POLICY0006"),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message, code) = self.answer();
        let details = self.to_string();
        tracing::debug!(%status, code, details, "refused");
        let error = json!({ "message": message, "details": details, "type": "error", "code": code });
        (status, Json(json!({ "error": error }))).into_response()
    }
}
