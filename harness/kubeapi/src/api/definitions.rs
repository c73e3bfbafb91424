//! What follows from a write to a CustomResourceDefinition, in the same transaction: which names it has, and
//! which resources are served.

use serde_json::Value;

use super::modify::is_released;
use super::{Api, Target};
use crate::custom::{self, DEFINITIONS};
use crate::resources::Resource;
use crate::status::Status;
use crate::store::State;

impl Api {
    /// Gives every definition the names that are free, then serves what is established.
    pub(super) fn settle_definitions(&self, state: &mut State) {
        let storage = DEFINITIONS.into();
        // Each step gives a definition a name for good, so there is a last one.
        while let Some(next) = unsettled(state) {
            state.put(&storage, next);
        }
        let definitions = state.scan(DEFINITIONS, None);
        let rows: Vec<Resource> = definitions
            .flat_map(|(_, definition)| custom::rows(&definition))
            .collect();
        self.resources.replace_custom(rows);
    }

    /// Lets go of the definition if it is being deleted and nothing is left of its resource.
    pub(crate) fn finalize_definition(&self, name: &str) -> Result<(), Status> {
        let resource = self
            .resources
            .at_path("apiextensions.k8s.io", "v1", "customresourcedefinitions")?;
        let target = Target::new(&resource, "", name);
        self.store.write(|state| {
            let Some(current) = state.get(DEFINITIONS, &target.key) else {
                return Ok(());
            };
            let mut next = (*current).clone();
            let is_empty = state.is_empty(name, None);
            if !crate::object::is_terminating(&next) || !is_empty || !custom::end_deletion(&mut next) {
                return Ok(());
            }
            let is_released = is_released(&next);
            self.put(state, &resource, next);
            if is_released {
                self.remove(state, &target);
            }
            Ok(())
        })
    }
}

/// A definition whose names or conditions are not what they should be, as it should be.
fn unsettled(state: &State) -> Option<Value> {
    let definitions: Vec<_> = state.scan(DEFINITIONS, None).collect();
    definitions.iter().find_map(|(key, definition)| {
        let others = definitions.iter().filter(|(other, _)| other != key);
        let next = custom::settled(definition, others.map(|(_, other)| &**other));
        (next != **definition).then_some(next)
    })
}
