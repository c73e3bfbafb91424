//! What can go wrong: the words for it, and whether it can strike at all.
//!
//! Pure. Invariant: a fault that passed its check strikes when what it is about happens.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::manager::{Controller, Device};

/// The longest delay: an hour, for which no client waits.
const DELAY_MAX_MS: u64 = 60 * 60 * 1000;
/// What requests may be made with (RFC 9110, 9.3, and RFC 5789).
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// No fault is felt below.
const OWN_PATHS: &str = "/pathproof";

/// A fault, as `/pathproof/v1/faults` has it: `{"fault": "failPushes", "count": 2}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "fault",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Fault {
    /// Requests are answered by the gateway before the Manager; the Manager does nothing of what they ask.
    AnswerRequests {
        /// With what.
        answer: GatewayAnswer,
        /// Which.
        #[serde(default)]
        requests: Requests,
    },
    /// Requests are done, and the connection ends in the middle of the reply's body; without a body, before the reply.
    /// Over HTTP/2, the other requests of the connection end with it.
    CutReplies {
        /// Which.
        #[serde(default)]
        requests: Requests,
    },
    /// Requests are done late; a client that does not wait so long takes its request along.
    DelayRequests {
        /// By how much, in milliseconds, up to an hour.
        by_ms: u64,
        /// Which.
        #[serde(default)]
        requests: Requests,
    },
    /// Every session of now has expired; never in force, since it strikes once. Whoever uses one of them feels it.
    ExpireSessions {
        /// How clients with a cookie find out, as they do by themselves unless given; those with a token get status 401.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shape: Option<ExpiryShape>,
    },
    /// Edges refuse what is pushed.
    FailPushes {
        /// How many pushes; all until healed unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u32>,
        /// The sites whose edges refuse; all unless given.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sites: Vec<u32>,
    },
    /// Another user holds the edit lock until healed.
    HoldLock {},
    /// Tasks take longer.
    DelayTasks {
        /// By how much, in milliseconds, up to an hour.
        by_ms: u64,
        /// How many tasks; all until healed unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u32>,
    },
    /// Controllers are out of the Manager's reach until healed: pushes are scheduled for them, and edges keep what they have
    /// while none is left.
    LoseController {
        /// Their host names; all Controllers unless given.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        controllers: Vec<String>,
    },
}

/// Which requests a fault strikes: those that all given words fit, never those to `/pathproof`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requests {
    /// How many; all until healed unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// How many that fit are let by before the first one is struck; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// Those with this method, in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Those whose path begins with this, for instance `/dataservice/template/policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A fault that could never strike.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} is {found}; {form} is accepted")]
pub struct FaultError {
    /// The word, and for one of several its position.
    place: String,
    found: String,
    form: String,
}

impl Requests {
    fn check(&self) -> Result<(), FaultError> {
        check_count("requests.count", self.count)?;
        check_count("requests.after", self.after)?;
        let method = self.method.as_deref();
        if let Some(found) = method.filter(|method| !METHODS.contains(method)) {
            let form = format!("one of {}", METHODS.join(", "));
            return Err(FaultError::new("requests.method", &format!("`{found}`"), form));
        }
        let reaches =
            |path: &&str| path.starts_with('/') && !path.starts_with(OWN_PATHS) && !path.contains(['?', '#']);
        match self.path.as_deref().filter(|path| !reaches(path)) {
            None => Ok(()),
            Some(found) => {
                let form =
                    "the beginning of a path of the product without a query, such as /dataservice/template,";
                Err(FaultError::new("requests.path", &format!("`{found}`"), form))
            }
        }
    }

    fn fit(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|given| given == method)
            && self
                .path
                .as_ref()
                .is_none_or(|given| path.starts_with(given.as_str()))
    }
}

