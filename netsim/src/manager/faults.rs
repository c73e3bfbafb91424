//! What goes wrong at the Manager on purpose.
//!
//! Owns which faults are in force and how often each was felt; what a fault does is done where it strikes: requests in
//! `rest`, sessions in `session`, pushes and tasks in `push`, the lock in `store`. Invariant: a fault that is limited to a
//! number of times strikes that often and never again, and whoever feels one is counted.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::activity::{Event, Log};
use super::session::Sessions;

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
        /// By how much, in milliseconds.
        by_ms: u64,
        /// Which.
        #[serde(default)]
        requests: Requests,
    },
    /// Every session of now has expired; never in force, since it strikes once. Whoever uses one of them feels it.
    ExpireSessions {
        /// How clients with a cookie find out; those with a token get status 401.
        #[serde(default)]
        shape: ExpiryShape,
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
        /// By how much, in milliseconds.
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
    /// Those with this method, in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Those whose path begins with this, for instance `/dataservice/template/policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Requests {
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

/// A fault in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultInForce {
    /// Names it until it is healed.
    pub id: u64,
    /// How often it struck.
    pub felt: u64,
    /// How often it still will; until healed unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<u32>,
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

/// The faults of a Manager: to inject, to heal, to strike. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    log: Arc<Log>,
    healed: watch::Sender<()>,
    sessions: Arc<Mutex<Sessions>>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    in_force: Vec<FaultInForce>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.in_force()).finish()
    }
}

#[cfg(test)]
impl Default for Faults {
    /// None in force, and nobody is told.
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Faults {
    /// None in force; what happens to them is told to `log`, and they can end `sessions`.
    pub(super) fn reaching(log: Arc<Log>, sessions: Arc<Mutex<Sessions>>) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            log,
            sessions,
            healed: watch::Sender::new(()),
        }))
    }

    /// Puts a fault in force; the answer names it.
    pub fn inject(&self, fault: Fault) -> u64 {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let left = fault.count();
        self.0.log.record(Event::FaultInjected {
            id,
            fault: fault.clone(),
        });
        if let Fault::ExpireSessions { shape } = &fault {
            let mut sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.expire_all(*shape, id);
        }
        if left != Some(0) {
            state.in_force.push(FaultInForce {
                id,
                felt: 0,
                left,
                fault,
            });
        }
        id
    }

    /// Ends a fault; false if it is not in force.
    pub fn heal(&self, id: u64) -> bool {
        self.end(|fault| fault.id == id) > 0
    }

    /// Ends all faults; the answer is how many there were.
    pub fn heal_all(&self) -> usize {
        self.end(|_| true)
    }

    /// Those in force, the oldest first.
    pub fn in_force(&self) -> Vec<FaultInForce> {
        self.state().in_force.clone()
    }

    /// The first fault in force that `strikes`, which is thereby felt, and used up if it was its last time.
    pub(super) fn feel<T>(&self, strikes: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let mut state = self.state();
        let faults = state.in_force.iter_mut();
        let (fault, struck) = faults.fold(None, |found, fault| {
            found.or_else(|| strikes(&fault.fault).map(|struck| (fault, struck)))
        })?;
        fault.felt += 1;
        fault.left = fault.left.map(|left| left - 1);
        let (id, is_over) = (fault.id, fault.left == Some(0));
        self.0.log.record(Event::FaultFelt { id });
        if is_over {
            state.in_force.retain(|fault| fault.id != id);
            self.0.log.record(Event::FaultHealed { id });
        }
        Some(struck)
    }

    /// As [`Self::feel`], of the faults that strike this request.
    pub(super) fn feel_request<T>(
        &self,
        method: &str,
        path: &str,
        strikes: impl Fn(&Fault) -> Option<T>,
    ) -> Option<T> {
        self.feel(|fault| {
            fault
                .requests()
                .filter(|requests| requests.fit(method, path))
                .and_then(|_| strikes(fault))
        })
    }

    /// Whether one that `is_it` is in force, without its being felt.
    pub(super) fn is_in_force(&self, is_it: impl Fn(&Fault) -> bool) -> bool {
        self.state().in_force.iter().any(|fault| is_it(&fault.fault))
    }

    /// Changes when a fault is healed.
    pub(super) fn healed(&self) -> watch::Receiver<()> {
        self.0.healed.subscribe()
    }

    fn end(&self, ends: impl Fn(&FaultInForce) -> bool) -> usize {
        let mut state = self.state();
        let ended = state.in_force.extract_if(.., |fault| ends(fault));
        let ids: Vec<u64> = ended.map(|fault| fault.id).collect();
        for id in &ids {
            self.0.log.record(Event::FaultHealed { id: *id });
        }
        self.0.healed.send_replace(());
        ids.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    fn count(&self) -> Option<u32> {
        match self {
            Self::FailPushes { count, .. } | Self::DelayTasks { count, .. } => *count,
            Self::ExpireSessions { .. } => Some(0),
            Self::HoldLock {} | Self::LoseController { .. } => None,
            _ => self.requests().and_then(|requests| requests.count),
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

#[cfg(test)]
impl Faults {
    /// None in force, and no session to end.
    pub(super) fn new(log: Arc<Log>) -> Self {
        Self::reaching(log, Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fault(value: Value) -> Fault {
        serde_json::from_value(value).unwrap()
    }

    fn is_push_failure(fault: &Fault) -> Option<()> {
        matches!(fault, Fault::FailPushes { .. }).then_some(())
    }

    #[test]
    fn a_limited_fault_strikes_that_often() {
        let log = Arc::new(Log::default());
        let mut told = log.listen();
        let faults = Faults::new(log);
        let id = faults.inject(fault(json!({"fault": "failPushes", "count": 2})));
        assert!(faults.feel(is_push_failure).is_some());
        assert_eq!(faults.in_force()[0].left, Some(1));
        assert!(faults.feel(is_push_failure).is_some());
        assert!(faults.feel(is_push_failure).is_none());
        assert_eq!(faults.in_force(), []);
        let mut events = Vec::new();
        while let Some(activity) = told.try_next() {
            events.push(activity.event);
        }
        assert_eq!(
            events[1..],
            [
                Event::FaultFelt { id },
                Event::FaultFelt { id },
                Event::FaultHealed { id }
            ]
        );
    }

    #[test]
    fn a_fault_without_a_count_strikes_until_healed() {
        let faults = Faults::new(Arc::default());
        let id = faults.inject(fault(json!({"fault": "failPushes"})));
        for _ in 0..10 {
            assert!(faults.feel(is_push_failure).is_some());
        }
        assert!(faults.heal(id));
        assert!(!faults.heal(id));
        assert!(faults.feel(is_push_failure).is_none());
    }

    #[test]
    fn a_fault_of_requests_strikes_those_that_fit() {
        let faults = Faults::new(Arc::default());
        faults.inject(fault(json!({
            "fault": "cutReplies",
            "requests": {"method": "POST", "path": "/dataservice/template"}
        })));
        let strike = |method, path| faults.feel_request(method, path, |_| Some(())).is_some();
        assert!(!strike("GET", "/dataservice/template/policy"));
        assert!(!strike("POST", "/dataservice/device"));
        assert!(strike("POST", "/dataservice/template/policy/list/site"));
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
