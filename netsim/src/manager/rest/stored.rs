//! Objects that clients keep: each is created, read, replaced and deleted in the same way, whatever it is.
//!
//! Owns the order of things in these requests. What an object is, where it stands and what its edit means for edges is in
//! the impls of [`Stored`]. Invariant: what was stored or deleted is in the activity log, and nothing else is.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, FromRequest, FromRequestParts, RawPathParams, Request, State};
use axum::http::Uri;
use axum::http::request::Parts;
use serde_json::{Value, json};
use uuid::Uuid;

use super::refusal::Refusal;
use super::{Answer, JsonBody, Shared};
use crate::manager::activity::{Event, ObjectKind};
use crate::manager::app::App;
use crate::manager::body::ObjectBody;
use crate::manager::caller::Caller;
use crate::manager::objects::Stamp;
use crate::manager::store::Store;

/// The id of an object, and who made it.
pub(super) type Identity = (Uuid, Stamp);

/// What the API keeps under an id.
pub(super) trait Stored: Sized {
    /// What it is, to the activity log.
    const KIND: ObjectKind;
    /// The key of its id in the answer to its creation.
    const ID: &'static str;
    /// What it is made from.
    type Body: FromRequest<Arc<App>, Rejection = Refusal> + Send;

    /// The one at a path.
    fn find<'a>(store: &'a Store, at: &Segments) -> Result<&'a Self, Refusal>;

    /// That of a body sent to a path, with this id.
    fn parse(store: &Store, at: &Segments, body: &Self::Body, identity: Identity) -> Result<Self, Refusal>;

    /// Its id, its name, and who made it.
    fn head(&self) -> (Uuid, &str, &Stamp);

    /// As clients read it.
    fn row(&self, store: &Store) -> Value;

    /// Stores one that is new.
    fn add(self, store: &mut Store) -> Result<(), Refusal>;

    /// Stores a new version, and gives the answer. What no edge follows before it is deployed is stored as if it were new.
    fn replace(self, store: &mut Store, _: &Caller, _: &Self::Body) -> Answer {
        let id = self.head().0;
        self.add(store)?;
        Ok(Json(json!({ (Self::ID): id })))
    }

    /// Deletes the one at a path, and gives its name.
    fn delete(store: &mut Store, at: &Segments) -> Result<String, Refusal>;
}

/// `GET …/{id}`.
pub(super) async fn one<S: Stored>(State(app): Shared, at: Segments) -> Answer {
    let store = app.store();
    Ok(Json(S::find(&store, &at)?.row(&store)))
}

/// `POST` to a collection.
pub(super) async fn create<S: Stored>(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    at: Segments,
    body: S::Body,
) -> Answer {
    let mut store = app.store();
    let object: S = parse_new(&mut store, &caller, &at, &body)?;
    let (id, event) = (object.head().0, created(&object));
    object.add(&mut store)?;
    app.activity.record(event);
    Ok(Json(json!({ (S::ID): id })))
}

/// That of a body, with an id of its own; it is not stored.
pub(super) fn parse_new<S: Stored>(
    store: &mut Store,
    caller: &Caller,
    at: &Segments,
    body: &S::Body,
) -> Result<S, Refusal> {
    let stamp = store.objects_for_creation().stamp_new(caller);
    S::parse(store, at, body, (Uuid::new_v4(), stamp))
}

/// `PUT …/{id}`.
pub(super) async fn replace<S: Stored>(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    at: Segments,
    body: S::Body,
) -> Answer {
    replace_by(&app, &caller, &at, &body, S::replace)
}

/// Replaces an object by what `put` does with its new version.
pub(super) fn replace_by<S: Stored>(
    app: &App,
    caller: &Caller,
    at: &Segments,
    body: &S::Body,
    put: impl FnOnce(S, &mut Store, &Caller, &S::Body) -> Answer,
) -> Answer {
    let mut store = app.store();
    let (id, _, stamp) = S::find(&store, at)?.head();
    let object = S::parse(&store, at, body, (id, stamp.updated(caller)))?;
    let event = updated(&object);
    let answer = put(object, &mut store, caller, body)?;
    app.activity.record(event);
    Ok(answer)
}

/// `DELETE …/{id}`.
pub(super) async fn delete<S: Stored>(State(app): Shared, at: Segments) -> Result<(), Refusal> {
    let (kind, name) = (S::KIND, S::delete(&mut app.store(), &at)?);
    app.activity.record(Event::Deleted { kind, name });
    Ok(())
}

/// That an object is new.
pub(super) fn created<S: Stored>(object: &S) -> Event {
    let (id, name, _) = object.head();
    let (kind, name) = (S::KIND, name.to_owned());
    Event::Created { kind, id, name }
}

/// That an object has a new version.
pub(super) fn updated<S: Stored>(object: &S) -> Event {
    let (id, name, _) = object.head();
    let (kind, name) = (S::KIND, name.to_owned());
    Event::Updated { kind, id, name }
}

/// A path, and what stands in it for the names of its route.
pub(super) struct Segments {
    uri: Uri,
    named: RawPathParams,
}

impl Segments {
    /// What stands for a name of the route; nothing if it has no such name.
    pub(super) fn get(&self, name: &str) -> &str {
        let mut named = self.named.iter();
        named
            .find(|(known, _)| *known == name)
            .map_or("", |(_, found)| found)
    }

    /// What stands for `{id}`.
    pub(super) fn id(&self) -> &str {
        self.get("id")
    }

    /// There is nothing at this path.
    pub(super) fn no_path(&self) -> Refusal {
        Refusal::NoPath(self.uri.path().to_owned())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let uri = parts.uri.clone();
        match RawPathParams::from_request_parts(parts, state).await {
            Ok(named) => Ok(Self { uri, named }),
            Err(_) => Err(Refusal::PathText(uri.path().to_owned())),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for ObjectBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let JsonBody(body) = JsonBody::from_request(request, state).await?;
        Ok(Self::new(body)?)
    }
}
