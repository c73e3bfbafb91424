//! The device template of the Controllers: pushing an edited policy by attaching it again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use serde_json::{Value, json};

use super::{Answer, JsonBody, Shared};
use crate::manager::app::App;
use crate::manager::caller::Caller;
use crate::manager::template::{self, TemplateKind};

/// `GET /dataservice/template/device`.
pub(super) async fn all(State(app): Shared) -> Json<Value> {
    let row = template::row(app.template, app.controllers.all().len(), app.started_ms);
    Json(json!({ "data": [row] }))
}

/// `GET /dataservice/template/device/config/attached/{id}`.
pub(super) async fn attached(State(app): Shared, Path(id): Path<String>) -> Answer {
    template::check_id(&id)?;
    let rows = app.controllers.all().iter().map(template::attached_row);
    Ok(Json(json!({ "data": rows.collect::<Vec<_>>() })))
}

/// `POST /dataservice/template/device/config/input`.
pub(super) async fn input(State(app): Shared, JsonBody(body): JsonBody) -> Answer {
    Ok(Json(template::input(&body, app.controllers.all())?))
}

/// `POST /dataservice/template/device/config/attachfeature`.
pub(super) async fn attach_feature(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Answer {
    attach(&app, &caller, &body, Some(TemplateKind::Feature))
}

/// `POST /dataservice/template/device/config/attachcli`.
pub(super) async fn attach_cli(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Answer {
    attach(&app, &caller, &body, Some(TemplateKind::Cli))
}

/// `POST /dataservice/template/device/config/attachment`: in whichever way.
pub(super) async fn attach_either(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Answer {
    attach(&app, &caller, &body, None)
}

fn attach(app: &Arc<App>, caller: &Caller, body: &Value, kind: Option<TemplateKind>) -> Answer {
    template::check_attach(body, app.template, kind, app.controllers.all())?;
    let accepted = app
        .store()
        .attach_again(caller, app.template.work(), &app.places())?;
    Ok(Json(json!({ "id": app.start_push(accepted) })))
}
