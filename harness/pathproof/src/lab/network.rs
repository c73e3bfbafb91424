//! The wires of a plan: transports, WAN edges and nodes, linked and routed.
//!
//! Owns the translation from the plan to netsim. Pods come later, one by one (see [`super::pods`]).

use std::net::IpAddr;
use std::sync::Arc;

use futures::future::try_join_all;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netsim::encap::wireguard::Wireguard;
use netsim::fabric::edge::EdgeError;
use netsim::fabric::{
    DeviceSpec, Edge, EdgeSpec, Families, Forwarding, Host, HostError, InspectionSpec, LinkEnd, Mac, NextHop,
    RemotePrefix, RemoteSpec, RemoteVpn, SiteRoute, TABLE_MAIN, TunnelSpec, VpnSpec,
};
use netsim::sla::Polling;
use scenario::model::{DualNet, IpVersion};
use scenario::plan::{EdgePlan, NodePlan, Plan, RemotePlan, TlocPlan};

use super::carriage::{Carriage, Outside};
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
    pub const EDGE_TO_INSPECTION: u8 = 8;
    pub const INSPECTION: u8 = 9;
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

/// The link-layer address of the inspection service of an edge's site.
#[must_use]
pub fn inspection_mac(edge: usize) -> Mac {
    Mac::local(mac_kind::INSPECTION, position(edge))
}

/// The link-layer address of a transport's interface towards an edge.
#[must_use]
pub fn router_mac(edge: usize, transport: usize) -> Mac {
    Mac::local(mac_kind::ROUTER, tloc_number(edge, transport))
}

/// The link-layer address of an edge's tunnel device on a transport, in one of the plan's service VPNs.
///
/// # Panics
/// When the plan has no such service VPN.
#[must_use]
pub fn tunnel_mac(plan: &Plan, edge: usize, transport: usize, service_vpn: u16) -> Mac {
    /// One more than the number of service VPNs that an edge can have.
    const VPNS: u32 = 256;
    let mut vpns = plan.service_vpns.iter();
    let vpn = vpns.position(|vpn| *vpn == service_vpn);
    let vpn = position(vpn.expect("a plan lists its service VPNs"));
    Mac::local(mac_kind::TUNNEL, tloc_number(edge, transport) * VPNS + vpn)
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
            mac: Mac::local(mac_kind::UPLINK, tloc_number(edge, transport)),
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
    let mac = Mac::local(mac_kind::UPLINK, tloc_number(number, transport));
    router
        .replace_neighbour(&interface, tloc.uplink_address.addr(), mac)
        .await?;
    add_underlay_routes(plan, tloc, edge).await
}

