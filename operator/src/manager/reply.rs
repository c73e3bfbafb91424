//! What an answer means.
//!
//! Owns telling answers apart: done, refused, no session, not now, and no telling. Invariant: an answer counts as "not
//! now" only if it says that the Manager did nothing of what was asked.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};

use super::wire::Refusal;

/// An answer.
pub(super) enum Answer {
    Done(Vec<u8>),
    NoSession(StatusCode),
    Refused {
        status: StatusCode,
        message: String,
    },
    /// Nothing was done, and a later request may do better.
    NotNow(Hindrance),
    /// Something between the operator and the Manager broke: it may or may not have been done.
    Unclear(Hindrance),
}

/// What stood in the way.
pub(super) struct Hindrance {
    /// After how long it is worth asking again, if the answer says so.
    pub(super) wait: Option<Duration>,
    pub(super) reason: String,
}

/// What an answer with this status, these headers and this body means.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Answer {
    let page = is_html(headers, &body);
    let no_session = status.is_redirection()
        || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || (status.is_success() && page && is_login(&body));
    if no_session {
        return Answer::NoSession(status);
    }
    if status.is_success() && !page {
        return Answer::Done(body);
    }
    let message = if page {
        "a page of HTML".to_owned()
    } else {
        Refusal::read(&body).to_string()
    };
    let hindrance = |reason| Hindrance {
        wait: retry_after(headers),
        reason,
    };
    match status {
        _ if is_lock(&message) => Answer::NotNow(hindrance(message)),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Answer::NotNow(hindrance(format!("status {status}")))
        }
        StatusCode::REQUEST_TIMEOUT => Answer::Unclear(hindrance(format!("status {status}"))),
        _ if status.is_success() || status.is_server_error() => {
            Answer::Unclear(hindrance(format!("status {status}: {message}")))
        }
        _ => Answer::Refused { status, message },
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}

/// A page comes with status 200 in place of the answer when there is no session, or no Manager behind the gateway.
fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/html"));
    let start = body.trim_ascii_start();
    let looks = |tag: &[u8]| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag);
    !start.is_empty() && (looks(b"<html") || looks(b"<!doctype html") || (declared && start[0] == b'<'))
}

/// Whether a page asks who is there: its form has the names of the login's.
fn is_login(page: &[u8]) -> bool {
    let page = String::from_utf8_lossy(page);
    ["j_security_check", "j_username"]
        .iter()
        .any(|word| page.contains(word))
}

/// Whether an error message says that another edit or push is under way.
pub(super) fn is_lock(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "locked in edit mode",
        "failed to acquire lock",
        "operation is already in progress",
    ]
    .iter()
    .any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    const LOGIN: &str = "<html><form action=\"/j_security_check\"></form></html>";
    const PAGE: &str = "<!DOCTYPE html><title>Be right back</title>";

    fn meaning(status: u16, body: &str) -> &'static str {
        let status = StatusCode::from_u16(status).expect("a status");
        match classify(status, &HeaderMap::new(), body.into()) {
            Answer::Done(_) => "done",
            Answer::NoSession(_) => "no session",
            Answer::Refused { .. } => "refused",
            Answer::NotNow(_) => "not now",
            Answer::Unclear(_) => "unclear",
        }
    }

    #[rstest]
    #[case(200, "{}", "done")]
    #[case(200, "", "done")]
    #[case(200, LOGIN, "no session")]
    #[case(200, PAGE, "unclear")]
    #[case(302, "", "no session")]
    #[case(401, "", "no session")]
    #[case(403, r#"{"error":{"message":"SessionTokenFilter"}}"#, "no session")]
    #[case(400, r#"{"error":{"message":"Template locked in edit mode."}}"#, "not now")]
    #[case(500, r#"{"error":{"message":"Failed to acquire lock"}}"#, "not now")]
    #[case(429, "", "not now")]
    #[case(503, PAGE, "not now")]
    #[case(408, "", "unclear")]
    #[case(500, r#"{"error":{"message":"Internal error"}}"#, "unclear")]
    #[case(502, PAGE, "unclear")]
    #[case(504, PAGE, "unclear")]
    #[case(400, r#"{"error":{"message":"Invalid policy"}}"#, "refused")]
    #[case(404, LOGIN, "refused")]
    fn answers_are_told_apart(#[case] status: u16, #[case] body: &str, #[case] expected: &str) {
        assert_eq!(meaning(status, body), expected, "{status} {body}");
    }

    #[rstest]
    #[case("2", Some(Duration::from_secs(2)))]
    #[case("Fri, 31 Dec 1999 23:59:59 GMT", None)]
    fn a_manager_may_say_when_to_ask_again(#[case] value: &'static str, #[case] expected: Option<Duration>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        let Answer::NotNow(hindrance) = classify(StatusCode::TOO_MANY_REQUESTS, &headers, Vec::new()) else {
            panic!("not now");
        };
        assert_eq!(hindrance.wait, expected);
    }
}
