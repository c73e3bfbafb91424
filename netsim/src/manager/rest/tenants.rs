//! Tenants: their list, speaking for one, and which of their Managers a request is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::refusal::Refusal;
use super::{Answer, Shared};
use crate::manager::caller::Caller;
use crate::manager::session::Session;

const TENANT_HEADER: &str = "vsessionid";

/// The resources of the provider, and those of each tenant by its id.
pub(super) struct Views {
    pub(super) provider: Router,
    pub(super) tenants: BTreeMap<String, Router>,
}

/// Answers a request as the one for whom it speaks.
pub(super) async fn dispatch(
    State(views): State<Arc<Views>>,
    Extension(session): Extension<Session>,
    request: Request,
) -> Response {
    let view = match request.headers().get(TENANT_HEADER) {
        None => Some(&views.provider),
        Some(value) => (value.to_str().ok())
            .and_then(|value| session.tenants.get(value))
            .and_then(|tenant| views.tenants.get(tenant)),
    };
    let Some(view) = view else {
        return Refusal::VSession.into_response();
    };
    view.clone().oneshot(request).await.into_response()
}

/// `GET /dataservice/tenant`.
pub(super) async fn all(State(app): Shared) -> Json<Value> {
    let row = |tenant: &crate::manager::Tenant| {
        json!({
            "tenantId": tenant.id,
            "name": tenant.name,
            "orgName": tenant.name,
            "desc": tenant.name,
            "state": "READY",
        })
    };
    let rows: Vec<Value> = app.gateway.tenants.iter().map(row).collect();
    Json(json!({ "data": rows }))
}

/// `POST /dataservice/tenant/{tenantId}/vsessionid`.
pub(super) async fn speak_for(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer {
    let value = app.gateway.speak_for(&caller.session, &id);
    let value = value.ok_or(Refusal::NoTenant(id))?;
    Ok(Json(json!({ "VSessionId": value })))
}
