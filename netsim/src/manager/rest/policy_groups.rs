//! Policy groups: their devices, variables, previews and deployments.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use uuid::Uuid;

use super::feature_profiles::add_stamp;
use super::refusal::Refusal;
use super::{Answer, JsonBody, Shared, with_slashes};
use crate::manager::Device;
use crate::manager::activity::{Event, ObjectKind};
use crate::manager::app::App;
use crate::manager::caller::Caller;
use crate::manager::policy_group::{self, GroupError, PolicyGroup};
use crate::manager::store::{Store, StoreError};

/// `/v1/policy-group`.
pub(super) fn routes() -> Router<Arc<App>> {
    with_slashes([
        ("/v1/policy-group", get(all).post(create)),
        ("/v1/policy-group/{id}", get(one).put(replace).delete(delete)),
        (
            "/v1/policy-group/{id}/device/associate",
            get(associated)
                .post(associate)
                .put(associate)
                .delete(disassociate),
        ),
        (
            "/v1/policy-group/{id}/device/variables",
            get(variables).put(set_variables),
        ),
        ("/v1/policy-group/{id}/device/deploy", post(deploy)),
        ("/v1/policy-group/{id}/device/{device}/preview", post(preview)),
    ])
}

/// `GET …/policy-group`.
async fn all(State(app): Shared) -> Json<Value> {
    let store = app.store();
    Json(
        store
            .groups()
            .all()
            .map(|group| group_row(group, &store, &app))
            .collect(),
    )
}

/// `GET …/policy-group/{id}`. Clients of the product take an empty answer as that there is none.
async fn one(State(app): Shared, Path(id): Path<String>) -> Response {
    let store = app.store();
    match store.groups().group(&id) {
        Ok(group) => Json(group_row(group, &store, &app)).into_response(),
        Err(_) => ().into_response(),
    }
}

