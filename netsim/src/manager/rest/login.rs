//! The classic login, logging out, and what the Manager says of itself.

use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Shared, SharedGateway, authenticate};
use crate::manager::gateway::LoginError;
use crate::manager::session::Session;

/// The release whose API is emulated.
pub(super) const VERSION: &str = "20.12.4";

/// Takes a client's cookie away, by one that has expired.
pub(super) const NO_COOKIE: &str = "JSESSIONID=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

/// Where clients without a session are sent.
pub(super) const WELCOME: &str = "/welcome.html";

const LOGIN_PAGE: &str = include_str!("login.html");

/// `POST /j_security_check`. Success and failure differ in the body alone: empty, or the login page.
pub(super) async fn log_in(
    State(gateway): SharedGateway,
    form: Result<Form<Credentials>, FormRejection>,
) -> Response {
    let Ok(Form(credentials)) = form else {
        return page().into_response();
    };
    match gateway.log_in(&credentials.j_username, &credentials.j_password) {
        Ok(id) => {
            let cookie = format!("JSESSIONID={}; Path=/; Secure; HttpOnly", id.as_str());
            ([(header::SET_COOKIE, cookie)], ()).into_response()
        }
        Err(LoginError::Credentials) => page().into_response(),
        Err(full) => Refusal::Login(full).into_response(),
    }
}

/// What a client logs in with.
#[derive(Deserialize)]
pub(super) struct Credentials {
    j_username: String,
    j_password: String,
}

/// `POST /logout`, and `GET` as older releases have it: ends the session of a cookie and that of a token.
pub(super) async fn log_out(State(gateway): SharedGateway, headers: HeaderMap) -> Response {
    for proof in authenticate::proofs(&headers) {
        gateway.log_out(proof);
    }
    let headers = [(header::LOCATION, WELCOME), (header::SET_COOKIE, NO_COOKIE)];
    (StatusCode::FOUND, headers).into_response()
}

/// `GET /` and `GET /welcome.html`.
pub(super) async fn welcome() -> Html<&'static str> {
    page()
}

/// The login page.
pub(super) fn page() -> Html<&'static str> {
    Html(LOGIN_PAGE)
}

/// How a client wants its token.
#[derive(Deserialize)]
pub(super) struct TokenFormat {
    json: Option<String>,
}

/// `GET /dataservice/client/token`: text, unless `?json=true`.
pub(super) async fn token(
    Extension(session): Extension<Session>,
    Query(format): Query<TokenFormat>,
) -> Response {
    match format.json.as_deref() {
        Some("true") => Json(json!({ "token": session.token })).into_response(),
        _ => session.token.into_response(),
    }
}

/// `GET /dataservice/client/server`.
pub(super) async fn server(State(app): Shared, Extension(session): Extension<Session>) -> Json<Value> {
    let gateway = &app.gateway;
    let (tenancy, user_mode) = match gateway.tenants.as_slice() {
        [] => ("SingleTenant", "tenant"),
        _ => ("MultiTenant", "provider"),
    };
    let view_mode = if app.tenant.is_some() { "tenant" } else { user_mode };
    let mut row = json!({
        "server": "vmanage",
        "tenancyMode": tenancy,
        "userMode": user_mode,
        "viewMode": view_mode,
        "platformVersion": VERSION,
        "CSRFToken": session.token,
        "user": session.user,
        "isSaml": false,
    });
    if let Some(tenant) = &app.tenant {
        row["tenantId"] = json!(tenant.id);
        row["tenantName"] = json!(tenant.name);
    }
    Json(json!({ "data": row }))
}

/// `GET /dataservice/client/server/ready`: clients ask before they log in.
pub(super) async fn ready(State(gateway): SharedGateway) -> Json<Value> {
    Json(json!({ "isServerReady": gateway.is_ready() }))
}

/// `GET /dataservice/client/about`.
pub(super) async fn about() -> Json<Value> {
    Json(json!({ "data": {
        "title": "Cisco Catalyst SD-WAN",
        "version": VERSION,
        "applicationVersion": VERSION,
        "applicationServer": "vmanage",
    }}))
}
