//! The links of a host, and the interfaces they end in.
//!
//! Owns the messages for links (rtnetlink(7), RTM_NEWLINK) and the interfaces' indices, which are ours to choose.
//! Invariants: both ends of a veth are created directly in their namespaces (moving one later waits for an RCU grace
//! period, 15 to 30 ms); links that carry IPv6 are set to neither ARP nor multicast; no link is deleted.

use std::os::fd::AsRawFd;

use futures::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::{Families, Host, HostError, INTERFACE_NAME_MAX, Interface, Mac};

/// Interface indices that we choose start here; the kernel's own fallback devices have the low ones.
const FIRST_INDEX: u32 = 100;

/// One end of a veth link.
#[derive(Debug, Clone)]
pub struct LinkEnd {
    /// Interface name, at most 15 bytes.
    pub interface: String,
    /// Its link-layer address.
    pub mac: Mac,
    /// Its addresses, at most one of each family.
    pub addresses: Vec<IpNet>,
}

impl Host {
    /// Links two hosts by a veth pair, both ends up and addressed; each knows the other's link-layer address for
    /// all its addresses.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn link(&self, near: &LinkEnd, other: &Self, far: &LinkEnd, mtu: u32) -> Result<(), HostError> {
        let far_index = other.register(&far.interface, far.mac)?;
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(far.interface.clone())
            .index(far_index)
            .address(far.mac.0.to_vec())
            .mtu(mtu)
            .setns_by_fd(other.netns.as_raw_fd())
            .build();
        // The veth driver refuses a peer that is created up (ENOTCONN); the near end may be.
        let device = LinkMessageBuilder::<LinkVeth>::new(&near.interface, &far.interface)
            .address(near.mac.0.to_vec())
            .mtu(mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
        let near_index = self
            .add_device("add veth link", &near.interface, near.mac, device.up())
            .await?;
        other.set_up(far_index, &far.interface).await?;
        self.await_carrier(&near.interface).await?;
        for (host, index, end) in [(self, near_index, near), (other, far_index, far)] {
            for address in &end.addresses {
                host.add_address(index, *address).await?;
            }
        }
        for (host, end) in [(self, near), (other, far)] {
            host.await_addresses(&end.addresses).await?;
        }
        for (host, end, peer) in [(self, near, far), (other, far, near)] {
            // Without an address of its own an end reaches nobody.
            for address in peer.addresses.iter().filter(|_| !end.addresses.is_empty()) {
                host.add_neighbour(&end.interface, address.addr(), peer.mac)
                    .await?;
            }
        }
        Ok(())
    }

    /// Adds a device and returns its index.
    ///
    /// # Errors
    /// [`HostError`]; the host then has no interface of that name.
    pub(crate) async fn add_device<T>(
        &self,
        operation: &'static str,
        name: &str,
        mac: Mac,
        device: LinkMessageBuilder<T>,
    ) -> Result<u32, HostError> {
        let index = self.register(name, mac)?;
        let message = self.quiet(device).index(index).build();
        let added = self.netlink.link().add(message).execute().await;
        added.map_err(|source| {
            self.table().remove(name);
            self.refused(operation, &name, source)
        })?;
        Ok(index)
    }

    /// Switches an offload of an interface off.
    ///
    /// # Errors
    /// [`HostError::Offload`].
    pub(crate) fn switch_off(
        &self,
        interface: &str,
        offload: fn(&str) -> std::io::Result<()>,
    ) -> Result<(), HostError> {
        let switched = self.netns.run(|| offload(interface))?;
        switched.map_err(|source| HostError::Offload {
            interface: interface.to_owned(),
            host: self.name().to_owned(),
            source,
        })
    }

    /// Takes an interface down, as a cut cable would; the kernel removes the routes over it, and the other
    /// end of its link has no carrier.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn set_down(&self, interface: &str) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let message = LinkMessageBuilder::<LinkUnspec>::new()
            .index(index)
            .down()
            .build();
        let set = self.netlink.link().change(message).execute().await;
        set.map_err(|source| self.refused("take down interface", &interface, source))
    }

    /// Brings an interface up again; its connected routes come back, other routes do not,
    /// and neighbours not on every kernel.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn set_up_again(&self, interface: &str) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        self.set_up(index, interface).await
    }

    pub(super) async fn link_of(&self, interface: &str) -> Result<LinkMessage, HostError> {
        let index = self.interface(interface)?.index;
        let mut links = self.netlink.link().get().match_index(index).execute();
        let found = links.try_next().await;
        let found = found.map_err(|source| self.refused("look at interface", &interface, source))?;
        found.ok_or_else(|| HostError::NoInterface {
            interface: interface.to_owned(),
            host: self.name().to_owned(),
        })
    }

    fn register(&self, name: &str, mac: Mac) -> Result<u32, HostError> {
        if name.len() > INTERFACE_NAME_MAX {
            return Err(HostError::NameTooLong {
                name: name.to_owned(),
            });
        }
        let mut interfaces = self.table();
        let last = interfaces.values().map(|interface| interface.index).max();
        let index = last.map_or(FIRST_INDEX, |last| last + 1);
        interfaces.insert(name.to_owned(), Interface { index, mac });
        Ok(index)
    }

    /// Where IPv6 is spoken: without resolution of addresses, which are all known, and without multicast, which
    /// nobody listens to.
    fn quiet<T>(&self, link: LinkMessageBuilder<T>) -> LinkMessageBuilder<T> {
        match self.families {
            Families::Ipv4 => link,
            Families::Both => link.arp(false).multicast(false),
        }
    }

    pub(crate) async fn set_up(&self, index: u32, name: &str) -> Result<(), HostError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(index).up();
        // Loopback has no neighbours to be quiet about.
        let message = if index == 1 { message } else { self.quiet(message) };
        let message = message.build();
        let set = self.netlink.link().change(message).execute().await;
        set.map_err(|source| self.refused("bring up interface", &name, source))
    }
}
