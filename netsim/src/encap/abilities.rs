//! Which encapsulations a host can do.
//!
//! Owns trying them, in a namespace that is thrown away. It does not choose: see [`super::Requested::resolve`].

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::gre::{self, GretapSpec};
use super::ipsec::{self, IpsecPeer};
use super::keys::RunSecret;
use super::{EncapError, Encapsulation, wireguard};
use crate::fabric::{Forwarding, Host, Mac};

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
        let host = Host::create("abilities", Forwarding::Off).await?;
        Ok(Self {
            gre: Ability::of(try_gre(&host).await, "ip_gre"),
            wireguard: Ability::of(try_wireguard(&host).await, "wireguard"),
            esp: Ability::of(ipsec::try_esp(host.netns()), "esp4"),
        })
    }
}

async fn try_gre(host: &Host) -> Result<(), EncapError> {
    let [local, remote] = ADDRESSES;
    let spec = GretapSpec {
        interface: "probe-gre".to_owned(),
        key: 1,
        local,
        remote,
        mac: Mac::local(0x47, 1),
        addresses: vec![local],
        peer_mac: Mac::local(0x47, 2),
        peer_addresses: vec![remote],
        mtu: MTU,
    };
    gre::add_device(host, &spec).await.map(drop)
}

async fn try_wireguard(host: &Host) -> Result<(), EncapError> {
    wireguard::add_device(host, "probe-wg", MTU).await.map(drop)
}

/// Any that every device takes.
const MTU: u32 = 1400;
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
