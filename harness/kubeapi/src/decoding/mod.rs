//! What a client sent, read by the type of its kind.
//!
//! Owns the way from a body to an object of its kind: fields the kind does not know are left out, values of
//! another type are refused in upstream's words, and fields that are unknown or come twice are told, in the order
//! they come, for [`FieldValidation`] to judge. A custom resource is read so by its schema. Invariant: an object of
//! a kind with a type holds nothing that the type does not name.
//!
//! # Limits
//! The second of two fields replaces the first, where upstream merges maps.

mod applied;
mod quantity;
mod scalar;
mod validation;
mod walk;

use serde_json::Value;

pub(crate) use applied::undeclared;
pub(crate) use validation::FieldValidation;
use walk::Report;

use crate::custom::Custom;
use crate::object;
use crate::resources::Resource;
use crate::status::Status;
use crate::types::{self, Shape};

/// How much of a body that cannot be read is shown.
const SHOWN_BYTES: usize = 64;

/// An object of its kind, and what [`FieldValidation`] judges.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) object: Value,
    /// The fields that are unknown or come twice.
    pub(crate) strict: Vec<String>,
}

/// How the messages speak: of JSON, or of the maps that a strategic merge patch works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Json,
    Maps,
}

/// Reads a body of JSON.
pub(crate) fn from_body(resource: &Resource, body: &[u8]) -> Result<Decoded, Status> {
    let mut report = Report::new(Words::Json);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let object = report
        .read(&mut deserializer, shape(resource))
        .and_then(|object| deserializer.end().map(|()| object))
        .map_err(|error| unreadable(&resource.kind, body, &words_of(error)))?;
    require_kind(resource, &object)?;
    finish(resource, object, report).map_err(|why| unlike(resource, &why))
}

/// Reads an object that is in memory.
pub(crate) fn from_object(resource: &Resource, object: &Value) -> Result<Decoded, Status> {
    require_kind(resource, object)?;
    reread(resource, object, Words::Json).map_err(|why| unlike(resource, &why))
}

/// As [`from_object`], with the bare reason of a refusal.
pub(crate) fn reread(resource: &Resource, object: &Value, words: Words) -> Result<Decoded, String> {
    let mut report = Report::new(words);
    let read = report.read(object, shape(resource));
    finish(resource, read.map_err(|error| error.to_string())?, report)
}

/// The fields that come twice in JSON; none where it is no JSON.
pub(crate) fn duplicates(json: &[u8]) -> Vec<String> {
    let mut report = Report::new(Words::Json);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match report.read(&mut deserializer, &Shape::Any) {
        Ok(_) => report.strict,
        Err(_) => Vec::new(),
    }
}

/// A `400` for a body that is not of the kind.
pub(crate) fn unlike(resource: &Resource, why: &str) -> Status {
    let (kind, version) = (&resource.kind, &resource.version);
    Status::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
    ))
}

/// A `400` for a body that holds no object at all.
pub(crate) fn unreadable(kind: &str, body: &[u8], error: &str) -> Status {
    let begin = match body {
        [] => "<empty>".into(),
        body => String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]),
    };
    unrecognized(
        kind,
        &format!("couldn't get version/kind; json parse error: {error} ({begin})"),
    )
}

/// What is wrong with JSON.
pub(crate) fn words_of(error: serde_json::Error) -> String {
    match error.is_eof() {
        true => "unexpected end of JSON input".to_owned(),
        false => error.to_string(),
    }
}

/// A custom resource says what it is, where built-in kinds need not.
fn require_kind(resource: &Resource, object: &Value) -> Result<(), Status> {
    if resource.custom().is_none() || !object::text(object, "/kind").is_empty() {
        return Ok(());
    }
    Err(unrecognized(
        &resource.kind,
        &format!("Object 'Kind' is missing in '{object}'"),
    ))
}

fn unrecognized(kind: &str, why: &str) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why}"
    ))
}

fn shape(resource: &Resource) -> &'static Shape {
    let builtin = match resource.custom() {
        Some(_) => None,
        None => types::of_kind(&resource.group, &resource.version, &resource.kind),
    };
    builtin.unwrap_or(&Shape::Any)
}

fn finish(resource: &Resource, mut object: Value, mut report: Report) -> Result<Decoded, String> {
    if is_other_kind(resource, &object) {
        // Says nothing here: that it is of another kind is what is wrong with it.
        return Ok(Decoded {
            object,
            strict: Vec::new(),
        });
    }
    if let Some(custom) = resource.custom() {
        if let (Some(metadata), Some(shape)) = (object.get_mut("metadata"), types::object_meta())
            && metadata.is_object()
        {
            *metadata = report.read_below("metadata", metadata, shape)?;
        }
        read_embedded(custom, &mut object, &mut report)?;
        let unknown = custom.schema.prune(&mut object);
        let told = unknown.iter().map(|path| format!("unknown field \"{path}\""));
        report.strict.extend(told);
    }
    match report.problem {
        Some(problem) => Err(problem),
        None => Ok(Decoded {
            object,
            strict: report.strict,
        }),
    }
}

/// Reads the metadata of objects inside of a custom resource.
fn read_embedded(custom: &Custom, object: &mut Value, report: &mut Report) -> Result<(), String> {
    let Some(shape) = types::object_meta().filter(|_| custom.schema.embeds()) else {
        return Ok(());
    };
    custom
        .schema
        .for_each_embedded(object, "", &mut |path, embedded| {
            let Some(metadata) = embedded
                .get_mut("metadata")
                .filter(|metadata| metadata.is_object())
            else {
                return Ok(());
            };
            let at = format!("{path}.metadata");
            let outer = report.problem.take();
            let read = report.read_below(&at, metadata, shape)?;
            if let Some(problem) = report.problem.take() {
                return Err(format!("{at}: Invalid value: {metadata}: {problem}"));
            }
            report.problem = outer;
            *metadata = read;
            Ok(())
        })
}

fn is_other_kind(resource: &Resource, object: &Value) -> bool {
    let differs = |field: &str, expected: &str| object[field].as_str().is_some_and(|found| found != expected);
    differs("kind", &resource.kind) || differs("apiVersion", &resource.api_version())
}

#[cfg(test)]
mod tests;
