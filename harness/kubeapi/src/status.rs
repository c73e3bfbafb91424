//! The error every operation of the API answers with: the Kubernetes `Status`.
//!
//! Owns the reasons, their HTTP codes and the wire form. The invariant: a [`Status`] always renders as one
//! `v1.Status` object whose `code` is the HTTP code it is sent with.

use std::borrow::Cow;

use serde_json::{Value, json};

/// The machine-readable cause of a failure, as clients branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// 400: the request cannot be understood.
    BadRequest,
    /// 401: no or unknown bearer token.
    Unauthorized,
    /// 403: understood and refused.
    Forbidden,
    /// 404: no such object or no such path.
    NotFound,
    /// 405: the resource does not have this verb.
    MethodNotAllowed,
    /// 406: none of the accepted representations is served.
    NotAcceptable,
    /// 409 on create: the name is taken.
    AlreadyExists,
    /// 409 on write: the object changed since it was read, or a precondition does not hold.
    Conflict,
    /// 410: the resource version is older than the history that is kept.
    Expired,
    /// 413: the body is larger than the server reads.
    RequestEntityTooLarge,
    /// 415: the body is in a media type that is not read.
    UnsupportedMediaType,
    /// 422: the object breaks a rule of its kind.
    Invalid,
    /// 429: to be asked again later.
    TooManyRequests,
    /// 500: a bug of this server, or a fault.
    InternalError,
    /// 503: nobody serves this now.
    ServiceUnavailable,
    /// 504: the resource version is newer than anything this server wrote, or the time of the request is up.
    Timeout,
}

impl Reason {
    /// The HTTP code of the reason.
    pub fn code(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::Unauthorized => 401,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::MethodNotAllowed => 405,
            Reason::NotAcceptable => 406,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Expired => 410,
            Reason::RequestEntityTooLarge => 413,
            Reason::UnsupportedMediaType => 415,
            Reason::Invalid => 422,
            Reason::TooManyRequests => 429,
            Reason::InternalError => 500,
            Reason::ServiceUnavailable => 503,
            Reason::Timeout => 504,
        }
    }
}

/// A refused operation, as the Kubernetes API reports it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    details: Value,
}

impl Status {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Status {
            reason,
            message: message.into(),
            details: json!({}),
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Status::new(Reason::BadRequest, message)
    }

    /// A `NotFound` for a path no resource lives at.
    pub(crate) fn no_such_path() -> Self {
        Status::new(
            Reason::NotFound,
            "the server could not find the requested resource",
        )
    }

    pub(crate) fn not_found(subject: &Subject<'_>) -> Self {
        subject.status(Reason::NotFound, format!("{subject} not found"))
    }

    pub(crate) fn already_exists(subject: &Subject<'_>) -> Self {
        subject.status(Reason::AlreadyExists, format!("{subject} already exists"))
    }

    pub(crate) fn conflict(subject: &Subject<'_>, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {subject}: {why}");
        subject.status(Reason::Conflict, message)
    }

    /// A `409` for an object that is not as it was read.
    pub(crate) fn modified(subject: &Subject<'_>) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(subject, why)
    }

    /// A `409` for fields that other managers own.
    pub(crate) fn apply_conflict(message: String, causes: Vec<Value>) -> Self {
        Status {
            reason: Reason::Conflict,
            message,
            details: json!({"causes": causes}),
        }
    }

    pub(crate) fn forbidden(subject: &Subject<'_>, why: &str) -> Self {
        subject.status(Reason::Forbidden, format!("{subject} is forbidden: {why}"))
    }

    /// A `422` that names every broken field.
    pub(crate) fn unprocessable(kind: &str, group: &str, name: &str, causes: &[FieldError]) -> Self {
        let lines: Vec<String> = causes.iter().map(FieldError::to_string).collect();
        let subject = match group {
            "" => format!("{kind} \"{name}\""),
            group => format!("{kind}.{group} \"{name}\""),
        };
        let message = match &lines[..] {
            [line] => format!("{subject} is invalid: {line}"),
            lines => format!("{subject} is invalid: [{}]", lines.join(", ")),
        };
        let causes: Vec<Value> = causes
            .iter()
            .map(|cause| json!({"reason": cause.rule.reason(), "message": cause.message(), "field": cause.field}))
            .collect();
        let details = json!({"name": name, "group": group, "kind": kind, "causes": causes});
        Status {
            reason: Reason::Invalid,
            message,
            details,
        }
    }

    pub(crate) fn too_many_requests() -> Self {
        Status {
            reason: Reason::TooManyRequests,
            message: "Too many requests, please try again later.".to_owned(),
            details: json!({"retryAfterSeconds": 1}),
        }
    }

    pub(crate) fn expired() -> Self {
        Status::new(
            Reason::Expired,
            "The resourceVersion for the provided list or watch is too old: its history is gone; list again.",
        )
    }

