//! The harness: labs, probes, runs and the command line.
//!
//! Owns everything that touches the outside world on behalf of a run. What a scenario says is `scenario`'s, what
//! a verdict means is `verdict`'s, how it looks is `reports`'. Invariant: the operator under test is a process
//! that is reached through the Kubernetes API and the Manager's API alone.

pub mod cli;
pub mod doctor;
pub mod implementation;
pub mod lab;
pub mod manager;
pub mod probe;
pub mod progress;
pub mod record;
pub mod repeat;
pub mod run;
pub mod select;
pub mod show;
