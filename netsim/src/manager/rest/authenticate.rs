//! Who makes a request.
//!
//! Owns what a client shows and how it is told that it is nobody. Invariant: what is behind these layers is not reached
//! without a session, and not to write without its XSRF token; the lab's own paths take the user's password instead.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::refusal::Refusal;
use super::{SharedGateway, login};
use crate::manager::faults::ExpiryShape;
use crate::manager::gateway::{Gateway, Proof, Refused};
use crate::manager::serve::Peer;
use crate::manager::session::SessionId;

const XSRF_HEADER: &str = "x-xsrf-token";

/// Lets requests with a session through, under `/dataservice`.
pub(super) async fn with_session(State(gateway): SharedGateway, request: Request, next: Next) -> Response {
    match admit(&gateway, request) {
        Ok(request) => next.run(request).await,
        Err(refusal) => *refusal,
    }
}

/// As [`with_session`], and those with the user's name and password (HTTP Basic), under `/pathproof`.
pub(super) async fn with_session_or_password(
    State(gateway): SharedGateway,
    request: Request,
    next: Next,
) -> Response {
    let admitted = match basic(request.headers()) {
        Some((user, password)) if gateway.knows(&user, &password) => Ok(request),
        Some(_) => Err(Box::new(Refusal::Basic.into_response())),
        None => admit(&gateway, request),
    };
    match admitted {
        Ok(request) => next.run(request).await,
        Err(refusal) => *refusal,
    }
}

/// Everything that a request shows to prove its session, a token before a cookie.
pub(super) fn proofs(headers: &HeaderMap) -> impl Iterator<Item = Proof<'_>> {
    let token = authorization(headers, "Bearer").map(Proof::Token);
    token.into_iter().chain(cookie(headers).map(Proof::Cookie))
}

fn admit(gateway: &Gateway, mut request: Request) -> Result<Request, Box<Response>> {
    let address = peer(&request);
    let Some(proof) = proofs(request.headers()).next() else {
        return Err(Box::new(login_page()));
    };
    let (session, caller) = match gateway.resume(proof, address) {
        Ok(resumed) => resumed,
        Err(Refused::Token(error)) => return Err(Box::new(Refusal::Bearer(error).into_response())),
        Err(Refused::Cookie(shape)) => return Err(Box::new(expired(shape, request.uri().path()))),
    };
    let given = request.headers().get(XSRF_HEADER).map(|token| token.as_bytes());
    if !request.method().is_safe() && given != Some(session.token.as_bytes()) {
        return Err(Box::new(Refusal::Token.into_response()));
    }
    request.extensions_mut().insert(session);
    request.extensions_mut().insert(caller);
    Ok(request)
}

fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.expect("the listener says who the peer is").0.ip()
}

/// The product shows its login page, with status 200, to whoever has no session.
fn login_page() -> Response {
    login::page().into_response()
}

fn expired(shape: ExpiryShape, path: &str) -> Response {
    match shape {
        // Clients ask this path, beneath `/dataservice`, whether they are logged in, and look for HTML.
        _ if path == "/client/token" => login_page(),
        ExpiryShape::LoginPage => login_page(),
        ExpiryShape::Redirect => (StatusCode::FOUND, [(header::LOCATION, login::WELCOME)]).into_response(),
        ExpiryShape::Forbidden => Refusal::Token.into_response(),
        ExpiryShape::Cookie => ([(header::SET_COOKIE, login::NO_COOKIE)], Refusal::Token).into_response(),
    }
}

fn cookie(headers: &HeaderMap) -> Option<SessionId> {
    let cookies = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
    pairs
        .find_map(|pair| pair.trim().strip_prefix("JSESSIONID="))
        .map(SessionId::from)
}

/// The credentials of a scheme, whose name is in any case (RFC 9110, 11.1).
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, credentials) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(credentials.trim())
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let pair = STANDARD
        .decode(authorization(headers, "Basic")?)
        .unwrap_or_default();
    let pair = String::from_utf8(pair).unwrap_or_default();
    let (user, password) = pair.split_once(':').unwrap_or_default();
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::AUTHORIZATION,
            HeaderValue::from_str(authorization).unwrap(),
        )])
    }

    fn basic_of(authorization: &str) -> Option<(String, String)> {
        basic(&headers(authorization))
    }

    #[test]
    fn a_password_may_have_colons() {
        let pair = Some(("admin".to_owned(), "a:b".to_owned()));
        assert_eq!(basic_of(&format!("Basic {}", STANDARD.encode("admin:a:b"))), pair);
        assert_eq!(
            basic_of(&format!("bASIC  {}", STANDARD.encode("admin:a:b"))),
            pair
        );
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        let nobody = Some((String::new(), String::new()));
        for value in ["Basic %", "Basic /w==", "Basic YWRtaW4="] {
            assert_eq!(basic_of(value), nobody, "{value}");
        }
        for value in ["Basic", "Bearer YWRtaW46YQ==", "YWRtaW46YQ=="] {
            assert_eq!(basic_of(value), None, "{value}");
        }
    }

    #[test]
    fn a_token_goes_before_a_cookie() {
        let mut headers = headers("bearer t");
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b; JSESSIONID=c"));
        let shown: Vec<String> = proofs(&headers)
            .map(|proof| match proof {
                Proof::Token(token) => token.to_owned(),
                Proof::Cookie(id) => id.as_str().to_owned(),
            })
            .collect();
        assert_eq!(shown, ["t", "c"]);
    }
}
