//! Faults, over HTTP: not a resource of the product.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Answer, JsonBody, Shared};
use crate::manager::faults::{Fault, FaultInForce};

/// `GET /pathproof/v1/faults`.
pub(super) async fn in_force(State(app): Shared) -> Json<Vec<FaultInForce>> {
    Json(app.faults.in_force())
}

/// `POST /pathproof/v1/faults`.
pub(super) async fn inject(State(app): Shared, JsonBody(body): JsonBody) -> Answer {
    let fault = Fault::deserialize(&body).map_err(Refusal::Fault)?;
    fault.check(&app.devices, app.controllers.all())?;
    Ok(Json(json!({ "id": app.faults.inject(fault) })))
}

/// `DELETE /pathproof/v1/faults/{id}`.
pub(super) async fn heal(State(app): Shared, Path(id): Path<String>) -> Result<(), Refusal> {
    let healed = id.parse().is_ok_and(|id| app.faults.heal(id));
    if healed { Ok(()) } else { Err(Refusal::NoFault(id)) }
}

/// `DELETE /pathproof/v1/faults`.
pub(super) async fn heal_all(State(app): Shared) -> Json<Value> {
    Json(json!({ "healed": app.faults.heal_all() }))
}
