//! Before a request is served: who makes it, in whose name, and whether he may.
//!
//! The invariant: nothing is served to someone unknown, and what a request is judged by is read from the same path and
//! query as what it does.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::impersonation::impersonated;
use super::parameters::Parameters;
use super::{Shared, text};
use crate::access::{Action, ResourceAction, User, authorize, on_behalf_of};
use crate::status::{Reason, Status};

/// The user of the client certificate of a connection.
#[derive(Debug, Clone)]
pub(super) struct PeerUser(pub(super) Arc<User>);

/// Lets the request through in the name of its user, or refuses it.
pub(super) async fn admit(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let user = match admitted_user(&shared, &request) {
        Ok(user) => user,
        Err(refusal) => return refusal.into_response(),
    };
    request.extensions_mut().insert(Arc::clone(&user));
    if user.is_master() {
        return next.run(request).await;
    }
    on_behalf_of(user, next.run(request)).await
}

fn admitted_user(shared: &Shared, request: &Request) -> Result<Arc<User>, Status> {
    let user = identified(shared, request)?;
    if percent_decode_str(request.uri().path()).decode_utf8().is_err() {
        return Err(Status::bad_request("the path of the request is not UTF-8"));
    }
    if !user.is_master() {
        let action = action_of(request.method(), request.uri());
        authorize(&shared.api.rules, &user, &action)?;
    }
    Ok(user)
}

/// In whose name the request is made.
pub(super) fn identified(shared: &Shared, request: &Request) -> Result<Arc<User>, Status> {
    let user = authenticated(shared, request)?;
    impersonated(&shared.api.rules, user, request.headers())
}

/// As kube-apiserver, a certificate is looked at before a token.
fn authenticated(shared: &Shared, request: &Request) -> Result<Arc<User>, Status> {
    if let Some(PeerUser(user)) = request.extensions().get() {
        return Ok(Arc::clone(user));
    }
    let token =
        text(request.headers(), header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let now = Timestamp::now().as_second();
    token
        .and_then(|token| shared.authenticator.user_of(&shared.api.store, token, now))
        .ok_or_else(|| Status::new(Reason::Unauthorized, "Unauthorized"))
}

/// What the request asks to do, as kube-apiserver reads it from its path.
pub(super) fn action_of(method: &Method, uri: &Uri) -> Action {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match segments[..] {
        ["api", _version, ref rest @ ..] if !rest.is_empty() => ("", rest),
        ["apis", group, _version, ref rest @ ..] if !rest.is_empty() => (group, rest),
        _ => return path_action(method, path),
    };
    // `namespaces/NAME` and its own subresources are in the namespace they are about.
    let (namespace, rest) = match rest {
        ["namespaces", namespace, "status" | "finalize"] | ["namespaces", namespace] => (*namespace, rest),
        ["namespaces", namespace, inside @ ..] => (*namespace, inside),
        _ => ("", rest),
    };
    let part = |at: usize| rest.get(at).copied().unwrap_or_default();
    let (verb, selected) = match *method {
        Method::GET | Method::HEAD if part(1).is_empty() => reading(uri),
        Method::GET | Method::HEAD => ("get", None),
        Method::POST => ("create", None),
        Method::PUT => ("update", None),
        Method::PATCH => ("patch", None),
        Method::DELETE if part(1).is_empty() => ("deletecollection", None),
        Method::DELETE => ("delete", None),
        _ => ("", None),
    };
    Action::Resource(ResourceAction {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: part(0).to_owned(),
        subresource: part(2).to_owned(),
        namespace: namespace.to_owned(),
        name: selected.unwrap_or_else(|| part(1).to_owned()),
    })
}

fn path_action(method: &Method, path: Cow<'_, str>) -> Action {
    Action::Path {
        verb: method.as_str().to_lowercase(),
        path: path.into_owned(),
    }
}

/// The verb of a read of a collection, and the one name that its field selector lets through.
fn reading(uri: &Uri) -> (&'static str, Option<String>) {
    let Ok(parameters) = Parameters::of(uri) else {
        return ("list", None);
    };
    let verb = if parameters.is_watch() { "watch" } else { "list" };
    (verb, parameters.selected_name().map(str::to_owned))
}

#[cfg(test)]
mod tests;
