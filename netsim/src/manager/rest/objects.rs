//! Lists and definitions.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use uuid::Uuid;

use super::refusal::Refusal;
use super::rows::{Uses, definition_row, list_row};
use super::{Answer, JsonBody, Shared};
use crate::manager::activity::{Event, ObjectKind};
use crate::manager::body::ObjectBody;
use crate::manager::caller::Caller;
use crate::manager::definition::{self, DefinitionKind};
use crate::manager::list::{self, ListKind};

/// `GET …/list`: the lists of every kind.
pub(super) async fn all_lists(State(app): Shared) -> Json<Value> {
    let store = app.store();
    let uses = Uses::of(&store);
    let rows: Vec<Value> = store
        .objects()
        .lists()
        .map(|list| list_row(list, &uses))
        .collect();
    Json(json!({ "data": rows }))
}

/// `GET …/list/{kind}`.
pub(super) async fn lists(State(app): Shared, Path(kind): Path<String>, uri: Uri) -> Answer {
    let kind = list_kind(&kind, &uri)?;
    let store = app.store();
    let uses = Uses::of(&store);
    let lists = store.objects().lists().filter(|list| list.kind == kind);
    let rows: Vec<Value> = lists.map(|list| list_row(list, &uses)).collect();
    Ok(Json(json!({ "data": rows })))
}

/// `GET …/list/{kind}/{id}`.
pub(super) async fn list(State(app): Shared, Path((kind, id)): Path<(String, String)>, uri: Uri) -> Answer {
    let kind = list_kind(&kind, &uri)?;
    let store = app.store();
    let list = store.objects().list(kind, &id)?;
    Ok(Json(list_row(list, &Uses::of(&store))))
}

/// `POST …/list/{kind}`.
pub(super) async fn create_list(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(kind): Path<String>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = list_kind(&kind, &uri)?;
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let objects = store.objects_for_creation();
    let list = list::parse(kind, Uuid::new_v4(), &body, objects.stamp_new(&caller))?;
    let (id, name) = (list.id, list.name.clone());
    objects.put_list(list)?;
    app.activity.record(Event::Created {
        kind: ObjectKind::List,
        id,
        name,
    });
    Ok(Json(json!({ "listId": id })))
}

/// `PUT …/list/{kind}/{id}`.
pub(super) async fn replace_list(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = list_kind(&kind, &uri)?;
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let old = store.objects().list(kind, &id)?;
    let list = list::parse(kind, old.id, &body, old.stamp.updated(&caller))?;
    let (id, name) = (list.id, list.name.clone());
    let edited = store.edit(&caller, id, body.process_id(), |objects| objects.put_list(list))?;
    app.activity.record(Event::Updated {
        kind: ObjectKind::List,
        id,
        name,
    });
    Ok(Json(json!(edited)))
}

/// `DELETE …/list/{kind}/{id}`.
pub(super) async fn delete_list(
    State(app): Shared,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<(), Refusal> {
    let kind = list_kind(&kind, &uri)?;
    let name = app.store().delete_list(kind, &id)?;
    app.activity.record(Event::Deleted {
        kind: ObjectKind::List,
        name,
    });
    Ok(())
}

/// `GET …/definition/{kind}`: without what they consist of, as the product does.
pub(super) async fn definitions(State(app): Shared, Path(kind): Path<String>, uri: Uri) -> Answer {
    if definition::is_refused(&kind) {
        return Ok(Json(json!({ "data": [] })));
    }
    let kind = definition_kind(&kind, &uri)?;
    let store = app.store();
    let uses = Uses::of(&store);
    let of_kind = (store.objects().definitions()).filter(|definition| definition.kind() == kind);
    let rows = of_kind.map(|definition| {
        let mut row = definition_row(definition, &uses);
        for key in ["sequences", "defaultAction"] {
            row.as_object_mut().and_then(|row| row.remove(key));
        }
        row
    });
    let rows: Vec<Value> = rows.collect();
    Ok(Json(json!({ "data": rows })))
}

/// `GET …/definition/{kind}/{id}`.
pub(super) async fn definition(
    State(app): Shared,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
) -> Answer {
    let kind = definition_kind(&kind, &uri)?;
    let store = app.store();
    let definition = store.objects().definition(kind, &id)?;
    Ok(Json(definition_row(definition, &Uses::of(&store))))
}

/// `POST …/definition/{kind}`.
pub(super) async fn create_definition(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(kind): Path<String>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = definition_kind(&kind, &uri)?;
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let objects = store.objects_for_creation();
    let definition = definition::parse(kind, Uuid::new_v4(), &body, objects.stamp_new(&caller))?;
    let (id, name) = (definition.id, definition.name.clone());
    objects.put_definition(definition)?;
    app.activity.record(Event::Created {
        kind: ObjectKind::Definition,
        id,
        name,
    });
    Ok(Json(json!({ "definitionId": id })))
}

/// `PUT …/definition/{kind}/{id}`.
pub(super) async fn replace_definition(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = definition_kind(&kind, &uri)?;
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let old = store.objects().definition(kind, &id)?;
    let definition = definition::parse(kind, old.id, &body, old.stamp.updated(&caller))?;
    let (id, name) = (definition.id, definition.name.clone());
    let edited = store.edit(&caller, id, body.process_id(), |objects| {
        objects.put_definition(definition)
    })?;
    app.activity.record(Event::Updated {
        kind: ObjectKind::Definition,
        id,
        name,
    });
    Ok(Json(json!(edited)))
}

/// `DELETE …/definition/{kind}/{id}`.
pub(super) async fn delete_definition(
    State(app): Shared,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<(), Refusal> {
    let kind = definition_kind(&kind, &uri)?;
    let name = app.store().delete_definition(kind, &id)?;
    app.activity.record(Event::Deleted {
        kind: ObjectKind::Definition,
        name,
    });
    Ok(())
}

pub(super) fn list_kind(kind: &str, uri: &Uri) -> Result<&'static ListKind, Refusal> {
    list::kind(kind).ok_or_else(|| Refusal::NoPath(uri.path().to_owned()))
}

pub(super) fn definition_kind(kind: &str, uri: &Uri) -> Result<DefinitionKind, Refusal> {
    if definition::is_refused(kind) {
        return Err(Refusal::DefinitionKind(kind.to_owned()));
    }
    definition::kind(kind).ok_or_else(|| Refusal::NoPath(uri.path().to_owned()))
}
