//! Everything that clients create: lists, definitions, vSmart policies, and the references between them.
//!
//! Owns storage and reference integrity; names are in `shelf`, who refers to whom is in `references`. Activation and locks
//! are `store`. Invariants: every reference leads to an object of the right kind, so nothing that is referred to can be
//! deleted; and the references that are kept are those of the objects as they are.

mod references;
mod shelf;

use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;
use uuid::Uuid;

use super::caller::Caller;
use super::compile::{self, CompileError};
use super::definition::{Definition, DefinitionKind};
use super::list::{List, ListContent, ListKind};
use super::vsmart_policy::VsmartPolicy;
use references::References;
use shelf::Shelf;

/// Who made an object and who changed it last.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) created_by: String,
    pub(super) created_ms: u64,
    pub(super) updated_by: String,
    pub(super) updated_ms: u64,
    /// The row number that the product shows as `@rid`.
    pub(super) row: u64,
}

impl Stamp {
    /// The stamp of a new version.
    pub(super) fn updated(&self, caller: &Caller) -> Self {
        Self {
            updated_by: caller.user.clone(),
            updated_ms: caller.at_ms,
            ..self.clone()
        }
    }
}

/// The kinds of objects, for messages and the activity log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A policy list of any kind.
    List,
    /// A policy definition.
    Definition,
    /// A vSmart policy.
    VsmartPolicy,
    /// A feature profile.
    FeatureProfile,
    /// A parcel of a feature profile.
    Parcel,
    /// A policy group.
    PolicyGroup,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list",
            Self::Definition => "definition",
            Self::VsmartPolicy => "vSmart policy",
            Self::FeatureProfile => "feature profile",
            Self::Parcel => "parcel",
            Self::PolicyGroup => "policy group",
        })
    }
}

/// A list that a definition or another list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListUse {
    /// The list.
    pub(super) id: Uuid,
    /// The kind that it has to be of.
    pub(super) kind: &'static str,
    /// The field that names it.
    pub(super) field: &'static str,
}

/// Why an object was not stored or not deleted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    /// No object has this id.
    #[error("no {kind} has the id `{id}`")]
    NotFound { kind: ObjectKind, id: String },
    /// Another object of the kind has this name.
    #[error("another {kind} has the name `{name}`")]
    NameTaken { kind: ObjectKind, name: String },
    /// A sequence names a list that does not exist or is of another kind.
    #[error("SeqID {sequence}: field {field}: Invalid ref {id}")]
    DanglingInSequence {
        sequence: u16,
        field: &'static str,
        id: Uuid,
    },
    /// A default action names a list that does not exist or is of another kind.
    #[error("defaultAction: Invalid ref {id}")]
    DanglingInDefaultAction { id: Uuid },
    /// A list names a list that does not exist or is of another kind.
    #[error("entries[0].{field}: Invalid ref {id}")]
    DanglingInList { field: &'static str, id: Uuid },
    /// An assembly names a definition or list that does not exist or is of another kind.
    #[error("policyDefinition.assembly[{index}]: {field}: Invalid ref {id}")]
    DanglingInAssembly {
        index: usize,
        field: &'static str,
        id: Uuid,
    },
    /// The object is named by others.
    #[error("{kind} {name} is referenced by {by}")]
    InUse {
        kind: ObjectKind,
        name: String,
        by: String,
    },
    /// The policy cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// All objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    lists: Shelf<List>,
    definitions: Shelf<Definition>,
    policies: Shelf<VsmartPolicy>,
    /// Collected when first asked for after a change.
    references: OnceLock<References>,
    rows: u64,
}

impl Objects {
    /// The stamp of a new object.
    pub(super) fn stamp_new(&mut self, caller: &Caller) -> Stamp {
        self.rows += 1;
        Stamp {
            created_by: caller.user.clone(),
            created_ms: caller.at_ms,
            updated_by: caller.user.clone(),
            updated_ms: caller.at_ms,
            row: self.rows,
        }
    }

