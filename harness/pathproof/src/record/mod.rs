//! The run folder: what is kept of a run.

pub mod events;
pub mod folder;
pub mod pcapng;