/// What the gateway answers instead of the Manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GatewayAnswer {
    /// 429, with `Retry-After: 1`.
    TooManyRequests,
    /// 500, with the error envelope.
    InternalError,
    /// 502, with a page of HTML.
    BadGateway,
    /// 503, with a page of HTML and `Retry-After: 1`.
    Unavailable,
    /// 504, with a page of HTML.
    GatewayTimeout,
    /// 200, with a page of HTML that is not the login page.
    Html,
}

/// How a client with a cookie finds out that its session has expired; releases and paths of the product differ.
///
/// `GET /dataservice/client/token` answers the login page in any case, since that is how clients ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExpiryShape {
    /// 200, with the login page.
    #[default]
    LoginPage,
    /// 302 to `/welcome.html`.
    Redirect,
    /// 403, with the error envelope: the token does not fit.
    Forbidden,
    /// As `Forbidden`, and the cookie is taken away by one that has expired.
    Cookie,
}

impl Fault {
    /// How often it strikes; until it is healed without a number.
    pub(super) fn count(&self) -> Option<u32> {
        match self {
            Self::FailPushes { count, .. } | Self::DelayTasks { count, .. } => *count,
            Self::ExpireSessions { .. } => Some(0),
            Self::HoldLock {} | Self::LoseController { .. } => None,
            _ => self.requests().and_then(|requests| requests.count),
        }
    }

    /// How many times it could strike and does not, before the first time.
    pub(super) fn after(&self) -> u32 {
        self.requests().and_then(|requests| requests.after).unwrap_or(0)
    }

    /// Whether it strikes requests, and such as this one.
    pub(in crate::manager) fn strikes_request(&self, method: &str, path: &str) -> bool {
        self.requests().is_some_and(|requests| requests.fit(method, path))
    }

    /// Checks that it can strike a Manager of these edges and Controllers.
    pub(in crate::manager) fn check(
        &self,
        devices: &[Device],
        controllers: &[Controller],
    ) -> Result<(), FaultError> {
        match self {
            Self::FailPushes { count, sites } => {
                check_count("count", *count)?;
                let known = || devices.iter().map(|device| device.site_id);
                one_of("sites", sites, known, "a site with an edge")
            }
            Self::DelayTasks { by_ms, count } => {
                check_count("count", *count)?;
                check_delay(*by_ms)
            }
            Self::DelayRequests { by_ms, requests } => {
                requests.check()?;
                check_delay(*by_ms)
            }
            Self::AnswerRequests { requests, .. } | Self::CutReplies { requests } => requests.check(),
            Self::LoseController { controllers: lost } => {
                let known = || controllers.iter().map(|known| known.host_name.clone());
                one_of("controllers", lost, known, "a Controller")
            }
            Self::ExpireSessions { .. } | Self::HoldLock {} => Ok(()),
        }
    }

    fn requests(&self) -> Option<&Requests> {
        match self {
            Self::AnswerRequests { requests, .. }
            | Self::CutReplies { requests }
            | Self::DelayRequests { requests, .. } => Some(requests),
            _ => None,
        }
    }
}

impl FaultError {
    fn new(place: &str, found: &str, form: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            found: found.to_owned(),
            form: form.into(),
        }
    }
}

fn check_count(place: &str, count: Option<u32>) -> Result<(), FaultError> {
    match count {
        Some(0) => Err(FaultError::new(place, "0", "a number from 1")),
        _ => Ok(()),
    }
}

fn check_delay(by_ms: u64) -> Result<(), FaultError> {
    if (1..=DELAY_MAX_MS).contains(&by_ms) {
        return Ok(());
    }
    let form = format!("a number from 1 to {DELAY_MAX_MS}");
    Err(FaultError::new("byMs", &by_ms.to_string(), form))
}

