//! The address plan of the lab. `e` is the position of an edge, `t` of a transport, `n` of a node, all from 0.
//!
//! | what | IPv4 | IPv6 |
//! |---|---|---|
//! | uplink of edge `e` on transport `t` | `100.(64+t).0.0/16`, the /31 number `e`: router even, edge odd (RFC 6598 space) | `fd70:6174:6870:(1000+t)::/64`, the /127 number `e` |
//! | WireGuard device of edge `e` on transport `t`, where there may be one | `100.(96+t).0.0/16`, host `e+1` (RFC 6598 space) | |
//! | tunnel device of edge `e` in network `k` | `198.18.0.0/15`, the /21 number `k`, host `e+1` (RFC 2544 space) | `fd70:6174:6870:(4000+k)::/64`, host `e+1` |
//! | link of node `n` to its edge | `172.20.0.0/14`, the /30 number `n`: edge `.1`, node `.2` | `fd70:6174:6870:2000::/64`, the /126 number `n` |
//! | link of edge `e` to its site's inspection service | `100.127.0.0/16`, the /30 number `e`: edge `.1`, service `.2` | `fd70:6174:6870:3000::/64`, the /126 number `e` |
//! | system IP of edge `e` | `10.255.0.0/16`, host `e+1`, unless the topology chooses; an identifier, never routed | |
//! | pods of the cluster's node `i` | its pod CIDR, the /24 number `i`; gateway `.1` | the /64 number `i`; gateway `::1` |
//!
//! Network `k` of tunnel devices is `(position of the service VPN) × (transports) + t`. Where more than 64 are needed,
//! they are no larger than the edges need. `fd70:6174:6870::/48` is a unique local prefix (RFC 4193); its 40 bits spell
//! "pathp". The ranges are refused to clusters by the reader.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{NodePlan, PlanError};
use crate::model::{DualNet, IpVersion, Topology};

/// Most edges that a /21 and the system IPs hold.
pub(super) const EDGES_MAX: usize = 2000;
/// The prefix length of the networks of tunnel devices, unless there are too many.
const TUNNEL_PREFIX_LEN: u8 = 21;
/// `198.18.0.0/15`.
const TUNNELS: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 15);
/// The first 48 bits of all IPv6 addresses of the lab.
const UNIQUE_LOCAL: u128 = 0xfd70_6174_6870 << 80;

/// A /64 of the lab.
fn subnet(number: u128) -> u128 {
    UNIQUE_LOCAL + (number << 64)
}

/// The router's and the edge's address on the link between them.
pub(super) fn uplink(underlay: IpVersion, edge: usize, transport: usize) -> (IpNet, IpNet) {
    match underlay {
        IpVersion::V4 => {
            let base = Ipv4Addr::new(100, 64 + small(transport), 0, 0);
            let link = u32::from(base) + 2 * number(edge);
            (IpNet::V4(v4(link, 31)), IpNet::V4(v4(link + 1, 31)))
        }
        IpVersion::V6 => {
            let link = subnet(0x1000 + u128::from(small(transport))) + 2 * u128::from(number(edge));
            (IpNet::V6(v6(link, 127)), IpNet::V6(v6(link + 1, 127)))
        }
    }
}

/// The edge's and the service's addresses on the link between an edge and the inspection service of its site.
pub(super) fn inspection(edge: usize, has_v6: bool) -> (DualNet, DualNet) {
    let link_v4 = u32::from(Ipv4Addr::new(100, 127, 0, 0)) + 4 * number(edge);
    let link_v6 = subnet(0x3000) + 4 * u128::from(number(edge));
    let on_link = |host: u32| DualNet {
        v4: Some(v4(link_v4 + host, 30)),
        v6: has_v6.then(|| v6(link_v6 + u128::from(host), 126)),
    };
    (on_link(1), on_link(2))
}

/// The address of an edge inside the `WireGuard` of a transport.
pub(super) fn wireguard(edge: usize, transport: usize) -> Ipv4Addr {
    let first = Ipv4Addr::new(100, 96 + small(transport), 0, 1);
    (u32::from(first) + number(edge)).into()
}

/// The networks of tunnel devices.
pub(super) struct TunnelNetworks {
    prefix_len: u8,
    transports: usize,
}

