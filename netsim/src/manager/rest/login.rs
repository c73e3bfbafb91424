//! Logging in and out, and what the Manager says of itself.

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Form, Json};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, session_cookie};
use crate::manager::session::Session;

/// The release whose API is emulated.
pub(super) const VERSION: &str = "20.12.4";

const LOGIN_PAGE: &str = include_str!("login.html");

/// `POST /j_security_check`. Success and failure differ in the body alone: empty, or the login page.
pub(super) async fn log_in(State(app): Shared, form: Result<Form<Credentials>, FormRejection>) -> Response {
    let Ok(Form(credentials)) = form else {
        return page().await.into_response();
    };
    match app.log_in(&credentials.j_username, &credentials.j_password) {
        Some(id) => {
            let cookie = format!("JSESSIONID={}; Path=/; Secure; HttpOnly", id.as_str());
            ([(header::SET_COOKIE, cookie)], ()).into_response()
        }
        None => page().await.into_response(),
    }
}

/// What a client logs in with.
#[derive(Deserialize)]
pub(super) struct Credentials {
    j_username: String,
    j_password: String,
}

/// `POST /logout`, and `GET` as older releases have it.
pub(super) async fn log_out(State(app): Shared, headers: HeaderMap) -> Response {
    if let Some(id) = session_cookie(&headers) {
        app.log_out(&id);
    }
    let headers = [
        (header::LOCATION, "/welcome.html"),
        (
            header::SET_COOKIE,
            "JSESSIONID=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ),
    ];
    (StatusCode::FOUND, headers).into_response()
}

/// The login page.
pub(super) async fn page() -> Html<&'static str> {
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
    format: Result<Query<TokenFormat>, QueryRejection>,
) -> Response {
    match format {
        Ok(Query(TokenFormat { json: Some(json) })) if json == "true" => {
            Json(json!({ "token": session.token })).into_response()
        }
        _ => session.token.into_response(),
    }
}

/// `GET /dataservice/client/server`.
pub(super) async fn server(Extension(session): Extension<Session>) -> Json<Value> {
    Json(json!({ "data": {
        "server": "vmanage",
        "tenancyMode": "SingleTenant",
        "userMode": "tenant",
        "viewMode": "tenant",
        "platformVersion": VERSION,
        "CSRFToken": session.token,
        "user": session.user,
        "isSaml": false,
    }}))
}

/// `GET /dataservice/client/server/ready`: clients ask before they log in.
pub(super) async fn ready() -> Json<Value> {
    Json(json!({ "isServerReady": true }))
}

/// `GET /dataservice/client/about`.
pub(super) async fn about(State(app): Shared) -> Json<Value> {
    let now =
        Timestamp::from_millisecond(i64::try_from(app.now_ms()).unwrap_or(i64::MAX)).unwrap_or_default();
    Json(json!({ "data": {
        "title": "Cisco Catalyst SD-WAN",
        "version": VERSION,
        "applicationVersion": VERSION,
        "applicationServer": "vmanage",
        "copyright": "an emulation of the API by pathproof, not the product",
        "time": now.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        "timeZone": "UTC",
        "logo": "/images/logo.png",
    }}))
}
