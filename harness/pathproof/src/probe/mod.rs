//! Probe traffic: identified packets, the agents that send and answer them, and what the taps saw of them.

pub mod agent;
pub mod client;
mod headers;
pub mod identity;
pub mod ledger;
pub mod sightings;
