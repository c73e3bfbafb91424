//! Ways to break the lab on purpose, so that a scenario shows that it can fail.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// One way to break the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The default transport's tunnels and those of the first other transport carry each other's color.
    SwapTunnels,
    /// The operator is never started.
    NoOperator,
    /// One in this many steered packets takes the default tunnel.
    Leak(NonZeroU32),
    /// Every edge but that of the first site ignores the Manager.
    OneDirection,
    /// Faults of the scenario are not injected.
    DeadFaults,
    /// No EndpointSlice shows the endpoints of other clusters of a mesh, though their traffic is balanced.
    NoSliceSync,
}

/// Not a way to break the lab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is none of swap-tunnels, no-operator, one-direction, dead-faults, no-slice-sync, leak=1/N (N from 2)"
)]
pub struct UnknownSabotage(String);

impl FromStr for Sabotage {
    type Err = UnknownSabotage;

    fn from_str(text: &str) -> Result<Self, UnknownSabotage> {
        match text {
            "swap-tunnels" => Ok(Self::SwapTunnels),
            "no-operator" => Ok(Self::NoOperator),
            "one-direction" => Ok(Self::OneDirection),
            "dead-faults" => Ok(Self::DeadFaults),
            "no-slice-sync" => Ok(Self::NoSliceSync),
            _ => text
                .strip_prefix("leak=1/")
                .and_then(|n| n.parse().ok())
                .filter(|n: &NonZeroU32| n.get() >= 2)
                .map(Self::Leak)
                .ok_or_else(|| UnknownSabotage(text.to_owned())),
        }
    }
}

impl fmt::Display for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SwapTunnels => f.write_str("swap-tunnels"),
            Self::NoOperator => f.write_str("no-operator"),
            Self::Leak(n) => write!(f, "leak=1/{n}"),
            Self::OneDirection => f.write_str("one-direction"),
            Self::DeadFaults => f.write_str("dead-faults"),
            Self::NoSliceSync => f.write_str("no-slice-sync"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_as_it_prints() {
        for text in [
            "swap-tunnels",
            "no-operator",
            "one-direction",
            "dead-faults",
            "no-slice-sync",
            "leak=1/1000",
        ] {
            assert_eq!(text.parse::<Sabotage>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_leak_of_everything_or_of_nothing_is_refused() {
        for text in ["leak", "leak=1/0", "leak=1/1", "leak=2/1000", "leak=1/-5"] {
            assert!(text.parse::<Sabotage>().is_err(), "{text}");
        }
    }
}
