//! What follows from changes: whose claims change, who is accepted, who holds what.
//!
//! The second half of [`compile`](super::compile). Services are reviewed the oldest first, and a review can only bring
//! about reviews of younger ones, so that it comes to an end with every Service reviewed once at most.

use std::collections::{BTreeMap, HashSet};

use super::claim::{Claims, Destination};
use super::compile::Compiler;
use super::ledger::{ServiceId, Standing};
use super::member::Age;
use super::outcome::{Conflict, Refusal};

impl Compiler {
    /// Finds anew what is asked for a Service, and what it claims if that is something else.
    pub(super) fn reread(&mut self, id: ServiceId) {
        let member = &mut self.members[id];
        let namespace = (member.name.cluster.clone(), member.name.kube_namespace.clone());
        let namespace = self.namespaces.get(&namespace);
        let reread = member.reread(&self.conventions, namespace, &self.tunnels);
        if reread.terms {
            let names: Vec<_> = self.members[id].slices.keys().cloned().collect();
            for name in names {
                let member = &self.members[id];
                let slice = &member.slices[&name];
                let claims = match &member.terms {
                    Ok(Some(terms)) => terms.claims(&slice.view, self.conventions.endpoints),
                    _ => Claims::default(),
                };
                self.replace_claims(id, &name, claims);
            }
        }
        if reread.age {
            let destinations = self.members[id].destinations();
            self.contest(id, &destinations);
        }
        self.schedule(id);
    }

    /// Gives a slice other claims than it has.
    pub(super) fn replace_claims(&mut self, id: ServiceId, slice: &str, claims: Claims) {
        let Some(slice) = self.members[id].slices.get_mut(slice) else {
            return;
        };
        let old = std::mem::replace(&mut slice.claims, claims.clone()).destinations;
        let new = claims.destinations;
        let mut changed = HashSet::new();
        for (to, preference) in old.iter().filter(|claim| new.binary_search(claim).is_err()) {
            self.ledger.unclaim(id, *to, preference);
            changed.insert(*to);
        }
        for (to, preference) in new.iter().filter(|claim| old.binary_search(claim).is_err()) {
            self.ledger.claim(id, *to, preference);
            changed.insert(*to);
        }
        self.contest(id, &changed);
    }

    /// Has all claimants of these destinations reviewed, and the one that has just changed what it claims.
    fn contest(&mut self, id: ServiceId, destinations: &HashSet<Destination>) {
        let reviews = &mut self.pending.reviews;
        reviews.entry(id).or_default().extend(destinations);
        for to in destinations {
            for claimant in self.ledger.claimants(to) {
                if claimant != id {
                    reviews.entry(claimant).or_default().insert(*to);
                }
            }
        }
        self.pending.touched.extend(destinations);
    }

    fn schedule(&mut self, id: ServiceId) {
        self.pending.reviews.entry(id).or_default();
    }

    /// Reviews all Services that are scheduled; returns which were.
    pub(super) fn review_all(&mut self) -> HashSet<ServiceId> {
        let mut reviewed = HashSet::new();
        let mut by_age: BTreeMap<Age, ServiceId> = self
            .pending
            .reviews
            .keys()
            .map(|id| (self.members[*id].age.clone(), *id))
            .collect();
        while let Some((_, id)) = by_age.pop_first() {
            reviewed.insert(id);
            for younger in self.review(id) {
                by_age.insert(self.members[younger].age.clone(), younger);
            }
        }
        reviewed
    }

    /// Reviews a Service; returns the younger ones that are to be reviewed because of it.
    fn review(&mut self, id: ServiceId) -> HashSet<ServiceId> {
        let destinations = self.pending.reviews.remove(&id).unwrap_or_default();
        for to in destinations {
            let oldest = self.oldest_accepted(&to, Some(id));
            let standing = self.ledger.standing(id, &to, oldest);
            let member = &mut self.members[id];
            member.disagreements.remove(&to);
            member.taken.remove(&to);
            match standing {
                Standing::Good => {}
                Standing::Disagreeing => {
                    member.disagreements.insert(to);
                }
                Standing::Taken { .. } => {
                    member.taken.insert(to);
                }
            }
        }
        let member = &mut self.members[id];
        let accepted = member.may_hold();
        if std::mem::replace(&mut member.accepted, accepted) == accepted {
            return HashSet::new();
        }
        let destinations = member.destinations();
        let mut younger = HashSet::new();
        for to in &destinations {
            for claimant in self.ledger.claimants(to) {
                if self.members[claimant].age > self.members[id].age {
                    self.pending.reviews.entry(claimant).or_default().insert(*to);
                    younger.insert(claimant);
                }
            }
        }
        self.pending.touched.extend(destinations);
        younger
    }

    /// The oldest of the claimants that are accepted, and older than `than`.
    fn oldest_accepted(&self, to: &Destination, than: Option<ServiceId>) -> Option<ServiceId> {
        let is_older =
            |id: &ServiceId| than.is_none_or(|than| self.members[*id].age < self.members[than].age);
        self.ledger
            .claimants(to)
            .filter(|id| self.members[*id].accepted && is_older(id))
            .min_by_key(|id| &self.members[*id].age)
    }

    /// Gives every destination that was touched to who shall hold it now.
    pub(super) fn hand_over(&mut self) {
        for to in std::mem::take(&mut self.pending.touched) {
            let holder = self.oldest_accepted(&to, None);
            let Some((old, new)) = self.ledger.hand_over(&to, holder) else {
                continue;
            };
            if let Some(old) = old {
                self.classes.remove(&to.class(&old), to.host);
            }
            if let Some(new) = new {
                self.classes.insert(to.class(&new), to.host);
            }
        }
    }

    /// What refuses a Service because of an older one.
    pub(super) fn conflict(&self, id: ServiceId) -> Option<Refusal> {
        let to = self.members[id].taken.first()?;
        let oldest = self.oldest_accepted(to, Some(id));
        let Standing::Taken { winner, held } = self.ledger.standing(id, to, oldest) else {
            return None;
        };
        Some(Refusal::Conflict(Box::new(Conflict {
            winner: self.members[winner].name.clone(),
            held: (*held).clone(),
            host: to.host,
            protocol: to.protocol,
            port: to.port,
        })))
    }

    /// Forgets a Service of which nothing is left.
    pub(super) fn vacate(&mut self, id: ServiceId) {
        let member = &self.members[id];
        if member.is_gone() && self.by_name.remove(&member.name).is_some() {
            self.vacant.push(id);
        }
    }
}
