//! WireGuard devices: the kernel's where it has them, else a thread of ours.
//!
//! Owns a device for each (edge, transport) with an address of its own; the edge's VXLAN device takes that address
//! as its local one and the peers' addresses as its remotes. Invariants: a peer sends from its own address inside
//! and from no other, and nothing goes from one peer to another; the two forms are the same to the edge, and speak
//! the same protocol (wireguard.com/protocol).
//!
//! # Limits
//! Peers do not roam: the form in user space always sends to the address that it was given. It copies neither DSCP
//! nor ECN between inner and outer packets, and carries some 0.4 to 1 Gbit/s of TCP on two processors (VXLAN alone: 4
//! to 6). Its sockets hold no more than net.core.rmem_max lets an ordinary user have; a burst beyond that is lost.

mod device;
mod kernel;
mod userspace;

use std::net::{IpAddr, SocketAddr};

use super::keys::{PrivateKey, PublicKey};
use super::{EncapError, Means};
use crate::fabric::Host;

pub(super) use kernel::add_device;
pub use userspace::TunnelCount;

/// A keepalive goes to every peer this often, in seconds; with the first one the session begins, so that no packet
/// waits for a handshake. 25 is what wireguard.com/quickstart recommends.
const KEEPALIVE_S: u16 = 25;

/// A WireGuard device and its peers.
#[derive(Debug, Clone)]
pub struct WireguardSpec {
    /// Interface name, at most 15 bytes.
    pub interface: String,
    /// Outer source address.
    pub underlay: IpAddr,
    /// UDP port that it listens at.
    pub port: u16,
    /// Its address inside.
    pub address: IpAddr,
    /// Its key.
    pub private_key: PrivateKey,
    /// The other edges.
    pub peers: Vec<WireguardPeer>,
    /// Largest IP packet inside: the underlay's MTU less [`super::ip_overhead`].
    pub mtu: u32,
}

/// The far end of a WireGuard device.
#[derive(Debug, Clone)]
pub struct WireguardPeer {
    /// Outer address, of the family of the device's.
    pub underlay: IpAddr,
    /// UDP port that it listens at.
    pub port: u16,
    /// Its address inside; the only one that it may use.
    pub address: IpAddr,
    /// Its key.
    pub public_key: PublicKey,
}

impl WireguardPeer {
    fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.underlay, self.port)
    }
}

/// A WireGuard device in operation; where it is in user space it ends when this is dropped, and the kernel removes its
/// interface some milliseconds later.
#[derive(Debug)]
pub struct Wireguard {
    userspace: Option<userspace::Userspace>,
}

/// Adds a WireGuard device, up and addressed, with routes to its peers: by the kernel where it can, else in user
/// space.
///
/// # Errors
/// [`EncapError`].
///
/// # Panics
/// Outside a tokio runtime.
pub async fn establish(host: &Host, spec: &WireguardSpec) -> Result<Wireguard, EncapError> {
    match establish_by(Means::Kernel, host, spec).await {
        Err(EncapError::Unsupported { .. }) => establish_by(Means::Userspace, host, spec).await,
        other => other,
    }
}

/// As [`establish`], by these means and no others.
///
/// # Errors
/// [`EncapError`]; `Unsupported` where the kernel has no WireGuard and was asked for it.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn establish_by(means: Means, host: &Host, spec: &WireguardSpec) -> Result<Wireguard, EncapError> {
    for peer in &spec.peers {
        let (local, remote) = (spec.underlay, peer.underlay);
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(EncapError::MixedFamilies { local, remote });
        }
    }
    match means {
        Means::Kernel => {
            kernel::establish(host, spec).await?;
            Ok(Wireguard { userspace: None })
        }
        Means::Userspace => Ok(Wireguard {
            userspace: Some(userspace::establish(host, spec).await?),
        }),
    }
}

impl Wireguard {
    /// Who does the work.
    #[must_use]
    pub fn means(&self) -> Means {
        match self.userspace {
            Some(_) => Means::Userspace,
            None => Means::Kernel,
        }
    }

    /// What the thread has done so far; `None` where the kernel does it.
    #[must_use]
    pub fn count(&self) -> Option<TunnelCount> {
        self.userspace.as_ref().map(userspace::Userspace::count)
    }

    /// Starts new handshakes with all peers now, where otherwise they come every two minutes; traffic goes on with
    /// the old keys until the new ones are agreed. The kernel decides for itself: there this does nothing.
    pub fn rekey(&self) {
        if let Some(userspace) = &self.userspace {
            userspace.rekey();
        }
    }
}
