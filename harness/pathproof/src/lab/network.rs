//! The wires of a plan: transports, WAN edges and nodes, linked and routed.
//!
//! Owns the translation from the plan to netsim. Pods come later, one by one (see [`super::pods`]).

use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::future::try_join_all;
use ipnet::{IpNet, Ipv4Net};
use netsim::fabric::edge::EdgeError;
use netsim::fabric::host::{TABLE_MAIN, VxlanPeer, VxlanSpec};
use netsim::fabric::{Edge, EdgeSpec, Forwarding, Host, HostError, LinkEnd, Mac, TunnelSpec};
use scenario::model::DualNet;
use scenario::plan::{EdgePlan, NodePlan, Plan};

use super::sabotage::Sabotage;

/// Kinds of interfaces, the second octet of their link-layer addresses.
mod mac_kind {
    pub const UPLINK: u8 = 1;
    pub const ROUTER: u8 = 2;
    pub const TUNNEL: u8 = 3;
    pub const EDGE_TO_NODE: u8 = 4;
    pub const NODE: u8 = 5;
    pub const NODE_TO_POD: u8 = 6;
    pub const POD: u8 = 7;
}

/// The link-layer addresses of pod number `n` of the lab: its own and its node's.
#[must_use]
pub fn pod_macs(number: u32) -> (Mac, Mac) {
    (
        Mac::local(mac_kind::POD, number),
        Mac::local(mac_kind::NODE_TO_POD, number),
    )
}

/// The link-layer address of a node's interface towards its edge.
#[must_use]
pub fn node_mac(node: usize) -> Mac {
    Mac::local(mac_kind::NODE, position(node))
}

/// The link-layer address of a transport's interface towards an edge.
#[must_use]
pub fn router_mac(edge: usize, transport: usize) -> Mac {
    Mac::local(mac_kind::ROUTER, tloc_number(edge, transport))
}

/// The link-layer address of an edge's tunnel device on a transport.
#[must_use]
pub fn tunnel_mac(edge: usize, transport: usize) -> Mac {
    Mac::local(mac_kind::TUNNEL, tloc_number(edge, transport))
}

/// The hosts of a lab, in the orders of the plan.
#[derive(Debug)]
pub struct Network {
    /// Underlay routers.
    pub transports: Vec<Arc<Host>>,
    /// WAN edges.
    pub edges: Vec<Arc<Edge>>,
    /// Kubernetes nodes.
    pub nodes: Vec<Arc<Host>>,
}

impl Network {
    /// Builds the wires of a plan.
    ///
    /// # Errors
    /// [`EdgeError`], whatever failed.
    pub async fn build(plan: &Plan, sabotage: Option<Sabotage>) -> Result<Self, EdgeError> {
        let transports = try_join_all(plan.transports.iter().map(|transport| async move {
            Host::create(&format!("transport-{}", transport.name), Forwarding::On).await
        }));
        let edges =
            try_join_all(plan.edges.iter().map(|edge| async move {
                Host::create(&format!("edge-{}", edge.site), Forwarding::On).await
            }));
        let nodes = try_join_all(
            plan.nodes
                .iter()
                .map(|node| async move { Host::create(&node.name, Forwarding::On).await }),
        );
        let (transports, edges, nodes) = tokio::try_join!(transports, edges, nodes)?;
        try_join_all(
            plan.edges
                .iter()
                .zip(&edges)
                .enumerate()
                .map(|(position, (spec, edge))| attach_uplinks(plan, position, spec, edge, &transports)),
        )
        .await?;
        try_join_all(
            plan.nodes
                .iter()
                .zip(&nodes)
                .enumerate()
                .map(|(position, (_, node))| attach_node(plan, position, node, &edges)),
        )
        .await?;
        let edges = edges.into_iter().enumerate().map(|(position, host)| async move {
            Edge::create(host, edge_spec(plan, position, sabotage))
                .await
                .map(Arc::new)
        });
        let edges = try_join_all(edges).await?;
        let nodes = nodes.into_iter().map(Arc::new).collect();
        Ok(Self {
            transports: transports.into_iter().map(Arc::new).collect(),
            edges,
            nodes,
        })
    }
}

