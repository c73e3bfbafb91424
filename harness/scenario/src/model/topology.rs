//! The resolved topology: transports, sites, the overlay between them, clusters and leaks.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::Fault;

/// The 22 TLOC colors of Cisco Catalyst SD-WAN, in the order of the MIB's enumeration.
pub const COLORS: [&str; 22] = [
    "default",
    "mpls",
    "metro-ethernet",
    "biz-internet",
    "public-internet",
    "lte",
    "3g",
    "red",
    "green",
    "blue",
    "gold",
    "silver",
    "bronze",
    "custom1",
    "custom2",
    "custom3",
    "private1",
    "private2",
    "private3",
    "private4",
    "private5",
    "private6",
];

/// One of [`COLORS`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Color(String);

impl Color {
    /// The color of that name, or `None` when Cisco has no such color.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        COLORS.contains(&name).then(|| Self(name.to_owned()))
    }

    /// Its name as the Manager spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sites, transports and clusters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Topology {
    /// `metadata.name`.
    pub name: String,
    /// Transports by name, in the order of the file; 1 to 22.
    pub transports: Vec<Transport>,
    /// The transports that traffic takes when no policy matches it, at least one. Flows are shared over them.
    pub default_transports: Vec<String>,
    /// How tunnels are probed.
    pub bfd: BfdTiming,
    /// How tunnels are judged.
    pub sla: SlaTiming,
    /// Sites by name, in the order of the file.
    pub sites: Vec<Site>,
    /// Between which sites there are tunnels.
    pub overlay: Overlay,
    /// Clusters, in the order of the file.
    pub clusters: Vec<Cluster>,
    /// The clusters that Cilium Cluster Mesh joins, in the order of the file: none, or at least two, each with routes to
    /// the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster_mesh: Vec<String>,
    /// Pairs of service VPNs that have routes to each other, the smaller first, in ascending order. Not transitive.
    pub leaks: Vec<(u16, u16)>,
}

impl Topology {
    /// The service VPNs of the clusters, in the order in which the file first names them.
    #[must_use]
    pub fn service_vpns(&self) -> Vec<u16> {
        let mut service_vpns = Vec::new();
        for cluster in &self.clusters {
            if !service_vpns.contains(&cluster.service_vpn) {
                service_vpns.push(cluster.service_vpn);
            }
        }
        service_vpns
    }

    /// Whether routes of one service VPN are in the routing table of the other: the same one, or leaked.
    #[must_use]
    pub fn share_routes(&self, a: u16, b: u16) -> bool {
        a == b || self.leaks.contains(&(a.min(b), a.max(b)))
    }
}

/// How often each tunnel is probed, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BfdTiming {
    /// Time between hellos, 10 ms to 300 s.
    pub hello: Duration,
    /// So many hellos lost in a row take a tunnel down, 1 to 60.
    pub multiplier: u8,
}

impl Default for BfdTiming {
    /// What suits a lab, whose runs take seconds: Cisco's own default is 1 s and 7.
    fn default() -> Self {
        Self {
            hello: Duration::from_millis(50),
            multiplier: 3,
        }
    }
}

/// How the loss, latency and jitter of tunnels are judged against SLA classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SlaTiming {
    /// How long the hellos are counted that make one value; at least one hello, 24 h at most.
    pub poll_interval: Duration,
    /// A tunnel is judged by the mean of so many values, 1 to 6.
    pub multiplier: u8,
    /// A tunnel that violated a class counts as meeting it again when it has met it for so long; 24 h at most.
    pub hold_down: Duration,
}

impl SlaTiming {
    /// The default beside hellos so far apart: values of four hellos, the mean of five values, held down for the
    /// time of those. With the default hello that is 200 ms, 5 and 1 s; Cisco's own is 10 minutes and 6.
    #[must_use]
    pub fn of_hello(hello: Duration) -> Self {
        let (poll_interval, multiplier) = (4 * hello, 5);
        Self {
            poll_interval,
            multiplier,
            hold_down: u32::from(multiplier) * poll_interval,
        }
    }
}

/// A transport network: one underlay that WAN edges attach to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transport {
    /// Its name, such as `bizinternet`; tunnels over it are called `tunnel/<name>`.
    pub name: String,
    /// The color of the TLOCs on it; unique within a topology.
    pub color: Color,
    /// How tunnels over it wrap packets.
    pub encap: Encap,
    /// The IP version of its addresses.
    pub underlay: IpVersion,
    /// Its largest packet in bytes, 576 to 65535.
    pub mtu: u32,
    /// What is wrong with it from the beginning; at most one of a kind in each scope.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// The encapsulation of tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encap {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Ethernet in GRE with a key (RFC 2890).
    Gre,
    /// VXLAN in `WireGuard`.
    Wireguard,
    /// VXLAN in ESP in transport mode, AES-GCM (RFC 4106).
    Ipsec,
    /// Encrypted, by the best that the machine has.
    Auto,
}

impl Encap {
    /// All, as they are written.
    pub const NAMES: [(&str, Self); 5] = [
        ("vxlan", Self::Vxlan),
        ("gre", Self::Gre),
        ("wireguard", Self::Wireguard),
        ("ipsec", Self::Ipsec),
        ("auto", Self::Auto),
    ];

