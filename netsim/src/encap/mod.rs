//! How a tunnel carries packets: VXLAN, GRE, WireGuard or IPsec, and the octets that each adds.
//!
//! Owns the words, the choice of the best that a host can do ([`Requested::resolve`]), the arithmetic of tunnel
//! MTUs, and the devices and keys of each encapsulation but VXLAN, which is [`crate::fabric::Host`]'s. It knows
//! neither edges nor steering. Invariants: WireGuard and IPsec wrap the VXLAN of an edge, so that VPNs (network
//! identifiers), neighbours and routes are the same with and without encryption; GRE stands in VXLAN's place, with
//! the VPN as its key (RFC 2890); no private key is ever in a message or a log.

pub mod abilities;
pub mod gre;
pub mod ipsec;
pub mod keys;
pub(crate) mod message;
mod overhead;
pub mod wireguard;

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use abilities::{Abilities, Ability};
pub use overhead::{Underlay, ip_overhead};

use crate::fabric::HostError;
use crate::netns::{Netns, NetnsError};

/// How a tunnel carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// VXLAN, RFC 7348: not encrypted.
    Vxlan,
    /// Ethernet in GRE, RFC 2784 and 2890: not encrypted.
    Gre,
    /// VXLAN in WireGuard.
    Wireguard,
    /// VXLAN in ESP transport mode, RFC 4303.
    Ipsec,
}

impl Encapsulation {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Vxlan, Self::Gre, Self::Wireguard, Self::Ipsec];

    /// Whether the underlay sees nothing of what is inside.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Wireguard | Self::Ipsec)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Gre => "gre",
            Self::Wireguard => "wireguard",
            Self::Ipsec => "ipsec",
        }
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a transport asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// Encrypted, by the best that the host can do: ESP of the kernel, else its WireGuard, else WireGuard in user
    /// space.
    Auto,
    /// This one and no other.
    Only(Encapsulation),
}

impl Default for Requested {
    fn default() -> Self {
        Self::Only(Encapsulation::Vxlan)
    }
}

/// A word that is no encapsulation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read encapsulation `{word}`: it is one of vxlan, gre, wireguard, ipsec, auto")]
pub struct UnknownEncapsulation {
    /// The word.
    pub word: String,
}

impl FromStr for Requested {
    type Err = UnknownEncapsulation;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if word == "auto" {
            return Ok(Self::Auto);
        }
        let named = Encapsulation::ALL
            .into_iter()
            .find(|encapsulation| encapsulation.word() == word);
        named.map(Self::Only).ok_or_else(|| UnknownEncapsulation {
            word: word.to_owned(),
        })
    }
}

/// Who does the work of an encapsulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// The kernel.
    Kernel,
    /// A thread of this program.
    Userspace,
}

/// The encapsulation of a transport and who does it; as text `vxlan`, `wireguard (kernel)` or the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// How packets are carried.
    pub encapsulation: Encapsulation,
    /// Who carries them.
    pub means: Means,
}

impl Choice {
    /// VXLAN, which every kernel of a lab has.
    pub const VXLAN: Self = Self {
        encapsulation: Encapsulation::Vxlan,
        means: Means::Kernel,
    };
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.encapsulation, self.means) {
            (Encapsulation::Wireguard, Means::Kernel) => f.pad("wireguard (kernel)"),
            (Encapsulation::Wireguard, Means::Userspace) => f.pad("wireguard (userspace)"),
            // Nobody but the kernel does them.
            (encapsulation, _) => encapsulation.fmt(f),
        }
    }
}

impl Requested {
    /// What a host with these abilities does for the request.
    ///
    /// # Errors
    /// [`EncapError::Unsupported`] with the kernel's reason.
    pub fn resolve(self, abilities: &Abilities) -> Result<Choice, EncapError> {
        let by_kernel = |encapsulation| Choice {
            encapsulation,
            means: Means::Kernel,
        };
        let wireguard = Choice {
            encapsulation: Encapsulation::Wireguard,
            means: if abilities.wireguard.is_available() {
                Means::Kernel
            } else {
                Means::Userspace
            },
        };
        match self {
            Self::Only(Encapsulation::Vxlan) => Ok(by_kernel(Encapsulation::Vxlan)),
            Self::Auto if abilities.esp.is_available() => Ok(by_kernel(Encapsulation::Ipsec)),
            Self::Auto | Self::Only(Encapsulation::Wireguard) => Ok(wireguard),
            Self::Only(Encapsulation::Gre) => abilities
                .gre
                .require(Encapsulation::Gre)
                .map(|()| by_kernel(Encapsulation::Gre)),
            Self::Only(Encapsulation::Ipsec) => abilities
                .esp
                .require(Encapsulation::Ipsec)
                .map(|()| by_kernel(Encapsulation::Ipsec)),
        }
    }
}

/// Why an encapsulation could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EncapError {
    /// The host's kernel lacks it.
    #[error("use encapsulation `{encapsulation}`: {reason}")]
    Unsupported {
        /// What was asked for.
        encapsulation: Encapsulation,
        /// The kernel's answer, and what would help.
        reason: String,
    },
    /// The namespace could not be entered or set up.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A device, an address, a route or a neighbour.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A socket, a thread or a request that is not route netlink's.
    #[error("{operation} `{object}` in netns `{host}`")]
    Kernel {
        /// What was asked, such as `bind UDP socket`.
        operation: &'static str,
        /// What it was asked for.
        object: String,
        /// The host.
        host: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The two addresses of a tunnel are of different families.
    #[error("set up a tunnel from {local} to {remote}: both must be IPv4 or both IPv6")]
    MixedFamilies {
        /// Our address.
        local: std::net::IpAddr,
        /// The peer's.
        remote: std::net::IpAddr,
    },
}

/// Why something that is not route netlink's failed.
fn failed(
    netns: &Netns,
    operation: &'static str,
    object: &impl fmt::Display,
    source: io::Error,
) -> EncapError {
    EncapError::Kernel {
        operation,
        object: object.to_string(),
        host: netns.name().to_owned(),
        source,
    }
}

/// Whether the kernel does not know the kind of device that it was asked for.
fn is_unknown_kind(error: &HostError) -> bool {
    match error {
        HostError::Netlink { source, .. } => {
            matches!(source.as_ref(), rtnetlink::Error::NetlinkError(answer) if answer.raw_code() == -libc::EOPNOTSUPP)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
