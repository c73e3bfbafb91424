//! Plans: what a change set would do, for people and for programs.
//!
//! Owns putting a change set into words, in the order in which it is applied. Invariant: nothing is written; the previews
//! are the Manager's own, of objects that it does not store.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::apply::check_ground;
use super::error::ManagerError;
use super::observe::{Backend, Identity, Observed};
use super::transport::ManagerClient;
use super::wire::{self, Preview};
use crate::core::{
    ChangeSet, Color, Definition, DefinitionKey, DefinitionKind, Direction, List, ListKind, ListName,
    Sequence, SequenceAction, Tunnels,
};

/// How many entries of a list a line names.
const NAMED_ENTRIES: usize = 5;

/// What would be done, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What would be written; empty if the fabric is as it shall be.
    pub steps: Vec<Step>,
    /// What the Manager makes of lists and definitions that it does not have yet, in its own words.
    pub previews: Vec<Previewed>,
    /// The lists and definitions that it refuses, and what it says of them: their classes would be held back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Previewed>,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is done.
    pub verb: Verb,
    /// The kind of object.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What it gets that it has not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// What it has and loses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It is created.
    Create,
    /// It is replaced.
    Edit,
    /// It is brought into force.
    Activate,
    /// It is deleted.
    Remove,
}

/// The Manager's preview of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Previewed {
    /// The name of the object.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Plan {
    /// What applying a change set to what was observed would do.
    #[must_use]
    pub fn new(identity: &Identity, observed: &Observed, change_set: &ChangeSet) -> Self {
        let mut planning = Planning {
            identity,
            observed,
            steps: Vec::new(),
        };
        planning.lists(Verb::Create, change_set.create.iter());
        planning.lists(Verb::Edit, change_set.edit.iter());
        for (key, definition) in change_set.definitions.iter().chain(&change_set.settle) {
            planning.definition(*key, Some(definition));
        }
        planning.lists(Verb::Edit, change_set.narrow.iter());
        planning.policy(change_set);
        for key in &change_set.remove_definitions {
            planning.definition(*key, None);
        }
        planning.lists(Verb::Remove, change_set.remove.iter());
        Self {
            steps: planning.steps,
            ..Self::default()
        }
    }
}

struct Planning<'a> {
    identity: &'a Identity,
    observed: &'a Observed,
    steps: Vec<Step>,
}

impl Planning<'_> {
    fn step(&mut self, verb: Verb, kind: &'static str, name: &str) -> &mut Step {
        self.steps.push(Step {
            verb,
            kind,
            name: name.to_owned(),
            added: Vec::new(),
            removed: Vec::new(),
        });
        self.steps.last_mut().expect("it was pushed")
    }

    fn lists<'b>(&mut self, verb: Verb, lists: impl Iterator<Item = (&'b ListName, &'b List)>) {
        for (name, list) in lists {
            let after = match verb {
                Verb::Remove => BTreeSet::new(),
                _ => wire::entry_texts(list),
            };
            let before = self
                .observed
                .objects
                .lists
                .get(name)
                .map(wire::entry_texts)
                .unwrap_or_default();
            let step = self.step(verb, list_kind(list.kind()), name.as_str());
            step.added = after.difference(&before).cloned().collect();
            step.removed = before.difference(&after).cloned().collect();
        }
    }

    fn definition(&mut self, key: DefinitionKey, desired: Option<&Definition>) {
        let present = self.observed.objects.definitions.get(&key);
        let verb = match (desired, present) {
            (None, _) => Verb::Remove,
            (Some(_), None) => Verb::Create,
            (Some(_), Some(_)) => Verb::Edit,
        };
        let lines = |definition: Option<&Definition>| -> Vec<String> {
            let sequences = definition.map(Definition::sequences).unwrap_or_default();
            sequences.iter().map(describe).collect()
        };
        let (before, after) = (lines(present), lines(desired));
        let without = |of: &[String], other: &[String]| -> Vec<String> {
            of.iter().filter(|line| !other.contains(line)).cloned().collect()
        };
        let kind = match (self.identity.backend, key.kind) {
            (Backend::PolicyGroups, _) => "traffic policy",
            (Backend::Classic, DefinitionKind::Data) => "data definition",
            (Backend::Classic, DefinitionKind::AppRoute) => "app-route definition",
        };
        let name = key.name(&self.identity.policy_name);
        let step = self.step(verb, kind, &name);
        step.added = without(&after, &before);
        step.removed = without(&before, &after);
    }

    fn policy(&mut self, change_set: &ChangeSet) {
        let kind = match self.identity.backend {
            Backend::Classic => "centralized policy",
            Backend::PolicyGroups => "policy group",
        };
        let name = self.identity.policy_name.as_str();
        let present = &self.observed.objects;
        let exists = present.policy.is_some();
        match (exists, &change_set.assembly) {
            (false, Some(_)) => drop(self.step(Verb::Create, kind, name)),
            (true, Some(_)) => drop(self.step(Verb::Edit, kind, name)),
            (_, None) => {}
        }
        let interrupted = present.unconfirmed && present.policy.as_ref().is_some_and(|policy| policy.active);
        if change_set.activation.is_some() || interrupted {
            self.step(Verb::Activate, kind, name);
        }
    }
}

