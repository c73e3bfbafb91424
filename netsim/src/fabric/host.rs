//! A host of the lab: a namespace, its interfaces, addresses, routes and neighbours.
//!
//! Owns the route netlink requests: addresses and neighbours here, links in `links` and `vxlan`, routes and rules in
//! [`routes`], the kernel's counters in `counters`, the waits for what it does later in `readiness`. It does not know what a host is for. Invariants:
//! every neighbour is permanent and links that carry IPv6 are set to neither ARP nor multicast, so that no ARP,
//! neighbour discovery or MLD packet is ever on a wire; no link is deleted, a host ends as a whole.

mod counters;
mod links;
mod readiness;
pub mod routes;
mod sysctls;
mod vxlan;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use rtnetlink::{Handle, NeighbourAddRequest};

use crate::netns::{Netns, NetnsError, open_netlink};

pub use counters::PacketCount;
pub use links::LinkEnd;
pub use vxlan::{VxlanPeer, VxlanSpec};

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

/// An interface of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Its index in the namespace.
    pub index: u32,
    /// Its link-layer address.
    pub mac: Mac,
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
        let sysctls = sysctls::of(forwarding, families);
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
        let added = self.neighbour(interface, address, mac)?.execute().await;
        added.map_err(|source| self.refused("add neighbour", &address, source))
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
        let neighbour = self.neighbour(interface, address, mac)?.replace();
        let replaced = neighbour.execute().await;
        replaced.map_err(|source| self.refused("replace neighbour", &address, source))
    }

    fn neighbour(
        &self,
        interface: &str,
        address: IpAddr,
        mac: Mac,
    ) -> Result<NeighbourAddRequest, HostError> {
        let index = self.interface(interface)?.index;
        let neighbours = self.netlink.neighbours();
        Ok(neighbours.add(index, address).link_layer_address(&mac.0))
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Interface>> {
        self.interfaces.lock().unwrap_or_else(PoisonError::into_inner)
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
