//! The twelve defects that the public operator was read to have, each as a test that it would fail.
//!
//! Every test says in its first line what goes wrong there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod edits;
mod intents;
mod objects;
mod presence;