fn list_kind(kind: ListKind) -> &'static str {
    match kind {
        ListKind::DataPrefix => "data prefix list",
        ListKind::DataIpv6Prefix => "data IPv6 prefix list",
        ListKind::Site => "site list",
        ListKind::Vpn => "VPN list",
        ListKind::Sla => "SLA class list",
        ListKind::PreferredColorGroup => "preferred color group",
    }
}

/// A sequence in words.
fn describe(sequence: &Sequence) -> String {
    let direction = match sequence.direction {
        Direction::Replies => "from",
        Direction::Requests => "to",
    };
    let action = match &sequence.action {
        SequenceAction::Drop => "drop".to_owned(),
        SequenceAction::KeepSla {
            class,
            preferred,
            mode,
        } => {
            let preferred = preferred.map_or("any color", Color::as_str);
            format!("{preferred} within {class}, {}", mode.as_str())
        }
        SequenceAction::Set { inspect, tunnels } => {
            let inspect = inspect.map(|inspection| format!("inspected by {}", inspection.service.as_str()));
            let tunnels = tunnels.as_ref().map(|tunnels| match tunnels {
                Tunnels::Color {
                    color,
                    encapsulations,
                    mode,
                } => {
                    format!(
                        "{} over {}, {}",
                        color.as_str(),
                        encapsulations.as_str(),
                        mode.as_str()
                    )
                }
                Tunnels::Group { group, mode } => format!("{group}, {}", mode.as_str()),
            });
            let parts: Vec<_> = inspect.into_iter().chain(tunnels).collect();
            parts.join(", ")
        }
    };
    format!("({direction} {}: {action})", sequence.hosts)
}

/// The lists that a definition refers to.
fn references(definition: &Definition) -> impl Iterator<Item = &ListName> {
    definition.sequences().iter().flat_map(|sequence| {
        let other = match &sequence.action {
            SequenceAction::KeepSla { class, .. } => Some(class),
            SequenceAction::Set {
                tunnels: Some(Tunnels::Group { group, .. }),
                ..
            } => Some(group),
            _ => None,
        };
        [Some(&sequence.hosts), other].into_iter().flatten()
    })
}

impl ManagerClient {
    /// The plan for a change set, with what the Manager makes of it.
    ///
    /// Definitions that refer to lists that do not exist yet have no preview, nor have policy groups.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be reached, or what would be written is somebody else's.
    pub async fn plan(
        &self,
        identity: &Identity,
        observed: &Observed,
        change_set: &ChangeSet,
    ) -> Result<Plan, ManagerError> {
        check_ground(identity, observed, change_set)?;
        let mut plan = Plan::new(identity, observed, change_set);
        if identity.backend == Backend::PolicyGroups {
            return Ok(plan);
        }
        let mark = identity.owner.mark();
        for (name, list) in change_set
            .create
            .iter()
            .chain(&change_set.edit)
            .chain(&change_set.narrow)
        {
            let path = format!("{}/preview", wire::list_path(list.kind()));
            let preview = self.post(&path, &wire::list_body(name, list, &mark)).await;
            plan.add(name.as_str(), preview)?;
        }
        for (key, definition) in change_set.definitions.iter().chain(&change_set.settle) {
            let lists = &observed.ids.lists;
            if !references(definition).all(|name| lists.contains_key(name)) {
                continue;
            }
            let name = key.name(&identity.policy_name);
            let path = format!("{}/preview", wire::definition_path(key.kind));
            let body = wire::definition_body(key.kind, &name, &mark, definition, lists);
            plan.add(&name, self.post(&path, &body).await)?;
        }
        Ok(plan)
    }
}

impl Plan {
    fn add(&mut self, name: &str, preview: Result<Preview, ManagerError>) -> Result<(), ManagerError> {
        let (to, text) = match preview {
            Ok(preview) => (&mut self.previews, preview.preview),
            Err(ManagerError::Refused { message, .. }) => (&mut self.refused, message),
            Err(error) => return Err(error),
        };
        let name = name.to_owned();
        to.push(Previewed { name, text });
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return writeln!(f, "nothing to do: the fabric is as it shall be");
        }
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        for preview in &self.previews {
            writeln!(
                f,
                "\nthe Manager's preview of {}:\n{}",
                preview.name,
                preview.text.trim_end()
            )?;
        }
        for refused in &self.refused {
            writeln!(f, "\nthe Manager refuses {}: {}", refused.name, refused.text)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Create => "create",
            Verb::Edit => "edit",
            Verb::Activate => "activate",
            Verb::Remove => "remove",
        };
        write!(f, "{verb:>8} {} {}", self.kind, self.name)?;
        for (sign, entries) in [('+', &self.added), ('-', &self.removed)] {
            for entry in entries.iter().take(NAMED_ENTRIES) {
                write!(f, " {sign}{entry}")?;
            }
            if let Some(more) = entries.len().checked_sub(NAMED_ENTRIES).filter(|more| *more > 0) {
                write!(f, " {sign}{more} more")?;
            }
        }
        Ok(())
    }
}
