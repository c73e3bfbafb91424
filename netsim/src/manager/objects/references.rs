//! Who refers to whom among the objects.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{ObjectError, ObjectKind, Objects};
use crate::manager::definition::Definition;
use crate::manager::list::List;

/// Somewhere that an object is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct Reference {
    /// The object that names it.
    pub(in crate::manager) from: Uuid,
    /// Under which key.
    pub(in crate::manager) property: &'static str,
}

/// Which objects are named where.
pub(in crate::manager) type References = BTreeMap<Uuid, Vec<Reference>>;

impl Objects {
    pub(super) fn check_unused(&self, id: Uuid, kind: ObjectKind, name: &str) -> Result<(), ObjectError> {
        let references = self.references();
        let Some(reference) = references.get(&id).and_then(|references| references.first()) else {
            return Ok(());
        };
        let by = match (self.definition_of(reference.from), self.list_of(reference.from)) {
            (Some(definition), _) => format!("definition {}", definition.name),
            (None, Some(list)) => format!("list {}", list.name),
            (None, None) => format!("vSmart policy {}", self.policies[&reference.from].name),
        };
        Err(ObjectError::InUse {
            kind,
            name: name.to_owned(),
            by,
        })
    }

    /// Who refers to whom, of all objects.
    pub(in crate::manager) fn references(&self) -> References {
        let mut references = References::new();
        let mut refer = |to: Uuid, from: Uuid, property: &'static str| {
            let reference = Reference { from, property };
            let known = references.entry(to).or_default();
            if !known.contains(&reference) {
                known.push(reference);
            }
        };
        for list in self.lists.values() {
            if let Some(named) = list.uses() {
                refer(named.id, list.id, named.field);
            }
        }
        for definition in self.definitions.values() {
            for (_, list) in definition.uses() {
                refer(list.id, definition.id, list.field);
            }
        }
        for policy in self.policies.values() {
            for assembly in &policy.assembly {
                refer(assembly.definition, policy.id, "definitionId");
                for application in &assembly.applications {
                    application
                        .site_lists
                        .iter()
                        .for_each(|&list| refer(list, policy.id, "siteLists"));
                    application
                        .vpn_lists
                        .iter()
                        .for_each(|&list| refer(list, policy.id, "vpnLists"));
                }
            }
        }
        references
    }

    /// A policy and everything that it is made of.
    pub(in crate::manager) fn parts_of(&self, policy: Uuid) -> BTreeSet<Uuid> {
        let mut parts = BTreeSet::from([policy]);
        for assembly in self
            .policies
            .get(&policy)
            .iter()
            .flat_map(|policy| &policy.assembly)
        {
            parts.insert(assembly.definition);
            let definition = self.definition_of(assembly.definition);
            for (_, list) in definition.into_iter().flat_map(Definition::uses) {
                let inner = self.list_of(list.id).and_then(List::uses);
                parts.extend(inner.map(|inner| inner.id));
                parts.insert(list.id);
            }
            for application in &assembly.applications {
                parts.extend(application.site_lists.iter().chain(&application.vpn_lists));
            }
        }
        parts
    }
}
