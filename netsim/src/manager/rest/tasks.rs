//! Tasks, and the edit lock by its process id.

use axum::Json;
use axum::extract::{Extension, Path, State};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Answer, Shared};
use crate::manager::caller::Caller;

/// `GET /dataservice/device/action/status/{id}`.
pub(super) async fn status(State(app): Shared, Path(id): Path<String>) -> Answer {
    Ok(Json(app.store().task(&id)?.status()))
}

/// `GET /dataservice/device/action/status/tasks`.
pub(super) async fn running(State(app): Shared) -> Json<Value> {
    let rows: Vec<Value> = app.store().running_tasks().map(|task| task.row()).collect();
    Json(json!({ "runningTasks": rows }))
}

/// `GET /dataservice/device/action/status/tasks/activeCount`.
pub(super) async fn active_count(State(app): Shared) -> Json<Value> {
    Json(json!({ "data": { "activeTaskCount": app.store().running_tasks().count() } }))
}

/// `POST /dataservice/device/action/status/cancel/{id}`. The task ends when the edges that are being programmed are done.
pub(super) async fn cancel(State(app): Shared, Path(id): Path<String>) -> Result<(), Refusal> {
    Ok(app.store().cancel(&id)?)
}

/// `PUT /dataservice/template/lock/{processId}`.
pub(super) async fn extend_lock(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer {
    app.store().extend_lock(&caller, &id)?;
    Ok(Json(json!({ "processId": id })))
}

/// `DELETE /dataservice/template/lock/{processId}`.
pub(super) async fn release_lock(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer {
    app.store().release_lock(&caller, &id)?;
    Ok(Json(json!({ "processId": id })))
}
