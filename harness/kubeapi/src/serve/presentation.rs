//! Rendering objects, lists and watch events in the representation the client asked for.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::event_lines::EventLines;
use super::negotiation::Representation;
use crate::api::Page;
use crate::object;
use crate::resources::Resource;
use crate::status::{Reason, Status};
use crate::store::{ChangeKind, WatchEvent};
use crate::table;

/// How the objects of one resource are shown to one client.
#[derive(Debug, Clone)]
pub(super) struct Presentation {
    pub(super) resource: Arc<Resource>,
    pub(super) representation: Representation,
    pub(super) lines: Arc<EventLines>,
    /// Whether a watch of tables has named its columns: the first event does.
    pub(super) columns_are_known: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListBody<'a> {
    kind: String,
    api_version: String,
    metadata: Value,
    items: Vec<Item<'a>>,
}

/// An element of a list; one of a built-in kind does not say again what it is.
struct Item<'a> {
    object: &'a Value,
    names_kind: bool,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.object {
            Value::Object(fields) if !self.names_kind => {
                let is_said = |(key, _): &(&String, &Value)| !matches!(key.as_str(), "kind" | "apiVersion");
                serializer.collect_map(fields.iter().filter(is_said))
            }
            object => object.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct EventLine<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    object: &'a Value,
}

impl Presentation {
    pub(super) fn one(&self, code: StatusCode, object: &Value) -> Response {
        match self.representation {
            Representation::Object => super::json(code, object),
            Representation::Metadata => super::json(code, &table::partial(object)),
            Representation::Table(_) => super::json(code, &self.table_of_one(object)),
        }
    }

    pub(super) fn list(&self, page: &Page) -> Response {
        let mut metadata = json!({"resourceVersion": page.revision.to_string()});
        if let Some(token) = &page.continue_token {
            metadata["continue"] = json!(token);
        }
        if self.resource.custom().is_some() && page.continue_token.is_none() {
            metadata["continue"] = json!("");
        }
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        let items = page.items.iter().map(AsRef::as_ref);
        match self.representation {
            Representation::Object => {
                let kind = self.resource.list_kind();
                let api_version = self.resource.api_version();
                let names_kind = self.resource.custom().is_some();
                super::json(
                    StatusCode::OK,
                    &ListBody {
                        kind,
                        api_version,
                        metadata,
                        items: items.map(|object| Item { object, names_kind }).collect(),
                    },
                )
            }
            Representation::Metadata => {
                let items: Vec<Value> = items.map(table::partial).collect();
                let list = json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata, "items": items,
                });
                super::json(StatusCode::OK, &list)
            }
            Representation::Table(include) => super::json(
                StatusCode::OK,
                &table::table(&self.resource, items, include, metadata),
            ),
        }
    }

    pub(super) fn event(&mut self, event: &WatchEvent) -> Bytes {
        let kind = match event.kind {
            ChangeKind::Added => "ADDED",
            ChangeKind::Modified => "MODIFIED",
            ChangeKind::Deleted => "DELETED",
        };
        let encode = || self.resource.encode(&event.object);
        match (self.representation, object::revision(&event.object)) {
            (Representation::Object, Some(revision)) => {
                let write = || event_line(kind, &encode());
                self.lines
                    .get_or_write(&self.resource, event.kind, revision, write)
            }
            _ => self.line(kind, &encode()),
        }
    }

    pub(super) fn bookmark(&mut self, revision: u64) -> Bytes {
        self.bookmark_with(revision, json!({}))
    }

    /// The bookmark between the existing objects and the changes of a streaming list.
    pub(super) fn end_of_initial_events(&mut self, revision: u64) -> Bytes {
        self.bookmark_with(
            revision,
            json!({"annotations": {"k8s.io/initial-events-end": "true"}}),
        )
    }

    fn bookmark_with(&mut self, revision: u64, mut metadata: Value) -> Bytes {
        metadata["resourceVersion"] = json!(revision.to_string());
        metadata["creationTimestamp"] = Value::Null;
        let kind = &self.resource.kind;
        let object = json!({"kind": kind, "apiVersion": self.resource.api_version(), "metadata": metadata});
        self.line("BOOKMARK", &object)
    }

    fn line(&mut self, kind: &str, object: &Value) -> Bytes {
        match self.representation {
            Representation::Object => event_line(kind, object),
            Representation::Metadata => event_line(kind, &table::partial(object)),
            Representation::Table(_) => {
                let mut table = self.table_of_one(object);
                if std::mem::replace(&mut self.columns_are_known, true) {
                    table["columnDefinitions"] = Value::Null;
                }
                event_line(kind, &table)
            }
        }
    }

    fn table_of_one(&self, object: &Value) -> Value {
        let include = match self.representation {
            Representation::Table(include) => include,
            Representation::Object | Representation::Metadata => table::IncludeObject::default(),
        };
        table::table(
            &self.resource,
            std::iter::once(object),
            include,
            table::metadata_of_one(object),
        )
    }
}

/// The same answer, in YAML.
pub(super) async fn in_yaml(answer: Response) -> Result<Response, Status> {
    let (mut parts, body) = answer.into_parts();
    let failed = |error: &dyn std::fmt::Display| Status::new(Reason::InternalError, format!("YAML: {error}"));
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .map_err(|error| failed(&error))?;
    let body: Value = serde_json::from_slice(&body).map_err(|error| failed(&error))?;
    let body = serde_saphyr::to_string(&body).map_err(|error| failed(&error))?;
    let yaml = header::HeaderValue::from_static("application/yaml");
    parts.headers.insert(header::CONTENT_TYPE, yaml);
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// The last line of a watch that cannot go on.
pub(super) fn error_line(status: &Status) -> Bytes {
    event_line("ERROR", &status.to_json())
}

fn event_line(kind: &str, object: &Value) -> Bytes {
    // Serialising a `Value` with string keys to memory cannot fail.
    let mut line = serde_json::to_vec(&EventLine { kind, object }).unwrap_or_default();
    line.push(b'\n');
    Bytes::from(line)
}
