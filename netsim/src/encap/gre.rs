//! Ethernet over GRE (RFC 2784, 2890): a device for each (tunnel, remote edge, VPN), in the place of VXLAN.
//!
//! Owns the devices, their peers' neighbours and the routes to their peers' addresses. Invariant: the GRE key is the
//! VPN, so that tenants with the same addresses stay apart.
//!
//! # Limits
//! A device reaches one remote edge, where a VXLAN device reaches all; its name is not in the host's list of
//! interfaces unless the caller puts it there.

use std::net::IpAddr;

use netlink_packet_route::link::{GreIOFlags, InfoData, InfoGre6, LinkMessage};
use rtnetlink::packet_core::DefaultNla;
use rtnetlink::{LinkGre, LinkGre6};

use super::link::{Link, errno, next_index};
use super::{EncapError, Encapsulation};
use crate::fabric::host::Interface;
use crate::fabric::{Host, Mac};

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
    /// Its inner address.
    pub address: IpAddr,
    /// Inner link-layer address of the peer.
    pub peer_mac: Mac,
    /// Inner address of the peer.
    pub peer_address: IpAddr,
    /// Largest inner IP packet.
    pub mtu: u32,
}

/// Adds a GRE device, up and addressed, with its peer as a permanent neighbour and a route to the peer's address.
///
/// # Errors
/// [`EncapError`]; `Unsupported` where the kernel has no GRE.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn add_gretap(host: &Host, spec: &GretapSpec) -> Result<Interface, EncapError> {
    let link = Link::open(host)?;
    let index = next_index();
    let added = link
        .add("add GRE device", &spec.interface, device(spec, index)?)
        .await;
    added.map_err(unsupported)?;
    if spec.address.is_ipv6() {
        link.allow_ipv6(&spec.interface)?;
    }
    let quiet = host
        .netns()
        .run(|| crate::netns::offload::disable_gro(&spec.interface))?;
    quiet.map_err(|source| link.failed("switch off receive offload of", &spec.interface, source))?;
    link.add_address(index, spec.address).await?;
    link.set_up(index, &spec.interface).await?;
    link.add_neighbour(index, spec.peer_address, spec.peer_mac)
        .await?;
    link.add_route(index, spec.peer_address).await?;
    Ok(Interface { index, mac: spec.mac })
}

/// The message that asks for the device.
pub(super) fn device(spec: &GretapSpec, index: u32) -> Result<LinkMessage, EncapError> {
    let key = GreIOFlags::Key;
    let (name, mac) = (&spec.interface, spec.mac.0.to_vec());
    Ok(match (spec.local, spec.remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => LinkGre::new_gretap(name)
            .local(local)
            .remote(remote)
            .iflags(key)
            .oflags(key)
            .ikey(spec.key)
            .okey(spec.key)
            .pmtudisc(true)
            .index(index)
            .address(mac)
            .mtu(spec.mtu)
            .build(),
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
            LinkGre6::new_gretap6(name)
                .set_info_data(InfoData::GreTap6(data))
                .index(index)
                .address(mac)
                .mtu(spec.mtu)
                .build()
        }
        (local, remote) => return Err(EncapError::MixedFamilies { local, remote }),
    })
}

/// What a kernel without GRE says, in words.
pub(in crate::encap) fn unsupported(error: EncapError) -> EncapError {
    match &error {
        EncapError::Netlink { source, .. } if errno(source) == Some(libc::EOPNOTSUPP) => {
            EncapError::Unsupported {
                encapsulation: Encapsulation::Gre,
                reason:
                    "the kernel has no GRE devices (needs CONFIG_NET_IPGRE, and CONFIG_IPV6_GRE over IPv6)"
                        .to_owned(),
            }
        }
        _ => error,
    }
}