async fn attach_node(plan: &Plan, position: usize, node: &Host, edges: &[Host]) -> Result<(), HostError> {
    let spec = &plan.nodes[position];
    let near = LinkEnd {
        interface: spec.edge_interface.clone(),
        mac: Mac::local(mac_kind::EDGE_TO_NODE, self::position(position)),
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
        mac: Mac::local(mac_kind::EDGE_TO_INSPECTION, position(edge)),
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

fn edge_spec(plan: &Plan, carriage: &Carriage<'_>, position: usize, sabotage: Option<Sabotage>) -> EdgeSpec {
    let edge = &plan.edges[position];
    let mut tunnels: Vec<TunnelSpec> = edge
        .tlocs
        .iter()
        .map(|tloc| tunnel_spec(plan, carriage, position, tloc))
        .collect();
    let is_default = |tloc: &&TlocPlan| plan.default_transports.contains(&tloc.transport);
    if sabotage == Some(Sabotage::SwapTunnels)
        && let Some(default) = edge.tlocs.iter().position(|tloc| is_default(&tloc))
        && let Some(other) = edge.tlocs.iter().position(|tloc| !is_default(&tloc))
    {
        let color = std::mem::take(&mut tunnels[other].color);
        tunnels[other].color = std::mem::replace(&mut tunnels[default].color, color);
    }
    let default_transports = plan.default_transports.iter();
    EdgeSpec {
        site_id: edge.site_id,
        system_ip: edge.system_ip,
        vpns: edge
            .service_vpns
            .iter()
            .map(|vpn| vpn_spec(plan, position, *vpn))
            .collect(),
        tunnels,
        default_colors: default_transports
            .map(|transport| plan.transports[*transport].color.clone())
            .collect(),
        polling: Polling {
            interval: std::time::Duration::from_micros(plan.sla.poll_interval_us),
            multiplier: plan.sla.multiplier,
            hold_down: std::time::Duration::from_micros(plan.sla.hold_down_us),
        },
        inspection: edge.inspection.as_ref().map(|inspection| InspectionSpec {
            interface: inspection.interface.clone(),
            addresses: inspection.address.iter().map(|address| address.addr()).collect(),
        }),
    }
}

fn vpn_spec(plan: &Plan, edge: usize, service_vpn: u16) -> VpnSpec {
    let own = plan
        .nodes
        .iter()
        .filter(|node| node.edge == edge && node.service_vpn == service_vpn);
    let routes = plan.local_nodes(edge, service_vpn).flat_map(|(_, node)| {
        let hops = node.pod_cidr.iter().zip(node.address.iter());
        hops.map(|(prefix, address)| SiteRoute {
            prefix,
            hop: NextHop::new(&node.edge_interface, Some(address.addr())),
        })
    });
    VpnSpec {
        service_vpn,
        interfaces: own.map(|node| node.edge_interface.clone()).collect(),
        routes: routes.collect(),
    }
}

fn tunnel_spec(plan: &Plan, carriage: &Carriage<'_>, edge: usize, tloc: &TlocPlan) -> TunnelSpec {
    let transport = &plan.transports[tloc.transport];
    let devices = tloc.tunnels.iter().map(|device| DeviceSpec {
        service_vpn: device.service_vpn,
        interface: device.interface.clone(),
        mac: tunnel_mac(plan, edge, tloc.transport, device.service_vpn),
        addresses: device.address.iter().collect(),
    });
    let remotes = tloc
        .remotes
        .iter()
        .map(|remote| remote_spec(plan, carriage, (edge, tloc.transport), remote));
    TunnelSpec {
        color: transport.color.clone(),
        framing: carriage.framing(tloc.transport),
        local: carriage.address(edge, tloc.transport),
        mtu: transport.tunnel_mtu,
        devices: devices.collect(),
        remotes: remotes.collect(),
    }
}

fn remote_spec(
    plan: &Plan,
    carriage: &Carriage<'_>,
    (edge, transport): (usize, usize),
    remote: &RemotePlan,
) -> RemoteSpec {
    let other = &plan.edges[remote.edge];
    let tloc = plan.tloc(remote.edge, transport).expect("a tunnel has two ends");
    let vpns = plan.shared_vpns(edge, remote.edge).map(|service_vpn| {
        let mut devices = tloc.tunnels.iter();
        let device = devices.find(|device| device.service_vpn == service_vpn);
        let device = device.expect("an edge has a device in each of its service VPNs");
        let prefixes = remote
            .prefixes
            .iter()
            .filter(|prefix| prefix.service_vpn == service_vpn);
        RemoteVpn {
            service_vpn,
            mac: tunnel_mac(plan, remote.edge, transport, service_vpn),
            addresses: device.address.iter().map(|address| address.addr()).collect(),
            prefixes: prefixes
                .map(|prefix| RemotePrefix {
                    prefix: prefix.prefix,
                    hops: prefix.hops,
                })
                .collect(),
        }
    });
    RemoteSpec {
        site_id: other.site_id,
        system_ip: other.system_ip,
        underlay: carriage.address(remote.edge, transport),
        vpns: vpns.collect(),
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
