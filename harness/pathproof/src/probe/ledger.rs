//! What senders sent and receivers received, as they know it themselves.
//!
//! Owns the end hosts' side of conservation: every probe that left is in here before its packet can be seen on a
//! wire, every probe that arrived is in here once for each arrival.

use std::sync::{Mutex, PoisonError};

use verdict::evidence::Direction;

/// One sending or arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Position of the stream in the plan.
    pub stream: u16,
    /// Which way the probe went.
    pub direction: Direction,
    /// Its number.
    pub sequence: u64,
    /// When, CLOCK_REALTIME in nanoseconds.
    pub at_ns: u64,
}

/// The book of one run.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: Mutex<Vec<Entry>>,
    received: Mutex<Vec<Entry>>,
}

impl Ledger {
    /// Notes a probe that is about to be handed to the kernel.
    pub fn sent(&self, entry: Entry) {
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(entry);
    }

    /// Notes an arrival.
    pub fn received(&self, entry: Entry) {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(entry);
    }

    /// How many probes were sent and how many arrivals there were so far.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let len = |entries: &Mutex<Vec<Entry>>| entries.lock().unwrap_or_else(PoisonError::into_inner).len();
        (len(&self.sent), len(&self.received))
    }

    /// All that was sent and all that arrived, leaving the book empty.
    #[must_use]
    pub fn take(&self) -> (Vec<Entry>, Vec<Entry>) {
        let take = |entries: &Mutex<Vec<Entry>>| {
            std::mem::take(&mut *entries.lock().unwrap_or_else(PoisonError::into_inner))
        };
        (take(&self.sent), take(&self.received))
    }
}
