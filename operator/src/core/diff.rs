//! The difference between desired and observed objects, as one change set.
//!
//! Owns what has to be written, and whether it has to be activated. Does not order requests: the client does.
//!
//! Invariants: the difference of equal states is empty; a change set has at most one activation; there is no way
//! to express a deactivation.

use std::collections::{BTreeMap, BTreeSet};

use super::naming::ListName;
use super::objects::{Assembly, CentralPolicy, Definition, DefinitionKey, List, Objects};

/// Everything that has to happen to turn observed objects into desired ones, in this order.
///
/// What is stored on the Manager can get into force at any point, if the operator dies and its successor finishes the
/// push. Hence an address that goes from one list to another is for a while in both, never in none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// Lists to create.
    pub create: BTreeMap<ListName, List>,
    /// Own lists that shall have another content, to be written before the definitions.
    pub edit: BTreeMap<ListName, List>,
    /// The content that definitions shall get; they are created if they do not exist.
    pub definitions: BTreeMap<DefinitionKey, Definition>,
    /// Own lists that shall have another content, to be written after the definitions; some a second time.
    pub narrow: BTreeMap<ListName, List>,
    /// The assembly that the policy shall get.
    pub assembly: Option<Assembly>,
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
    for (name, list) in &desired.lists {
        match observed.lists.get(name) {
            None => change_set.create.insert(name.clone(), list.clone()),
            Some(present) if present != list => change_set.edit.insert(name.clone(), list.clone()),
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
    for (key, definition) in &desired.definitions {
        if observed.definitions.get(key) != Some(definition) {
            change_set.definitions.insert(*key, definition.clone());
        }
    }
    let unused = observed.definitions.keys();
    let unused = unused.filter(|key| !desired.definitions.contains_key(key));
    change_set.remove_definitions = unused.copied().collect();
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
        !self.edit.is_empty()
            || !self.definitions.is_empty()
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
        objects.definitions.extend(
            self.definitions
                .iter()
                .map(|(key, definition)| (*key, definition.clone())),
        );
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
