//! Feature profiles and their parcels.

use axum::Json;
use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::Uri;
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

use super::refusal::Refusal;
use super::{Answer, JsonBody, Shared, with_slashes};
use crate::manager::activity::{Event, ObjectKind};
use crate::manager::app::App;
use crate::manager::caller::Caller;
use crate::manager::feature_profile::at::At;
use crate::manager::feature_profile::catalog::Catalog;
use crate::manager::feature_profile::{self, Parcel, ParcelKind, Profile, ProfileKind};
use crate::manager::objects::Stamp;

/// `/v1/feature-profile/sdwan`.
pub(super) fn routes() -> Router<Arc<App>> {
    with_slashes([
        ("/{type}", get(profiles).post(create_profile)),
        (
            "/{type}/{id}",
            get(profile).put(replace_profile).delete(delete_profile),
        ),
        ("/{type}/{id}/{kind}", get(parcels).post(create_parcel)),
        (
            "/{type}/{id}/{kind}/{parcel}",
            get(parcel).put(replace_parcel).delete(delete_parcel),
        ),
    ])
}

/// `GET …/{type}`: without their parcels, as the product does.
async fn profiles(State(app): Shared, Path(kind): Path<String>, uri: Uri) -> Answer {
    let kind = profile_kind(&kind, &uri)?;
    let store = app.store();
    let rows = store
        .catalog()
        .profiles(kind)
        .map(|profile| profile_row(profile, store.catalog()));
    Ok(Json(rows.collect()))
}

/// `POST …/{type}`.
async fn create_profile(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(kind): Path<String>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = profile_kind(&kind, &uri)?;
    let (name, description) = feature_profile::read_names(&At::root(&body), &[])?;
    let mut store = app.store();
    let profile = Profile {
        id: Uuid::new_v4(),
        kind,
        name: name.clone(),
        description,
        stamp: store.objects_for_creation().stamp_new(&caller),
    };
    let id = profile.id;
    store.catalog_mut().put_profile(profile)?;
    let kind = ObjectKind::FeatureProfile;
    app.activity.record(Event::Created { kind, id, name });
    Ok(Json(json!({ "id": id })))
}

/// `GET …/{type}/{id}`.
async fn profile(State(app): Shared, Path((kind, id)): Path<(String, String)>, uri: Uri) -> Answer {
    let kind = profile_kind(&kind, &uri)?;
    let store = app.store();
    let profile = store.catalog().profile(kind, &id)?;
    let mut row = profile_row(profile, store.catalog());
    let parcels = store.catalog().parcels(profile.id);
    row["associatedProfileParcels"] = parcels
        .map(|parcel| parcel_row(parcel, store.catalog()))
        .collect();
    Ok(Json(row))
}

/// `PUT …/{type}/{id}`.
async fn replace_profile(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = profile_kind(&kind, &uri)?;
    let (name, description) = feature_profile::read_names(&At::root(&body), &[])?;
    let mut store = app.store();
    let old = store.catalog().profile(kind, &id)?;
    let profile = Profile {
        name: name.clone(),
        description,
        stamp: old.stamp.updated(&caller),
        ..*old
    };
    let id = profile.id;
    store.catalog_mut().put_profile(profile)?;
    let kind = ObjectKind::FeatureProfile;
    app.activity.record(Event::Updated { kind, id, name });
    Ok(Json(json!({ "id": id })))
}

