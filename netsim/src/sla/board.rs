//! The standing of all tunnels of an edge.
//!
//! Owns a [`Judge`] for each session and the classes in force. It turns the running totals of the sessions into
//! intervals, and tells what changed, so that the edge routes anew only then. Invariant: an interval holds
//! no hello from before the last change of the session's state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{Health, Judge, Polling};
use crate::bfd::{State, Totals};
use crate::policy::SlaClass;

/// A tunnel of an edge: its position, and that of the remote edge behind it.
pub type TunnelKey = (usize, usize);

/// A tunnel meets a class now, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaChange {
    /// The tunnel.
    pub tunnel: TunnelKey,
    /// The class.
    pub class: SlaClass,
    /// Whether it is met from now on.
    pub met: bool,
}

/// How the tunnels of an edge stand with each class in force.
#[derive(Debug, Clone)]
pub struct SlaBoard {
    tunnels: BTreeMap<TunnelKey, Tunnel>,
}

#[derive(Debug, Clone)]
struct Tunnel {
    judge: Judge,
    /// The totals at the last poll; `None` until there is a poll since its state changed.
    polled: Option<Totals>,
}

impl SlaBoard {
    /// For these sessions, of which nothing is known yet and none has sent a hello; no class is in force.
    #[must_use]
    pub fn new(polling: Polling, sessions: impl IntoIterator<Item = TunnelKey>) -> Self {
        let tunnel = Tunnel {
            judge: Judge::new(polling),
            polled: Some(Totals::default()),
        };
        let tunnels = sessions.into_iter().map(|session| (session, tunnel.clone()));
        Self {
            tunnels: tunnels.collect(),
        }
    }

    /// Replaces the classes in force; see [`Judge::set_classes`].
    pub fn set_classes(&mut self, classes: &BTreeSet<SlaClass>) {
        for tunnel in self.tunnels.values_mut() {
            tunnel.judge.set_classes(classes);
        }
    }

    /// A session changed its state. Returns what changed for a class; that the tunnel is
    /// up or down is itself nothing of that kind.
    pub fn turn(&mut self, session: TunnelKey, state: State) -> Vec<SlaChange> {
        let Some(tunnel) = self.tunnels.get_mut(&session) else {
            return Vec::new();
        };
        tunnel.polled = None;
        let changes = tunnel.judge.turn(state).into_iter();
        let changes = changes.map(|(class, met)| SlaChange {
            tunnel: session,
            class,
            met,
        });
        changes.collect()
    }

    /// A poll interval has ended at `now` with these totals. Returns what changed. Sessions that are not on the
    /// board are left out.
    pub fn poll(
        &mut self,
        totals: impl IntoIterator<Item = (TunnelKey, Totals)>,
        now: Instant,
    ) -> Vec<SlaChange> {
        let mut changes = Vec::new();
        for (session, totals) in totals {
            let Some(tunnel) = self.tunnels.get_mut(&session) else {
                continue;
            };
            let interval = tunnel.interval(totals);
            let changed = tunnel.judge.poll(interval, now).into_iter();
            changes.extend(changed.map(|(class, met)| SlaChange {
                tunnel: session,
                class,
                met,
            }));
        }
        changes
    }

    /// What is known of the tunnel of each session.
    #[must_use]
    pub fn all_health(&self) -> BTreeMap<TunnelKey, Health> {
        let tunnels = self.tunnels.iter();
        tunnels
            .map(|(key, tunnel)| (*key, tunnel.judge.health()))
            .collect()
    }

    /// What is known of the tunnel of a session; one that is not on the board is down.
    #[must_use]
    pub fn health(&self, session: TunnelKey) -> Health {
        let tunnel = self.tunnels.get(&session);
        tunnel.map_or_else(Health::default, |tunnel| tunnel.judge.health())
    }
}

impl Tunnel {
    /// What was counted since the last poll, unless the session changed its state meanwhile.
    fn interval(&mut self, totals: Totals) -> Totals {
        let before = self.polled.replace(totals);
        before.map_or_else(Totals::default, |before| totals.since(&before))
    }
}

#[cfg(test)]
mod tests;
