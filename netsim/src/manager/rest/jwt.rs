//! Logging in for tokens: directly, and as through the API gateway.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Answer, JsonBody, SharedGateway};
use crate::manager::body;
use crate::manager::gateway::{Gateway, LoginError};
use crate::manager::session::Tokens;

/// The longest that a token may be good, in seconds: a week.
const DURATION_MAX: u64 = 604_800;

/// How long a token is good unless the client says, in seconds.
const fn default_duration() -> u64 {
    1800
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
    #[serde(default = "default_duration")]
    duration: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh: String,
    #[serde(default = "default_duration")]
    duration: u64,
}

/// Of what the API gateway asks, what makes a difference here.
#[derive(Deserialize)]
struct GatewayLogin {
    client_id: String,
    client_secret: String,
    #[serde(default = "default_duration")]
    token_duration: u64,
}

/// `POST /jwt/login`.
pub(super) async fn log_in(State(gateway): SharedGateway, JsonBody(body): JsonBody) -> Answer {
    let login: Login = body::shaped(&body)?;
    let duration = duration(login.duration)?;
    let tokens = gateway.log_in_for_tokens(&login.username, &login.password, duration)?;
    Ok(answer(&gateway, &tokens))
}

/// `POST /jwt/refresh`.
pub(super) async fn refresh(State(gateway): SharedGateway, JsonBody(body): JsonBody) -> Answer {
    let Refresh {
        refresh,
        duration: seconds,
    } = body::shaped(&body)?;
    let tokens = gateway.refresh(&refresh, duration(seconds)?)?;
    Ok(answer(&gateway, &tokens))
}

/// `POST /apigw/organization/registration`: any organization, by the user's name and password.
pub(super) async fn register(State(gateway): SharedGateway, JsonBody(body): JsonBody) -> Answer {
    let login: GatewayLogin = body::shaped(&body)?;
    if gateway.knows(&login.client_id, &login.client_secret) {
        Ok(Json(json!({})))
    } else {
        Err(LoginError::Credentials.into())
    }
}

/// `POST /apigw/login`: a client's id and secret are the user's name and password.
pub(super) async fn log_in_through_gateway(
    State(gateway): SharedGateway,
    JsonBody(body): JsonBody,
) -> Answer {
    let login: GatewayLogin = body::shaped(&body)?;
    let duration = duration(login.token_duration)?;
    let tokens = gateway.log_in_for_tokens(&login.client_id, &login.client_secret, duration)?;
    Ok(Json(json!({ "token": tokens.token })))
}

fn duration(seconds: u64) -> Result<Duration, Refusal> {
    if (1..=DURATION_MAX).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(Refusal::Duration(seconds))
    }
}

fn answer(gateway: &Gateway, tokens: &Tokens) -> Json<Value> {
    let claims = &tokens.claims;
    let is_provider = !gateway.tenants.is_empty();
    Json(json!({
        "token": tokens.token,
        "refresh": tokens.refresh,
        "csrf": tokens.csrf,
        "sub": claims.sub,
        "iss": claims.iss,
        "aud": "vmanage",
        "userGroup": ["netadmin"],
        "tenant": if is_provider { "provider" } else { "DefaultTenant" },
        "tenantId": "default",
        "duration": tokens.duration.as_secs(),
        "exp": claims.exp,
        "isAPIKey": false,
    }))
}
