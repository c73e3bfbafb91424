//! What lists and definitions are in the Controllers' command language, stored or not.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::Uri;
use serde_json::json;
use uuid::Uuid;

use super::objects::{definition_kind, list_kind};
use super::{Answer, JsonBody, Shared};
use crate::manager::body::ObjectBody;
use crate::manager::caller::Caller;
use crate::manager::{definition, list, preview};

/// `GET …/list/{kind}/preview/{id}`.
pub(super) async fn list(State(app): Shared, Path((kind, id)): Path<(String, String)>, uri: Uri) -> Answer {
    let kind = list_kind(&kind, &uri)?;
    let store = app.store();
    let text = preview::of_list(store.objects().list(kind, &id)?, store.objects());
    Ok(Json(json!({ "preview": text })))
}

/// `POST …/list/{kind}/preview`.
pub(super) async fn unsaved_list(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(kind): Path<String>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = list_kind(&kind, &uri)?;
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let stamp = store.objects_for_creation().stamp_new(&caller);
    let list = list::parse(kind, Uuid::new_v4(), &body, stamp)?;
    store.objects().check_list(&list)?;
    let text = preview::of_list(&list, store.objects());
    Ok(Json(json!({ "preview": text })))
}

/// `GET …/definition/{kind}/preview/{id}`.
pub(super) async fn definition(
    State(app): Shared,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
) -> Answer {
    let kind = definition_kind(&kind, &uri)?;
    let store = app.store();
    let text = preview::of_definition(store.objects().definition(kind, &id)?, store.objects());
    Ok(Json(json!({ "preview": text })))
}

/// `POST …/definition/{kind}/preview`.
pub(super) async fn unsaved_definition(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(kind): Path<String>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = definition_kind(&kind, &uri)?;
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let stamp = store.objects_for_creation().stamp_new(&caller);
    let definition = definition::parse(kind, Uuid::new_v4(), &body, stamp)?;
    store.objects().check_definition(&definition)?;
    let text = preview::of_definition(&definition, store.objects());
    Ok(Json(json!({ "preview": text })))
}
