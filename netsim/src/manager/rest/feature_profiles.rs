//! Feature profiles and their parcels.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use uuid::Uuid;

use super::refusal::Refusal;
use super::stored::{self, Identity, Segments, Stored};
use super::{Answer, JsonBody, Shared, with_slashes};
use crate::manager::activity::ObjectKind;
use crate::manager::app::App;
use crate::manager::feature_profile::at::At;
use crate::manager::feature_profile::catalog::Catalog;
use crate::manager::feature_profile::{self, Parcel, ParcelKind, Profile, ProfileKind};
use crate::manager::objects::Stamp;
use crate::manager::store::Store;

/// `/v1/feature-profile/sdwan`.
pub(super) fn routes() -> Router<Arc<App>> {
    use stored::{create, delete, one, replace};
    with_slashes([
        ("/{type}", get(profiles).post(create::<Profile>)),
        (
            "/{type}/{id}",
            get(one::<Profile>)
                .put(replace::<Profile>)
                .delete(delete::<Profile>),
        ),
        ("/{type}/{profile}/{kind}", get(parcels).post(create::<Parcel>)),
        (
            "/{type}/{profile}/{kind}/{id}",
            get(one::<Parcel>).put(replace::<Parcel>).delete(delete::<Parcel>),
        ),
    ])
}

impl Stored for Profile {
    const KIND: ObjectKind = ObjectKind::FeatureProfile;
    const ID: &'static str = "id";
    type Body = JsonBody;

    fn find<'a>(store: &'a Store, at: &Segments) -> Result<&'a Self, Refusal> {
        Ok(store.catalog().profile(profile_kind(at)?, at.id())?)
    }

    fn parse(
        _: &Store,
        at: &Segments,
        JsonBody(body): &JsonBody,
        (id, stamp): Identity,
    ) -> Result<Self, Refusal> {
        let kind = profile_kind(at)?;
        let (name, description) = feature_profile::read_names(&At::root(body), &[])?;
        Ok(Self {
            id,
            kind,
            name,
            description,
            stamp,
        })
    }

    fn head(&self) -> (Uuid, &str, &Stamp) {
        (self.id, &self.name, &self.stamp)
    }

    /// With its parcels.
    fn row(&self, store: &Store) -> Value {
        let catalog = store.catalog();
        let parcels = catalog.parcels(self.id);
        let mut row = profile_row(self, catalog);
        row["associatedProfileParcels"] = parcels.map(|parcel| parcel_row(parcel, catalog)).collect();
        row
    }

    fn add(self, store: &mut Store) -> Result<(), Refusal> {
        Ok(store.catalog_mut().put_profile(self)?)
    }

    /// With its parcels.
    fn delete(store: &mut Store, at: &Segments) -> Result<String, Refusal> {
        Ok(store.delete_profile(profile_kind(at)?, at.id())?.name)
    }
}

impl Stored for Parcel {
    const KIND: ObjectKind = ObjectKind::Parcel;
    const ID: &'static str = "parcelId";
    type Body = JsonBody;

    fn find<'a>(store: &'a Store, at: &Segments) -> Result<&'a Self, Refusal> {
        let (kind, profile) = parcel_place(store, at)?;
        Ok(store.catalog().parcel(profile, kind, at.id())?)
    }

    fn parse(
        store: &Store,
        at: &Segments,
        JsonBody(body): &JsonBody,
        (id, stamp): Identity,
    ) -> Result<Self, Refusal> {
        let (kind, profile) = parcel_place(store, at)?;
        Ok(feature_profile::parse(kind, profile, id, body, stamp)?)
    }

    fn head(&self) -> (Uuid, &str, &Stamp) {
        (self.id, &self.name, &self.stamp)
    }

    fn row(&self, store: &Store) -> Value {
        parcel_row(self, store.catalog())
    }

    fn add(self, store: &mut Store) -> Result<(), Refusal> {
        Ok(store.catalog_mut().put_parcel(self)?)
    }

    fn delete(store: &mut Store, at: &Segments) -> Result<String, Refusal> {
        let (kind, profile) = parcel_place(store, at)?;
        Ok(store.catalog_mut().delete_parcel(profile, kind, at.id())?.name)
    }
}

/// `GET …/{type}`: without their parcels, as the product does.
async fn profiles(State(app): Shared, at: Segments) -> Answer {
    let store = app.store();
    let profiles = store.catalog().profiles(profile_kind(&at)?);
    let rows = profiles.map(|profile| profile_row(profile, store.catalog()));
    Ok(Json(rows.collect()))
}

/// `GET …/{type}/{profile}/{kind}`.
async fn parcels(State(app): Shared, at: Segments) -> Answer {
    let store = app.store();
    let (kind, profile) = parcel_place(&store, &at)?;
    let parcels = store.catalog().parcels(profile);
    let of_kind = parcels.filter(|parcel| parcel.kind == kind);
    let rows: Vec<Value> = of_kind
        .map(|parcel| parcel_row(parcel, store.catalog()))
        .collect();
    Ok(Json(json!({ "data": rows })))
}

fn profile_kind(at: &Segments) -> Result<ProfileKind, Refusal> {
    feature_profile::profile_kind(at.get("type")).ok_or_else(|| at.no_path())
}

/// The kind of a parcel, and its profile.
fn parcel_place(store: &Store, at: &Segments) -> Result<(&'static ParcelKind, Uuid), Refusal> {
    let kind = feature_profile::parcel_kind(profile_kind(at)?, at.get("kind"));
    let kind = kind.ok_or_else(|| at.no_path())?;
    Ok((kind, store.catalog().profile(kind.profile, at.get("profile"))?.id))
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
