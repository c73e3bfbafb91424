//! Whether an injected fault took: probes of its own, from edge to edge, must have felt it, and its healing too.
//!
//! Owns the checks; what counts as felt is in [`judge`], what a flap feels like in [`flap`], the probes in [`wire`]. Probes here are no
//! probes of the scenario: they go between the uplinks, outside the tunnels, and carry no probe's mark. Taps
//! capture and count them like everything else.
//!
//! # Limits
//! A share of packets below 2 % and a rate above 400 Mbit/s take more probes to feel than a run should bear; the
//! check then says which part it left out.

mod flap;
mod judge;
mod wire;

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netsim::impair::Impairment;
use netsim::netns::Netns;

use wire::Wire;

/// How long a transport may take to be whole again.
const HEAL_DEADLINE: Duration = Duration::from_secs(3);
/// Two uplinks on one transport.
#[derive(Debug, Clone)]
pub struct Path {
    /// The sender's namespace and address.
    pub from: (Netns, IpAddr),
    /// The receiver's.
    pub to: (Netns, IpAddr),
}

/// What a path must feel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// This impairment.
    Impaired {
        /// What it must feel.
        asked: Impairment,
        /// What it felt before, and must no longer feel.
        before: Option<Impairment>,
    },
    /// Nothing.
    Healed {
        /// What it felt before.
        before: Impairment,
    },
    /// Nothing at all and everything in turns.
    Flapping {
        /// How long nothing gets through.
        down: Duration,
        /// How long everything does.
        up: Duration,
    },
}

/// Sends probes along a path until it is clear whether it feels as it should; blocks meanwhile.
///
/// Returns what could not be checked, in words, if anything.
///
/// # Errors
/// What was felt instead, in words; or why no probe could be sent.
pub fn check(path: &Path, expected: Expected) -> Result<Vec<String>, String> {
    let failed = |error: io::Error| format!("send probes to check it: {error}");
    let wire = Wire::open(path).map_err(failed)?;
    let deadline = Instant::now() + HEAL_DEADLINE;
    let is_over = |result: &Result<(), String>| result.is_ok() || Instant::now() > deadline;
    match expected {
        Expected::Impaired { asked, before } => loop {
            let felt = wire.feel(&asked, before.as_ref());
            judge::is_felt(&asked, &felt)?;
            // A machine that stands still makes probes late, so that is no proof until it lasts.
            let punctual = judge::is_punctual(&asked, before.as_ref(), &felt);
            if is_over(&punctual) {
                return punctual.map(|()| judge::left_out(&asked));
            }
        },
        Expected::Healed { before } => loop {
            let healed = judge::is_whole(&before, &wire.feel(&before, None));
            if is_over(&healed) {
                return healed.map(|()| Vec::new());
            }
        },
        Expected::Flapping { down, up } => flap::watch(&wire, down, up).map(|()| Vec::new()),
    }
}
