//! What lists, definitions and policies are in the Controllers' command language, stored or not.

use axum::Json;
use axum::extract::{Extension, State};
use serde_json::json;

use super::stored::{Segments, Stored, parse_new};
use super::{Answer, Shared};
use crate::manager::caller::Caller;
use crate::manager::definition::Definition;
use crate::manager::list::List;
use crate::manager::objects::{ObjectError, Objects};
use crate::manager::preview;
use crate::manager::vsmart_policy::VsmartPolicy;

/// What has a text in the command language.
pub(super) trait Previewed: Stored {
    /// Checks what it refers to.
    fn check(&self, objects: &Objects) -> Result<(), ObjectError>;

    /// The text; everything that it refers to exists.
    fn text(&self, objects: &Objects) -> String;
}

/// `GET …/preview/{id}`, and `GET …/assembly/vsmart/{id}`.
pub(super) async fn stored<S: Previewed>(State(app): Shared, at: Segments) -> Answer {
    let store = app.store();
    let text = S::find(&store, &at)?.text(store.objects());
    Ok(Json(json!({ "preview": text })))
}

/// `POST …/preview`, and `POST …/assembly/vsmart`.
pub(super) async fn unsaved<S: Previewed>(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    at: Segments,
    body: S::Body,
) -> Answer {
    let mut store = app.store();
    let object: S = parse_new(&mut store, &caller, &at, &body)?;
    object.check(store.objects())?;
    Ok(Json(json!({ "preview": object.text(store.objects()) })))
}

impl Previewed for List {
    fn check(&self, objects: &Objects) -> Result<(), ObjectError> {
        objects.check_list(self)
    }

    fn text(&self, objects: &Objects) -> String {
        preview::of_list(self, objects)
    }
}

impl Previewed for Definition {
    fn check(&self, objects: &Objects) -> Result<(), ObjectError> {
        objects.check_definition(self)
    }

    fn text(&self, objects: &Objects) -> String {
        preview::of_definition(self, objects)
    }
}

impl Previewed for VsmartPolicy {
    fn check(&self, objects: &Objects) -> Result<(), ObjectError> {
        objects.check_policy(self)
    }

    fn text(&self, objects: &Objects) -> String {
        preview::preview(self, objects)
    }
}
