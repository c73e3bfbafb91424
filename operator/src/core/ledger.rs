//! The ledger: who claims which destination, and who holds it.
//!
//! Owns the rule for contradictions, for one destination at a time. Invariant: the holder is the oldest of those
//! claimants that are accepted.

use std::collections::HashMap;
use std::sync::Arc;

use super::claim::Destination;
use super::preference::Preference;

/// A Service, by its place among the members of the compiler.
pub(super) type ServiceId = usize;

#[derive(Debug, Default)]
pub(super) struct Ledger(HashMap<Destination, Entry>);

#[derive(Debug, Default)]
struct Entry {
    claims: Vec<Claim>,
    held: Option<Arc<Preference>>,
}

#[derive(Debug)]
struct Claim {
    service: ServiceId,
    preference: Arc<Preference>,
    /// How often it is claimed: an address can be in several slices.
    times: u32,
}

/// How one claimant of a destination stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing speaks against it, or it claims nothing.
    Good,
    /// It asks for two different things.
    Disagreeing,
    /// An older Service holds it for something else.
    Taken {
        winner: ServiceId,
        held: Arc<Preference>,
    },
}

/// A change of the holder: what the destination was steered by, and is now.
pub(super) type Handover = (Option<Arc<Preference>>, Option<Arc<Preference>>);

impl Ledger {
    pub(super) fn claim(&mut self, service: ServiceId, to: Destination, preference: &Arc<Preference>) {
        let claims = &mut self.0.entry(to).or_default().claims;
        let same = |claim: &&mut Claim| claim.service == service && claim.preference == *preference;
        match claims.iter_mut().find(same) {
            Some(claim) => claim.times += 1,
            None => claims.push(Claim {
                service,
                preference: preference.clone(),
                times: 1,
            }),
        }
    }

    pub(super) fn unclaim(&mut self, service: ServiceId, to: Destination, preference: &Arc<Preference>) {
        let Some(entry) = self.0.get_mut(&to) else { return };
        let same = |claim: &Claim| claim.service == service && claim.preference == *preference;
        if let Some(at) = entry.claims.iter().position(same) {
            entry.claims[at].times -= 1;
            if entry.claims[at].times == 0 {
                entry.claims.swap_remove(at);
            }
        }
    }

    /// Those who claim a destination; one that asks for two things is named twice.
    pub(super) fn claimants(&self, to: &Destination) -> impl Iterator<Item = ServiceId> {
        let entry = self.0.get(to);
        entry
            .into_iter()
            .flat_map(|entry| entry.claims.iter().map(|claim| claim.service))
    }

    /// How a claimant stands, given the oldest of those that are older and accepted.
    pub(super) fn standing(
        &self,
        service: ServiceId,
        to: &Destination,
        oldest: Option<ServiceId>,
    ) -> Standing {
        let Some(entry) = self.0.get(to) else {
            return Standing::Good;
        };
        let mut own = entry.claims.iter().filter(|claim| claim.service == service);
        let Some(claim) = own.next() else {
            return Standing::Good;
        };
        if own.next().is_some() {
            return Standing::Disagreeing;
        }
        let of = |service| entry.claims.iter().find(|claim| claim.service == service);
        match oldest.and_then(of) {
            Some(winner) if winner.preference != claim.preference => Standing::Taken {
                winner: winner.service,
                held: winner.preference.clone(),
            },
            _ => Standing::Good,
        }
    }

    /// Hands a destination to the claimant that is to hold it; `None` if what it is steered by stays the same.
    pub(super) fn hand_over(&mut self, to: &Destination, holder: Option<ServiceId>) -> Option<Handover> {
        let entry = self.0.get_mut(to)?;
        let holder = holder.and_then(|holder| entry.claims.iter().find(|claim| claim.service == holder));
        let new = holder.map(|claim| claim.preference.clone());
        let old = std::mem::replace(&mut entry.held, new.clone());
        if entry.claims.is_empty() {
            self.0.remove(to);
        }
        (old != new).then_some((old, new))
    }
}
