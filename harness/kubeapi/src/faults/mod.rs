//! What goes wrong with the API on purpose.
//!
//! Owns which faults are in force and how often each has struck (`state`); what they are is in `fault`, which requests
//! they are about in `requests`, what becomes of the times of Leases in `leases`. Requests, watches and connections are
//! struck in `serve`. Invariant: a fault that is limited to a number of times strikes that often and never again, and
//! whatever it strikes is counted. The client inside this process and the controllers are never struck.

mod fault;
mod leases;
mod requests;
mod state;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub(crate) use fault::LEASES;
pub use fault::{Answer, Fault, FaultError, Skew};
pub(crate) use requests::Asked;
pub use requests::{Requests, Verb};
use state::State;

use crate::status::Status;
use crate::store::{State as Objects, Store};

/// Names a fault of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(u64);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fault in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultInForce {
    /// Names it.
    pub id: FaultId,
    /// What goes wrong.
    pub fault: Fault,
    /// How often it has struck.
    pub struck: u64,
    /// How often it still will; until healed unless given.
    pub left: Option<u32>,
}

/// The faults of one server: to inject, to heal, to count. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    healed: watch::Sender<()>,
    store: Arc<Store>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.in_force()).finish()
    }
}

/// A watch that can be dropped; as long as it is held it counts as running.
#[derive(Debug)]
pub(crate) struct RunningWatch {
    faults: Faults,
    number: u64,
    dropped: CancellationToken,
}

/// A connection that can be reset; as long as a clone of it is held it counts as open.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<Open>);

#[derive(Debug)]
struct Open {
    faults: Faults,
    lifeline: CancellationToken,
}

tokio::task_local! {
    /// What the running request asks. Controllers and the client inside this process ask nothing.
    static ASKED: Arc<Asked>;
}

impl Faults {
    /// None in force.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Faults(Arc::new(Inner {
            state: Mutex::default(),
            healed: watch::Sender::new(()),
            store,
        }))
    }

    /// Puts a fault in force, or lets one strike that does so once; the answer names it.
    ///
    /// # Errors
    /// [`FaultError`] for one that could never strike: a count of 0, a duration out of its range, a verb that the
    /// fault does not know.
    pub fn inject(&self, fault: Fault) -> Result<FaultId, FaultError> {
        fault.check()?;
        let is_compaction = fault == Fault::Compact;
        let id = self.state().inject(fault);
        if is_compaction {
            // Never under the lock of the faults, which transactions of the store take.
            self.0.store.write(Objects::compact);
        }
        Ok(id)
    }

    /// Ends a fault, and the delays that are under way by it; false if it was not in force.
    pub fn heal(&self, id: FaultId) -> bool {
        self.end(|fault| fault == id) > 0
    }

    /// Ends all faults; the answer is how many were in force.
    pub fn heal_all(&self) -> usize {
        self.end(|_| true)
    }

    /// Those in force, the oldest first.
    pub fn in_force(&self) -> Vec<FaultInForce> {
        self.state().list()
    }

    /// How often a fault has struck, also one that is over; `None` for one of another server.
    ///
    /// A request that is delayed, answered in the server's place or cut counts once, and so does a write whose times
    /// are shifted, a watch that is dropped, a client that is told 410 after a compaction, and a connection that is
    /// reset.
    pub fn struck(&self, id: FaultId) -> Option<u64> {
        self.state().struck(id)
    }

    fn end(&self, ends: impl Fn(FaultId) -> bool) -> usize {
        let ended = self.state().end(ends);
        self.0.healed.send_replace(());
        ended
    }

    /// Every change is whole before anything could panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For requests.
impl Faults {
    /// Whether any fault in force is about requests.
    pub(crate) fn are_about_requests(&self) -> bool {
        self.state().is_about_requests()
    }

    /// Waits for as long as the first fault that delays the request says, but no longer than until it is healed.
    pub(crate) async fn delay(&self, asked: &Asked) {
        let mut healed = self.0.healed.subscribe();
        let late = |fault: &Fault| match fault {
            Fault::Delay { by, .. } => Some(*by),
            _ => None,
        };
        let Some((id, by)) = self.state().strike(asked, late) else {
            return;
        };
        let until_healed = async { while !self.state().is_healed(id) && healed.changed().await.is_ok() {} };
        let _either_will_do = tokio::time::timeout(by, until_healed).await;
    }

    /// What is answered in place of doing the request.
    pub(crate) fn answer(&self, asked: &Asked) -> Option<Status> {
        let answer = |fault: &Fault| match fault {
            Fault::Answer { with, .. } => Some(*with),
            _ => None,
        };
        let (_, answer) = self.state().strike(asked, answer)?;
        Some(answer.status(asked))
    }

    /// Whether the reply to the request is to be cut.
    pub(crate) fn cut(&self, asked: &Asked) -> bool {
        let cuts = |fault: &Fault| matches!(fault, Fault::CutReplies { .. }).then_some(());
        self.state().strike(asked, cuts).is_some()
    }

    /// Shifts the times that the running request changes from `previous` to `next` in a Lease.
    pub(crate) fn skew_lease(&self, previous: Option<&Value>, next: &mut Value) {
        let Ok(asked) = ASKED.try_with(Arc::clone) else {
            return;
        };
        let shifted = self.state().strike(&asked, |fault| match fault {
            Fault::SkewLeases { clock, .. } => leases::shifted(*clock, previous, next),
            _ => None,
        });
        if let Some((_, shifted)) = shifted {
            *next = shifted;
        }
    }

    /// Tells that a client got 410.
    pub(crate) fn expired(&self) {
        self.state().expired();
    }

    /// Counts a watch as running.
    pub(crate) fn watch(&self, asked: Arc<Asked>) -> RunningWatch {
        let (number, dropped) = self.state().watch(asked);
        RunningWatch {
            faults: self.clone(),
            number,
            dropped,
        }
    }
}

/// For connections.
impl Faults {
    /// Counts a connection as open; while the API is down it is lost already.
    pub(crate) fn connect(&self) -> Connection {
        let lifeline = self.state().connect();
        Connection(Arc::new(Open {
            faults: self.clone(),
            lifeline,
        }))
    }
}

/// Runs what a request asks for.
pub(crate) async fn asking<F: Future>(asked: Arc<Asked>, request: F) -> F::Output {
    ASKED.scope(asked, request).await
}

impl RunningWatch {
    /// Completes when the watch is dropped.
    pub(crate) fn dropped(&self) -> WaitForCancellationFutureOwned {
        self.dropped.clone().cancelled_owned()
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.is_cancelled()
    }
}

impl Drop for RunningWatch {
    fn drop(&mut self) {
        self.faults.state().unwatch(self.number);
    }
}

impl Connection {
    /// Completes when the connection is to be reset.
    pub(crate) async fn lost(&self) {
        self.0.lifeline.cancelled().await;
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.0.lifeline.is_cancelled()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.faults.state().disconnect();
    }
}

#[cfg(test)]
mod tests;