async fn attach_uplinks(
    plan: &Plan,
    edge_position: usize,
    spec: &EdgePlan,
    edge: &Host,
    transports: &[Host],
) -> Result<(), HostError> {
    for (transport, (router, tloc)) in transports.iter().zip(&spec.tlocs).enumerate() {
        let near = LinkEnd {
            interface: tloc.uplink.clone(),
            mac: Mac::local(mac_kind::UPLINK, tloc_number(edge_position, transport)),
            address: Some(ipv4(tloc.uplink_address)),
        };
        let far = LinkEnd {
            interface: router_interface(edge_position),
            mac: router_mac(edge_position, transport),
            address: Some(ipv4(tloc.router_address)),
        };
        let mtu = plan.transports[transport].mtu;
        edge.link(&near, router, &far, mtu).await?;
        for other in plan.edges.iter().filter(|other| other.site_id != spec.site_id) {
            let remote = Ipv4Net::from(ipv4(other.tlocs[transport].uplink_address).addr());
            edge.add_route(
                TABLE_MAIN,
                remote,
                &tloc.uplink,
                Some(ipv4(tloc.router_address).addr()),
            )
            .await?;
        }
    }
    Ok(())
}

/// A transport's interface towards an edge.
#[must_use]
pub fn router_interface(edge: usize) -> String {
    format!("edge{edge}")
}

/// Takes the link of an edge to a transport down at the transport's end, or brings it up again; the edge has no
/// routes over it meanwhile.
///
/// # Errors
/// [`HostError`].
pub async fn set_link(
    plan: &Plan,
    (number, edge): (usize, &Host),
    (transport, router): (usize, &Host),
    is_cut: bool,
) -> Result<(), HostError> {
    let interface = router_interface(number);
    let tloc = &plan.edges[number].tlocs[transport];
    let gateway = Some(ipv4(tloc.router_address).addr());
    let others = plan
        .edges
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != number);
    let remotes: Vec<Ipv4Net> = others
        .map(|(_, other)| Ipv4Net::from(ipv4(other.tlocs[transport].uplink_address).addr()))
        .collect();
    if is_cut {
        // Before the link goes: what the edge still sent over it then, a tap would see and no counter tell.
        for remote in &remotes {
            edge.remove_route(TABLE_MAIN, *remote, &tloc.uplink, gateway)
                .await?;
        }
        return router.set_down(&interface).await;
    }
    router.set_up_again(&interface).await?;
    let mac = Mac::local(mac_kind::UPLINK, tloc_number(number, transport));
    router
        .replace_neighbour(&interface, ipv4(tloc.uplink_address).addr(), mac)
        .await?;
    for remote in &remotes {
        edge.add_route(TABLE_MAIN, *remote, &tloc.uplink, gateway).await?;
    }
    Ok(())
}

async fn attach_node(plan: &Plan, position: usize, node: &Host, edges: &[Host]) -> Result<(), HostError> {
    let spec = &plan.nodes[position];
    let edge = &edges[spec.edge];
    let (edge_address, address) = (of_v4(spec.edge_address), of_v4(spec.address));
    let near = LinkEnd {
        interface: spec.edge_interface.clone(),
        mac: Mac::local(mac_kind::EDGE_TO_NODE, self::position(position)),
        address: Some(edge_address),
    };
    let far = LinkEnd {
        interface: "eth0".to_owned(),
        mac: node_mac(position),
        address: Some(address),
    };
    edge.link(&near, node, &far, plan.pod_mtu()).await?;
    edge.add_route(
        TABLE_MAIN,
        of_v4(spec.pod_cidr),
        &spec.edge_interface,
        Some(address.addr()),
    )
    .await?;
    // Native routing with autoDirectNodeRoutes off: the next hop for other nodes' pods is the edge.
    node.add_route(TABLE_MAIN, Ipv4Net::default(), "eth0", Some(edge_address.addr()))
        .await?;
    node.add_loopback_address(pod_gateway(spec)).await
}