/// Checks that each is one of those known.
fn one_of<T: PartialEq + Display, K: Iterator<Item = T>>(
    place: &str,
    given: &[T],
    known: impl Fn() -> K,
    what: &str,
) -> Result<(), FaultError> {
    let unknown = |(_, one): &(usize, &T)| !known().any(|known| known == **one);
    let Some((position, found)) = given.iter().enumerate().find(unknown) else {
        return Ok(());
    };
    let all: Vec<String> = known().map(|known| known.to_string()).collect();
    let form = format!("{what} ({})", all.join(", "));
    Err(FaultError::new(
        &format!("{place}[{position}]"),
        &format!("`{found}`"),
        form,
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn check(fault: Value) -> Result<(), String> {
        let device = |site_id: u8| Device {
            host_name: format!("edge-{site_id}"),
            system_ip: [10, 255, 0, site_id].into(),
            site_id: site_id.into(),
            service_vpns: Vec::new(),
            colors: Vec::new(),
        };
        let fault: Fault = serde_json::from_value(fault).unwrap();
        let checked = fault.check(&[1, 2].map(device), &[Controller::default()]);
        checked.map_err(|error| error.to_string())
    }

    #[rstest]
    #[case(json!({"fault": "failPushes", "sites": [2, 9]}), "sites[1] is `9`; a site with an edge (1, 2) is accepted")]
    #[case(json!({"fault": "failPushes", "count": 0}), "count is 0; a number from 1 is accepted")]
    #[case(
        json!({"fault": "loseController", "controllers": ["vsmart2"]}),
        "controllers[0] is `vsmart2`; a Controller (vsmart1) is accepted"
    )]
    #[case(json!({"fault": "delayTasks", "byMs": 0}), "byMs is 0; a number from 1 to 3600000 is accepted")]
    #[case(
        json!({"fault": "delayRequests", "byMs": 3_600_001}),
        "byMs is 3600001; a number from 1 to 3600000 is accepted"
    )]
    #[case(
        json!({"fault": "cutReplies", "requests": {"method": "get"}}),
        "requests.method is `get`; one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS is accepted"
    )]
    #[case(
        json!({"fault": "cutReplies", "requests": {"count": 0}}),
        "requests.count is 0; a number from 1 is accepted"
    )]
    #[case(
        json!({"fault": "cutReplies", "requests": {"after": 0}}),
        "requests.after is 0; a number from 1 is accepted"
    )]
    fn a_fault_that_never_strikes_is_refused(#[case] fault: Value, #[case] message: &str) {
        assert_eq!(check(fault), Err(message.to_owned()));
    }

    #[rstest]
    #[case("dataservice")]
    #[case("/pathproof/v1/state")]
    #[case("/dataservice/device?deviceId=1")]
    fn a_path_that_no_fault_strikes_is_refused(#[case] path: &str) {
        let fault = json!({"fault": "answerRequests", "answer": "html", "requests": {"path": path}});
        assert!(
            check(fault)
                .unwrap_err()
                .starts_with(&format!("requests.path is `{path}`; "))
        );
    }

    #[rstest]
    #[case(json!({"fault": "failPushes", "sites": [2], "count": 1}))]
    #[case(json!({"fault": "loseController", "controllers": ["vsmart1"]}))]
    #[case(json!({"fault": "delayRequests", "byMs": 3_600_000, "requests": {"method": "PUT", "path": "/"}}))]
    #[case(json!({"fault": "expireSessions"}))]
    #[case(json!({"fault": "holdLock"}))]
    fn a_fault_that_can_strike_is_accepted(#[case] fault: Value) {
        assert_eq!(check(fault), Ok(()));
    }

    #[test]
    fn words_that_no_fault_has_are_refused() {
        for value in [
            json!({"fault": "failPush"}),
            json!({"fault": "failPushes", "times": 2}),
            json!({"fault": "holdLock", "count": 2}),
            json!({"fault": "cutReplies", "requests": {"paths": "/"}}),
            json!({"fault": "delayTasks"}),
        ] {
            assert!(serde_json::from_value::<Fault>(value.clone()).is_err(), "{value}");
        }
    }
}
