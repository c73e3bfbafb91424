//! `events.jsonl`: what happened besides packets, on the packets' clock, one JSON object a line.
//!
//! Owns the file. Lines are appended as things happen, so that a run that is cut short leaves its story.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::probe::identity::now_ns;

/// The open log of one run.
#[derive(Debug)]
pub struct EventLog {
    file: Mutex<File>,
}

#[derive(Serialize)]
struct Line<'a> {
    at_ns: u64,
    source: &'a str,
    what: &'a str,
    detail: Value,
}

impl EventLog {
    /// Creates the log.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: Mutex::new(File::create(path)?),
        })
    }

    /// Notes something that happened now; returns when that was.
    pub fn note(&self, source: &str, what: &str, detail: Value) -> u64 {
        let at_ns = now_ns();
        self.note_at(at_ns, source, what, detail);
        at_ns
    }

    /// Notes something that happened at `at_ns`.
    pub fn note_at(&self, at_ns: u64, source: &str, what: &str, detail: Value) {
        let mut line = serde_json::to_vec(&Line {
            at_ns,
            source,
            what,
            detail,
        })
        .expect("a line of plain values");
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&line) {
            tracing::warn!(%error, "cannot write events.jsonl");
        }
    }
}
