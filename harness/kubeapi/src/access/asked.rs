//! What users asked to do, and whether they might.
//!
//! Owns the record of it: each kind of request once for each user, however often it came. Masters are not in it, because
//! nobody decides about them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::Action;

/// A kind of request that a user made, and whether the rules allow it. What else became of it is not in here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// As RBAC names the user: `system:serviceaccount:NAMESPACE:NAME` is a ServiceAccount.
    pub user: String,
    /// The verb: `list`, `create`.
    pub verb: String,
    /// The API group; empty is that of `v1`.
    pub group: String,
    /// The resource, with its subresource as in `pods/status`; the path where that is of no object, as in `/healthz`.
    pub resource: String,
    /// Whether a rule allows it.
    pub is_allowed: bool,
}

/// What was asked so far.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<BTreeSet<Access>>);

impl Asked {
    pub(super) fn note(&self, user: &str, action: &Action, is_allowed: bool) {
        let (verb, group, resource) = match action {
            Action::Path { verb, path } => (verb, "", path.clone()),
            Action::Resource(action) if action.subresource.is_empty() => {
                (&action.verb, action.group.as_str(), action.resource.clone())
            }
            Action::Resource(action) => {
                let resource = format!("{}/{}", action.resource, action.subresource);
                (&action.verb, action.group.as_str(), resource)
            }
        };
        let access = Access {
            user: user.to_owned(),
            verb: verb.clone(),
            group: group.to_owned(),
            resource,
            is_allowed,
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(access);
    }

    pub(super) fn all(&self) -> Vec<Access> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().cloned().collect()
    }
}
