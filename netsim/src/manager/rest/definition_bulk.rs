//! Several definitions in one request: all are stored, or none is.

use axum::Json;
use axum::extract::{Extension, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::objects::definition_kind;
use super::refusal::Refusal;
use super::stored::{Segments, created, updated};
use super::{Answer, JsonBody, Shared};
use crate::manager::app::App;
use crate::manager::body::{self, BodyError, ObjectBody};
use crate::manager::caller::Caller;
use crate::manager::definition::{self, Definition, DefinitionKind};
use crate::manager::objects::Objects;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBulk {
    definitions: Vec<Map<String, Value>>,
}

/// What a bulk request says of a definition besides the definition.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPlace {
    #[serde(default)]
    is_create: bool,
    #[serde(alias = "definitionId")]
    id: Option<String>,
}

/// `PUT …/definition/{kind}/bulk`: replaces definitions by their `id`, and adds those with `isCreate`.
pub(super) async fn replace_all(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    at: Segments,
    JsonBody(body): JsonBody,
) -> Answer {
    put(&app, &caller, definition_kind(&at)?, body)
}

/// `PUT …/definition/{kind}/multiple/{id}`: as `replace_all`, where `{id}` is a definition of the kind.
pub(super) async fn replace_multiple(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    at: Segments,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = definition_kind(&at)?;
    app.store().objects().definition(kind, at.id())?;
    put(&app, &caller, kind, body)
}

fn put(app: &App, caller: &Caller, kind: DefinitionKind, body: Value) -> Answer {
    let raw: RawBulk = body::shaped(&body)?;
    let process_id = ObjectBody::new(body)?;
    let mut store = app.store();
    let objects = store.objects_for_creation();
    let parsed = raw.definitions.into_iter();
    let parsed: Vec<(Definition, bool)> = parsed
        .map(|raw| parse(objects, caller, kind, raw))
        .collect::<Result<_, _>>()?;
    let (mut definitions, mut events) = (Vec::new(), Vec::new());
    for (definition, is_new) in parsed {
        events.push(if is_new {
            created(&definition)
        } else {
            updated(&definition)
        });
        definitions.push(definition);
    }
    let edited = store.edit_definitions(caller, definitions, process_id.process_id())?;
    for event in events {
        app.activity.record(event);
    }
    Ok(Json(json!(edited)))
}

/// A definition, and whether it is new.
fn parse(
    objects: &mut Objects,
    caller: &Caller,
    kind: DefinitionKind,
    mut raw: Map<String, Value>,
) -> Result<(Definition, bool), Refusal> {
    let place = RawPlace::deserialize(&raw).map_err(BodyError::Shape)?;
    raw.retain(|key, _| !["id", "isCreate"].contains(&key.as_str()));
    let body = ObjectBody::new(Value::Object(raw))?;
    let (id, stamp) = if place.is_create {
        (Uuid::new_v4(), objects.stamp_new(caller))
    } else {
        let old = objects.definition(kind, &place.id.unwrap_or_default())?;
        (old.id, old.stamp.updated(caller))
    };
    Ok((definition::parse(kind, id, &body, stamp)?, place.is_create))
}
