//! The edit lock of the active policy.
//!
//! Owns who holds it and until when. Invariant: at most one edit is under way, and one that nobody goes on with ends by
//! itself after [`LIFETIME_MS`]. It outlives the session of its holder, as the product's locks do: whoever comes next
//! waits, pushes the edit with `isEdited`, or ends it by its `processId`.

use uuid::Uuid;

use super::{Release, Store, StoreError};
use crate::manager::caller::Caller;
use crate::manager::session::SessionId;

/// An edit that is not gone on with for this long ends.
pub(super) const LIFETIME_MS: u64 = 30 * 60 * 1000;

/// The edit lock.
#[derive(Debug, Default)]
pub(super) struct EditLock(Option<Held>);

#[derive(Debug)]
struct Held {
    process_id: String,
    holder: SessionId,
    until_ms: u64,
}

impl EditLock {
    /// Checks that the caller may edit: nobody else does, and the edit that it says it continues is under way.
    pub(super) fn may_edit(&self, caller: &Caller, process_id: Option<&str>) -> Result<(), StoreError> {
        match (self.at(caller.at_ms), process_id) {
            (Some(held), Some(given)) if held.process_id == given => Ok(()),
            (_, Some(given)) => Err(StoreError::EditExpired(given.to_owned())),
            (Some(held), None) if held.holder != caller.session => Err(StoreError::Locked),
            (_, None) => Ok(()),
        }
    }

    /// Checks that the caller may push: no edit is under way, or it says that the edit is to be pushed.
    pub(super) fn may_push(&self, caller: &Caller, release: &Release) -> Result<(), StoreError> {
        match (self.at(caller.at_ms), &release.process_id) {
            (Some(held), Some(given)) if held.process_id == *given => Ok(()),
            (_, Some(given)) => Err(StoreError::EditExpired(given.clone())),
            (Some(_), None) if !release.is_edited => Err(StoreError::Locked),
            (_, None) => Ok(()),
        }
    }

    /// The `processId` of the edit under way.
    pub(super) fn process_id(&self, at_ms: u64) -> Option<&str> {
        self.at(at_ms).map(|held| held.process_id.as_str())
    }

    /// Begins an edit or goes on with the one under way; gives its `processId`.
    pub(super) fn take(&mut self, caller: &Caller) -> String {
        let (process_id, holder) = match self.0.take() {
            Some(held) if held.until_ms > caller.at_ms => (held.process_id, held.holder),
            _ => (Uuid::new_v4().to_string(), caller.session.clone()),
        };
        self.0 = Some(Held {
            process_id: process_id.clone(),
            holder,
            until_ms: caller.at_ms + LIFETIME_MS,
        });
        process_id
    }

    /// Goes on with an edit.
    pub(super) fn extend(&mut self, process_id: &str, at_ms: u64) -> Result<(), StoreError> {
        match &mut self.0 {
            Some(held) if held.process_id == process_id && held.until_ms > at_ms => {
                held.until_ms = at_ms + LIFETIME_MS;
                Ok(())
            }
            _ => Err(StoreError::EditExpired(process_id.to_owned())),
        }
    }

    /// Ends the edit under way.
    pub(super) fn release(&mut self) {
        self.0 = None;
    }

    fn at(&self, at_ms: u64) -> Option<&Held> {
        self.0.as_ref().filter(|held| held.until_ms > at_ms)
    }
}

impl Store {
    /// Goes on with an edit, which then does not end by itself for a while.
    pub(in crate::manager) fn extend_lock(
        &mut self,
        caller: &Caller,
        process_id: &str,
    ) -> Result<(), StoreError> {
        self.lock.extend(process_id, caller.at_ms)
    }

    /// Gives up an edit, unless it is being pushed. What was stored stays stored, and waits for the next activation.
    pub(in crate::manager) fn release_lock(
        &mut self,
        caller: &Caller,
        process_id: &str,
    ) -> Result<(), StoreError> {
        self.lock.extend(process_id, caller.at_ms)?;
        if self.running.is_some() {
            return Err(StoreError::Locked);
        }
        self.lock.release();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(caller: &Caller, by_ms: u64) -> Caller {
        Caller {
            at_ms: caller.at_ms + by_ms,
            ..caller.clone()
        }
    }

    #[test]
    fn an_edit_that_nobody_goes_on_with_ends() {
        let (mut lock, [a, b]) = (EditLock::default(), ["a", "b"].map(Caller::test));
        let id = lock.take(&a);
        let last = LIFETIME_MS - 1;
        assert!(matches!(
            lock.may_edit(&later(&b, last), None),
            Err(StoreError::Locked)
        ));
        lock.may_edit(&later(&b, LIFETIME_MS), None).unwrap();
        let expired = lock.may_edit(&later(&a, LIFETIME_MS), Some(&id));
        assert!(matches!(expired, Err(StoreError::EditExpired(_))));
        let release = Release {
            is_edited: true,
            process_id: Some(id.clone()),
        };
        lock.may_push(&later(&a, last), &release).unwrap();
        let expired = lock.may_push(&later(&a, LIFETIME_MS), &release);
        assert!(matches!(expired, Err(StoreError::EditExpired(_))));
        assert!(lock.extend(&id, a.at_ms + LIFETIME_MS).is_err());
        assert_ne!(lock.take(&later(&b, LIFETIME_MS)), id);
    }

    #[test]
    fn an_edit_that_is_gone_on_with_does_not_end() {
        let (mut lock, [a, b]) = (EditLock::default(), ["a", "b"].map(Caller::test));
        let id = lock.take(&a);
        lock.extend(&id, a.at_ms + LIFETIME_MS - 1).unwrap();
        let then = later(&b, 2 * LIFETIME_MS - 2);
        assert!(matches!(lock.may_edit(&then, None), Err(StoreError::Locked)));
        assert_eq!(lock.take(&then), id);
        let then = later(&b, 3 * LIFETIME_MS - 3);
        assert!(matches!(lock.may_edit(&then, None), Err(StoreError::Locked)));
    }
}
