//! What happens to requests before and after the Manager: faults on purpose, and the limit of requests.
//!
//! Owns the order: late, answered in the Manager's place, refused as too many, done, cut. Invariant: a request that is
//! answered in the Manager's place has not been done.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use axum::Json;
use axum::body::{self, Body};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::SharedGateway;
use super::refusal::Refusal;
use crate::manager::faults::{Fault, GatewayAnswer};
use crate::manager::serve::Cord;

/// Octets; a list of 100,000 prefixes has 4 MB.
pub(super) const BODY_LIMIT: usize = 32 << 20;
/// A client that has not sent its body by then gets status 408.
const BODY_DEADLINE: Duration = Duration::from_secs(60);
/// How long the first half of a reply gets to leave before its connection ends.
const CUT_PAUSE: Duration = Duration::from_millis(100);

/// Reads a request to its end before anything answers it: what is answered while the client still sends would be lost
/// with the connection. Paths that name nothing in any encoding end here.
pub(super) async fn receive(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(read) = tokio::time::timeout(BODY_DEADLINE, read(body)).await else {
        return StatusCode::REQUEST_TIMEOUT.into_response();
    };
    let path = parts.uri.path();
    if percent_decode_str(path).decode_utf8().is_err() {
        return Refusal::PathText(path.to_owned()).into_response();
    }
    match read {
        Ok(octets) => next.run(Request::from_parts(parts, Body::from(octets))).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// A body; one above the limit is read to its end, and not kept.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    let (mut octets, mut size) = (BytesMut::new(), 0);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(Refusal::Unreadable)?;
        size += chunk.len();
        if size <= BODY_LIMIT {
            octets.extend_from_slice(&chunk);
        } else {
            octets = BytesMut::new();
        }
    }
    if size <= BODY_LIMIT {
        Ok(octets.freeze())
    } else {
        Err(Refusal::TooLarge(size))
    }
}

/// Lets faults strike, and requests within the limit through.
pub(super) async fn strike(State(gateway): SharedGateway, request: Request, next: Next) -> Response {
    let faults = &gateway.faults;
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let cord = request.extensions().get::<Cord>().cloned();
    let late = faults.feel_request(&method, &path, |fault| match fault {
        Fault::DelayRequests { by_ms, .. } => Some(Duration::from_millis(*by_ms)),
        _ => None,
    });
    if let Some(late) = late {
        tokio::time::sleep(late).await;
    }
    let answered = faults.feel_request(&method, &path, |fault| match fault {
        Fault::AnswerRequests { answer, .. } => Some(*answer),
        _ => None,
    });
    let reply = if let Some(answer) = answered {
        answer.into_response()
    } else if let Err(wait) = gateway.take(&path) {
        Refusal::Limit(wait).into_response()
    } else {
        next.run(request).await
    };
    let is_cut = faults.feel_request(&method, &path, |fault| {
        matches!(fault, Fault::CutReplies { .. }).then_some(())
    });
    match (is_cut, cord) {
        (Some(()), Some(cord)) => cut(reply, cord).await,
        _ => reply,
    }
}

/// The first half of a reply, after which its connection ends.
async fn cut(reply: Response, cord: Cord) -> Response {
    let (mut parts, body) = reply.into_parts();
    let all = body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = all.slice(..all.len() / 2);
    if half.is_empty() {
        match end(cord).await {}
    }
    parts.headers.insert(header::CONTENT_LENGTH, all.len().into());
    let never = stream::once(async { match end(cord).await {} });
    let halves = stream::iter([Ok::<Bytes, Infallible>(half)]).chain(never);
    Response::from_parts(parts, Body::from_stream(halves))
}

/// Ends the connection, and with it whoever waits for this.
async fn end(cord: Cord) -> Infallible {
    tokio::time::sleep(CUT_PAUSE).await;
    cord.pull();
    pending().await
}

impl IntoResponse for GatewayAnswer {
    fn into_response(self) -> Response {
        let page = |status: StatusCode| {
            let text =
                format!("<html>\n<head><title>{status}</title></head>\n<body>{status}</body>\n</html>\n");
            (status, Html(text))
        };
        let in_a_second = [(header::RETRY_AFTER, "1")];
        match self {
            Self::TooManyRequests => Refusal::Limit(Duration::from_secs(1)).into_response(),
            Self::InternalError => {
                let error = json!({
                    "message": "Server error", "details": "Unknown error", "type": "error", "code": "REST0007",
                });
                let body = Json(json!({ "error": error }));
                (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
            }
            Self::BadGateway => page(StatusCode::BAD_GATEWAY).into_response(),
            Self::Unavailable => (in_a_second, page(StatusCode::SERVICE_UNAVAILABLE)).into_response(),
            Self::GatewayTimeout => page(StatusCode::GATEWAY_TIMEOUT).into_response(),
            Self::Html => page(StatusCode::OK).into_response(),
        }
    }
}