/// The address that the pods of a node use as their gateway.
#[must_use]
pub fn pod_gateway(node: &NodePlan) -> Ipv4Addr {
    (u32::from(of_v4(node.pod_cidr).network()) + 1).into()
}

fn edge_spec(plan: &Plan, position: usize, sabotage: Option<Sabotage>) -> EdgeSpec {
    let edge = &plan.edges[position];
    let mut tunnels: Vec<TunnelSpec> = (0..plan.transports.len())
        .map(|transport| tunnel_spec(plan, position, transport))
        .collect();
    let mut default_tunnel = plan
        .default_tlocs(position)
        .next()
        .expect("the reader has checked that each site has a default transport");
    if sabotage == Some(Sabotage::SwapTunnels)
        && let Some(other) = (0..tunnels.len()).find(|position| *position != default_tunnel)
    {
        let color = std::mem::take(&mut tunnels[other].color);
        tunnels[other].color = std::mem::replace(&mut tunnels[default_tunnel].color, color);
        default_tunnel = other;
    }
    EdgeSpec {
        site_id: edge.site_id,
        service_vpn: plan.service_vpns[0],
        service_interfaces: plan
            .nodes
            .iter()
            .filter(|node| node.edge == position)
            .map(|node| node.edge_interface.clone())
            .collect(),
        tunnels,
        default_tunnel,
    }
}

fn tunnel_spec(plan: &Plan, edge: usize, transport: usize) -> TunnelSpec {
    let tloc = &plan.edges[edge].tlocs[transport];
    let device = &tloc.tunnels[0];
    TunnelSpec {
        color: plan.transports[transport].color.clone(),
        device: VxlanSpec {
            interface: device.interface.clone(),
            vni: u32::from(device.service_vpn),
            port: plan.transports[transport].vxlan_port,
            local: uplink_address(plan, edge, transport),
            mac: tunnel_mac(edge, transport),
            address: of_v4(device.address),
            mtu: plan.transports[transport].tunnel_mtu,
        },
        remotes: tloc
            .remotes
            .iter()
            .map(|remote| {
                let spec = &plan.edges[remote.edge].tlocs[transport];
                let peer = VxlanPeer {
                    underlay: uplink_address(plan, remote.edge, transport),
                    mac: tunnel_mac(remote.edge, transport),
                    address: of_v4(spec.tunnels[0].address).addr(),
                };
                let prefixes = remote.prefixes.iter().map(|route| ipv4(route.prefix));
                (peer, prefixes.collect())
            })
            .collect(),
    }
}

/// The address of an edge's uplink to a transport.
#[must_use]
pub fn uplink_address(plan: &Plan, edge: usize, transport: usize) -> Ipv4Addr {
    ipv4(plan.edges[edge].tlocs[transport].uplink_address).addr()
}

/// An address or range of a plan that the lab carries.
fn ipv4(net: IpNet) -> Ipv4Net {
    match net {
        IpNet::V4(net) => net,
        IpNet::V6(net) => unreachable!("the limits of the lab are checked: {net} is not of IPv4"),
    }
}

/// The IPv4 part of what a plan that the lab carries has of each version.
///
/// # Panics
/// When there is none, which [`super::limits::check`] rules out.
#[must_use]
pub fn of_v4(nets: DualNet) -> Ipv4Net {
    nets.v4
        .expect("the limits of the lab are checked: pods have IPv4")
}

/// Numbers the pairs of edge and transport.
fn tloc_number(edge: usize, transport: usize) -> u32 {
    /// One more than the number of colors, rounded up.
    const TRANSPORTS: usize = 32;
    position(edge * TRANSPORTS + transport)
}

fn position(position: usize) -> u32 {
    u32::try_from(position).expect("a lab has far fewer than 2^32 of anything")
}
