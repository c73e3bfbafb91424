//! WAN edges: their uplinks, tunnel devices and remotes, and the routes through those.

use std::net::Ipv4Addr;

use ipnet::IpNet;

use super::addresses::{self, TunnelNetworks};
use super::{
    EdgePlan, InspectionPlan, NodePlan, PlanError, PrefixPlan, RemotePlan, TlocPlan, TunnelPlan,
    WireguardPlan,
};
use crate::model::Topology;
use crate::overlay::{Graph, Vertex, positions};

/// The edges of a topology.
pub(super) fn edges(topology: &Topology, nodes: &[NodePlan]) -> Result<Vec<EdgePlan>, PlanError> {
    let networks = TunnelNetworks::of(topology)?;
    let graph = Graph::of(topology);
    let routes = routes(topology, &graph, nodes);
    let wan = Wan {
        topology,
        networks,
        has_v6: graph
            .service_vpns
            .iter()
            .map(|of| carries_v6(topology, *of))
            .collect(),
        graph,
    };
    let edges = addresses::system_ips(topology)
        .into_iter()
        .zip(routes)
        .enumerate();
    Ok(edges
        .map(|(edge, (system_ip, routes))| wan.edge(edge, system_ip, routes))
        .collect())
}

struct Wan<'t> {
    topology: &'t Topology,
    graph: Graph,
    networks: TunnelNetworks,
    /// For each service VPN, whether its tunnel devices have IPv6 addresses.
    has_v6: Vec<bool>,
}

impl Wan<'_> {
    fn edge(&self, edge: usize, system_ip: Ipv4Addr, mut routes: Vec<Vec<PrefixPlan>>) -> EdgePlan {
        let (spec, site) = (&self.topology.sites[edge], &self.graph.sites[edge]);
        EdgePlan {
            site: spec.name.clone(),
            site_id: spec.id,
            system_ip,
            is_transit: site.is_transit,
            service_vpns: site
                .service_vpns
                .iter()
                .map(|of| self.graph.service_vpns[*of])
                .collect(),
            tlocs: positions(site.transports)
                .map(|transport| self.tloc(edge, transport, &mut routes))
                .collect(),
            inspection: spec.has_inspection.then(|| {
                let has_v6 = site.service_vpns.iter().any(|of| self.has_v6[*of]);
                let (edge_address, address) = addresses::inspection(edge, has_v6);
                InspectionPlan {
                    interface: "ids0".to_owned(),
                    edge_address,
                    address,
                }
            }),
        }
    }

    fn tloc(&self, edge: usize, transport: usize, routes: &mut [Vec<PrefixPlan>]) -> TlocPlan {
        let site = &self.graph.sites[edge];
        let underlay = self.topology.transports[transport].underlay;
        let (router_address, uplink_address) = addresses::uplink(underlay, edge, transport);
        let tunnels = site.service_vpns.iter().map(|of| TunnelPlan {
            service_vpn: self.graph.service_vpns[*of],
            interface: tunnel_interface(transport, *of),
            address: self.networks.address(edge, transport, *of, self.has_v6[*of]),
        });
        TlocPlan {
            transport,
            uplink: uplink_interface(transport),
            uplink_address,
            router_address,
            wireguard: self.topology.transports[transport]
                .encap
                .may_be_wireguard()
                .then(|| WireguardPlan {
                    interface: format!("wg{transport}"),
                    address: addresses::wireguard(edge, transport),
                }),
            tunnels: tunnels.collect(),
            remotes: remotes(site, transport, routes),
        }
    }
}

/// The interface of an edge towards a transport.
pub(crate) fn uplink_interface(transport: usize) -> String {
    format!("wan{transport}")
}

/// `tun3` for the first service VPN, `tun3v1` for the second: at most `tun21v65526`, which fits into the 15 bytes
/// that the kernel leaves for a name (`IFNAMSIZ` less the final zero). With GRE `r` and a position among remotes follow:
/// 131,072 tunnel devices are all that there are addresses for, so both numbers together have 8 digits at most.
fn tunnel_interface(transport: usize, service_vpn: usize) -> String {
    match service_vpn {
        0 => format!("tun{transport}"),
        later => format!("tun{transport}v{later}"),
    }
}

fn carries_v6(topology: &Topology, service_vpn: u16) -> bool {
    topology.clusters.iter().any(|cluster| {
        cluster.pod_cidr.v6.is_some() && topology.share_routes(cluster.service_vpn, service_vpn)
    })
}

/// The neighbours of a site on a transport. Their routes are taken by the last transport that has them.
fn remotes(site: &Vertex, transport: usize, routes: &mut [Vec<PrefixPlan>]) -> Vec<RemotePlan> {
    let mut remotes = Vec::new();
    for (neighbour, routes) in site.neighbours.iter().zip(routes) {
        if neighbour.transports >> transport & 1 == 0 {
            continue;
        }
        let is_last = neighbour.transports >> transport == 1;
        remotes.push(RemotePlan {
            edge: neighbour.site,
            prefixes: if is_last {
                std::mem::take(routes)
            } else {
                routes.clone()
            },
        });
    }
    remotes
}

/// For each site and each of its neighbours, the routes through it.
fn routes(topology: &Topology, graph: &Graph, nodes: &[NodePlan]) -> Vec<Vec<Vec<PrefixPlan>>> {
    let mut at_site: Vec<Vec<&NodePlan>> = vec![Vec::new(); graph.sites.len()];
    for node in nodes {
        at_site[node.edge].push(node);
    }
    let neighbours = graph
        .sites
        .iter()
        .map(|site| vec![Vec::new(); site.neighbours.len()]);
    let mut routes: Vec<Vec<Vec<PrefixPlan>>> = neighbours.collect();
    for (position, service_vpn) in graph.service_vpns.iter().enumerate() {
        for (destination, nodes) in at_site.iter().enumerate() {
            let nodes = nodes
                .iter()
                .filter(|node| topology.share_routes(node.service_vpn, *service_vpn));
            let prefixes: Vec<IpNet> = nodes.flat_map(|node| node.pod_cidr.iter()).collect();
            if prefixes.is_empty() {
                continue;
            }
            for hop in graph.next_hops(position, destination) {
                routes[hop.from][hop.neighbour].extend(prefixes.iter().map(|prefix| PrefixPlan {
                    service_vpn: *service_vpn,
                    prefix: *prefix,
                    hops: hop.hops,
                }));
            }
        }
    }
    routes
}
