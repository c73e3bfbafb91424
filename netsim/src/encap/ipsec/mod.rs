//! ESP in transport mode (RFC 4303) around the VXLAN between two edges.
//!
//! Owns the states and policies of a host: for each peer and direction one state with a key of its own, and one
//! policy that takes UDP to the VXLAN port. The kernel does the work, AES-GCM with a check value of 16 octets
//! (RFC 4106). Invariants: what a policy takes leaves encrypted or not at all, and what comes in unencrypted is
//! dropped; keys go to the kernel and nowhere else.
//!
//! # Limits
//! Keys are set for the life of a lab: there is no IKE and no rekeying. 2^32 packets are the end of a key.

mod xfrm;

use std::io;
use std::net::IpAddr;

use super::keys::{EspKey, RunSecret};
use super::{EncapError, Encapsulation, abilities, failed};
use crate::fabric::Host;
use crate::netns::Netns;
use xfrm::{Direction, Policy, State, XfrmSocket};

/// A pair of underlay addresses whose VXLAN is to be protected.
#[derive(Debug, Clone)]
pub struct IpsecPeer {
    /// Our uplink address.
    pub local: IpAddr,
    /// The peer's, of the same family.
    pub remote: IpAddr,
    /// For what we send.
    pub outbound: EspKey,
    /// For what the peer sends.
    pub inbound: EspKey,
}

impl IpsecPeer {
    /// The pair of two devices, each with a name and an uplink address, and the keys that the run's secret gives it.
    /// The peer has the same with the devices swapped.
    #[must_use]
    pub fn derive(secret: &RunSecret, local: (&str, IpAddr), remote: (&str, IpAddr)) -> Self {
        Self {
            local: local.1,
            remote: remote.1,
            outbound: secret.esp(local.0, remote.0),
            inbound: secret.esp(remote.0, local.0),
        }
    }
}

/// Protects UDP to `port` between a host and these peers, from now on.
///
/// # Errors
/// [`EncapError`]; `Unsupported` where the kernel has no ESP.
pub fn protect(host: &Host, port: u16, peers: &[IpsecPeer]) -> Result<(), EncapError> {
    protect_netns(host.netns(), port, peers)
}

fn protect_netns(netns: &Netns, port: u16, peers: &[IpsecPeer]) -> Result<(), EncapError> {
    let refused = |operation, object: &IpAddr, source| failed(netns, operation, object, source);
    for IpsecPeer { local, remote, .. } in peers {
        if local.is_ipv4() != remote.is_ipv4() {
            let (local, remote) = (*local, *remote);
            return Err(EncapError::MixedFamilies { local, remote });
        }
    }
    let opened = netns.run(XfrmSocket::open)?;
    let mut socket = opened.map_err(|source| missing(&source))?;
    for peer in peers {
        let ways = [
            (Direction::Out, peer.local, peer.remote, &peer.outbound),
            (Direction::In, peer.remote, peer.local, &peer.inbound),
        ];
        for (direction, from, to, key) in ways {
            let state = State { from, to, key };
            socket
                .add_state(&state)
                .map_err(|source| match source.raw_os_error() {
                    Some(libc::EPROTONOSUPPORT | libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOENT) => {
                        missing(&source)
                    }
                    _ => refused("add ESP state for", &to, source),
                })?;
            let policy = Policy {
                direction,
                from,
                to,
                port,
                spi: key.spi,
            };
            socket
                .add_policy(&policy)
                .map_err(|source| refused("add ESP policy for", &to, source))?;
        }
    }
    Ok(())
}

fn missing(answer: &io::Error) -> EncapError {
    EncapError::Unsupported {
        encapsulation: Encapsulation::Ipsec,
        reason: format!(
            "{answer} (needs CONFIG_XFRM_USER, CONFIG_INET_ESP, CONFIG_INET6_ESP over IPv6, and CONFIG_CRYPTO_GCM with CONFIG_CRYPTO_SEQIV)"
        ),
    }
}

/// Whether the kernel takes a state for ESP.
pub(super) fn try_esp(netns: &Netns) -> Result<(), EncapError> {
    protect_netns(netns, 4789, &[abilities::nobody()])
}
