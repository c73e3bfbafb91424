//! The bounded record of the newest changes.
//!
//! The invariant: the ring holds every change after `floor`, oldest first, without a gap in between.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::Key;

/// One write.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) time: Timestamp,
    pub(crate) storage: Arc<str>,
    pub(crate) key: Key,
    pub(crate) kind: ChangeKind,
    /// The new state, or for a removal the last one with the revision of the removal.
    pub(crate) object: Arc<Value>,
    pub(crate) previous: Option<Arc<Value>>,
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
pub(crate) struct Expired;

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
            return Err(Expired);
        }
        let start = self.ring.partition_point(|change| change.revision <= revision);
        Ok(self.ring.range(start..))
    }
}
