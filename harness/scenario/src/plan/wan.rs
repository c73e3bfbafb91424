//! WAN edges: their uplinks, tunnel devices and remotes, and the routes through those.

use ipnet::IpNet;

use super::addresses::{self, TunnelNetworks};
use super::{EdgePlan, NodePlan, PlanError, PrefixPlan, RemotePlan, TlocPlan, TunnelPlan};
use crate::model::Topology;
use crate::overlay::{Graph, Vertex, positions};

/// The edges of a topology.
pub(super) fn edges(topology: &Topology, nodes: &[NodePlan]) -> Result<Vec<EdgePlan>, PlanError> {
    let networks = TunnelNetworks::of(topology)?;
    let graph = Graph::of(topology);
    let has_v6: Vec<bool> = graph
        .service_vpns
        .iter()
        .map(|of| carries_v6(topology, *of))
        .collect();
    let system_ips = addresses::system_ips(topology);
    let mut routes = routes(topology, &graph, nodes);
    let edge = |position: usize, site: &Vertex| {
        let spec = &topology.sites[position];
        let tlocs = positions(site.transports).map(|transport| {
            let underlay = topology.transports[transport].underlay;
            let (router_address, uplink_address) = addresses::uplink(underlay, position, transport);
            TlocPlan {
                transport,
                uplink: format!("wan{transport}"),
                uplink_address,
                router_address,
                tunnels: site
                    .carries
                    .iter()
                    .map(|of| TunnelPlan {
                        service_vpn: graph.service_vpns[*of],
                        interface: tunnel_interface(transport, *of),
                        address: networks.address(position, transport, *of, has_v6[*of]),
                    })
                    .collect(),
                remotes: remotes(site, transport, &mut routes[position]),
            }
        });
        EdgePlan {
            site: spec.name.clone(),
            site_id: spec.id,
            system_ip: system_ips[position],
            is_transit: site.is_transit,
            service_vpns: site.carries.iter().map(|of| graph.service_vpns[*of]).collect(),
            tlocs: tlocs.collect(),
        }
    };
    let mut edge = edge;
    Ok(graph
        .sites
        .iter()
        .enumerate()
        .map(|(position, site)| edge(position, site))
        .collect())
}

/// `tun3` for the first service VPN, `tun3v1` for the second: at most `tun21v65526`, which fits into the 15 bytes
/// that the kernel leaves for a name (`IFNAMSIZ` less the final zero).
fn tunnel_interface(transport: usize, service_vpn: usize) -> String {
    match service_vpn {
        0 => format!("tun{transport}"),
        later => format!("tun{transport}v{later}"),
    }
}

fn carries_v6(topology: &Topology, service_vpn: u16) -> bool {
    topology
        .clusters
        .iter()
        .any(|cluster| cluster.pod_cidr.v6.is_some() && topology.is_leaked(cluster.service_vpn, service_vpn))
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
                .filter(|node| topology.is_leaked(node.service_vpn, *service_vpn));
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