/// `POST …/policy-group`.
async fn create(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Answer {
    let body = policy_group::parse(&body)?;
    let mut store = app.store();
    let (id, name) = (Uuid::new_v4(), body.name.clone());
    let stamp = store.objects_for_creation().stamp_new(&caller);
    store.put_group(PolicyGroup {
        id,
        name: body.name,
        description: body.description,
        profiles: body.profiles,
        devices: Default::default(),
        revision: 0,
        stamp,
    })?;
    let kind = ObjectKind::PolicyGroup;
    app.activity.record(Event::Created { kind, id, name });
    Ok(Json(json!({ "id": id })))
}

/// `PUT …/policy-group/{id}`: nothing reaches an edge before the next deployment.
async fn replace(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Answer {
    let body = policy_group::parse(&body)?;
    let mut store = app.store();
    let old = store.groups().group(&id)?.clone();
    let (id, name) = (old.id, body.name.clone());
    store.put_group(PolicyGroup {
        name: body.name,
        description: body.description,
        profiles: body.profiles,
        revision: old.revision + 1,
        stamp: old.stamp.updated(&caller),
        ..old
    })?;
    let kind = ObjectKind::PolicyGroup;
    app.activity.record(Event::Updated { kind, id, name });
    Ok(Json(json!({ "id": id })))
}

/// `DELETE …/policy-group/{id}`.
async fn delete(State(app): Shared, Path(id): Path<String>) -> Result<(), Refusal> {
    let name = app.store().delete_group(&id, &app.devices)?.name;
    let kind = ObjectKind::PolicyGroup;
    app.activity.record(Event::Deleted { kind, name });
    Ok(())
}

/// `GET …/device/associate`.
async fn associated(State(app): Shared, Path(id): Path<String>) -> Answer {
    let store = app.store();
    let group = store.groups().group(&id)?;
    let rows: Vec<Value> = devices_of(group, &app)
        .map(|device| device_row(group, device, &store))
        .collect();
    Ok(Json(json!({ "devices": rows })))
}

/// `POST` and `PUT …/device/associate`: adds to the devices of the group.
async fn associate(State(app): Shared, Path(id): Path<String>, JsonBody(body): JsonBody) -> Answer {
    let devices = policy_group::parse_devices(&body)?;
    known(&app, &devices)?;
    app.store().groups_mut().associate(&id, &devices)?;
    Ok(Json(json!({})))
}

/// `DELETE …/device/associate`: edges follow the group on, until it is deployed to them again.
async fn disassociate(State(app): Shared, Path(id): Path<String>, JsonBody(body): JsonBody) -> Answer {
    let devices = policy_group::parse_devices(&body)?;
    app.store().groups_mut().disassociate(&id, &devices)?;
    Ok(Json(json!({})))
}

/// `GET …/device/variables`: those of the parcels, with the values that they have.
async fn variables(State(app): Shared, Path(id): Path<String>) -> Answer {
    let store = app.store();
    let group = store.groups().group(&id)?;
    let names = group.variables(store.catalog());
    let rows = group.devices.iter().map(|(device, values)| {
        let variables = names.iter().map(|name| {
            let mut variable = json!({ "name": name });
            if let Some(value) = values.get(name) {
                variable["value"] = value.clone();
            }
            variable
        });
        json!({ "device-id": device, "variables": variables.collect::<Vec<_>>() })
    });
    let rows: Vec<Value> = rows.collect();
    Ok(Json(json!({ "family": "sdwan", "devices": rows })))
}

/// `PUT …/device/variables`.
async fn set_variables(State(app): Shared, Path(id): Path<String>, JsonBody(body): JsonBody) -> Answer {
    let values = policy_group::parse_variables(&body)?;
    app.store().groups_mut().set_variables(&id, values)?;
    Ok(Json(json!({})))
}

/// `POST …/device/deploy`. The push begins as the answer leaves.
async fn deploy(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Answer {
    let devices = policy_group::parse_devices(&body)?;
    let accepted = app.store().deploy(&caller, &id, &known(&app, &devices)?)?;
    Ok(Json(json!({ "parentTaskId": app.start_push(accepted) })))
}

/// `POST …/device/{device}/preview`: what the edge follows of policy groups, and what a deployment would bring.
async fn preview(
    State(app): Shared,
    Path((id, device)): Path<(String, String)>,
    JsonBody(_): JsonBody,
) -> Answer {
    let store = app.store();
    let group = store.groups().group(&id)?;
    let found = devices_of(group, &app).find(|found| found.uuid() == device);
    let found = found.ok_or_else(|| GroupError::NotAssociated {
        device,
        group: group.name.clone(),
    })?;
    let existing = store.in_force().group(found.site_id);
    let existing = existing.map(|part| part.translated.preview(found));
    let existing = existing.transpose()?.unwrap_or_default();
    let new = store.translated(group, found)?.preview(found)?;
    Ok(Json(json!({ "existingConfig": existing, "newConfig": new })))
}

/// The edges with these UUIDs.
fn known<'a>(app: &'a App, ids: &[String]) -> Result<Vec<&'a Device>, Refusal> {
    let devices = ids.iter().enumerate().map(|(place, id)| {
        let found = app.devices.iter().find(|device| device.uuid() == *id);
        found.ok_or_else(|| {
            let id = id.clone();
            Refusal::Store(StoreError::Group(GroupError::NoDevice { place, id }))
        })
    });
    devices.collect()
}

fn devices_of<'a>(group: &'a PolicyGroup, app: &'a App) -> impl Iterator<Item = &'a Device> {
    app.devices
        .iter()
        .filter(|device| group.devices.contains_key(&device.uuid()))
}

fn device_row(group: &PolicyGroup, device: &Device, store: &Store) -> Value {
    let up_to_date = store.is_up_to_date(group, device);
    json!({
        "id": device.uuid(),
        "host-name": device.host_name,
        "deviceIP": device.system_ip,
        "site-id": device.site_id.to_string(),
        "policyGroupUpToDate": up_to_date,
        "configStatusMessage": if up_to_date { "In Sync" } else { "Out of Sync" },
    })
}

fn group_row(group: &PolicyGroup, store: &Store, app: &App) -> Value {
    let profiles = group
        .profiles
        .iter()
        .filter_map(|&id| store.catalog().profile_of(id));
    let profiles = profiles.map(|profile| {
        json!({ "id": profile.id, "name": profile.name, "type": profile.kind.as_str(), "solution": "sdwan" })
    });
    let up_to_date = devices_of(group, app).filter(|device| store.is_up_to_date(group, device));
    let mut row = json!({
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "solution": "sdwan",
        "profiles": profiles.collect::<Vec<_>>(),
        "version": group.revision,
        "numberOfDevices": group.devices.len(),
        "numberOfDevicesUpToDate": up_to_date.count(),
    });
    add_stamp(&mut row, &group.stamp);
    row
}