    pub(crate) fn from_the_future(requested: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {requested}, current: {current}");
        let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        Status {
            reason: Reason::Timeout,
            message,
            details: json!({"causes": causes, "retryAfterSeconds": 1}),
        }
    }

    /// The HTTP code the status is sent with.
    pub fn code(&self) -> u16 {
        self.reason.code()
    }

    /// How long a client should wait before it asks again.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds")?.as_u64()
    }

    /// The `v1.Status` object.
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": format!("{:?}", self.reason), "code": self.code(),
        });
        if self
            .details
            .as_object()
            .is_some_and(|details| !details.is_empty())
        {
            status["details"] = self.details.clone();
        }
        status
    }
}

/// The object a [`Status`] speaks of, printed as `services "web"` or `leases.coordination.k8s.io "x"`; without a name
/// its whole resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) name: &'a str,
}

impl Subject<'_> {
    fn status(&self, reason: Reason, message: String) -> Status {
        let mut details = json!({"kind": self.plural});
        if !self.name.is_empty() {
            details["name"] = json!(self.name);
        }
        if !self.group.is_empty() {
            details["group"] = json!(self.group);
        }
        Status {
            reason,
            message,
            details,
        }
    }
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.plural)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, " \"{}\"", self.name)?;
        }
        Ok(())
    }
}

/// One broken field of a `422`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) rule: FieldRule,
}

/// The rule a field breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldRule {
    Required,
    RequiredFor {
        what: &'static str,
    },
    RequiredBecause {
        why: String,
    },
    Invalid {
        value: String,
        expected: Cow<'static, str>,
    },
    /// As `Invalid`, of a value that is shown as JSON.
    Limit {
        value: Value,
        expected: String,
    },
    Type {
        value: String,
        expected: String,
    },
    Unsupported {
        value: Value,
        supported: Vec<String>,
    },
    Duplicate {
        value: Value,
    },
    TooLong {
        bytes_max: usize,
    },
    TooMany {
        found: usize,
        max: usize,
    },
    Immutable {
        value: String,
    },
    Forbidden {
        why: &'static str,
    },
}

impl FieldRule {
    fn reason(&self) -> &'static str {
        match self {
            FieldRule::Required | FieldRule::RequiredFor { .. } | FieldRule::RequiredBecause { .. } => {
                "FieldValueRequired"
            }
            FieldRule::Invalid { .. } | FieldRule::Limit { .. } | FieldRule::Immutable { .. } => {
                "FieldValueInvalid"
            }
            FieldRule::Type { .. } => "FieldValueTypeInvalid",
            FieldRule::Unsupported { .. } => "FieldValueNotSupported",
            FieldRule::Duplicate { .. } => "FieldValueDuplicate",
            FieldRule::TooLong { .. } => "FieldValueTooLong",
            FieldRule::TooMany { .. } => "FieldValueTooMany",
            FieldRule::Forbidden { .. } => "FieldValueForbidden",
        }
    }
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, rule: FieldRule) -> Self {
        FieldError {
            field: field.into(),
            rule,
        }
    }

    pub(crate) fn required(field: impl Into<String>) -> Self {
        FieldError::new(field, FieldRule::Required)
    }

    pub(crate) fn required_because(field: impl Into<String>, why: impl Into<String>) -> Self {
        FieldError::new(field, FieldRule::RequiredBecause { why: why.into() })
    }

    pub(crate) fn invalid(
        field: impl Into<String>,
        value: impl ToString,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        FieldError::new(
            field,
            FieldRule::Invalid {
                value: value.to_string(),
                expected: expected.into(),
            },
        )
    }

    fn message(&self) -> String {
        match &self.rule {
            FieldRule::Required => "Required value".to_owned(),
            FieldRule::RequiredFor { what } => format!("Required value: is required for {what}"),
            FieldRule::RequiredBecause { why } => format!("Required value: {why}"),
            FieldRule::Invalid { value, expected } => format!("Invalid value: \"{value}\": {expected}"),
            FieldRule::Limit { value, expected } => format!("Invalid value: {value}: {expected}"),
            FieldRule::Type { value, expected } => format!("Invalid value: {value:?}: {expected}"),
            FieldRule::Unsupported { value, supported } => {
                let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
                format!(
                    "Unsupported value: {value}: supported values: {}",
                    supported.join(", ")
                )
            }
            FieldRule::Duplicate { value } => format!("Duplicate value: {value}"),
            FieldRule::TooLong { bytes_max: 1 } => "Too long: may not be more than 1 byte".to_owned(),
            FieldRule::TooLong { bytes_max } => format!("Too long: may not be more than {bytes_max} bytes"),
            FieldRule::TooMany { found, max: 1 } => format!("Too many: {found}: must have at most 1 item"),
            FieldRule::TooMany { found, max } => format!("Too many: {found}: must have at most {max} items"),
            FieldRule::Immutable { value } => format!("Invalid value: \"{value}\": field is immutable"),
            FieldRule::Forbidden { why } => format!("Forbidden: {why}"),
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}
