//! The bounded record of the newest changes.
//!
//! The invariant: the ring holds every change after `floor`, oldest first, without a gap in between.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{Document, Key};

/// One write.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) time: Timestamp,
    pub(crate) storage: Arc<str>,
    pub(crate) key: Key,
    pub(crate) kind: ChangeKind,
    pub(super) object: Document,
    pub(super) previous: Option<Document>,
}

impl Change {
    /// The new state, or for a removal the last one with the revision of the removal.
    pub(crate) fn object(&self) -> Arc<Value> {
        self.object.read()
    }

    /// The state before, if there was one.
    pub(crate) fn previous(&self) -> Option<Arc<Value>> {
        self.previous.as_ref().map(Document::read)
    }
}

/// What a write did to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It did not exist before.
    Added,
    /// It has a new state.
    Modified,
    /// It is gone.
    Deleted,
}

/// The asked-for history is no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The revision that it begins after.
    pub(crate) oldest: u64,
}

#[derive(Debug)]
pub(super) struct History {
    ring: VecDeque<Arc<Change>>,
    capacity: usize,
    floor: u64,
}

impl History {
    pub(super) fn new(capacity: usize, floor: u64) -> Self {
        History {
            ring: VecDeque::new(),
            capacity,
            floor,
        }
    }

    pub(super) fn push(&mut self, change: Arc<Change>) {
        self.ring.push_back(change);
        if self.ring.len() > self.capacity
            && let Some(oldest) = self.ring.pop_front()
        {
            self.floor = oldest.revision;
        }
    }

    /// Forgets every change up to `revision`, the newest.
    pub(super) fn compact(&mut self, revision: u64) {
        self.ring.clear();
        self.floor = revision;
    }

    /// The changes after `revision`, oldest first.
    pub(super) fn after(
        &self,
        revision: u64,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<Change>>, Expired> {
        if revision < self.floor {
            return Err(Expired { oldest: self.floor });
        }
        let start = self.ring.partition_point(|change| change.revision <= revision);
        Ok(self.ring.range(start..))
    }
}
