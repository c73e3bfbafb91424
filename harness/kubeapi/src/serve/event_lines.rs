//! The lines of watch events, written once for all clients that watch the same.
//!
//! Owns the newest lines. The invariant: a line is that of its resource, kind of event and revision, which together
//! tell everything in it; so no line is ever out of date, only forgotten.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::resources::Resource;
use crate::store::ChangeKind;

/// How many lines are kept: as many changes may happen before the slowest of many watchers has read the first.
const KEPT: usize = 1_024;

/// The newest lines, each at a place that its revision tells.
#[derive(Debug)]
pub(crate) struct EventLines(Box<[Mutex<Option<Line>>]>);

#[derive(Debug)]
struct Line {
    resource: Arc<Resource>,
    kind: ChangeKind,
    revision: u64,
    bytes: Bytes,
}

impl EventLines {
    pub(crate) fn new() -> Self {
        EventLines((0..KEPT).map(|_| Mutex::default()).collect())
    }

    /// The line of an event of a resource, as the one who asked first has written it.
    pub(super) fn get_or_write(
        &self,
        resource: &Arc<Resource>,
        kind: ChangeKind,
        revision: u64,
        write: impl FnOnce() -> Bytes,
    ) -> Bytes {
        let place = usize::try_from(revision).unwrap_or(0) % KEPT;
        // Nothing panics while a line is put in its place.
        let mut kept = self.0[place].lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(line) if line.is_of(resource, kind, revision) => line.bytes.clone(),
            _ => {
                let bytes = write();
                let resource = Arc::clone(resource);
                *kept = Some(Line {
                    resource,
                    kind,
                    revision,
                    bytes: bytes.clone(),
                });
                bytes
            }
        }
    }
}

impl Line {
    fn is_of(&self, resource: &Arc<Resource>, kind: ChangeKind, revision: u64) -> bool {
        Arc::ptr_eq(&self.resource, resource) && self.kind == kind && self.revision == revision
    }
}
