//! What an author can do to the Manager.

use std::time::Duration;

use serde::Serialize;

use super::as_text;

/// Something wrong with the Manager until it is used up or healed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ManagerFault {
    /// WAN edges refuse what is pushed to them.
    FailPushes {
        /// How many pushes; all unless given.
        count: Option<u32>,
        /// The sites whose edges refuse; all where there are none.
        sites: Vec<String>,
    },
    /// Another user holds the lock of the edit.
    HoldLock,
    /// Tasks take longer.
    DelayTasks {
        /// By how much, 1 ms to 60 s.
        #[serde(serialize_with = "as_text")]
        by: Duration,
        /// How many tasks; all unless given.
        count: Option<u32>,
    },
    /// A gateway answers requests in place of the Manager, which does nothing of what they ask.
    Answer {
        /// With what.
        with: GatewayAnswer,
        /// Which requests.
        requests: Requests,
    },
    /// Requests are done, and the connection ends in the middle of the reply.
    CutReplies {
        /// Which requests.
        requests: Requests,
    },
    /// Requests are done late.
    DelayRequests {
        /// By how much, 1 ms to 60 s.
        #[serde(serialize_with = "as_text")]
        by: Duration,
        /// Which requests.
        requests: Requests,
    },
    /// All sessions expire, once.
    ExpireSessions(ExpiryShape),
    /// The Controller is out of the Manager's reach.
    LoseController,
}

/// Some of the requests to the Manager: those that all given words fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// How many; all unless given.
    pub count: Option<u32>,
    /// How many that fit are let by first; none unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// Their method.
    pub method: Option<Method>,
    /// What their path begins with; begins with `/` itself.
    pub path: Option<String>,
}

/// A method of the Manager's API (RFC 9110 section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, activates, logs in.
    Post,
    /// Replaces.
    Put,
    /// Deletes.
    Delete,
}

impl Method {
    /// The methods by their names.
    pub const NAMES: [(&str, Self); 4] = [
        ("GET", Self::Get),
        ("POST", Self::Post),
        ("PUT", Self::Put),
        ("DELETE", Self::Delete),
    ];
}

/// What a gateway answers in place of the Manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GatewayAnswer {
    /// 429.
    TooManyRequests,
    /// 500.
    InternalError,
    /// 502.
    BadGateway,
    /// 503.
    Unavailable,
    /// 504.
    GatewayTimeout,
    /// 200 and a page of HTML that is not the login page.
    Html,
}

impl GatewayAnswer {
    /// The answers by their words.
    pub const NAMES: [(&str, Self); 6] = [
        ("tooManyRequests", Self::TooManyRequests),
        ("internalError", Self::InternalError),
        ("badGateway", Self::BadGateway),
        ("unavailable", Self::Unavailable),
        ("gatewayTimeout", Self::GatewayTimeout),
        ("html", Self::Html),
    ];
}

/// How a client finds out that its session has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ExpiryShape {
    /// By the login page, with status 200.
    LoginPage,
    /// By a redirect to the login page.
    Redirect,
    /// By status 403.
    Forbidden,
    /// By status 403 and a cookie of 1970 in place of its own.
    Cookie,
}

impl ExpiryShape {
    /// The shapes by their words.
    pub const NAMES: [(&str, Self); 4] = [
        ("loginPage", Self::LoginPage),
        ("redirect", Self::Redirect),
        ("forbidden", Self::Forbidden),
        ("cookie", Self::Cookie),
    ];
}
