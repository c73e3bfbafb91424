//! vSmart policies: keeping, previewing and activating them.

use axum::Json;
use axum::extract::{Extension, Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::refusal::Refusal;
use super::rows::{policy_definition, policy_row};
use super::{Answer, JsonBody, Shared};
use crate::manager::activity::{Event, ObjectKind};
use crate::manager::body::{BodyError, ObjectBody};
use crate::manager::caller::Caller;
use crate::manager::preview;
use crate::manager::store::Release;
use crate::manager::vsmart_policy;

/// `GET …/vsmart`.
pub(super) async fn all(State(app): Shared) -> Json<Value> {
    let store = app.store();
    let rows: Vec<Value> = store
        .objects()
        .policies()
        .map(|policy| policy_row(policy, &store))
        .collect();
    Json(json!({ "data": rows }))
}

/// `GET …/vsmart/{id}`.
pub(super) async fn one(State(app): Shared, Path(id): Path<String>) -> Answer {
    let store = app.store();
    Ok(Json(policy_row(store.objects().policy(&id)?, &store)))
}

/// `GET …/vsmart/definition/{id}`.
pub(super) async fn definition(State(app): Shared, Path(id): Path<String>) -> Answer {
    let store = app.store();
    Ok(Json(policy_definition(store.objects().policy(&id)?, &store)))
}

/// `POST …/vsmart`.
pub(super) async fn create(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Answer {
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let objects = store.objects_for_creation();
    let policy = vsmart_policy::parse(Uuid::new_v4(), &body, objects.stamp_new(&caller))?;
    let (id, name) = (policy.id, policy.name.clone());
    objects.put_policy(policy)?;
    app.activity.record(Event::Created {
        kind: ObjectKind::VsmartPolicy,
        id,
        name,
    });
    Ok(Json(json!({ "policyId": id })))
}

/// `PUT …/vsmart/{id}`.
pub(super) async fn replace(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Answer {
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let old = store.objects().policy(&id)?;
    let policy = vsmart_policy::parse(old.id, &body, old.stamp.updated(&caller))?;
    let (id, name) = (policy.id, policy.name.clone());
    let edited = store.edit(&caller, id, body.process_id(), |objects| {
        objects.put_policy(policy)
    })?;
    app.activity.record(Event::Updated {
        kind: ObjectKind::VsmartPolicy,
        id,
        name,
    });
    Ok(Json(json!(edited)))
}

/// `PUT …/vsmart/central/{id}`: as `replace`, whoever holds the lock.
pub(super) async fn replace_central(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Answer {
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let old = store.objects().policy(&id)?;
    let policy = vsmart_policy::parse(old.id, &body, old.stamp.updated(&caller))?;
    let (id, name) = (policy.id, policy.name.clone());
    let edited = store.edit_central(&caller, id, |objects| objects.put_policy(policy))?;
    app.activity.record(Event::Updated {
        kind: ObjectKind::VsmartPolicy,
        id,
        name,
    });
    Ok(Json(json!(edited)))
}

/// `DELETE …/vsmart/{id}`.
pub(super) async fn delete(State(app): Shared, Path(id): Path<String>) -> Result<(), Refusal> {
    let name = app.store().delete_policy(&id)?;
    app.activity.record(Event::Deleted {
        kind: ObjectKind::VsmartPolicy,
        name,
    });
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRelease {
    #[serde(default)]
    is_edited: bool,
    process_id: Option<String>,
}

fn release(body: &Value) -> Result<Release, BodyError> {
    let RawRelease {
        is_edited,
        process_id,
    } = RawRelease::deserialize(body).map_err(BodyError::Shape)?;
    Ok(Release {
        is_edited,
        process_id,
    })
}

/// `POST …/vsmart/activate/{id}` and `…/activate/central/{id}`. The push begins as the answer leaves.
pub(super) async fn activate(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Answer {
    let release = release(&body)?;
    let accepted = app.store().activate(&caller, &id, &release, &app.places())?;
    Ok(Json(json!({ "id": app.start_push(accepted) })))
}

/// `POST …/vsmart/deactivate/{id}`.
pub(super) async fn deactivate(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Answer {
    let release = release(&body)?;
    let accepted = app.store().deactivate(&caller, &id, &release, &app.places())?;
    Ok(Json(json!({ "id": app.start_push(accepted) })))
}

/// `GET …/assembly/vsmart/{id}`.
pub(super) async fn preview(State(app): Shared, Path(id): Path<String>) -> Answer {
    let store = app.store();
    let policy = store.objects().policy(&id)?;
    Ok(Json(
        json!({ "preview": preview::preview(policy, store.objects()) }),
    ))
}

/// `POST …/assembly/vsmart`.
pub(super) async fn preview_unsaved(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Answer {
    let body = ObjectBody::new(body)?;
    let mut store = app.store();
    let stamp = store.objects_for_creation().stamp_new(&caller);
    let policy = vsmart_policy::parse(Uuid::new_v4(), &body, stamp)?;
    store.objects().check_policy(&policy)?;
    Ok(Json(
        json!({ "preview": preview::preview(&policy, store.objects()) }),
    ))
}
