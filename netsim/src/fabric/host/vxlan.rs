//! VXLAN devices and their peers.
//!
//! Owns the devices and the forwarding entries that lead to their peers. Invariant: a device reaches the peers it is
//! told of and nobody else.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::neighbour::NeighbourFlags;
use rtnetlink::{LinkMessageBuilder, LinkVxlan};

use super::{Host, HostError, Mac};
use crate::netns::offload;

/// A VXLAN device (RFC 7348) without a default remote: it reaches the peers it is told of and nobody else.
#[derive(Debug, Clone)]
pub struct VxlanSpec {
    /// Interface name, at most 15 bytes.
    pub interface: String,
    /// VXLAN network identifier.
    pub vni: u32,
    /// UDP port, local and remote.
    pub port: u16,
    /// Outer source address.
    pub local: IpAddr,
    /// Its link-layer address.
    pub mac: Mac,
    /// Its inner addresses, at most one of each family.
    pub addresses: Vec<IpNet>,
    /// Largest inner IP packet.
    pub mtu: u32,
}

/// The far end of a VXLAN device.
#[derive(Debug, Clone)]
pub struct VxlanPeer {
    /// Outer address.
    pub underlay: IpAddr,
    /// Inner link-layer address.
    pub mac: Mac,
    /// Inner addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
}

impl Host {
    /// Adds a VXLAN device, up and addressed, with no peers yet.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_vxlan(&self, spec: &VxlanSpec) -> Result<(), HostError> {
        let message = LinkMessageBuilder::<LinkVxlan>::new(&spec.interface)
            .address(spec.mac.0.to_vec())
            .mtu(spec.mtu)
            .id(spec.vni)
            .port(spec.port)
            .learning(false);
        let message = match spec.local {
            IpAddr::V4(local) => message.local(local),
            IpAddr::V6(local) => message.local6(local),
        };
        let name = &spec.interface;
        let index = self
            .add_device("add VXLAN device", name, spec.mac, message.up())
            .await?;
        self.switch_off(name, offload::disable_gro)?;
        for address in &spec.addresses {
            self.add_address(index, *address).await?;
        }
        self.await_addresses(&spec.addresses).await
    }

    /// Tells a VXLAN device of a peer: a forwarding entry and a neighbour, both permanent.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_vxlan_peer(&self, interface: &str, peer: &VxlanPeer) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let entry = self
            .netlink
            .neighbours()
            .add_bridge(index, &peer.mac.0)
            .destination(peer.underlay)
            .flags(NeighbourFlags::Own);
        let added = entry.execute().await;
        added.map_err(|source| self.refused("add VXLAN peer", &peer.underlay, source))?;
        for address in &peer.addresses {
            self.add_neighbour(interface, *address, peer.mac).await?;
        }
        Ok(())
    }
}
