//! What goes wrong at the Manager on purpose.
//!
//! Owns which faults are in force and how often each was felt; their words are in `fault`, and what a fault does is done
//! where it strikes: requests in `rest`, sessions in `session`, pushes and tasks in `push`, the lock in `store`. Invariant: a
//! fault that is limited to a number of times strikes that often and never again, and whoever feels one is counted.

mod fault;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::activity::{Event, Log};
use super::session::Sessions;
pub use fault::{ExpiryShape, Fault, FaultError, GatewayAnswer, Requests};

/// A fault in force. One that delays is in force until its last delay is over.
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
    /// How many requests it lets by before it strikes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sparing: u32,
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
    /// Whose delays are under way, one for each.
    delaying: Vec<u64>,
}

/// A delay under way.
struct Delay<'a> {
    faults: &'a Faults,
    id: u64,
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

    /// Puts a fault in force; the answer names it. Whether it can strike is not checked.
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
                sparing: fault.after(),
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

    /// How many requests and tasks are delayed at present.
    pub fn delaying(&self) -> usize {
        self.state().delaying.len()
    }

    /// The first fault in force that `strikes`, which is thereby felt, and used up if it was its last time.
    pub(super) fn feel<T>(&self, strikes: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.feel_in_force(|fault| strikes(&fault.fault))
    }

    /// As [`Self::feel`], by what each fault is before it is felt.
    pub(super) fn feel_in_force<T>(&self, strikes: impl Fn(&FaultInForce) -> Option<T>) -> Option<T> {
        let mut state = self.state();
        let (id, struck) = state.feel(&self.0.log, strikes)?;
        state.retire(&self.0.log, id);
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
            let fits = fault.strikes_request(method, path);
            fits.then(|| strikes(fault)).flatten()
        })
    }

    /// Waits for as long as the first fault in force that `delays` says, but no longer than until it is healed.
    pub(super) async fn delay(&self, delays: impl Fn(&Fault) -> Option<Duration>) {
        let mut healed = self.healed();
        let Some((delay, late)) = self.begin_delay(delays) else {
            return;
        };
        let id = delay.id;
        let until_healed = async { while self.is_named(id) && healed.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(late, until_healed).await;
    }

    fn begin_delay(&self, delays: impl Fn(&Fault) -> Option<Duration>) -> Option<(Delay<'_>, Duration)> {
        let mut state = self.state();
        let (id, late) = state.feel(&self.0.log, |fault| delays(&fault.fault))?;
        state.delaying.push(id);
        Some((Delay { faults: self, id }, late))
    }

    /// Whether the fault with this id is in force.
    pub(super) fn is_named(&self, id: u64) -> bool {
        self.state().in_force.iter().any(|fault| fault.id == id)
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

impl FaultInForce {
    /// Whether it lets by what it would strike.
    fn spares(&mut self) -> bool {
        let spares = self.sparing > 0;
        self.sparing = self.sparing.saturating_sub(1);
        spares
    }
}

impl State {
    /// The first fault that `strikes`, and its id; it is thereby felt.
    fn feel<T>(&mut self, log: &Log, strikes: impl Fn(&FaultInForce) -> Option<T>) -> Option<(u64, T)> {
        let left = self.in_force.iter_mut().filter(|fault| fault.left != Some(0));
        let fit = left.filter_map(|fault| strikes(fault).map(|struck| (fault, struck)));
        let mut struck = fit.filter_map(|(fault, struck)| (!fault.spares()).then_some((fault, struck)));
        let (fault, struck) = struck.next()?;
        fault.felt += 1;
        fault.left = fault.left.map(|left| left - 1);
        log.record(Event::FaultFelt { id: fault.id });
        Some((fault.id, struck))
    }

    /// Ends the fault if it is used up and delays nobody.
    fn retire(&mut self, log: &Log, id: u64) {
        let delaying = &self.delaying;
        let is_over =
            |fault: &FaultInForce| fault.id == id && fault.left == Some(0) && !delaying.contains(&id);
        if self.in_force.extract_if(.., |fault| is_over(fault)).count() > 0 {
            log.record(Event::FaultHealed { id });
        }
    }
}

impl Drop for Delay<'_> {
    fn drop(&mut self) {
        let mut state = self.faults.state();
        let mine = state.delaying.iter().position(|id| *id == self.id);
        if let Some(mine) = mine {
            state.delaying.swap_remove(mine);
        }
        state.retire(&self.faults.0.log, self.id);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
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
    fn a_fault_of_later_requests_lets_the_first_ones_by() {
        let faults = Faults::new(Arc::default());
        faults.inject(fault(json!({
            "fault": "cutReplies",
            "requests": {"method": "POST", "after": 2, "count": 1}
        })));
        let strike = |method| faults.feel_request(method, "/", |_| Some(())).is_some();
        assert_eq!(["POST", "GET", "POST"].map(strike), [false; 3]);
        assert_eq!((faults.in_force()[0].felt, faults.in_force()[0].sparing), (0, 0));
        assert_eq!(["GET", "POST", "POST"].map(strike), [false, true, false]);
    }

    fn is_delay(fault: &Fault) -> Option<Duration> {
        match fault {
            Fault::DelayTasks { by_ms, .. } => Some(Duration::from_millis(*by_ms)),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_healed_fault_delays_nobody_any_longer() {
        for delay in [
            json!({"fault": "delayTasks", "byMs": 60_000}),
            json!({"fault": "delayTasks", "byMs": 60_000, "count": 1}),
        ] {
            let faults = Faults::new(Arc::default());
            let id = faults.inject(fault(delay));
            let begin = tokio::time::Instant::now();
            let heal = async {
                tokio::time::sleep(Duration::from_millis(7)).await;
                // That of another fault ends nothing.
                faults.heal(faults.inject(fault(json!({"fault": "holdLock"}))));
                tokio::time::sleep(Duration::from_millis(7)).await;
                assert_eq!(faults.delaying(), 1);
                assert!(faults.heal(id));
            };
            tokio::join!(faults.delay(is_delay), heal);
            assert_eq!(faults.delaying(), 0);
            assert_eq!(begin.elapsed(), Duration::from_millis(14));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_used_up_when_its_last_delay_is_over() {
        let faults = Faults::new(Arc::default());
        let delay = json!({"fault": "delayTasks", "byMs": 20, "count": 1});
        faults.inject(fault(delay.clone()));
        let meanwhile = async {
            tokio::time::sleep(Duration::from_millis(7)).await;
            assert_eq!(faults.in_force()[0].left, Some(0));
            faults.delay(is_delay).await;
        };
        let begin = tokio::time::Instant::now();
        tokio::join!(faults.delay(is_delay), meanwhile);
        assert_eq!(begin.elapsed(), Duration::from_millis(20), "it struck twice");
        assert_eq!(faults.in_force(), []);
        // Whoever gives up has been delayed.
        faults.inject(fault(delay));
        let gone = tokio::time::timeout(Duration::from_millis(7), faults.delay(is_delay));
        assert!(gone.await.is_err());
        assert_eq!(faults.in_force(), []);
    }
}