    /// Whether nobody on the transport can read the packets.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Wireguard | Self::Ipsec | Self::Auto)
    }

    /// The largest packet, in bytes, that a tunnel carries over a transport with that largest packet and without
    /// fragments; 0 where there is no room.
    #[must_use]
    pub const fn tunnel_mtu(self, mtu: u32, underlay: IpVersion) -> u32 {
        const ETHERNET: u32 = 14;
        const UDP: u32 = 8;
        const VXLAN: u32 = 8;
        /// With the key present (RFC 2890 section 2).
        const GRE: u32 = 8;
        /// A data message's header and authentication tag.
        const WIREGUARD: u32 = 16 + 16;
        /// SPI and sequence number, IV, and the tag (RFC 4303, RFC 4106).
        const ESP: u32 = 8 + 8 + 16;
        const ESP_TRAILER: u32 = 2;
        const IPV4: u32 = 20;
        let ip = match underlay {
            IpVersion::V4 => IPV4,
            IpVersion::V6 => 40,
        };
        let vxlan = UDP + VXLAN + ETHERNET;
        let taken = match self {
            Self::Vxlan => ip + vxlan,
            Self::Gre => ip + GRE + ETHERNET,
            // The trailer ends on a boundary of 4 bytes (RFC 4303 section 2.4): what is beyond the last is of no use.
            Self::Ipsec => ip + ESP + ESP_TRAILER + vxlan + mtu.saturating_sub(ip + ESP) % 4,
            // Its address inside is of IPv4, whatever the underlay. `Auto` may turn out to be this one, or ESP, which
            // takes less.
            Self::Wireguard | Self::Auto => ip + UDP + WIREGUARD + IPV4 + vxlan,
        };
        mtu.saturating_sub(taken)
    }

    /// Whether a machine may come to carry it by `WireGuard`.
    #[must_use]
    pub const fn may_be_wireguard(self) -> bool {
        matches!(self, Self::Wireguard | Self::Auto)
    }
}

/// A version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum IpVersion {
    /// RFC 791.
    #[serde(rename = "ipv4")]
    V4,
    /// RFC 8200.
    #[serde(rename = "ipv6")]
    V6,
}

impl IpVersion {
    /// The smallest MTU of a link that carries it: RFC 8200 section 5; for IPv4 what every host must be able to
    /// receive (RFC 1122 section 3.3.2).
    #[must_use]
    pub const fn mtu_min(self) -> u32 {
        match self {
            Self::V4 => 576,
            Self::V6 => 1280,
        }
    }
}

impl fmt::Display for IpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A site: one WAN edge and the nodes behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// The site id that the Manager knows, 1 to 4294967295; unique.
    pub id: u32,
    /// The system IP of its WAN edge, when the file chooses one; unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_ip: Option<Ipv4Addr>,
    /// The transports that its WAN edge attaches to, in the order of [`Topology::transports`]; at least one.
    pub transports: Vec<String>,
    /// Whether it has an inspection service, a host that takes copies of packets.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_inspection: bool,
}

/// Between which sites there are tunnels, and who forwards for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlay {
    /// Which pairs of sites have tunnels, over each transport that both attach to.
    pub links: OverlayLinks,
    /// Sites that forward between others, in the order of [`Topology::sites`]: hubs, and those listed.
    pub transit: Vec<String>,
}

/// Which pairs of sites have tunnels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlayLinks {
    /// All.
    FullMesh,
    /// Those with a hub in them.
    Hubs(Vec<String>),
    /// These, each at most once.
    Pairs(Vec<OverlayPair>),
}

/// Two sites that have tunnels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverlayPair {
    /// Two different sites.
    pub between: (String, String),
    /// Over these transports, which both attach to; at least one.
    pub transports: Vec<String>,
}

/// A Kubernetes cluster whose nodes sit at sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The pod CIDRs; each node gets a /24 of the IPv4 one and a /64 of the IPv6 one, in order.
    pub pod_cidr: DualNet,
    /// The ClusterIP ranges, of the same IP versions.
    pub service_cidr: DualNet,
    /// The service VPN that carries its traffic, 1-511 or 513-65527; also the VXLAN VNI.
    pub service_vpn: u16,
    /// Nodes, in the order of the file.
    pub nodes: Vec<Node>,
}

/// A Kubernetes node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name, unique in the topology.
    pub name: String,
    /// The site that it stands at.
    pub site: String,
}

/// Ranges or interface addresses of one thing: of IPv4, of IPv6, or one of each. Where both are, IPv4 is the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DualNet {
    /// The one of IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v4: Option<Ipv4Net>,
    /// The one of IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v6: Option<Ipv6Net>,
}

impl DualNet {
    /// Those that there are, the primary first.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + use<> {
        let (v4, v6) = (self.v4.map(IpNet::V4), self.v6.map(IpNet::V6));
        v4.into_iter().chain(v6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encapsulation_takes_what_the_headers_of_its_rfcs_take() {
        let taken = Encap::NAMES.map(|(name, encap)| {
            let over = |underlay| 1500 - encap.tunnel_mtu(1500, underlay);
            (name, over(IpVersion::V4), over(IpVersion::V6))
        });
        let expected = [
            ("vxlan", 50, 70),
            ("gre", 42, 62),
            ("wireguard", 110, 130),
            ("ipsec", 84, 104),
            ("auto", 110, 130),
        ];
        assert_eq!(taken, expected);
        let with_padding = |mtu| mtu - Encap::Ipsec.tunnel_mtu(mtu, IpVersion::V4);
        assert_eq!([1501, 1502, 1503, 1504].map(with_padding), [85, 86, 87, 84]);
    }
}
