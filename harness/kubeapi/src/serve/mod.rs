//! HTTP over TLS: connections, faults, authentication and authorization, routes.
//!
//! Owns everything between a socket and an operation of `api`. The invariant: every answer that is not the
//! asked-for object is a `v1.Status` with its HTTP code, but for a path of no group: that is a page not found.

mod access_routes;
mod authorization;
mod certificates;
mod connection;
mod discovery_routes;
pub(crate) mod event_lines;
mod faulting;
#[cfg(test)]
mod fuzz;
mod impersonation;
mod negotiation;
mod panics;
mod parameters;
mod place;
mod pod_routes;
mod presentation;
mod protobuf;
mod resource_routes;
pub(crate) mod tls;
mod watch_body;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub(crate) use connection::accept;
use event_lines::EventLines;

use crate::access::Authenticator;
use crate::api::Api;
use crate::status::{Reason, Status};

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: Arc<Api>,
    pub(crate) authenticator: Authenticator,
    pub(crate) shutdown: CancellationToken,
    pub(crate) lines: Arc<EventLines>,
}

/// Every path of the API, behind authentication and authorization, these behind faults, and all of it behind what
/// answers for a panic.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    discovery_routes::routes()
        .merge(access_routes::routes())
        .merge(pod_routes::routes())
        .merge(resource_routes::routes())
        .fallback(|| async { page_not_found() })
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            authorization::admit,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            faulting::strike,
        ))
        .layer(middleware::from_fn(panics::outlive))
        .with_state(shared)
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let response = json(code, &self.to_json());
        match self.retry_after_seconds() {
            Some(seconds) => ([(header::RETRY_AFTER, seconds.to_string())], response).into_response(),
            None => response,
        }
    }
}

/// What is said of a path that belongs to no group.
fn page_not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

fn method_not_allowed() -> Status {
    Status::undetailed(
        Reason::MethodNotAllowed,
        "the server does not allow this method on the requested resource",
    )
}

fn json(code: StatusCode, body: &impl Serialize) -> Response {
    json_as("application/json", code, body)
}

fn json_as(media_type: &'static str, code: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (code, [(header::CONTENT_TYPE, media_type)], bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The answer with one `Warning` header per warning.
fn warn(warnings: Vec<String>, mut response: Response) -> Response {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
