//! One run of one scenario, in two processes.
//!
//! [`host`] is the process that the user started: it reads, plans, opens what the host should reach, and reports.
//! [`inside`] is the first process of the run's private namespaces: it brings the lab up, plays the timeline and
//! judges. They share the run folder; the record in it is the result.

pub mod host;
pub mod inside;
mod observe;
mod play;
mod watch;

use std::path::PathBuf;

use netsim::capture::RingSize;
use netsim::impair::Backend;

use crate::implementation::Implementation;
use crate::lab::sabotage::Sabotage;

/// How to run scenarios.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What varies between runs of the same scenario.
    pub seed: u64,
    /// Where run folders go.
    pub out: PathBuf,
    /// The operator under test.
    pub operator: Implementation,
    /// What to break, if anything.
    pub sabotage: Option<Sabotage>,
    /// Who impairs packets; netem where the kernel has it unless given.
    pub impairments: Option<Backend>,
    /// The size of each capture ring.
    pub ring: RingSize,
    /// The command that repeats the run, without the file.
    pub repeat: String,
}
