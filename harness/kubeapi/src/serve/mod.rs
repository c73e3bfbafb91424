//! HTTP over TLS: listeners, authentication and authorization, routes.
//!
//! Owns everything between a socket and an operation of `api`. The invariant: every answer that is not the
//! asked-for object is a `v1.Status` with its HTTP code, but for a path of no group: that is a page not found.

mod access_routes;
mod authorization;
mod certificates;
mod discovery_routes;
mod field_validation;
mod impersonation;
mod negotiation;
mod parameters;
mod place;
mod presentation;
mod protobuf;
mod resource_routes;
pub(crate) mod tls;
mod watch_body;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use authorization::PeerUser;

use crate::access::Authenticator;
use crate::api::Api;
use crate::status::{Reason, Status};

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries to accept when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: Arc<Api>,
    pub(crate) authenticator: Authenticator,
    pub(crate) shutdown: CancellationToken,
}

/// Every path of the API, behind authentication and authorization.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    discovery_routes::routes()
        .merge(access_routes::routes())
        .merge(resource_routes::routes())
        .fallback(|| async { page_not_found() })
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            authorization::admit,
        ))
        .with_state(shared)
}

/// Serves connections until `shutdown`, then lets the open ones finish.
pub(crate) async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    router: Router,
    shutdown: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_closed) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = serve(stream, tls.clone(), router.clone(), shutdown.clone());
                    connections.spawn(connection);
                }
                Err(error) => {
                    debug!(%error, "accept connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, router: Router, shutdown: CancellationToken) {
    // Watch events are small and must not wait for more (RFC 896).
    let _best_effort = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "tls handshake"),
        Err(elapsed) => return debug!(%elapsed, "tls handshake"),
    };
    let router = match certificates::peer_user(&stream) {
        Some(user) => router.layer(Extension(PeerUser(Arc::new(user)))),
        None => router,
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "serve connection");
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json(code, &self.to_json())
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

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
