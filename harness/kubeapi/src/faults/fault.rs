//! What can go wrong, and which requests it is about.
//!
//! Pure. Invariant: a fault that passed its check can strike some request to some server.

use std::fmt;
use std::time::Duration;

use super::{Asked, Requests, Verb};
use crate::status::{Reason, Status, Subject};

const DELAY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(60));
const SKEW: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(60 * 60));
/// The collection that [`Fault::SkewLeases`] is about.
pub(crate) const LEASES: &str = "leases.coordination.k8s.io";

/// Something wrong with the API as its clients on the network see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Requests are answered with a `Status` in place of being done, as by a gateway or a server that has too much to do.
    Answer {
        /// With what.
        with: Answer,
        /// Which.
        requests: Requests,
    },
    /// Requests are done, and the connection ends in the middle of the reply (over HTTP/2 the stream alone). No watch is
    /// struck, as its reply has no middle.
    CutReplies {
        /// Which.
        requests: Requests,
    },
    /// Requests are done late; of a client that does not wait so long nothing is done.
    Delay {
        /// By how much, 1 ms to 60 s.
        by: Duration,
        /// Which.
        requests: Requests,
    },
    /// The watches that run now end as with a broken connection. Never in force, since it strikes once; new watches are
    /// refused by [`Fault::Answer`] for [`Verb::Watch`].
    DropWatches {
        /// Which.
        requests: Requests,
    },
    /// The history so far is forgotten, as by a compaction of etcd: what begins before it gets 410, a watch as an
    /// `ERROR` event. Watches that have seen all of it go on. Never in force, since it strikes once; it is felt by each
    /// client that is told 410 from then on.
    Compact,
    /// Open connections are reset, and new ones as soon as they are accepted. Clients are not refused, because the
    /// listening sockets belong to the caller.
    Down,
    /// The times that clients write to Leases (`acquireTime`, `renewTime`) are stored as though the writer's clock were
    /// wrong; those that a client writes as it read them stay.
    SkewLeases {
        /// The clock of the writer, wrong by 1 ms to 1 h.
        clock: Skew,
        /// Which requests; no other resource than leases can be named.
        requests: Requests,
    },
}

/// What is answered in place of doing a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// 429, with `Retry-After: 1`.
    TooManyRequests,
    /// 500.
    InternalError,
    /// 503.
    ServiceUnavailable,
    /// 504, reason `Timeout`.
    GatewayTimeout,
    /// 409, as if somebody else had changed the object; strikes `update`, `patch` and `delete` alone.
    Conflict,
}

/// How wrong a clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skew {
    /// It shows a later time.
    Ahead(Duration),
    /// It shows an earlier time.
    Behind(Duration),
}

/// A fault that could never strike, or a word that is no verb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} is `{found}`; {form} is accepted")]
pub struct FaultError {
    /// The word, and for one of several its position.
    place: String,
    found: String,
    form: String,
}

impl Fault {
    /// Which requests it is about, if it is about requests.
    pub(super) fn requests(&self) -> Option<&Requests> {
        match self {
            Fault::Answer { requests, .. }
            | Fault::CutReplies { requests }
            | Fault::Delay { requests, .. }
            | Fault::DropWatches { requests }
            | Fault::SkewLeases { requests, .. } => Some(requests),
            Fault::Compact | Fault::Down => None,
        }
    }

    /// Whether it strikes such a request.
    pub(super) fn strikes(&self, asked: &Asked) -> bool {
        let has_verb = |requests: &Requests| match asked.verb {
            Some(verb) => self.verbs().contains(&verb) && requests.has_verb(verb),
            // Neither what it does nor where is in the words of Kubernetes.
            None => requests.verbs.is_empty() && self.verbs().len() == Verb::ALL.len(),
        };
        self.requests()
            .is_some_and(|requests| has_verb(requests) && requests.fit(asked))
    }

    /// Checks that it can strike.
    pub(super) fn check(&self) -> Result<(), FaultError> {
        match self {
            Fault::Delay { by, .. } => check_duration("by", *by, DELAY)?,
            Fault::SkewLeases {
                clock: Skew::Ahead(by) | Skew::Behind(by),
                requests,
            } => {
                check_duration("clock", *by, SKEW)?;
                let other = |(_, name): &(usize, &String)| *name != LEASES;
                if let Some((position, found)) = requests.resources.iter().enumerate().find(other) {
                    let place = format!("requests.resources[{position}]");
                    return Err(FaultError::new(place, found, format!("`{LEASES}`")));
                }
            }
            _ => {}
        }
        match self.requests() {
            Some(requests) => requests.check(self.verbs()),
            None => Ok(()),
        }
    }

    /// What the requests do that it can strike.
    fn verbs(&self) -> &'static [Verb] {
        use Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};
        match self {
            Fault::Answer {
                with: Answer::Conflict,
                ..
            } => &[Update, Patch, Delete],
            Fault::CutReplies { .. } => &[Get, List, Create, Update, Patch, Delete, DeleteCollection],
            Fault::DropWatches { .. } => &[Watch],
            Fault::SkewLeases { .. } => &[Create, Update, Patch],
            _ => &Verb::ALL,
        }
    }
}

impl Answer {
    /// The answer to a request.
    pub(super) fn status(self, asked: &Asked) -> Status {
        match self {
            Answer::TooManyRequests => Status::too_many_requests(),
            Answer::InternalError => {
                Status::new(Reason::InternalError, "Internal error occurred: fault injected")
            }
            Answer::ServiceUnavailable => Status::new(
                Reason::ServiceUnavailable,
                "the server is currently unable to handle the request",
            ),
            Answer::GatewayTimeout => Status::new(
                Reason::Timeout,
                "Timeout: request did not complete within the allotted timeout",
            ),
            Answer::Conflict => {
                let subject = Subject {
                    group: &asked.group,
                    plural: &asked.resource,
                    name: &asked.name,
                };
                Status::modified(&subject)
            }
        }
    }
}

impl FaultError {
    pub(super) fn new(place: impl Into<String>, found: impl fmt::Display, form: String) -> Self {
        FaultError {
            place: place.into(),
            found: found.to_string(),
            form,
        }
    }
}

fn check_duration(
    place: &str,
    found: Duration,
    (least, most): (Duration, Duration),
) -> Result<(), FaultError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let form = format!("from {least:?} to {most:?}");
    Err(FaultError::new(place, format!("{found:?}"), form))
}

#[cfg(test)]
mod tests;
