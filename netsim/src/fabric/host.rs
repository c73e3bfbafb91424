//! A host of the lab: a namespace, its interfaces, addresses, routes and neighbours.
//!
//! Owns the route netlink requests. It does not know what a host is for. Invariants: both ends of a veth are
//! created directly in their namespaces (moving one later waits for an RCU grace period, 15 to 30 ms); every
//! neighbour is permanent, so that no ARP packet is ever on a wire; no link is deleted, a host ends as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use netlink_packet_route::neighbour::NeighbourFlags;
use netlink_packet_route::route::{RouteMessage, RouteType};
use netlink_packet_route::rule::RuleAction;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder};

use crate::netns::{Netns, NetnsError, offload, open_netlink};

/// The kernel's main routing table, RT_TABLE_MAIN of rtnetlink(7).
pub const TABLE_MAIN: u32 = 254;

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

/// One end of a veth link.
#[derive(Debug, Clone)]
pub struct LinkEnd {
    /// Interface name, at most 15 bytes.
    pub interface: String,
    /// Its link-layer address.
    pub mac: Mac,
    /// Its address, if it has one.
    pub address: Option<Ipv4Net>,
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
    pub local: Ipv4Addr,
    /// Its link-layer address.
    pub mac: Mac,
    /// Its inner address.
    pub address: Ipv4Net,
    /// Largest inner IP packet.
    pub mtu: u32,
}

/// The far end of a VXLAN device.
#[derive(Debug, Clone, Copy)]
pub struct VxlanPeer {
    /// Outer address.
    pub underlay: Ipv4Addr,
    /// Inner link-layer address.
    pub mac: Mac,
    /// Inner address.
    pub address: Ipv4Addr,
}

/// Packets that an interface received and sent, as the kernel counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketCount {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
    /// Octets of those received.
    pub received_octets: u64,
    /// Octets of those sent.
    pub sent_octets: u64,
    /// Taken for sending and then given up, such as over a link that is down: a tap sees these, too.
    pub unsent: u64,
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
    #[error("switch off receive offload of `{interface}` in netns `{host}`")]
    Offload {
        /// The interface.
        interface: String,
        /// The host.
        host: String,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
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
    interfaces: Mutex<BTreeMap<String, Interface>>,
}

impl Host {
    /// Makes a host with nothing but its loopback interface, up.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Panics
    /// Outside a tokio runtime, as do all methods here that speak netlink.
    pub async fn create(name: &str, forwarding: Forwarding) -> Result<Self, HostError> {
        // Steering sends replies another way than a reverse path check expects (RFC 3704 section 2.3).
        let mut sysctls = vec![
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ];
        if forwarding == Forwarding::On {
            sysctls.push(("net/ipv4/ip_forward", "1"));
        }
        let runtime = tokio::runtime::Handle::current();
        let (netns, netlink) = Netns::create_with(name, &sysctls, || open_netlink(&runtime))?;
        Self::with_netlink(netns, netlink).await
    }

