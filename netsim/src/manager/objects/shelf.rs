//! The objects of one kind: lists, definitions or vSmart policies.
//!
//! Owns finding them, by id and by name, so that neither looks at all of them. Invariant: no two of one collection have one
//! name.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{ObjectError, ObjectKind};
use crate::manager::definition::Definition;
use crate::manager::list::List;
use crate::manager::vsmart_policy::VsmartPolicy;

/// What stands on a shelf.
pub(super) trait Shelved {
    /// What it is, for messages.
    const KIND: ObjectKind;

    /// Its id.
    fn id(&self) -> Uuid;

    /// The collection in which nothing else has its name.
    fn collection(&self) -> &'static str;

    /// Its name.
    fn name(&self) -> &str;
}

/// Objects of one kind.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    objects: BTreeMap<Uuid, T>,
    /// Ids, by collection and name.
    names: BTreeMap<&'static str, BTreeMap<String, Uuid>>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }
}

impl<T: Shelved> Shelf<T> {
    /// All, in the order of their ids.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.objects.values()
    }

    /// Those of a collection, in the order of their names.
    pub(super) fn of(&self, collection: &str) -> impl Iterator<Item = &T> {
        let names = self.names.get(collection);
        let ids = names.into_iter().flat_map(BTreeMap::values);
        ids.filter_map(|id| self.get(*id))
    }

    /// The one with an id.
    pub(super) fn get(&self, id: Uuid) -> Option<&T> {
        self.objects.get(&id)
    }

    /// The one with the text of an id, if it also is as asked for.
    pub(super) fn find(&self, id: &str, is_asked: impl Fn(&T) -> bool) -> Result<&T, ObjectError> {
        let found = Uuid::parse_str(id).ok().and_then(|id| self.get(id));
        found
            .filter(|found| is_asked(found))
            .ok_or_else(|| ObjectError::NotFound {
                kind: T::KIND,
                id: id.to_owned(),
            })
    }

    /// Checks that nothing else has the name of an object.
    pub(super) fn check_name(&self, object: &T) -> Result<(), ObjectError> {
        let names = self.names.get(object.collection());
        match names.and_then(|names| names.get(object.name())) {
            Some(known) if *known != object.id() => Err(ObjectError::NameTaken {
                kind: T::KIND,
                name: object.name().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Every collection and name that is taken, in order.
    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        (self.names.iter())
            .flat_map(|(collection, names)| names.keys().map(|name| (*collection, name.as_str())))
    }

    /// Puts an object in its place, whose name nothing else has; gives the version before.
    pub(super) fn put(&mut self, object: T) -> Option<T> {
        let old = self.remove(object.id());
        let names = self.names.entry(object.collection()).or_default();
        names.insert(object.name().to_owned(), object.id());
        self.objects.insert(object.id(), object);
        old
    }

    /// Takes an object away.
    pub(super) fn remove(&mut self, id: Uuid) -> Option<T> {
        let old = self.objects.remove(&id)?;
        if let Some(names) = self.names.get_mut(old.collection()) {
            names.remove(old.name());
        }
        Some(old)
    }
}

impl Shelved for List {
    const KIND: ObjectKind = ObjectKind::List;

    fn id(&self) -> Uuid {
        self.id
    }

    fn collection(&self) -> &'static str {
        self.kind.path
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Shelved for Definition {
    const KIND: ObjectKind = ObjectKind::Definition;

    fn id(&self) -> Uuid {
        self.id
    }

    fn collection(&self) -> &'static str {
        self.kind().type_name()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Shelved for VsmartPolicy {
    const KIND: ObjectKind = ObjectKind::VsmartPolicy;

    fn id(&self) -> Uuid {
        self.id
    }

    fn collection(&self) -> &'static str {
        "vsmart"
    }

    fn name(&self) -> &str {
        &self.name
    }
}
