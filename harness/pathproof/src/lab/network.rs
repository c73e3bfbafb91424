//! The wires of a plan: transports, WAN edges and nodes, linked and routed.
//!
//! Owns the order in which they come up, and their links and routes; what netsim is told of an edge is `spec`'s, and
//! link-layer addresses are `mac`'s. Pods come later, one by one (see [`super::pods`]).

mod mac;
mod spec;

use std::net::IpAddr;
use std::sync::Arc;

use futures::future::try_join_all;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netsim::encap::wireguard::Wireguard;
use netsim::fabric::edge::EdgeError;
use netsim::fabric::{Edge, Families, Forwarding, Host, HostError, LinkEnd, Mac, TABLE_MAIN};
use scenario::model::{DualNet, IpVersion};
use scenario::plan::{EdgePlan, NodePlan, Plan, TlocPlan};

use super::carriage::{Carriage, Outside};
use super::sabotage::Sabotage;
pub use mac::{inspection_mac, node_mac, pod_macs, router_mac, tunnel_mac};
use spec::edge_spec;

/// The hosts of a lab, in the orders of the plan.
#[derive(Debug)]
pub struct Network {
    /// Underlay routers.
    pub transports: Vec<Arc<Host>>,
    /// WAN edges.
    pub edges: Vec<Arc<Edge>>,
    /// Kubernetes nodes.
    pub nodes: Vec<Arc<Host>>,
    /// Inspection services of sites that have one. They forward nothing: what they get ends there.
    pub inspections: Vec<Host>,
    /// Of each edge, what its tunnels look like on the underlay.
    pub outside: Vec<Vec<Outside>>,
    /// Held for the threads that do their work.
    _wireguards: Vec<Wireguard>,
}

impl Network {
    /// Builds the wires of a plan.
    ///
    /// # Errors
    /// [`EdgeError`], whatever failed.
    pub async fn build(
        plan: &Plan,
        carriage: &Carriage<'_>,
        sabotage: Option<Sabotage>,
    ) -> Result<Self, EdgeError> {
        let transports = try_join_all(plan.transports.iter().map(|transport| async move {
            let name = format!("transport-{}", transport.name);
            let families = families(transport.underlay == IpVersion::V6);
            Host::create_speaking(&name, Forwarding::On, families).await
        }));
        let edges = try_join_all(plan.edges.iter().map(|edge| async move {
            let name = format!("edge-{}", edge.site);
            Host::create_speaking(&name, Forwarding::On, families(edge_speaks_ipv6(plan, edge))).await
        }));
        let nodes = try_join_all(plan.nodes.iter().map(|node| async move {
            let families = families(node.pod_cidr.v6.is_some());
            Host::create_speaking(&node.name, Forwarding::On, families).await
        }));
        let (transports, edges, nodes) = tokio::try_join!(transports, edges, nodes)?;
        try_join_all((0..edges.len()).map(|edge| attach_uplinks(plan, edge, &edges[edge], &transports)))
            .await?;
        try_join_all((0..nodes.len()).map(|node| attach_node(plan, node, &nodes[node], &edges))).await?;
        let inspections =
            try_join_all((0..edges.len()).map(|edge| attach_inspection(plan, edge, &edges[edge])));
        let inspections = inspections.await?.into_iter().flatten().collect();
        let beneath = plan.edges.iter().zip(&edges).enumerate();
        let beneath = beneath.flat_map(|(position, (edge, host))| {
            let tlocs = edge.tlocs.iter();
            tlocs.map(move |tloc| carriage.establish(position, tloc, host))
        });
        let wireguards = try_join_all(beneath).await?.into_iter().flatten().collect();
        let edges = edges.into_iter().enumerate().map(|(position, host)| async move {
            Edge::create(host, edge_spec(plan, carriage, position, sabotage))
                .await
                .map(Arc::new)
        });
        let edges = try_join_all(edges).await?;
        let nodes = nodes.into_iter().map(Arc::new).collect();
        Ok(Self {
            transports: transports.into_iter().map(Arc::new).collect(),
            edges,
            nodes,
            inspections,
            outside: outside(plan, carriage),
            _wireguards: wireguards,
        })
    }
}

fn outside(plan: &Plan, carriage: &Carriage<'_>) -> Vec<Vec<Outside>> {
    let edges = plan.edges.iter();
    edges
        .map(|edge| edge.tlocs.iter().map(|tloc| carriage.outside(tloc)).collect())
        .collect()
}

fn families(has_ipv6: bool) -> Families {
    if has_ipv6 { Families::Both } else { Families::Ipv4 }
}

fn edge_speaks_ipv6(plan: &Plan, edge: &EdgePlan) -> bool {
    let mut tlocs = edge.tlocs.iter();
    tlocs.any(|tloc| {
        let devices = tloc.tunnels.iter();
        let mut inner = devices.map(|device| device.address.v6);
        plan.transports[tloc.transport].underlay == IpVersion::V6 || inner.any(|address| address.is_some())
    })
}

async fn attach_uplinks(plan: &Plan, edge: usize, host: &Host, transports: &[Host]) -> Result<(), HostError> {
    for tloc in &plan.edges[edge].tlocs {
        let transport = tloc.transport;
        let near = LinkEnd {
            interface: tloc.uplink.clone(),
            mac: Mac::local(mac::kind::UPLINK, mac::tloc_number(edge, transport)),
            addresses: vec![tloc.uplink_address],
        };
        let far = LinkEnd {
            interface: router_interface(edge),
            mac: router_mac(edge, transport),
            addresses: vec![tloc.router_address],
        };
        let mtu = plan.transports[transport].mtu;
        host.link(&near, &transports[transport], &far, mtu).await?;
        add_underlay_routes(plan, tloc, host).await?;
    }
    Ok(())
}

