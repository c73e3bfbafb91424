//! The difference between desired and observed objects, as one change set.
//!
//! Owns what has to be written, in which order, and whether it has to be activated.
//!
//! Invariants: the difference of equal states is empty; a change set has at most one activation; there is no way
//! to express a deactivation.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::naming::ListName;
use super::objects::{Assembly, CentralPolicy, Definition, DefinitionKey, DefinitionKind, List, Objects};

/// Everything that has to happen to turn observed objects into desired ones, in this order.
///
/// What is stored on the Manager can get into force at any point, if the operator dies and its successor finishes the
/// push. Hence traffic that goes from one list or definition to another is for a while in both, never in none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// Lists to create.
    pub create: BTreeMap<ListName, List>,
    /// Own lists that shall have another content.
    pub edit: BTreeMap<ListName, List>,
    /// Definitions to create, or that shall have another content.
    pub definitions: BTreeMap<DefinitionKey, Definition>,
    /// The assembly that the policy shall get.
    pub assembly: Option<Assembly>,
    /// Definitions that traffic leaves for what was written before; some for the second time. In order of their keys.
    pub settle: BTreeMap<DefinitionKey, Definition>,
    /// Own lists that addresses leave for what was written before; some for the second time.
    pub narrow: BTreeMap<ListName, List>,
    /// How to bring it into force.
    pub activation: Option<Activation>,
    /// Own definitions that nothing refers to any more.
    pub remove_definitions: BTreeSet<DefinitionKey>,
    /// Own lists that nothing refers to any more.
    pub remove: BTreeMap<ListName, List>,
    /// The mark of an unconfirmed edit has to go.
    pub unmark: bool,
}

/// How a change gets into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The policy is not active yet.
    First,
    /// The policy is active and was edited.
    Edit,
}

/// Finds what has to change.
#[must_use]
pub fn diff(desired: &Objects, observed: &Objects) -> ChangeSet {
    let mut change_set = ChangeSet {
        unmark: observed.unconfirmed,
        ..ChangeSet::default()
    };
    change_set.compare_lists(desired, observed);
    change_set.compare_definitions(desired, observed);

    let shall_be_active = is_active(desired);
    let is_active = is_active(observed);
    let assembly = |objects: &Objects| objects.policy.as_ref().map(|policy| policy.assembly.clone());
    if assembly(desired) != assembly(observed) {
        change_set.assembly = assembly(desired);
    }
    change_set.activation = match (shall_be_active, is_active) {
        (false, _) => None,
        (true, false) => Some(Activation::First),
        (true, true) => change_set.edits_the_policy().then_some(Activation::Edit),
    };
    change_set
}

/// The addresses that come to some list.
fn gained<'a>(
    created: impl Iterator<Item = &'a List>,
    changed: &[(&ListName, &'a List, &'a List)],
) -> HashSet<IpAddr> {
    let loses = |(_, present, list): &(_, &List, &List)| match (present.hosts(), list.hosts()) {
        (Some(old), Some(new)) => !old.is_subset(new),
        _ => false,
    };
    // What loses nothing need not be looked at twice, and then it does not matter what is gained.
    if !changed.iter().any(loses) {
        return HashSet::new();
    }
    let created = created.filter_map(List::hosts).flat_map(|hosts| hosts.iter());
    let changed = changed
        .iter()
        .filter_map(|(_, present, list)| Some((present.hosts()?, list.hosts()?)));
    created
        .chain(changed.flat_map(|(old, new)| new.difference(old)))
        .copied()
        .collect()
}

fn is_active(objects: &Objects) -> bool {
    objects.policy.as_ref().is_some_and(|policy| policy.active)
}

impl ChangeSet {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn compare_lists(&mut self, desired: &Objects, observed: &Objects) {
        let mut changed = Vec::new();
        for (name, list) in &desired.lists {
            match observed.lists.get(name) {
                None => {
                    self.create.insert(name.clone(), list.clone());
                }
                Some(present) if present != list => changed.push((name, present, list)),
                Some(_) => {}
            }
        }
        let gained = gained(self.create.values(), &changed);
        for (name, present, list) in changed {
            match (present.hosts(), list.hosts()) {
                (Some(old), Some(new)) if old.difference(new).any(|host| gained.contains(host)) => {
                    if !new.is_subset(old) {
                        let both = Arc::new(old.union(new).copied().collect());
                        self.edit.insert(name.clone(), list.with_hosts(both));
                    }
                    self.narrow.insert(name.clone(), list.clone());
                }
                _ => {
                    self.edit.insert(name.clone(), list.clone());
                }
            }
        }
        let unused = observed.lists.iter();
        let unused = unused.filter(|(name, _)| !desired.lists.contains_key(*name));
        self.remove = unused.map(|(name, list)| (name.clone(), list.clone())).collect();
    }

    fn compare_definitions(&mut self, desired: &Objects, observed: &Objects) {
        let changed = |key: &DefinitionKey| {
            let wanted = desired.definitions.get(key)?;
            (observed.definitions.get(key) != Some(wanted)).then_some(wanted)
        };
        let service_vpns: BTreeSet<_> = desired.definitions.keys().map(|key| key.service_vpn).collect();
        for service_vpn in service_vpns {
            let key = |kind| DefinitionKey { service_vpn, kind };
            let (data, app_route) = (key(DefinitionKind::Data), key(DefinitionKind::AppRoute));
            match (changed(&data), changed(&app_route)) {
                (Some(wanted), Some(by_class)) if observed.definitions.contains_key(&data) => {
                    let old = observed.definitions.get(&app_route);
                    let both = old.map_or_else(|| by_class.clone(), |old| by_class.and_also(old));
                    if both != *by_class {
                        self.settle.insert(app_route, by_class.clone());
                    }
                    if old != Some(&both) {
                        self.definitions.insert(app_route, both);
                    }
                    self.settle.insert(data, wanted.clone());
                }
                (on_data, on_app_route) => {
                    let written = [(data, on_data), (app_route, on_app_route)];
                    let written = written
                        .into_iter()
                        .filter_map(|(key, wanted)| Some((key, wanted?.clone())));
                    self.definitions.extend(written);
                }
            }
        }
        let unused = observed.definitions.keys();
        let unused = unused.filter(|key| !desired.definitions.contains_key(key));
        self.remove_definitions = unused.copied().collect();
    }

    fn edits_the_policy(&self) -> bool {
        !self.edit.is_empty()
            || !self.definitions.is_empty()
            || !self.settle.is_empty()
            || !self.narrow.is_empty()
            || self.assembly.is_some()
    }

    /// The objects after all of it has happened to `objects`.
    #[must_use]
    pub fn applied_to(&self, mut objects: Objects) -> Objects {
        objects.lists.retain(|name, _| !self.remove.contains_key(name));
        for (name, list) in self.create.iter().chain(&self.edit).chain(&self.narrow) {
            objects.lists.insert(name.clone(), list.clone());
        }
        objects
            .definitions
            .retain(|key, _| !self.remove_definitions.contains(key));
        let written = self.definitions.iter().chain(&self.settle);
        objects
            .definitions
            .extend(written.map(|(key, definition)| (*key, definition.clone())));
        if let Some(assembly) = &self.assembly {
            let active = is_active(&objects);
            objects.policy = Some(CentralPolicy {
                assembly: assembly.clone(),
                active,
            });
        }
        if let (Some(policy), Some(_)) = (&mut objects.policy, self.activation) {
            policy.active = true;
        }
        objects.unconfirmed &= !self.unmark;
        objects
    }
}
