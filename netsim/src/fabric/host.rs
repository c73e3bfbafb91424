//! A host of the lab: a namespace, its interfaces, addresses, routes and neighbours.
//!
//! Owns the route netlink requests: links here, routes and rules in [`routes`], the counters
//! in `counters`, the waits for what the kernel does later in `readiness`. It does not know what a host is for. Invariants: both ends of a veth are created directly in their namespaces (moving one later waits for an
//! RCU grace period, 15 to 30 ms); every neighbour is permanent and links that carry IPv6 are set to neither ARP
//! nor multicast, so that no ARP, neighbour discovery or MLD packet is ever on a wire; no link is deleted, a host
//! ends as a whole.

mod counters;
mod readiness;
pub mod routes;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkMessage};
use netlink_packet_route::neighbour::NeighbourFlags;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan};

pub use counters::PacketCount;

use crate::netns::{Netns, NetnsError, offload, open_netlink};

/// Interface indices that we choose start here; the kernel's own fallback devices have the low ones.
const FIRST_INDEX: u32 = 100;

/// IFNAMSIZ less the final NUL, see netdevice(7).
const INTERFACE_NAME_MAX: usize = 15;

/// A link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The locally administered address `02:<kind>:<number>`.
    #[must_use]
    pub fn local(kind: u8, number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        Self([0x02, kind, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a host routes packets that are not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// A router: transport, WAN edge, node.
    On,
    /// An end host: pod.
    Off,
}

/// Which address families a host speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone: IPv6 is off on all its interfaces.
    Ipv4,
    /// IPv4 and IPv6.
    Both,
}

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

/// An interface of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Its index in the namespace.
    pub index: u32,
    /// Its link-layer address.
    pub mac: Mac,
}

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

/// Why a host could not be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The namespace could not be made or entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A route netlink request was refused.
    #[error("{operation} `{object}` in netns `{host}`")]
    Netlink {
        /// What was asked, such as `add route`.
        operation: &'static str,
        /// What it was asked for.
        object: String,
        /// The host.
        host: String,
        /// The kernel's answer.
        #[source]
        source: Box<rtnetlink::Error>,
    },
    /// An interface name is longer than the kernel's limit.
    #[error("name an interface `{name}`: {} bytes, the kernel takes {INTERFACE_NAME_MAX}", name.len())]
    NameTooLong {
        /// The name.
        name: String,
    },
    /// An offload could not be switched off.
    #[error("switch off an offload of `{interface}` in netns `{host}`")]
    Offload {
        /// The interface.
        interface: String,
        /// The host.
        host: String,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// The other end of a link does not come up.
    #[error("wait for the carrier of `{interface}` in netns `{host}`")]
    NoCarrier {
        /// The interface.
        interface: String,
        /// The host.
        host: String,
    },
    /// The kernel does not begin to use an address.
    #[error("wait for address `{address}` in netns `{host}`")]
    NoAddress {
        /// The address.
        address: IpAddr,
        /// The host.
        host: String,
    },
    /// No interface of that name was made on the host.
    #[error("find interface `{interface}` in netns `{host}`")]
    NoInterface {
        /// The name asked for.
        interface: String,
        /// The host.
        host: String,
    },
}

/// A host: a namespace and what is in it.
#[derive(Debug)]
pub struct Host {
    netns: Netns,
    netlink: Handle,
    families: Families,
    interfaces: Mutex<BTreeMap<String, Interface>>,
}

impl Host {
    /// Makes a host with nothing but its loopback interface, up, that speaks IPv4 alone.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Panics
    /// Outside a tokio runtime, as do all methods here that speak netlink.
    pub async fn create(name: &str, forwarding: Forwarding) -> Result<Self, HostError> {
        Self::create_speaking(name, forwarding, Families::Ipv4).await
    }

    /// As [`Self::create`], for these address families.
    ///
    /// # Errors
    /// [`HostError`], also when the kernel lacks a family.
    ///
    /// # Panics
    /// As [`Self::create`].
    pub async fn create_speaking(
        name: &str,
        forwarding: Forwarding,
        families: Families,
    ) -> Result<Self, HostError> {
        let runtime = tokio::runtime::Handle::current();
        let sysctls = sysctls(forwarding, families);
        let (netns, netlink) = Netns::create_with(name, &sysctls, || open_netlink(&runtime))?;
        Self::with_netlink(netns, netlink, families).await
    }

