//! What follows from a write to a CustomResourceDefinition, in the same transaction: which names it has, and
//! which resources are served.

use std::sync::Arc;

use serde_json::Value;

use super::modify::is_released;
use super::{Api, Target};
use crate::custom::{self, DEFINITIONS, Life};
use crate::object;
use crate::resources::{Resource, Resources};
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
        let served = self.resources.current();
        let definitions = state.scan(DEFINITIONS, None);
        let rows = definitions.flat_map(|(_, definition)| rows(&served, &definition));
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
            if !object::is_terminating(&next) || !is_empty || !custom::end_deletion(&mut next) {
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

/// The rows of a definition: those that are served, if nothing has changed. Schemas can be large.
fn rows(served: &Resources, definition: &Value) -> Vec<Arc<Resource>> {
    let edition = custom::edition(definition);
    let ends = object::is_terminating(definition);
    let of_it = served
        .all()
        .filter(|row| *row.storage == *object::name(definition));
    let as_it_is = of_it.filter(|row| {
        let custom = row.custom();
        custom.is_some_and(|custom| custom.edition == edition && (custom.life == Life::Ending) == ends)
    });
    let kept: Vec<_> = as_it_is.map(Arc::clone).collect();
    match kept.is_empty() {
        true => custom::rows(definition).into_iter().map(Arc::new).collect(),
        false => kept,
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
