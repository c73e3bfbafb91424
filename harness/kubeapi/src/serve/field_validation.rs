//! `fieldValidation`: what becomes of a write with fields that the schema does not know.
//!
//! # Limits
//! Fields that come twice are not found; built-in kinds are not looked at.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::Value;

use crate::resources::Resource;
use crate::status::{FieldError, FieldRule, Status};

const WARNING: HeaderName = HeaderName::from_static("warning");

/// The rule a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValidation {
    /// The fields are dropped.
    Ignore,
    /// The fields are dropped, and the answer says so.
    Warn,
    /// The write is refused.
    Strict,
}

/// What the answer warns of.
#[derive(Debug, Default)]
pub(super) struct Warnings(Vec<String>);

impl FieldValidation {
    /// Looks at a whole object as the client sent it.
    pub(super) fn check(self, resource: &Resource, object: &Value) -> Result<Warnings, Status> {
        let Some(unknown) = self.unknown(resource, object) else {
            return Ok(Warnings::default());
        };
        if self == FieldValidation::Warn {
            return Ok(Warnings(unknown));
        }
        let (kind, version) = (&resource.kind, &resource.version);
        Err(Status::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
            unknown.join(", ")
        )))
    }

    /// Looks at what a patch made of an object.
    pub(super) fn check_patched(
        self,
        resource: &Resource,
        patch: &[u8],
        object: &Value,
    ) -> Result<Warnings, Status> {
        let Some(unknown) = self.unknown(resource, object) else {
            return Ok(Warnings::default());
        };
        if self == FieldValidation::Warn {
            return Ok(Warnings(unknown));
        }
        let rule = FieldRule::Invalid {
            value: String::from_utf8_lossy(patch).into_owned(),
            expected: format!("strict decoding error: {}", unknown.join(", ")).into(),
        };
        Err(Status::unprocessable(
            "",
            "",
            "",
            &[FieldError::new("patch", rule)],
        ))
    }

    fn unknown(self, resource: &Resource, object: &Value) -> Option<Vec<String>> {
        let custom = resource.custom().filter(|_| self != FieldValidation::Ignore)?;
        let unknown = custom.schema.prune(&mut object.clone());
        let told = |path: &String| format!("unknown field \"{path}\"");
        (!unknown.is_empty()).then(|| unknown.iter().map(told).collect())
    }
}

impl Warnings {
    /// The answer with one header per warning.
    pub(super) fn on(self, mut response: Response) -> Response {
        for warning in self.0 {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(WARNING, value);
            }
        }
        response
    }
}
