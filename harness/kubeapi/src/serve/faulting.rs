//! What happens to requests before and after they are served: faults on purpose.
//!
//! Owns the order: late, answered in the server's place, done, cut. It stands in front of authorization, as what answers
//! for a server that cannot does. Invariant: a request that is answered in the server's place has not been done.

use std::future::ready;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use axum::body::{self, Body};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::Shared;
use super::authorization::{action_of, identified};
use super::parameters::Parameters;
use super::resource_routes::read;
use crate::access::Action;
use crate::faults::{Asked, RunningWatch, Verb, asking};

/// Lets faults strike.
pub(super) async fn strike(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let faults = &shared.api.faults;
    if !asks_to_watch(request.method(), request.uri()) && !faults.are_about_requests() {
        return told(&shared, next.run(request).await);
    }
    let asked = Arc::new(asked(&shared, &request));
    let (parts, body) = request.into_parts();
    // Only once all of it is read it is noticed that the client gives up.
    let request = match read(body).await {
        Ok(body) => Request::from_parts(parts, Body::from(body)),
        Err(refusal) => return refusal.into_response(),
    };
    faults.delay(&asked).await;
    let reply = match faults.answer(&asked) {
        Some(answer) => answer.into_response(),
        None => asking(Arc::clone(&asked), next.run(request)).await,
    };
    if asked.verb == Some(Verb::Watch) && reply.status() == StatusCode::OK {
        return watched(reply, faults.watch(asked));
    }
    if faults.cut(&asked) {
        return cut(reply).await;
    }
    told(&shared, reply)
}

/// What a request asks, as far as faults care.
fn asked(shared: &Shared, request: &Request) -> Asked {
    // Whoever is unknown is refused later, unless a fault comes first.
    let user = identified(shared, request).map(|user| user.name.clone());
    let user = user.unwrap_or_default();
    match action_of(request.method(), request.uri()) {
        Action::Resource(action) => Asked {
            verb: action.verb.parse().ok(),
            group: action.group,
            resource: action.resource,
            subresource: action.subresource,
            namespace: action.namespace,
            name: action.name,
            user,
        },
        Action::Path { verb, .. } => Asked {
            verb: verb.parse().ok().filter(|verb| *verb == Verb::Get),
            user,
            ..Asked::default()
        },
    }
}

/// Whether it may be a watch, which can be dropped by what comes later.
fn asks_to_watch(method: &Method, uri: &Uri) -> bool {
    method == Method::GET
        && uri.query().is_some()
        && Parameters::of(uri).is_ok_and(|parameters| parameters.is_watch())
}

/// The reply, after it is noted that a list could not go on.
fn told(shared: &Shared, reply: Response) -> Response {
    if reply.status() == StatusCode::GONE {
        shared.api.faults.expired();
    }
    reply
}

/// The reply to a watch, which ends as with a broken connection when the watch is dropped.
fn watched(reply: Response, watch: RunningWatch) -> Response {
    reply.map(|body| {
        let lines = body.into_data_stream().map_err(io::Error::other);
        let lines = lines.take_until(watch.dropped());
        let end = stream::once(async move { watch.is_dropped().then(|| Err(broken())) });
        Body::from_stream(lines.chain(end.filter_map(ready)))
    })
}

/// The first half of a reply, after which its connection ends.
async fn cut(reply: Response) -> Response {
    let (parts, body) = reply.into_parts();
    let all = body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half: Bytes = all.slice(..all.len() / 2);
    let first = stream::once(ready(Ok(half)));
    let end = stream::once(async {
        // What is ready is sent before what is not.
        tokio::task::yield_now().await;
        Err(broken())
    });
    Response::from_parts(parts, Body::from_stream(first.chain(end)))
}

fn broken() -> io::Error {
    io::Error::from(ErrorKind::ConnectionReset)
}