    /// All lists.
    pub(super) fn lists(&self) -> impl Iterator<Item = &List> {
        self.lists.all()
    }

    /// The lists of a kind, in the order of their names.
    pub(super) fn lists_of(&self, kind: &ListKind) -> impl Iterator<Item = &List> {
        self.lists.of(kind.path)
    }

    /// All definitions.
    pub(super) fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.definitions.all()
    }

    /// The definitions of a kind, in the order of their names.
    pub(super) fn definitions_of(&self, kind: DefinitionKind) -> impl Iterator<Item = &Definition> {
        self.definitions.of(kind.type_name())
    }

    /// All vSmart policies.
    pub(super) fn policies(&self) -> impl Iterator<Item = &VsmartPolicy> {
        self.policies.all()
    }

    /// A list of one kind, by the text of its id.
    pub(super) fn list(&self, kind: &ListKind, id: &str) -> Result<&List, ObjectError> {
        self.lists.find(id, |list| list.kind == kind)
    }

    /// A definition of one kind, by the text of its id.
    pub(super) fn definition(&self, kind: DefinitionKind, id: &str) -> Result<&Definition, ObjectError> {
        (self.definitions).find(id, |definition| definition.kind() == kind)
    }

    /// A vSmart policy, by the text of its id.
    pub(super) fn policy(&self, id: &str) -> Result<&VsmartPolicy, ObjectError> {
        self.policies.find(id, |_| true)
    }

    /// A vSmart policy that is known to exist: the active one, or one that was just looked up.
    pub(super) fn policy_of(&self, id: Uuid) -> &VsmartPolicy {
        (self.policies.get(id)).expect("it is in force or was found, and not deleted since")
    }

    /// A definition that an assembly names.
    pub(super) fn definition_of(&self, id: Uuid) -> Option<&Definition> {
        self.definitions.get(id)
    }

    /// A list that a sequence or application names.
    pub(super) fn list_of(&self, id: Uuid) -> Option<&List> {
        self.lists.get(id)
    }

    /// Stores a new list, or a new version of one.
    pub(super) fn put_list(&mut self, list: List) -> Result<(), ObjectError> {
        self.lists.check_name(&list)?;
        self.check_list(&list)?;
        let named = list.uses();
        let old = self.lists.put(list);
        // Most edits of lists change no reference.
        if named != old.and_then(|old| old.uses()) {
            self.references.take();
        }
        Ok(())
    }

    /// Checks what a list refers to.
    pub(super) fn check_list(&self, list: &List) -> Result<(), ObjectError> {
        match list.uses().filter(|list| !self.leads_to_kind(list)) {
            Some(ListUse { id, field, .. }) => Err(ObjectError::DanglingInList { field, id }),
            None => Ok(()),
        }
    }

    fn leads_to_kind(&self, list: &ListUse) -> bool {
        self.list_of(list.id)
            .is_some_and(|found| found.kind.path == list.kind)
    }

    /// Stores a new definition, or a new version of one.
    pub(super) fn put_definition(&mut self, definition: Definition) -> Result<(), ObjectError> {
        self.replace_definition(definition).map(drop)
    }

    /// Stores a new version of a definition, or a new one, and gives the version before.
    fn replace_definition(&mut self, definition: Definition) -> Result<Option<Definition>, ObjectError> {
        self.definitions.check_name(&definition)?;
        self.check_definition(&definition)?;
        self.references.take();
        Ok(self.definitions.put(definition))
    }

    /// Checks what a definition refers to.
    pub(super) fn check_definition(&self, definition: &Definition) -> Result<(), ObjectError> {
        let dangling = definition.uses().find(|(_, list)| !self.leads_to_kind(list));
        match dangling {
            Some((Some(sequence), ListUse { id, field, .. })) => {
                Err(ObjectError::DanglingInSequence { sequence, field, id })
            }
            Some((None, ListUse { id, .. })) => Err(ObjectError::DanglingInDefaultAction { id }),
            None => Ok(()),
        }
    }

    /// Stores definitions, all or none; those later in order may not yet be there when one is checked.
    pub(super) fn put_definitions(&mut self, definitions: Vec<Definition>) -> Result<(), ObjectError> {
        let mut replaced = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let id = definition.id;
            match self.replace_definition(definition) {
                Ok(old) => replaced.push((id, old)),
                Err(problem) => {
                    self.put_back(replaced);
                    return Err(problem);
                }
            }
        }
        Ok(())
    }

    /// Makes definitions what they were, the last that was replaced first.
    fn put_back(&mut self, replaced: Vec<(Uuid, Option<Definition>)>) {
        for (id, old) in replaced.into_iter().rev() {
            match old {
                Some(old) => self.definitions.put(old),
                None => self.definitions.remove(id),
            };
        }
        self.references.take();
    }

    /// Stores a new vSmart policy, or a new version of one.
    pub(super) fn put_policy(&mut self, policy: VsmartPolicy) -> Result<(), ObjectError> {
        self.policies.check_name(&policy)?;
        self.check_policy(&policy)?;
        self.references.take();
        self.policies.put(policy);
        Ok(())
    }

    /// Checks what a policy refers to, and that its applications do not collide.
    pub(super) fn check_policy(&self, policy: &VsmartPolicy) -> Result<(), ObjectError> {
        for (index, assembly) in policy.assembly.iter().enumerate() {
            let found = self.definition_of(assembly.definition);
            if found.is_none_or(|definition| definition.kind() != assembly.kind) {
                let (field, id) = ("definitionId", assembly.definition);
                return Err(ObjectError::DanglingInAssembly { index, field, id });
            }
            for application in &assembly.applications {
                self.check_lists(&application.site_lists, index, "siteLists", |content| {
                    matches!(content, ListContent::Sites(_))
                })?;
                self.check_lists(&application.vpn_lists, index, "vpnLists", |content| {
                    matches!(content, ListContent::ServiceVpns(_))
                })?;
            }
        }
        Ok(compile::check_collisions(&policy.assembly, self)?)
    }

    fn check_lists(
        &self,
        ids: &[Uuid],
        index: usize,
        field: &'static str,
        fits: impl Fn(&ListContent) -> bool,
    ) -> Result<(), ObjectError> {
        let dangling = |id: &&Uuid| self.list_of(**id).is_none_or(|list| !fits(&list.content));
        match ids.iter().find(dangling) {
            Some(&id) => Err(ObjectError::DanglingInAssembly { index, field, id }),
            None => Ok(()),
        }
    }

    /// Deletes a list that nothing refers to.
    pub(super) fn delete_list(&mut self, kind: &ListKind, id: &str) -> Result<List, ObjectError> {
        let list = self.list(kind, id)?;
        self.check_unused(list.id, ObjectKind::List, &list.name)?;
        let id = list.id;
        self.references.take();
        Ok(self.lists.remove(id).expect("the list was found above"))
    }

    /// Deletes a definition that nothing refers to.
    pub(super) fn delete_definition(
        &mut self,
        kind: DefinitionKind,
        id: &str,
    ) -> Result<Definition, ObjectError> {
        let definition = self.definition(kind, id)?;
        self.check_unused(definition.id, ObjectKind::Definition, &definition.name)?;
        let id = definition.id;
        self.references.take();
        Ok((self.definitions.remove(id)).expect("the definition was found above"))
    }

    /// Deletes a vSmart policy; that it is not active is for the caller to check.
    pub(super) fn delete_policy(&mut self, id: &str) -> Result<VsmartPolicy, ObjectError> {
        let id = self.policy(id)?.id;
        self.references.take();
        Ok(self.policies.remove(id).expect("the policy was found above"))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
