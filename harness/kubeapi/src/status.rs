//! The error every operation of the API answers with: the Kubernetes `Status`.
//!
//! Owns the reasons, their HTTP codes and the wire form. The invariant: a [`Status`] always renders as one
//! `v1.Status` object whose `code` is the HTTP code it is sent with.

use serde_json::{Value, json};

pub(crate) use crate::field_error::{FieldError, FieldRule};

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
    /// 500: refused, and upstream has no reason for it; none is sent.
    Unknown,
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
            Reason::InternalError | Reason::Unknown => 500,
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
            details: Value::Null,
        }
    }

    /// As [`Self::new`], with details that say nothing, as upstream sends them where it has not looked at any object.
    pub(crate) fn undetailed(reason: Reason, message: impl Into<String>) -> Self {
        Status {
            details: json!({}),
            ..Status::new(reason, message)
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Status::new(Reason::BadRequest, message)
    }

    /// An `UnsupportedMediaType` for a body.
    pub(crate) fn unknown_format(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Status::new(Reason::UnsupportedMediaType, message)
    }

    /// A `NotFound` for a path no resource lives at.
    pub(crate) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Status::undetailed(Reason::NotFound, message)
    }

    pub(crate) fn not_found(subject: &Subject<'_>) -> Self {
        subject.status(Reason::NotFound, format!("{subject} not found"))
    }

    pub(crate) fn already_exists(subject: &Subject<'_>) -> Self {
        subject.status(Reason::AlreadyExists, format!("{subject} already exists"))
    }

    /// An `AlreadyExists` for a name that was to be made up: the next try may have better luck.
    pub(crate) fn no_unique_name(subject: &Subject<'_>) -> Self {
        let message = format!(
            "{subject} already exists, the server was not able to generate a unique name for the object"
        );
        let mut status = subject.status(Reason::AlreadyExists, message);
        status.details["retryAfterSeconds"] = json!(1);
        status
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

    /// A `Forbidden` for everything new in a namespace on its way out.
    pub(crate) fn namespace_terminates(subject: &Subject<'_>, namespace: &str) -> Self {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = Status::forbidden(subject, &why);
        status.details["causes"] = json!([{
            "reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {namespace} is being terminated"),
        }]);
        status
    }

    /// A `422` for an option of the request; `options` is the kind it is one of.
    pub(crate) fn invalid_option(options: &str, error: FieldError) -> Self {
        Status::unprocessable(options, "meta.k8s.io", "", &[error])
    }

    /// A `422` that names every broken field.
    pub(crate) fn unprocessable(kind: &str, group: &str, name: &str, causes: &[FieldError]) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for line in causes.iter().map(FieldError::to_string) {
            // Upstream's message says nothing twice, its causes may.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
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
        let mut details = json!({"causes": causes});
        for (field, value) in [("kind", kind), ("name", name), ("group", group)] {
            if !value.is_empty() {
                details[field] = json!(value);
            }
        }
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
            "The resourceVersion for the provided list is too old.",
        )
    }

    /// A watch from a revision whose successors are not all known any more; those after `oldest` are.
    pub(crate) fn too_old(requested: u64, oldest: u64) -> Self {
        let message = format!("too old resource version: {requested} ({oldest})");
        Status::new(Reason::Expired, message)
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
            "message": self.message, "code": self.code(),
        });
        if self.reason != Reason::Unknown {
            status["reason"] = json!(format!("{:?}", self.reason));
        }
        if !self.details.is_null() {
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
