//! Lists and definitions.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use uuid::Uuid;

use super::refusal::Refusal;
use super::rows::{definition_head, definition_row, list_row};
use super::stored::{Identity, Segments, Stored};
use super::{Answer, Shared};
use crate::manager::activity::ObjectKind;
use crate::manager::body::ObjectBody;
use crate::manager::caller::Caller;
use crate::manager::definition::{self, Definition, DefinitionKind};
use crate::manager::list::{self, List, ListKind};
use crate::manager::objects::Stamp;
use crate::manager::store::Store;

impl Stored for List {
    const KIND: ObjectKind = ObjectKind::List;
    const ID: &'static str = "listId";
    type Body = ObjectBody;

    fn find<'a>(store: &'a Store, at: &Segments) -> Result<&'a Self, Refusal> {
        Ok(store.objects().list(list_kind(at)?, at.id())?)
    }

    fn parse(_: &Store, at: &Segments, body: &ObjectBody, (id, stamp): Identity) -> Result<Self, Refusal> {
        Ok(list::parse(list_kind(at)?, id, body, stamp)?)
    }

    fn head(&self) -> (Uuid, &str, &Stamp) {
        (self.id, &self.name, &self.stamp)
    }

    fn row(&self, store: &Store) -> Value {
        list_row(self, store)
    }

    fn add(self, store: &mut Store) -> Result<(), Refusal> {
        Ok(store.objects_for_creation().put_list(self)?)
    }

    fn replace(self, store: &mut Store, caller: &Caller, body: &ObjectBody) -> Answer {
        let edited = store.edit(caller, self.id, body.process_id(), |objects| {
            objects.put_list(self)
        })?;
        Ok(Json(json!(edited)))
    }

    fn delete(store: &mut Store, at: &Segments) -> Result<String, Refusal> {
        Ok(store.delete_list(list_kind(at)?, at.id())?)
    }
}

impl Stored for Definition {
    const KIND: ObjectKind = ObjectKind::Definition;
    const ID: &'static str = "definitionId";
    type Body = ObjectBody;

    fn find<'a>(store: &'a Store, at: &Segments) -> Result<&'a Self, Refusal> {
        Ok(store.objects().definition(definition_kind(at)?, at.id())?)
    }

    fn parse(_: &Store, at: &Segments, body: &ObjectBody, (id, stamp): Identity) -> Result<Self, Refusal> {
        Ok(definition::parse(definition_kind(at)?, id, body, stamp)?)
    }

    fn head(&self) -> (Uuid, &str, &Stamp) {
        (self.id, &self.name, &self.stamp)
    }

    fn row(&self, store: &Store) -> Value {
        definition_row(self, store)
    }

    fn add(self, store: &mut Store) -> Result<(), Refusal> {
        Ok(store.objects_for_creation().put_definition(self)?)
    }

    fn replace(self, store: &mut Store, caller: &Caller, body: &ObjectBody) -> Answer {
        let edited = store.edit(caller, self.id, body.process_id(), |objects| {
            objects.put_definition(self)
        })?;
        Ok(Json(json!(edited)))
    }

    fn delete(store: &mut Store, at: &Segments) -> Result<String, Refusal> {
        Ok(store.delete_definition(definition_kind(at)?, at.id())?)
    }
}

/// `GET …/list`: the lists of every kind.
pub(super) async fn all_lists(State(app): Shared) -> Json<Value> {
    let store = app.store();
    rows_of_lists(&store, store.objects().lists())
}

/// `GET …/list/{kind}`.
pub(super) async fn lists(State(app): Shared, at: Segments) -> Answer {
    let store = app.store();
    let kind = list_kind(&at)?;
    Ok(rows_of_lists(&store, store.objects().lists_of(kind)))
}

fn rows_of_lists<'a>(store: &Store, lists: impl Iterator<Item = &'a List>) -> Json<Value> {
    let rows: Vec<Value> = lists.map(|list| list_row(list, store)).collect();
    Json(json!({ "data": rows }))
}

/// `GET …/definition/{kind}`: without what they consist of, as the product does.
pub(super) async fn definitions(State(app): Shared, at: Segments) -> Answer {
    if definition::is_refused(at.get("kind")) {
        return Ok(Json(json!({ "data": [] })));
    }
    let store = app.store();
    let kind = definition_kind(&at)?;
    let rows = store.objects().definitions_of(kind);
    let rows: Vec<Value> = rows
        .map(|definition| definition_head(definition, &store))
        .collect();
    Ok(Json(json!({ "data": rows })))
}

fn list_kind(at: &Segments) -> Result<&'static ListKind, Refusal> {
    list::kind(at.get("kind")).ok_or_else(|| at.no_path())
}

pub(super) fn definition_kind(at: &Segments) -> Result<DefinitionKind, Refusal> {
    let kind = at.get("kind");
    if definition::is_refused(kind) {
        return Err(Refusal::DefinitionKind(kind.to_owned()));
    }
    definition::kind(kind).ok_or_else(|| at.no_path())
}
