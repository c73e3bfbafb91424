//! What is in force, what runs and what is open.
//!
//! Owns the counts. Invariant: what strikes is counted in the same step in which it strikes.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Asked, Fault, FaultId, FaultInForce};

#[derive(Debug, Default)]
pub(super) struct State {
    /// All there ever were, the oldest first.
    injected: Vec<Injected>,
    last_watch: u64,
    /// Those that run, the oldest first.
    watches: Vec<(u64, Arc<Asked>, CancellationToken)>,
    connections: u64,
    /// Ends all connections; already cancelled while the API is down.
    lifeline: CancellationToken,
}

#[derive(Debug)]
struct Injected {
    fault: Fault,
    struck: u64,
    left: Option<u32>,
    is_healed: bool,
}

/// Faults.
impl State {
    pub(super) fn inject(&mut self, fault: Fault) -> FaultId {
        let count = fault.requests().and_then(|requests| requests.count);
        let (struck, left) = match &fault {
            Fault::DropWatches { .. } => (self.drop_watches(&fault, count), Some(0)),
            Fault::Compact => (0, Some(0)),
            Fault::Down => {
                self.lifeline.cancel();
                (self.connections, None)
            }
            _ => (0, count),
        };
        self.injected.push(Injected {
            fault,
            struck,
            left,
            is_healed: false,
        });
        FaultId(self.injected.len() as u64)
    }

    /// Ends those that `ends` says; the answer is how many were in force.
    pub(super) fn end(&mut self, ends: impl Fn(FaultId) -> bool) -> usize {
        let mut ended = 0;
        for (id, fault) in ids().zip(&mut self.injected) {
            if ends(id) {
                ended += usize::from(fault.is_in_force());
                fault.is_healed = true;
            }
        }
        let is_down = self.in_force().any(|fault| fault.fault == Fault::Down);
        if self.lifeline.is_cancelled() && !is_down {
            self.lifeline = CancellationToken::new();
        }
        ended
    }

    pub(super) fn list(&self) -> Vec<FaultInForce> {
        let in_force = ids().zip(&self.injected);
        let in_force = in_force.filter(|(_, fault)| fault.is_in_force());
        in_force
            .map(|(id, injected)| FaultInForce {
                id,
                fault: injected.fault.clone(),
                struck: injected.struck,
                left: injected.left,
            })
            .collect()
    }

    pub(super) fn struck(&self, id: FaultId) -> Option<u64> {
        let mut injected = ids().zip(&self.injected);
        injected
            .find(|(known, _)| *known == id)
            .map(|(_, fault)| fault.struck)
    }

    pub(super) fn is_healed(&self, id: FaultId) -> bool {
        let mut injected = ids().zip(&self.injected);
        injected.any(|(known, fault)| known == id && fault.is_healed)
    }

    /// Whether any that is in force is about requests.
    pub(super) fn is_about_requests(&self) -> bool {
        self.in_force().any(|fault| fault.fault.requests().is_some())
    }

    /// The first that strikes the request and `does` something to it.
    pub(super) fn strike<T>(
        &mut self,
        asked: &Asked,
        mut does: impl FnMut(&Fault) -> Option<T>,
    ) -> Option<(FaultId, T)> {
        let mut striking = ids().zip(&mut self.injected).filter_map(|(id, fault)| {
            let strikes = fault.is_in_force() && fault.fault.strikes(asked);
            let done = strikes.then(|| does(&fault.fault)).flatten()?;
            Some((id, fault, done))
        });
        let (id, fault, done) = striking.next()?;
        fault.struck += 1;
        fault.left = fault.left.map(|left| left - 1);
        Some((id, done))
    }

    /// A client got 410.
    pub(super) fn expired(&mut self) {
        let mut newest_first = self.injected.iter_mut().rev();
        if let Some(fault) = newest_first.find(|fault| fault.fault == Fault::Compact) {
            fault.struck += 1;
        }
    }

    fn in_force(&self) -> impl Iterator<Item = &Injected> {
        self.injected.iter().filter(|fault| fault.is_in_force())
    }

    /// Drops those that run and that the fault strikes, at most so many; the answer is how many there were.
    fn drop_watches(&mut self, fault: &Fault, most: Option<u32>) -> u64 {
        let most = most.map_or(u64::MAX, u64::from);
        let mut struck = 0;
        self.watches.retain(|(_, asked, dropped)| {
            let stays = struck == most || !fault.strikes(asked);
            if !stays {
                dropped.cancel();
                struck += 1;
            }
            stays
        });
        struck
    }
}

/// Watches and connections.
impl State {
    /// A watch begins; the answer is its number, and what tells it that it is dropped.
    pub(super) fn watch(&mut self, asked: Arc<Asked>) -> (u64, CancellationToken) {
        self.last_watch += 1;
        let dropped = CancellationToken::new();
        self.watches.push((self.last_watch, asked, dropped.clone()));
        (self.last_watch, dropped)
    }

    pub(super) fn unwatch(&mut self, number: u64) {
        self.watches.retain(|(known, ..)| *known != number);
    }

    /// A connection is open; the answer tells it that it is lost.
    pub(super) fn connect(&mut self) -> CancellationToken {
        self.connections += 1;
        let mut in_force = self.injected.iter_mut().filter(|fault| fault.is_in_force());
        if let Some(fault) = in_force.find(|fault| fault.fault == Fault::Down) {
            fault.struck += 1;
        }
        self.lifeline.clone()
    }

    pub(super) fn disconnect(&mut self) {
        self.connections -= 1;
    }
}

impl Injected {
    fn is_in_force(&self) -> bool {
        !self.is_healed && self.left != Some(0)
    }
}

fn ids() -> impl Iterator<Item = FaultId> {
    (1..).map(FaultId)
}
