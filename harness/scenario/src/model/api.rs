//! What an author can do to a Kubernetes API.

use std::time::Duration;

use serde::Serialize;

use super::as_text;

/// Something wrong with a Kubernetes API until it is used up or healed, as its clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ApiFault {
    /// Requests are answered in place of being done.
    Answer {
        /// With what.
        with: ApiAnswer,
        /// Which requests.
        requests: ApiRequests,
    },
    /// Requests are done, and the connection ends in the middle of the reply.
    CutReplies {
        /// Which requests.
        requests: ApiRequests,
    },
    /// Requests are done late.
    Delay {
        /// By how much, 1 ms to 60 s.
        #[serde(serialize_with = "as_text")]
        by: Duration,
        /// Which requests.
        requests: ApiRequests,
    },
    /// Watches that run end as with a broken connection, once.
    DropWatches {
        /// Which requests.
        requests: ApiRequests,
    },
    /// The history so far is forgotten, once.
    Compact,
    /// Connections are reset.
    Down,
    /// Times that clients write to Leases are wrong.
    SkewLeases {
        /// The writer's clock.
        clock: Skew,
        /// Which requests.
        requests: ApiRequests,
    },
}

/// Some of the requests to a Kubernetes API: those that all given words fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ApiRequests {
    /// How many; all unless given.
    pub count: Option<u32>,
    /// Any of these verbs; all where there are none.
    pub verbs: Vec<Verb>,
    /// Any of these resources, such as `services` and `leases.coordination.k8s.io`; all where there are none.
    pub resources: Vec<String>,
    /// Their Kubernetes namespace.
    pub namespace: Option<String>,
    /// The name of their user.
    pub user: Option<String>,
}

/// A verb of the Kubernetes API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Reads an object.
    Get,
    /// Reads a collection.
    List,
    /// Follows a collection.
    Watch,
    /// Makes an object.
    Create,
    /// Replaces an object.
    Update,
    /// Changes an object.
    Patch,
    /// Deletes an object.
    Delete,
    /// Deletes a collection.
    DeleteCollection,
}

impl Verb {
    /// The verbs by their names.
    pub const NAMES: [(&str, Self); 8] = [
        ("get", Self::Get),
        ("list", Self::List),
        ("watch", Self::Watch),
        ("create", Self::Create),
        ("update", Self::Update),
        ("patch", Self::Patch),
        ("delete", Self::Delete),
        ("deletecollection", Self::DeleteCollection),
    ];
}

/// What is answered in place of doing a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ApiAnswer {
    /// 429.
    TooManyRequests,
    /// 500.
    InternalError,
    /// 503.
    Unavailable,
    /// 504.
    GatewayTimeout,
    /// 409.
    Conflict,
}

impl ApiAnswer {
    /// The answers by their words.
    pub const NAMES: [(&str, Self); 5] = [
        ("tooManyRequests", Self::TooManyRequests),
        ("internalError", Self::InternalError),
        ("unavailable", Self::Unavailable),
        ("gatewayTimeout", Self::GatewayTimeout),
        ("conflict", Self::Conflict),
    ];
}

/// How wrong a clock is, 1 ms to 1 h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Skew {
    /// It shows a later time.
    Ahead(#[serde(serialize_with = "as_text")] Duration),
    /// It shows an earlier time.
    Behind(#[serde(serialize_with = "as_text")] Duration),
}
