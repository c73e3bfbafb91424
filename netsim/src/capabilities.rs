//! What this machine can do for a lab, and its limits.
//!
//! Owns trying things out, each in a private namespace that is thrown away, and saying what would help where
//! something is missing. Invariant: nothing of the machine is changed; what was not tried is never said to be there.

mod limits;
mod probes;

use std::fs::File;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::encap::Ability;
use crate::netns::private;

pub use limits::{Demand, KERNEL_MIN, Limit, Shortage, raise_open_files};

/// What would be missing without a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// The core profile on the embedded lab.
    Core,
    /// A feature that scenarios may ask for, or that has a stand-in.
    Optional,
}

/// Something that the machine can do, or cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Its name, such as `nftables sets`.
    pub name: String,
    /// What it is for.
    pub needed_for: String,
    /// What would be missing without it.
    pub need: Need,
    /// Whether it is there, or why not.
    pub ability: Ability,
}

/// Everything that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The kernel's version.
    pub kernel: String,
    /// What was tried.
    pub items: Vec<Capability>,
    /// How much there may be of things.
    pub limits: Vec<Limit>,
}

impl Capabilities {
    /// Whether the core profile can run on the embedded lab.
    #[must_use]
    pub fn can_run_core(&self) -> bool {
        let core = |item: &&Capability| item.need == Need::Core;
        self.items
            .iter()
            .filter(core)
            .all(|item| item.ability.is_available())
    }
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The process in the private namespaces did not report.
    #[error("hear from the process that tries what this machine can do")]
    Report(#[source] io::Error),
}

/// Finds out what this machine can do, some 0.3 s. Where there can be no private namespaces, everything that needs
/// them is missing for that reason.
///
/// # Errors
/// [`ProbeError`].
///
/// # Panics
/// When the process has more than one thread, as [`private::run`].
pub fn probe() -> Result<Capabilities, ProbeError> {
    let report = |source| ProbeError::Report(source);
    let (read, write) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| report(errno.into()))?;
    // The report is far smaller than a pipe, so nobody has to read it meanwhile.
    let ran = private::run(|signals| {
        signals.unblock();
        let tried = probes::all();
        let written = serde_json::to_vec(&tried)
            .map_err(io::Error::other)
            .and_then(|report| File::from(write).write_all(&report));
        u8::from(written.is_err())
    });
    let items = match ran {
        Ok(_) => {
            let mut text = Vec::new();
            File::from(read).read_to_end(&mut text).map_err(report)?;
            serde_json::from_slice(&text).map_err(|error| report(error.into()))?
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            probes::none(&format!("{error}{cause}"))
        }
    };
    let mut items: Vec<Capability> = items;
    let kernel = limits::kernel();
    items.insert(0, limits::new_enough(&kernel));
    Ok(Capabilities {
        kernel,
        items,
        limits: limits::all(),
    })
}
