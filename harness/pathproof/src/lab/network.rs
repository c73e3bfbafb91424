//! The wires of a plan: transports, WAN edges and nodes, linked and routed.
//!
//! Owns the translation from the plan to netsim. Pods come later, one by one (see [`super::pods`]).

use std::sync::Arc;

use futures::future::try_join_all;
use ipnet::Ipv4Net;
use netsim::fabric::edge::EdgeError;
use netsim::fabric::host::{TABLE_MAIN, VxlanPeer, VxlanSpec};
use netsim::fabric::{Edge, EdgeSpec, Forwarding, Host, HostError, LinkEnd, Mac, TunnelSpec};
use scenario::plan::{EdgePlan, NodePlan, Plan};

use super::sabotage::Sabotage;

/// Largest packet on the underlay.
const UNDERLAY_MTU: u32 = 1500;
/// Outer IPv4, UDP and VXLAN headers and the inner Ethernet header (RFC 7348 section 5).
const VXLAN_OVERHEAD: u32 = 20 + 8 + 8 + 14;
/// Largest packet of pods, nodes and tunnels.
pub const OVERLAY_MTU: u32 = UNDERLAY_MTU - VXLAN_OVERHEAD;

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
                .map(|(position, (spec, node))| attach_node(position, spec, node, &edges[spec.edge])),
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
            address: Some(tloc.uplink_address),
        };
        let far = LinkEnd {
            interface: router_interface(edge_position),
            mac: router_mac(edge_position, transport),
            address: Some(tloc.router_address),
        };
        edge.link(&near, router, &far, UNDERLAY_MTU).await?;
        for other in plan.edges.iter().filter(|other| other.site_id != spec.site_id) {
            let remote = Ipv4Net::from(other.tlocs[transport].uplink_address.addr());
            edge.add_route(TABLE_MAIN, remote, &tloc.uplink, Some(tloc.router_address.addr()))
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
    let gateway = Some(tloc.router_address.addr());
    let others = plan
        .edges
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != number);
    let remotes: Vec<Ipv4Net> = others
        .map(|(_, other)| Ipv4Net::from(other.tlocs[transport].uplink_address.addr()))
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
        .replace_neighbour(&interface, tloc.uplink_address.addr(), mac)
        .await?;
    for remote in &remotes {
        edge.add_route(TABLE_MAIN, *remote, &tloc.uplink, gateway).await?;
    }
    Ok(())
}

async fn attach_node(position: usize, spec: &NodePlan, node: &Host, edge: &Host) -> Result<(), HostError> {
    let near = LinkEnd {
        interface: spec.edge_interface.clone(),
        mac: Mac::local(mac_kind::EDGE_TO_NODE, self::position(position)),
        address: Some(spec.edge_address),
    };
    let far = LinkEnd {
        interface: "eth0".to_owned(),
        mac: node_mac(position),
        address: Some(spec.address),
    };
    edge.link(&near, node, &far, OVERLAY_MTU).await?;
    edge.add_route(
        TABLE_MAIN,
        spec.pod_cidr,
        &spec.edge_interface,
        Some(spec.address.addr()),
    )
    .await?;
    // Native routing with autoDirectNodeRoutes off: the next hop for other nodes' pods is the edge.
    node.add_route(
        TABLE_MAIN,
        Ipv4Net::default(),
        "eth0",
        Some(spec.edge_address.addr()),
    )
    .await?;
    node.add_loopback_address(pod_gateway(spec)).await
}

/// The address that the pods of a node use as their gateway.
#[must_use]
pub fn pod_gateway(node: &NodePlan) -> std::net::Ipv4Addr {
    (u32::from(node.pod_cidr.network()) + 1).into()
}

fn edge_spec(plan: &Plan, position: usize, sabotage: Option<Sabotage>) -> EdgeSpec {
    let edge = &plan.edges[position];
    let mut tunnels: Vec<TunnelSpec> = (0..plan.transports.len())
        .map(|transport| tunnel_spec(plan, position, transport))
        .collect();
    let mut default_tunnel = plan.default_transport;
    if sabotage == Some(Sabotage::SwapTunnels)
        && let Some(other) = (0..tunnels.len()).find(|position| *position != default_tunnel)
    {
        let color = std::mem::take(&mut tunnels[other].color);
        tunnels[other].color = std::mem::replace(&mut tunnels[default_tunnel].color, color);
        default_tunnel = other;
    }
    EdgeSpec {
        site_id: edge.site_id,
        service_vpn: plan.service_vpn,
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
    let others = plan.edges.iter().enumerate().filter(|(other, _)| *other != edge);
    TunnelSpec {
        color: plan.transports[transport].color.clone(),
        device: VxlanSpec {
            interface: tloc.tunnel.clone(),
            vni: u32::from(plan.service_vpn),
            port: plan.transports[transport].vxlan_port,
            local: tloc.uplink_address.addr(),
            mac: tunnel_mac(edge, transport),
            address: tloc.tunnel_address,
            mtu: OVERLAY_MTU,
        },
        remotes: others
            .map(|(other, spec)| {
                let peer = VxlanPeer {
                    underlay: spec.tlocs[transport].uplink_address.addr(),
                    mac: tunnel_mac(other, transport),
                    address: spec.tlocs[transport].tunnel_address.addr(),
                };
                let prefixes = plan
                    .nodes
                    .iter()
                    .filter(|node| node.edge == other)
                    .map(|node| node.pod_cidr);
                (peer, prefixes.collect())
            })
            .collect(),
    }
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