/// The outer addresses of the edges at the other ends of the tunnels of a TLOC.
fn remote_uplinks(plan: &Plan, tloc: &TlocPlan) -> impl Iterator<Item = IpNet> {
    let remotes = tloc.remotes.iter();
    remotes.filter_map(|remote| {
        Some(
            plan.tloc(remote.edge, tloc.transport)?
                .uplink_address
                .addr()
                .into(),
        )
    })
}

async fn add_underlay_routes(plan: &Plan, tloc: &TlocPlan, edge: &Host) -> Result<(), HostError> {
    let gateway = Some(tloc.router_address.addr());
    for remote in remote_uplinks(plan, tloc) {
        edge.add_route(TABLE_MAIN, remote, &tloc.uplink, gateway).await?;
    }
    Ok(())
}

/// A transport's interface towards an edge.
#[must_use]
pub fn router_interface(edge: usize) -> String {
    format!("edge{edge}")
}

/// Takes the link of an edge to a transport down at the transport's end, or brings it up again; the edge has no
/// routes over it meanwhile. An edge that is not attached to the transport has no link to cut.
///
/// # Errors
/// [`HostError`].
pub async fn set_link(
    plan: &Plan,
    (number, edge): (usize, &Host),
    (transport, router): (usize, &Host),
    is_cut: bool,
) -> Result<(), HostError> {
    let Some(tloc) = plan.tloc(number, transport) else {
        return Ok(());
    };
    let interface = router_interface(number);
    if is_cut {
        // Before the link goes: what the edge still sent over it then, a tap would see and no counter tell.
        for remote in remote_uplinks(plan, tloc) {
            edge.remove_route(TABLE_MAIN, remote).await?;
        }
        return router.set_down(&interface).await;
    }
    router.set_up_again(&interface).await?;
    edge.await_carrier(&tloc.uplink).await?;
    let mac = Mac::local(mac::kind::UPLINK, mac::tloc_number(number, transport));
    router
        .replace_neighbour(&interface, tloc.uplink_address.addr(), mac)
        .await?;
    add_underlay_routes(plan, tloc, edge).await
}

async fn attach_node(plan: &Plan, position: usize, node: &Host, edges: &[Host]) -> Result<(), HostError> {
    let spec = &plan.nodes[position];
    let near = LinkEnd {
        interface: spec.edge_interface.clone(),
        mac: Mac::local(mac::kind::EDGE_TO_NODE, mac::position(position)),
        addresses: spec.edge_address.iter().collect(),
    };
    let far = LinkEnd {
        interface: "eth0".to_owned(),
        mac: node_mac(position),
        addresses: spec.address.iter().collect(),
    };
    edges[spec.edge].link(&near, node, &far, plan.pod_mtu()).await?;
    // Native routing with autoDirectNodeRoutes off: the next hop for other nodes' pods is the edge.
    for address in spec.edge_address.iter() {
        node.add_route(TABLE_MAIN, default_route(address), "eth0", Some(address.addr()))
            .await?;
    }
    for gateway in pod_gateways(spec) {
        node.add_loopback_address(gateway).await?;
    }
    Ok(())
}

/// Gives an edge the inspection service of its site, if that has one.
async fn attach_inspection(plan: &Plan, edge: usize, host: &Host) -> Result<Option<Host>, HostError> {
    let spec = &plan.edges[edge];
    let Some(inspection) = &spec.inspection else {
        return Ok(None);
    };
    let families = families(inspection.address.v6.is_some());
    let service = Host::create_speaking(&format!("ids-{}", spec.site), Forwarding::Off, families).await?;
    let near = LinkEnd {
        interface: inspection.interface.clone(),
        mac: Mac::local(mac::kind::EDGE_TO_INSPECTION, mac::position(edge)),
        addresses: inspection.edge_address.iter().collect(),
    };
    let far = LinkEnd {
        interface: "eth0".to_owned(),
        mac: inspection_mac(edge),
        addresses: inspection.address.iter().collect(),
    };
    host.link(&near, &service, &far, plan.pod_mtu()).await?;
    Ok(Some(service))
}

/// The default route of the family of `net`.
#[must_use]
pub fn default_route(net: IpNet) -> IpNet {
    match net {
        IpNet::V4(_) => Ipv4Net::default().into(),
        IpNet::V6(_) => Ipv6Net::default().into(),
    }
}

/// The addresses that the pods of a node use as their gateways, one of each family that they have.
pub fn pod_gateways(node: &NodePlan) -> impl Iterator<Item = IpAddr> {
    node.pod_cidr.iter().map(|net| nth_address(net, 1))
}

/// The address at an offset in a prefix.
///
/// # Panics
/// When the prefix is at the very end of its address family and the offset leads beyond.
#[must_use]
pub fn nth_address(net: IpNet, offset: u32) -> IpAddr {
    match net {
        IpNet::V4(net) => IpAddr::V4((u32::from(net.network()) + offset).into()),
        IpNet::V6(net) => IpAddr::V6((u128::from(net.network()) + u128::from(offset)).into()),
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