    /// Takes a namespace as it is and brings its loopback interface up.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn adopt(netns: Netns) -> Result<Self, HostError> {
        let netlink = netns.netlink()?;
        Self::with_netlink(netns, netlink, Families::Ipv4).await
    }

    async fn with_netlink(netns: Netns, netlink: Handle, families: Families) -> Result<Self, HostError> {
        let host = Self {
            netns,
            netlink,
            families,
            interfaces: Mutex::new(BTreeMap::new()),
        };
        // Loopback is interface 1 of every namespace.
        host.set_up(1, "lo").await?;
        Ok(host)
    }

    /// The address families that it speaks.
    #[must_use]
    pub fn families(&self) -> Families {
        self.families
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.netns.name()
    }

    /// Its namespace.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The interface of that name.
    ///
    /// # Errors
    /// [`HostError::NoInterface`].
    pub fn interface(&self, name: &str) -> Result<Interface, HostError> {
        self.table()
            .get(name)
            .copied()
            .ok_or_else(|| HostError::NoInterface {
                interface: name.to_owned(),
                host: self.name().to_owned(),
            })
    }

    /// Links two hosts by a veth pair, both ends up and addressed; each knows the other's link-layer address for
    /// all its addresses.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn link(&self, near: &LinkEnd, other: &Self, far: &LinkEnd, mtu: u32) -> Result<(), HostError> {
        let near_index = self.register(&near.interface, near.mac)?;
        let far_index = other.register(&far.interface, far.mac)?;
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(far.interface.clone())
            .index(far_index)
            .address(far.mac.0.to_vec())
            .mtu(mtu)
            .setns_by_fd(other.netns.as_raw_fd())
            .build();
        // The veth driver refuses a peer that is created up (ENOTCONN); the near end may be.
        let message = LinkMessageBuilder::<LinkVeth>::new(&near.interface, &far.interface)
            .index(near_index)
            .address(near.mac.0.to_vec())
            .mtu(mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
        let message = self.quiet(message).up().build();
        let added = self.netlink.link().add(message).execute().await;
        added.map_err(|source| self.refused("add veth link", &near.interface, source))?;
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

    /// Adds an address to the loopback interface.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_loopback_address(&self, address: IpAddr) -> Result<(), HostError> {
        let address = IpNet::from(address);
        self.add_address(1, address).await?;
        self.await_addresses(&[address]).await
    }

    /// Adds a permanent neighbour.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_neighbour(&self, interface: &str, address: IpAddr, mac: Mac) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let entry = self
            .netlink
            .neighbours()
            .add(index, address)
            .link_layer_address(&mac.0);
        entry
            .execute()
            .await
            .map_err(|source| self.refused("add neighbour", &address, source))
    }

    /// Adds a permanent neighbour, or replaces the one that is there.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn replace_neighbour(
        &self,
        interface: &str,
        address: IpAddr,
        mac: Mac,
    ) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let entry = self
            .netlink
            .neighbours()
            .add(index, address)
            .link_layer_address(&mac.0)
            .replace();
        entry
            .execute()
            .await
            .map_err(|source| self.refused("replace neighbour", &address, source))
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

    async fn link_of(&self, interface: &str) -> Result<LinkMessage, HostError> {
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

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Interface>> {
        self.interfaces.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(crate) async fn add_address(&self, index: u32, address: IpNet) -> Result<(), HostError> {
        let request = self
            .netlink
            .address()
            .add(index, address.addr(), address.prefix_len());
        request
            .execute()
            .await
            .map_err(|source| self.refused("add address", &address, source))
    }

    fn refused(
        &self,
        operation: &'static str,
        object: &impl fmt::Display,
        source: rtnetlink::Error,
    ) -> HostError {
        HostError::Netlink {
            operation,
            object: object.to_string(),
            host: self.name().to_owned(),
            source: Box::new(source),
        }
    }
}

/// What a host's namespace is set to before it has links.
fn sysctls(forwarding: Forwarding, families: Families) -> Vec<(&'static str, &'static str)> {
    let mut sysctls = vec![
        // Steering sends replies another way than a reverse path check expects (RFC 3704 section 2.3).
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
    ];
    if forwarding == Forwarding::On {
        sysctls.extend([
            ("net/ipv4/ip_forward", "1"),
            // A router's errors go back in the VPN that the packet was in.
            ("net/ipv4/fwmark_reflect", "1"),
            // Flows, not pairs of hosts, are shared over equal routes: by addresses, protocol and ports.
            ("net/ipv4/fib_multipath_hash_policy", "1"),
        ]);
    }
    if families == Families::Both {
        sysctls.extend([
            ("net/ipv6/conf/default/addr_gen_mode", "1"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
            ("net/ipv6/conf/all/disable_ipv6", "0"),
            ("net/ipv6/conf/default/disable_ipv6", "0"),
        ]);
    }
    if (forwarding, families) == (Forwarding::On, Families::Both) {
        sysctls.extend([
            ("net/ipv6/conf/all/forwarding", "1"),
            // Forwarding is up to the line above (`ip6_forward`). An interface that is made with its own would join
            // the group of all routers before it is told to be without multicast, and report that (RFC 3810).
            ("net/ipv6/conf/default/forwarding", "0"),
            ("net/ipv6/fwmark_reflect", "1"),
            ("net/ipv6/fib_multipath_hash_policy", "1"),
        ]);
    }
    sysctls
}
