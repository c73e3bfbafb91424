//! Preferences: what settings amount to for some traffic.
//!
//! Invariant: what is asked for in different words and amounts to the same is equal.

use std::fmt;

use super::color::Color;
use super::intent::{Encryption, Mode};
use super::sla::Sla;

/// What settings amount to; equal preferences of equal traffic share lists and sequences.
///
/// The order is that of sequences: what drops comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preference {
    /// Dropped.
    Drop,
    /// Inspected, and forwarded over the path or as routing has it.
    Inspect(Option<Path>),
    /// Forwarded over the path.
    Allow(Path),
}

/// Which tunnels traffic takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The colors, the most wanted first; 1 to 3, or none if any color that keeps `sla` will do.
    pub colors: Vec<Color>,
    /// What the tunnel has to keep.
    pub sla: Option<Sla>,
    /// What happens while there is none.
    pub mode: Mode,
    /// Which tunnels of these colors are good enough.
    pub encryption: Encryption,
}

impl Preference {
    /// The path, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Drop => None,
            Self::Inspect(path) => path.as_ref(),
            Self::Allow(path) => Some(path),
        }
    }
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Inspect(None) => f.write_str("inspect"),
            Self::Inspect(Some(path)) => write!(f, "inspect, {path}"),
            Self::Allow(path) => write!(f, "{path}"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colors: Vec<_> = self.colors.iter().map(|color| color.as_str()).collect();
        match colors.as_slice() {
            [] => f.write_str("any tunnel")?,
            colors => f.write_str(&colors.join(", then "))?,
        }
        write!(f, " ({}", self.mode.as_str())?;
        if let Some(sla) = self.sla {
            write!(f, ", {sla}")?;
        }
        if self.encryption == Encryption::Required {
            f.write_str(", encrypted")?;
        }
        f.write_str(")")
    }
}
