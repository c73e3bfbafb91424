//! The difference between desired and observed objects, as one change set.
//!
//! Owns what has to be written, and whether it has to be activated. Does not order requests: the client does.
//!
//! Invariants: the difference of equal states is empty; a change set has at most one activation; there is no way
//! to express a deactivation.

use std::collections::BTreeMap;

use super::naming::ListName;
use super::objects::{Assembly, CentralPolicy, Definition, List, Objects};

/// Everything that has to happen to turn observed objects into desired ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// Lists to create.
    pub create: BTreeMap<ListName, List>,
    /// Own lists whose entries somebody changed, with the right entries.
    pub repair: BTreeMap<ListName, List>,
    /// The content that the definition shall get.
    pub definition: Option<Definition>,
    /// The assembly that the policy shall get.
    pub assembly: Option<Assembly>,
    /// How to bring it into force.
    pub activation: Option<Activation>,
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
    for (name, list) in &desired.lists {
        match observed.lists.get(name) {
            None => change_set.create.insert(name.clone(), list.clone()),
            Some(present) if present != list => change_set.repair.insert(name.clone(), list.clone()),
            Some(_) => None,
        };
    }
    let unused = observed
        .lists
        .iter()
        .filter(|(name, _)| !desired.lists.contains_key(*name));
    change_set.remove = unused.map(|(name, list)| (name.clone(), list.clone())).collect();

    let shall_be_active = is_active(desired);
    let is_active = is_active(observed);
    if desired.definition != observed.definition {
        change_set.definition.clone_from(&desired.definition);
    }
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

fn is_active(objects: &Objects) -> bool {
    objects.policy.as_ref().is_some_and(|policy| policy.active)
}

impl ChangeSet {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn edits_the_policy(&self) -> bool {
        !self.repair.is_empty() || self.definition.is_some() || self.assembly.is_some()
    }

    /// The objects after all of it has happened to `objects`.
    #[must_use]
    pub fn applied_to(&self, mut objects: Objects) -> Objects {
        objects.lists.retain(|name, _| !self.remove.contains_key(name));
        for (name, list) in self.create.iter().chain(&self.repair) {
            objects.lists.insert(name.clone(), list.clone());
        }
        if self.definition.is_some() {
            objects.definition.clone_from(&self.definition);
        }
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