    /// Takes a namespace as it is and brings its loopback interface up.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn adopt(netns: Netns) -> Result<Self, HostError> {
        let netlink = netns.netlink()?;
        Self::with_netlink(netns, netlink).await
    }

    async fn with_netlink(netns: Netns, netlink: Handle) -> Result<Self, HostError> {
        let host = Self {
            netns,
            netlink,
            interfaces: Mutex::new(BTreeMap::new()),
        };
        // Loopback is interface 1 of every namespace.
        host.set_up(1, "lo").await?;
        Ok(host)
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
        self.interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied()
            .ok_or_else(|| HostError::NoInterface {
                interface: name.to_owned(),
                host: self.name().to_owned(),
            })
    }

    /// Links two hosts by a veth pair, both ends up and addressed; where both have addresses, each knows the
    /// other's link-layer address.
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
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .up()
            .build();
        let added = self.netlink.link().add(message).execute().await;
        added.map_err(|source| self.refused("add veth link", &near.interface, source))?;
        other.set_up(far_index, &far.interface).await?;
        if let Some(address) = near.address {
            self.add_address(near_index, address).await?;
        }
        if let Some(address) = far.address {
            other.add_address(far_index, address).await?;
        }
        if let (Some(near_address), Some(far_address)) = (near.address, far.address) {
            self.add_neighbour(&near.interface, far_address.addr(), far.mac)
                .await?;
            other
                .add_neighbour(&far.interface, near_address.addr(), near.mac)
                .await?;
        }
        Ok(())
    }

    /// Adds a VXLAN device, up and addressed, with no peers yet.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_vxlan(&self, spec: &VxlanSpec) -> Result<(), HostError> {
        let index = self.register(&spec.interface, spec.mac)?;
        let message = LinkMessageBuilder::<LinkVxlan>::new(&spec.interface)
            .index(index)
            .address(spec.mac.0.to_vec())
            .mtu(spec.mtu)
            .id(spec.vni)
            .local(spec.local)
            .port(spec.port)
            .learning(false)
            .up()
            .build();
        let added = self.netlink.link().add(message).execute().await;
        added.map_err(|source| self.refused("add VXLAN device", &spec.interface, source))?;
        let offload = self.netns.run(|| offload::disable_gro(&spec.interface))?;
        offload.map_err(|source| HostError::Offload {
            interface: spec.interface.clone(),
            host: self.name().to_owned(),
            source,
        })?;
        self.add_address(index, spec.address).await
    }

    /// Tells a VXLAN device of a peer: a forwarding entry and a neighbour, both permanent.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_vxlan_peer(&self, interface: &str, peer: VxlanPeer) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let entry = self
            .netlink
            .neighbours()
            .add_bridge(index, &peer.mac.0)
            .destination(peer.underlay.into())
            .flags(NeighbourFlags::Own);
        let added = entry.execute().await;
        added.map_err(|source| self.refused("add VXLAN peer", &peer.underlay, source))?;
        self.add_neighbour(interface, peer.address, peer.mac).await
    }

    /// Adds an address to the loopback interface.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_loopback_address(&self, address: Ipv4Addr) -> Result<(), HostError> {
        self.add_address(1, Ipv4Net::from(address)).await
    }

    /// Adds a permanent neighbour.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_neighbour(&self, interface: &str, address: Ipv4Addr, mac: Mac) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let entry = self
            .netlink
            .neighbours()
            .add(index, address.into())
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
        address: Ipv4Addr,
        mac: Mac,
    ) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let entry = self
            .netlink
            .neighbours()
            .add(index, address.into())
            .link_layer_address(&mac.0)
            .replace();
        entry
            .execute()
            .await
            .map_err(|source| self.refused("replace neighbour", &address, source))
    }

    /// Adds a route in `table` out of an interface, through `gateway` if there is one; the gateway need not be
    /// in a connected prefix.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_route(
        &self,
        table: u32,
        destination: Ipv4Net,
        interface: &str,
        gateway: Option<Ipv4Addr>,
    ) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let route = route_over(table, destination, index, gateway);
        self.request_route(destination, route).await
    }

    /// Removes a route that [`Self::add_route`] added; one that is gone already is no error.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn remove_route(
        &self,
        table: u32,
        destination: Ipv4Net,
        interface: &str,
        gateway: Option<Ipv4Addr>,
    ) -> Result<(), HostError> {
        let index = self.interface(interface)?.index;
        let route = route_over(table, destination, index, gateway);
        match self.netlink.route().del(route).execute().await {
            // The kernel removes routes of its own accord when their device goes down.
            Err(rtnetlink::Error::NetlinkError(answer)) if answer.raw_code() == -libc::ESRCH => Ok(()),
            removed => removed.map_err(|source| self.refused("remove route", &destination, source)),
        }
    }

    /// Adds a route in `table` that discards, used when no better one is there.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_blackhole(&self, table: u32, destination: Ipv4Net) -> Result<(), HostError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .table_id(table)
            .destination_prefix(destination.addr(), destination.prefix_len())
            .kind(RouteType::BlackHole)
            .priority(u32::MAX);
        self.request_route(destination, route.build()).await
    }

    /// Adds a rule: packets with this firewall mark look their route up in `table`.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_mark_rule(&self, priority: u32, mark: u32, table: u32) -> Result<(), HostError> {
        let rule = self
            .netlink
            .rule()
            .add()
            .v4()
            .priority(priority)
            .fw_mark(mark)
            .table_id(table);
        let added = rule.action(RuleAction::ToTable).execute().await;
        added.map_err(|source| self.refused("add rule for mark", &mark, source))
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

    /// The kernel's packet counters of an interface.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn packet_count(&self, interface: &str) -> Result<PacketCount, HostError> {
        let index = self.interface(interface)?.index;
        let links = self.netlink.link().get().match_index(index).execute();
        let found: Vec<_> = links
            .try_collect()
            .await
            .map_err(|source| self.refused("read counters of", &interface, source))?;
        let stats = found
            .iter()
            .flat_map(|link| &link.attributes)
            .find_map(|attribute| match attribute {
                LinkAttribute::Stats64(stats) => Some(stats),
                _ => None,
            });
        stats
            .map(|stats| PacketCount {
                received: stats.rx_packets,
                sent: stats.tx_packets,
                received_octets: stats.rx_bytes,
                sent_octets: stats.tx_bytes,
                unsent: stats.tx_errors + stats.tx_dropped,
            })
            .ok_or_else(|| HostError::NoInterface {
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
        let mut interfaces = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = u32::try_from(interfaces.len()).expect("a host has far fewer than 2^32 interfaces");
        let index = FIRST_INDEX + taken;
        interfaces.insert(name.to_owned(), Interface { index, mac });
        Ok(index)
    }

    async fn set_up(&self, index: u32, name: &str) -> Result<(), HostError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
        let set = self.netlink.link().change(message).execute().await;
        set.map_err(|source| self.refused("bring up interface", &name, source))
    }

    async fn add_address(&self, index: u32, address: Ipv4Net) -> Result<(), HostError> {
        let request = self
            .netlink
            .address()
            .add(index, address.addr().into(), address.prefix_len());
        request
            .execute()
            .await
            .map_err(|source| self.refused("add address", &address, source))
    }

    async fn request_route(&self, destination: Ipv4Net, mut route: RouteMessage) -> Result<(), HostError> {
        route.header.address_family = AddressFamily::Inet;
        let added = self.netlink.route().add(route).execute().await;
        added.map_err(|source| self.refused("add route", &destination, source))
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

/// The message of a route in `table` out of the interface of that index, through `gateway` if there is one.
fn route_over(table: u32, destination: Ipv4Net, index: u32, gateway: Option<Ipv4Addr>) -> RouteMessage {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(table)
        .destination_prefix(destination.addr(), destination.prefix_len())
        .output_interface(index);
    let route = match gateway {
        Some(gateway) => route.gateway(gateway).onlink(),
        None => route.scope(netlink_packet_route::route::RouteScope::Link),
    };
    route.build()
}
