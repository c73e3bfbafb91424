//! vSmart policies: keeping and activating them.

use axum::Json;
use axum::extract::{Extension, Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::refusal::Refusal;
use super::rows::{policy_definition, policy_row};
use super::stored::{Identity, Segments, Stored, replace_by};
use super::{Answer, JsonBody, Shared};
use crate::manager::activity::ObjectKind;
use crate::manager::body::{self, BodyError, ObjectBody};
use crate::manager::caller::Caller;
use crate::manager::objects::Stamp;
use crate::manager::store::{Release, Store};
use crate::manager::vsmart_policy::{self, VsmartPolicy};

impl Stored for VsmartPolicy {
    const KIND: ObjectKind = ObjectKind::VsmartPolicy;
    const ID: &'static str = "policyId";
    type Body = ObjectBody;

    fn find<'a>(store: &'a Store, at: &Segments) -> Result<&'a Self, Refusal> {
        Ok(store.objects().policy(at.id())?)
    }

    fn parse(_: &Store, _: &Segments, body: &ObjectBody, (id, stamp): Identity) -> Result<Self, Refusal> {
        Ok(vsmart_policy::parse(id, body, stamp)?)
    }

    fn head(&self) -> (Uuid, &str, &Stamp) {
        (self.id, &self.name, &self.stamp)
    }

    fn row(&self, store: &Store) -> Value {
        policy_row(self, store)
    }

    fn add(self, store: &mut Store) -> Result<(), Refusal> {
        Ok(store.objects_for_creation().put_policy(self)?)
    }

    fn replace(self, store: &mut Store, caller: &Caller, body: &ObjectBody) -> Answer {
        let edited = store.edit(caller, self.id, body.process_id(), |objects| {
            objects.put_policy(self)
        })?;
        Ok(Json(json!(edited)))
    }

    fn delete(store: &mut Store, at: &Segments) -> Result<String, Refusal> {
        Ok(store.delete_policy(at.id())?)
    }
}

/// `GET …/vsmart`.
pub(super) async fn all(State(app): Shared) -> Json<Value> {
    let store = app.store();
    let policies = store.objects().policies();
    let rows: Vec<Value> = policies.map(|policy| policy_row(policy, &store)).collect();
    Json(json!({ "data": rows }))
}

/// `GET …/vsmart/definition/{id}`.
pub(super) async fn definition(State(app): Shared, Path(id): Path<String>) -> Answer {
    let store = app.store();
    Ok(Json(policy_definition(store.objects().policy(&id)?, &store)))
}

/// `PUT …/vsmart/central/{id}`: as any other replacement, whoever holds the lock.
pub(super) async fn replace_central(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    at: Segments,
    body: ObjectBody,
) -> Answer {
    replace_by(
        &app,
        &caller,
        &at,
        &body,
        |policy: VsmartPolicy, store, caller, _| {
            let edited = store.edit_central(caller, policy.id, |objects| objects.put_policy(policy))?;
            Ok(Json(json!(edited)))
        },
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRelease {
    #[serde(default)]
    is_edited: bool,
    process_id: Option<String>,
}

/// Other keys make no difference: public sources do not say that the product refuses any.
fn release(body: &Value) -> Result<Release, BodyError> {
    let RawRelease {
        is_edited,
        process_id,
    } = body::shaped(body)?;
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
