//! Who refers to whom among the objects.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{ObjectError, ObjectKind, Objects};

/// Somewhere that an object is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct Reference {
    /// The object that names it.
    pub(in crate::manager) from: Uuid,
    /// Under which key.
    pub(in crate::manager) property: &'static str,
}

/// Which objects are named where.
pub(super) type References = BTreeMap<Uuid, Vec<Reference>>;

impl Objects {
    pub(super) fn check_unused(&self, id: Uuid, kind: ObjectKind, name: &str) -> Result<(), ObjectError> {
        let Some(Reference { from, .. }) = self.references_to(id).first() else {
            return Ok(());
        };
        let by = match (self.definition_of(*from), self.list_of(*from)) {
            (Some(definition), _) => format!("definition {}", definition.name),
            (None, Some(list)) => format!("list {}", list.name),
            (None, None) => format!("vSmart policy {}", self.policy_of(*from).name),
        };
        Err(ObjectError::InUse {
            kind,
            name: name.to_owned(),
            by,
        })
    }

    /// Where an object is named.
    pub(in crate::manager) fn references_to(&self, id: Uuid) -> &[Reference] {
        let references = self.references.get_or_init(|| self.collect_references());
        references.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a policy is made of an object, however many others lie between.
    pub(in crate::manager) fn is_part_of(&self, id: Uuid, policy: Uuid) -> bool {
        id == policy
            || (self.references_to(id).iter()).any(|reference| self.is_part_of(reference.from, policy))
    }

    /// Who refers to whom, of all objects.
    pub(super) fn collect_references(&self) -> References {
        let mut references = References::new();
        let mut refer = |to: Uuid, from: Uuid, property: &'static str| {
            let reference = Reference { from, property };
            let known = references.entry(to).or_default();
            if !known.contains(&reference) {
                known.push(reference);
            }
        };
        for list in self.lists() {
            if let Some(named) = list.uses() {
                refer(named.id, list.id, named.field);
            }
        }
        for definition in self.definitions() {
            for (_, list) in definition.uses() {
                refer(list.id, definition.id, list.field);
            }
        }
        for policy in self.policies() {
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
}
