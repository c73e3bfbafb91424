//! Which encapsulations a host can do.
//!
//! Owns trying them, in a namespace that is thrown away. It does not choose: see [`super::Requested::resolve`].

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::LinkWireguard;
use serde::{Deserialize, Serialize};

use super::gre::{self, GretapSpec};
use super::ipsec::{self, IpsecPeer};
use super::keys::RunSecret;
use super::link::{Link, next_index};
use super::{EncapError, Encapsulation};
use crate::fabric::Mac;
use crate::netns::Netns;

/// Whether the host can do something, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// It can.
    Available,
    /// It cannot: the kernel's answer, and what would help.
    Missing(String),
}

impl Ability {
    /// Whether it is there.
    #[must_use]
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Available)
    }

    pub(super) fn require(&self, encapsulation: Encapsulation) -> Result<(), EncapError> {
        match self {
            Self::Available => Ok(()),
            Self::Missing(reason) => Err(EncapError::Unsupported {
                encapsulation,
                reason: reason.clone(),
            }),
        }
    }

    fn of(tried: Result<(), EncapError>, module: &str) -> Self {
        match tried {
            Ok(()) => Self::Available,
            Err(EncapError::Unsupported { reason, .. }) => Self::Missing(reason),
            Err(error) => {
                let answer =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                Self::Missing(format!(
                    "{answer} (`modprobe {module}` as root, or a kernel that has it)"
                ))
            }
        }
    }
}

/// What the kernel of a host can do. WireGuard in user space and VXLAN are everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Ethernet over GRE.
    pub gre: Ability,
    /// WireGuard by the kernel.
    pub wireguard: Ability,
    /// ESP with AES-GCM.
    pub esp: Ability,
}

impl Abilities {
    /// Tries each in a namespace of its own, some 20 ms.
    ///
    /// # Errors
    /// [`EncapError`] when there can be no such namespace.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn probe() -> Result<Self, EncapError> {
        let netns = Netns::create("abilities")?;
        let link = Link::of_netns(&netns)?;
        Ok(Self {
            gre: Ability::of(try_gre(&link).await, "ip_gre"),
            wireguard: Ability::of(try_wireguard(&link).await, "wireguard"),
            esp: Ability::of(ipsec::try_esp(&netns), "esp4"),
        })
    }
}

async fn try_gre(link: &Link<'_>) -> Result<(), EncapError> {
    let [local, remote] = ADDRESSES;
    let spec = GretapSpec {
        interface: "probe-gre".to_owned(),
        key: 1,
        local,
        remote,
        mac: Mac::local(0x47, 1),
        address: local,
        peer_mac: Mac::local(0x47, 2),
        peer_address: remote,
        mtu: 1400,
    };
    let device = gre::device(&spec, next_index())?;
    let added = link.add("add GRE device", &spec.interface, device).await;
    added.map_err(gre::unsupported)
}

async fn try_wireguard(link: &Link<'_>) -> Result<(), EncapError> {
    let name = "probe-wg";
    let device = LinkWireguard::new(name).index(next_index()).build();
    let added = link.add("add WireGuard device", name, device).await;
    added.map_err(super::wireguard::unsupported)
}

/// TEST-NET-1 of RFC 5737.
const ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
];

/// A protected pair of addresses that stands for none.
pub(super) fn nobody() -> IpsecPeer {
    let [local, remote] = ADDRESSES;
    IpsecPeer::derive(&RunSecret::of_seed(0), ("probe", local), ("nobody", remote))
}
