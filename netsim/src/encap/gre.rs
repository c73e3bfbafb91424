//! Ethernet over GRE (RFC 2784, 2890): a device for each (tunnel, remote edge, VPN), in the place of VXLAN.
//!
//! Owns the devices, their peers' neighbours and the routes to their peers' addresses. Invariant: the GRE key is the
//! VPN, so that tenants with the same addresses stay apart.
//!
//! # Limits
//! A device reaches one remote edge, where a VXLAN device reaches all: of an edge's devices on a transport each has the
//! same addresses, without a prefix around them.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::link::{GreIOFlags, InfoData, InfoGre6};
use rtnetlink::packet_core::DefaultNla;
use rtnetlink::{LinkGre, LinkGre6};

use super::{EncapError, Encapsulation, is_unknown_kind};
use crate::fabric::{Host, HostError, Mac, TABLE_MAIN};
use crate::netns::offload;

/// IFLA_GRE_FLAGS of linux/if_tunnel.h.
const GRE_FLAGS: u16 = 13;
/// IP6_TNL_F_IGN_ENCAP_LIMIT of linux/ip6_tunnel.h: no destination option of 8 octets (RFC 2473 section 4.1.1).
const NO_ENCAPSULATION_LIMIT: u32 = 0x1;
/// Hop limit of outer IPv6 packets.
const TTL: u8 = 64;

/// A GRE device and the one edge behind it.
#[derive(Debug, Clone)]
pub struct GretapSpec {
    /// Interface name, at most 15 bytes; the kernel has `gre0`, `gretap0`, `erspan0` and `ip6gre0` for itself.
    pub interface: String,
    /// GRE key: the VPN.
    pub key: u32,
    /// Outer source address.
    pub local: IpAddr,
    /// Outer destination address, of the same family.
    pub remote: IpAddr,
    /// Its link-layer address.
    pub mac: Mac,
    /// Its inner addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Inner link-layer address of the peer.
    pub peer_mac: Mac,
    /// Inner addresses of the peer, at most one of each family.
    pub peer_addresses: Vec<IpAddr>,
    /// Largest inner IP packet.
    pub mtu: u32,
}

/// Adds a GRE device, up and addressed, with its peer as a permanent neighbour and a route to the peer's addresses.
///
/// # Errors
/// [`EncapError`]; `Unsupported` where the kernel has no GRE.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn add_gretap(host: &Host, spec: &GretapSpec) -> Result<(), EncapError> {
    let name = &spec.interface;
    let index = add_device(host, spec).await?;
    host.switch_off(name, offload::disable_gro)?;
    for address in &spec.addresses {
        host.add_address(index, IpNet::from(*address)).await?;
    }
    host.set_up(index, name).await?;
    for address in &spec.peer_addresses {
        host.add_neighbour(name, *address, spec.peer_mac).await?;
        host.add_route(TABLE_MAIN, IpNet::from(*address), name, None)
            .await?;
    }
    Ok(())
}

/// Adds the device, without anything about it.
pub(super) async fn add_device(host: &Host, spec: &GretapSpec) -> Result<u32, EncapError> {
    const OPERATION: &str = "add GRE device";
    let key = GreIOFlags::Key;
    let (name, mac) = (&spec.interface, spec.mac.0.to_vec());
    let added = match (spec.local, spec.remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            let device = LinkGre::new_gretap(name)
                .local(local)
                .remote(remote)
                .iflags(key)
                .oflags(key)
                .ikey(spec.key)
                .okey(spec.key)
                .pmtudisc(true)
                .address(mac)
                .mtu(spec.mtu);
            host.add_device(OPERATION, name, spec.mac, device).await
        }
        (IpAddr::V6(local), IpAddr::V6(remote)) => {
            let without_limit = DefaultNla::new(GRE_FLAGS, NO_ENCAPSULATION_LIMIT.to_ne_bytes().to_vec());
            let data = vec![
                InfoGre6::Local(local),
                InfoGre6::Remote(remote),
                InfoGre6::IFlags(key),
                InfoGre6::OFlags(key),
                InfoGre6::IKey(spec.key),
                InfoGre6::OKey(spec.key),
                InfoGre6::Ttl(TTL),
                InfoGre6::Other(without_limit),
            ];
            let device = LinkGre6::new_gretap6(name)
                .set_info_data(InfoData::GreTap6(data))
                .address(mac)
                .mtu(spec.mtu);
            host.add_device(OPERATION, name, spec.mac, device).await
        }
        (local, remote) => return Err(EncapError::MixedFamilies { local, remote }),
    };
    added.map_err(unsupported)
}

/// What a kernel without GRE says, in words.
fn unsupported(error: HostError) -> EncapError {
    if !is_unknown_kind(&error) {
        return error.into();
    }
    EncapError::Unsupported {
        encapsulation: Encapsulation::Gre,
        reason: "the kernel has no GRE devices (needs CONFIG_NET_IPGRE, and CONFIG_IPV6_GRE over IPv6)"
            .to_owned(),
    }
}