/// `DELETE …/{type}/{id}`: with its parcels.
async fn delete_profile(
    State(app): Shared,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<(), Refusal> {
    let kind = profile_kind(&kind, &uri)?;
    let name = app.store().delete_profile(kind, &id)?.name;
    let kind = ObjectKind::FeatureProfile;
    app.activity.record(Event::Deleted { kind, name });
    Ok(())
}

type ParcelPath = Path<(String, String, String, String)>;

/// `GET …/{type}/{id}/{kind}`.
async fn parcels(
    State(app): Shared,
    Path((profile, id, kind)): Path<(String, String, String)>,
    uri: Uri,
) -> Answer {
    let kind = parcel_kind(&profile, &kind, &uri)?;
    let store = app.store();
    let profile = store.catalog().profile(kind.profile, &id)?.id;
    let of_kind = store
        .catalog()
        .parcels(profile)
        .filter(|parcel| parcel.kind == kind);
    let rows: Vec<Value> = of_kind
        .map(|parcel| parcel_row(parcel, store.catalog()))
        .collect();
    Ok(Json(json!({ "data": rows })))
}

/// `POST …/{type}/{id}/{kind}`.
async fn create_parcel(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path((profile, id, kind)): Path<(String, String, String)>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = parcel_kind(&profile, &kind, &uri)?;
    let mut store = app.store();
    let profile = store.catalog().profile(kind.profile, &id)?.id;
    let stamp = store.objects_for_creation().stamp_new(&caller);
    let parcel = feature_profile::parse(kind, profile, Uuid::new_v4(), &body, stamp)?;
    let (id, name) = (parcel.id, parcel.name.clone());
    store.catalog_mut().put_parcel(parcel)?;
    let kind = ObjectKind::Parcel;
    app.activity.record(Event::Created { kind, id, name });
    Ok(Json(json!({ "parcelId": id })))
}

/// `GET …/{type}/{id}/{kind}/{parcel}`.
async fn parcel(State(app): Shared, Path((profile, id, kind, parcel)): ParcelPath, uri: Uri) -> Answer {
    let kind = parcel_kind(&profile, &kind, &uri)?;
    let store = app.store();
    let profile = store.catalog().profile(kind.profile, &id)?.id;
    let parcel = store.catalog().parcel(profile, kind, &parcel)?;
    Ok(Json(parcel_row(parcel, store.catalog())))
}

/// `PUT …/{type}/{id}/{kind}/{parcel}`: nothing reaches an edge before the next deployment.
async fn replace_parcel(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path((profile, id, kind, parcel)): ParcelPath,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Answer {
    let kind = parcel_kind(&profile, &kind, &uri)?;
    let mut store = app.store();
    let profile = store.catalog().profile(kind.profile, &id)?.id;
    let old = store.catalog().parcel(profile, kind, &parcel)?;
    let parcel = feature_profile::parse(kind, profile, old.id, &body, old.stamp.updated(&caller))?;
    let (id, name) = (parcel.id, parcel.name.clone());
    store.catalog_mut().put_parcel(parcel)?;
    let kind = ObjectKind::Parcel;
    app.activity.record(Event::Updated { kind, id, name });
    Ok(Json(json!({ "parcelId": id })))
}

/// `DELETE …/{type}/{id}/{kind}/{parcel}`.
async fn delete_parcel(
    State(app): Shared,
    Path((profile, id, kind, parcel)): ParcelPath,
    uri: Uri,
) -> Result<(), Refusal> {
    let kind = parcel_kind(&profile, &kind, &uri)?;
    let mut store = app.store();
    let profile = store.catalog().profile(kind.profile, &id)?.id;
    let name = store.catalog_mut().delete_parcel(profile, kind, &parcel)?.name;
    let kind = ObjectKind::Parcel;
    app.activity.record(Event::Deleted { kind, name });
    Ok(())
}

fn profile_kind(kind: &str, uri: &Uri) -> Result<ProfileKind, Refusal> {
    feature_profile::profile_kind(kind).ok_or_else(|| Refusal::NoPath(uri.path().to_owned()))
}

fn parcel_kind(profile: &str, kind: &str, uri: &Uri) -> Result<&'static ParcelKind, Refusal> {
    let kind = feature_profile::parcel_kind(profile_kind(profile, uri)?, kind);
    kind.ok_or_else(|| Refusal::NoPath(uri.path().to_owned()))
}

fn profile_row(profile: &Profile, catalog: &Catalog) -> Value {
    let mut row = json!({
        "profileId": profile.id,
        "profileName": profile.name,
        "description": profile.description,
        "profileType": profile.kind.as_str(),
        "solution": "sdwan",
        "profileParcelCount": catalog.parcels(profile.id).count(),
    });
    add_stamp(&mut row, &profile.stamp);
    row
}

fn parcel_row(parcel: &Parcel, catalog: &Catalog) -> Value {
    let users: Vec<Uuid> = catalog.users(parcel.id).map(|user| user.id).collect();
    let mut row = json!({
        "parcelId": parcel.id,
        "parcelType": parcel.kind.path,
        "payload": parcel.payload,
        "referenceCount": users.len(),
        "references": users.into_iter().map(|id| json!({ "uuid": id })).collect::<Vec<_>>(),
    });
    add_stamp(&mut row, &parcel.stamp);
    row
}

/// Who made it and when.
pub(super) fn add_stamp(row: &mut Value, stamp: &Stamp) {
    row["createdBy"] = json!(stamp.created_by);
    row["createdOn"] = json!(stamp.created_ms);
    row["lastUpdatedBy"] = json!(stamp.updated_by);
    row["lastUpdatedOn"] = json!(stamp.updated_ms);
}