impl TunnelNetworks {
    /// As many as the topology needs.
    pub(super) fn of(topology: &Topology) -> Result<Self, PlanError> {
        let (transports, edges) = (topology.transports.len(), topology.sites.len());
        if edges > EDGES_MAX {
            return Err(PlanError::Sites {
                topology: topology.name.clone(),
                count: edges,
            });
        }
        let count = transports * topology.service_vpns().len();
        let holds = |prefix_len: u8| 1_usize << (prefix_len - TUNNELS.1);
        // The network's own address and the broadcast address are not for hosts.
        let bits = (edges + 2).next_power_of_two().trailing_zeros();
        let tightest = 32 - u8::try_from(bits).expect("the edges have just been counted");
        let prefix_len = if count <= holds(TUNNEL_PREFIX_LEN) {
            TUNNEL_PREFIX_LEN
        } else {
            tightest
        };
        if count > holds(prefix_len) {
            return Err(PlanError::Tunnels {
                topology: topology.name.clone(),
                count,
                holds: holds(prefix_len),
            });
        }
        Ok(Self {
            prefix_len,
            transports,
        })
    }

    /// The inner addresses of a tunnel device; `service_vpn` is a position.
    pub(super) fn address(&self, edge: usize, transport: usize, service_vpn: usize, has_v6: bool) -> DualNet {
        let network = number(service_vpn * self.transports + transport);
        let host = number(edge) + 1;
        let first = u32::from(TUNNELS.0) + (network << (32 - self.prefix_len));
        let six = subnet(0x4000 + u128::from(network)) + u128::from(host);
        DualNet {
            v4: Some(v4(first + host, self.prefix_len)),
            v6: has_v6.then(|| v6(six, 64)),
        }
    }
}

/// The system IPs of all edges: what the topology chooses, for the others what it leaves.
pub(super) fn system_ips(topology: &Topology) -> Vec<Ipv4Addr> {
    let chosen: HashSet<Ipv4Addr> = topology.sites.iter().filter_map(|site| site.system_ip).collect();
    let default = |edge: usize| {
        let first = u32::from(Ipv4Addr::new(10, 255, 0, 1)) + number(edge);
        // Steps of the number of sites: no two edges ever come upon the same one.
        let free = (first..)
            .step_by(topology.sites.len())
            .map(Ipv4Addr::from)
            .find(|address| !chosen.contains(address));
        free.expect("there are far fewer sites than addresses")
    };
    let sites = topology.sites.iter().enumerate();
    sites
        .map(|(edge, site)| site.system_ip.unwrap_or_else(|| default(edge)))
        .collect()
}

/// The nodes of all clusters with their addresses.
pub(super) fn nodes(topology: &Topology) -> Vec<NodePlan> {
    let sites = topology.sites.iter().enumerate();
    let edges: HashMap<&str, usize> = sites.map(|(edge, site)| (site.name.as_str(), edge)).collect();
    let mut nodes = Vec::new();
    for (cluster, spec) in topology.clusters.iter().enumerate() {
        for (position, node) in spec.nodes.iter().enumerate() {
            let n = nodes.len();
            let link_v4 = u32::from(Ipv4Addr::new(172, 20, 0, 0)) + 4 * number(n);
            let link_v6 = subnet(0x2000) + 4 * u128::from(number(n));
            let on_link = |host: u32| DualNet {
                v4: spec.pod_cidr.v4.map(|_| v4(link_v4 + host, 30)),
                v6: spec.pod_cidr.v6.map(|_| v6(link_v6 + u128::from(host), 126)),
            };
            nodes.push(NodePlan {
                name: node.name.clone(),
                cluster,
                service_vpn: spec.service_vpn,
                edge: *edges
                    .get(node.site.as_str())
                    .expect("the reader has checked that the site exists"),
                edge_interface: format!("lan{n}"),
                edge_address: on_link(1),
                address: on_link(2),
                pod_cidr: pods(&spec.pod_cidr, position),
            });
        }
    }
    nodes
}

fn pods(cluster: &DualNet, node: usize) -> DualNet {
    DualNet {
        v4: cluster
            .v4
            .map(|net| v4(u32::from(net.network()) + (number(node) << 8), 24)),
        v6: cluster
            .v6
            .map(|net| v6(u128::from(net.network()) + (u128::from(number(node)) << 64), 64)),
    }
}

fn v4(address: u32, prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new(address.into(), prefix_len).expect("prefix lengths here are below 33")
}

fn v6(address: u128, prefix_len: u8) -> Ipv6Net {
    Ipv6Net::new(Ipv6Addr::from(address), prefix_len).expect("prefix lengths here are below 129")
}

fn number(position: usize) -> u32 {
    u32::try_from(position).expect("a topology has far fewer than 2^32 of anything")
}

fn small(transport: usize) -> u8 {
    u8::try_from(transport).expect("there are 22 colors")
}
