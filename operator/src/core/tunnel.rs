//! Tunnels, as the Manager reports them.
//!
//! Owns plain values and the state that they amount to. Tunnels of one local color count as one.

use std::collections::{BTreeMap, BTreeSet};

use super::color::Color;
use super::sla::Quality;

/// What is known of the tunnels, by color; empty if nothing is.
pub type TunnelReports = BTreeMap<Color, TunnelReport>;

/// What the Manager reports of all tunnels of one color.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelReport {
    /// BFD sessions that are up.
    pub up: u32,
    /// BFD sessions in all.
    pub total: u32,
    /// The encapsulations that occur; empty if that is not known.
    pub encapsulations: BTreeSet<Encapsulation>,
    /// Means over the sessions that are up; `None` if nothing was measured.
    pub quality: Option<Quality>,
}

/// How a tunnel carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// IPsec, encrypted.
    Ipsec,
    /// GRE, in clear text.
    Gre,
}

/// How well the tunnels of one color are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelState {
    /// All sessions are up.
    Up,
    /// Some sessions are down.
    Degraded,
    /// No session is up.
    Down,
}

impl TunnelReport {
    /// The state that the sessions amount to.
    #[must_use]
    pub fn state(&self) -> TunnelState {
        match self.up {
            0 => TunnelState::Down,
            up if up < self.total => TunnelState::Degraded,
            _ => TunnelState::Up,
        }
    }

    /// Whether some of the tunnels are not encrypted.
    #[must_use]
    pub fn has_clear_text(&self) -> bool {
        self.encapsulations.contains(&Encapsulation::Gre)
    }

    /// Whether none of the tunnels is encrypted.
    #[must_use]
    pub fn is_clear_text(&self) -> bool {
        self.has_clear_text() && !self.encapsulations.contains(&Encapsulation::Ipsec)
    }
}

impl TunnelState {
    /// The state in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}
