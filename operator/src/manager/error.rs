//! What can go wrong between the operator and the Manager.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::core::ObjectKey;

/// The device of a task that failed before it came to any.
pub(super) const VALIDATION: &str = "validation";

/// A request as it appears in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
}

/// Which object has the operator's name but not its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A data definition.
    Definition,
    /// A centralized policy.
    Policy,
    /// A feature profile.
    Profile,
    /// A policy group.
    PolicyGroup,
}

/// A failed exchange with the Manager.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The HTTP client cannot be built, for example because of an unreadable CA certificate.
    #[error("set up the Manager client")]
    Setup(#[source] reqwest::Error),
    /// The request did not get an answer.
    #[error("send `{call}`")]
    Transport {
        /// The request.
        call: Call,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The Manager does not accept the credentials.
    #[error("log in to the Manager as `{username}`: user name or password not accepted")]
    LoginRefused {
        /// The user.
        username: String,
    },
    /// The file with the password cannot be read.
    #[error("read password file `{}`", .path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Tokens were asked for, and the Manager has no login for them.
    #[error(
        "log in to the Manager for tokens: it has no such login (20.18.1 and later have); accepted: session, auto"
    )]
    NoTokens,
    /// A login or a refresh was answered without a token.
    #[error("read the answer to `{call}`: there is no token in it")]
    NoTokenInAnswer {
        /// The request.
        call: Call,
    },
    /// The session was refused although it is fresh.
    #[error("send `{call}`: status {status} with a fresh session; the user may lack the permission")]
    SessionRefused {
        /// The request.
        call: Call,
        /// The status of the answer.
        status: StatusCode,
    },
    /// The Manager answered with an error.
    #[error("send `{call}`: status {status}: {message}")]
    Refused {
        /// The request.
        call: Call,
        /// The status of the answer.
        status: StatusCode,
        /// Its error message and details.
        message: String,
        /// The objects of the operator that were refused, each with what the Manager said of it.
        objects: Vec<(ObjectKey, String)>,
    },
    /// A lock, a rate limit or another operation outlasted the operator's patience.
    #[error("send `{call}`: the Manager was still busy after {}: {reason}", Seconds(.patience))]
    Busy {
        /// The request.
        call: Call,
        /// How long it was tried.
        patience: Duration,
        /// The last answer.
        reason: String,
    },
    /// Something between the operator and the Manager broke.
    #[error("send `{call}`: it may or may not have been done: {reason}")]
    Unclear {
        /// The request.
        call: Call,
        /// What answered in place of the Manager.
        reason: String,
    },
    /// An answer is not what the API promises.
    #[error("read the answer to `{call}`")]
    Decode {
        /// The request.
        call: Call,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The push was skipped again and again, because another operation was in progress.
    #[error("push the policy: task `{task}` was still skipped after {}: {reason}", Seconds(.patience))]
    PushSkipped {
        /// The last task.
        task: String,
        /// How long it was tried.
        patience: Duration,
        /// What the Manager says.
        reason: String,
    },
    /// The push failed.
    #[error("push the policy: task `{task}` failed on {device}: {reason}")]
    TaskFailed {
        /// The task.
        task: String,
        /// The Controller or the edge, or `validation`.
        device: String,
        /// What the Manager says.
        reason: String,
    },
    /// The push did not end.
    #[error("push the policy: task `{task}` not done after {}", Seconds(.patience))]
    TaskTimeout {
        /// The task.
        task: String,
        /// How long it was awaited.
        patience: Duration,
    },
    /// Somebody else's policy is active; a Manager has only one active policy.
    #[error(
        "activate policy `{own}`: policy `{active}` is active and not ours; it is left alone, \
         deactivate it to let steering take effect"
    )]
    ForeignPolicyActive {
        /// The active policy.
        active: String,
        /// The policy of this operator.
        own: String,
    },
    /// An object of somebody else has the name that the operator needs.
    #[error("write {what} `{name}`: the name belongs to an object without the mark `{mark}`")]
    NameTaken {
        /// The kind of object.
        what: Taken,
        /// The name.
        name: String,
        /// The mark that own objects carry.
        mark: String,
    },
    /// Others added something to the operator's policy, which would go with it.
    #[error("uninstall policy `{policy}`: others added to it: {}; remove that first", .others.join(", "))]
    OthersInPolicy {
        /// The policy.
        policy: String,
        /// What they added.
        others: Vec<String>,
    },
    /// There is no site to apply policy to.
    #[error("find WAN edges: the Manager's inventory has none")]
    NoWanEdges,
}

impl ManagerError {
    /// The objects that the Manager refused to write or to push, each with what it said; none if it is another error.
    pub(crate) fn refused(&self) -> Vec<(ObjectKey, String)> {
        match self {
            Self::Refused { objects, .. } if !self.is_not_found() => objects.clone(),
            Self::TaskFailed { device, reason, .. } if device == VALIDATION => {
                vec![(ObjectKey::Policy, reason.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// Whether the object of the request is not there.
    pub(super) fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { status, message, .. } => {
                *status == StatusCode::NOT_FOUND || message.contains("Failed to find specified resource")
            }
            _ => false,
        }
    }

    /// The error, if it is a refusal, as one of this object.
    pub(super) fn of(mut self, object: ObjectKey) -> Self {
        if let Self::Refused { message, objects, .. } = &mut self {
            objects.push((object, message.clone()));
        }
        self
    }

    /// This error after what came before, as one: refusals add up, and an error that is none stands for all.
    pub(super) fn and_before<T>(mut self, before: Result<T, Self>) -> Self {
        match (&mut self, before) {
            (Self::Refused { objects, .. }, Err(Self::Refused { objects: more, .. })) => objects.extend(more),
            (Self::Refused { .. }, Err(other)) => return other,
            _ => {}
        }
        self
    }

    /// The error in one word, for counting.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Setup(_) => "setup",
            Self::Transport { .. } => "transport",
            Self::LoginRefused { .. } => "login_refused",
            Self::PasswordFile { .. } => "password_file",
            Self::NoTokens | Self::NoTokenInAnswer { .. } => "no_token",
            Self::SessionRefused { .. } => "session_refused",
            Self::Refused { .. } => "refused",
            Self::Busy { .. } => "busy",
            Self::Unclear { .. } => "unclear",
            Self::Decode { .. } => "decode",
            Self::PushSkipped { .. } => "push_skipped",
            Self::TaskFailed { .. } => "task_failed",
            Self::TaskTimeout { .. } => "task_timeout",
            Self::ForeignPolicyActive { .. } => "foreign_policy",
            Self::NameTaken { .. } => "name_taken",
            Self::OthersInPolicy { .. } => "others_in_policy",
            Self::NoWanEdges => "no_wan_edges",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /{}", self.method, self.path)
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Definition => "data definition",
            Self::Policy => "centralized policy",
            Self::Profile => "feature profile",
            Self::PolicyGroup => "policy group",
        })
    }
}

struct Seconds<'a>(&'a Duration);

impl fmt::Display for Seconds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
