//! The capture points of a plan: the tunnels, uplinks, node links and inspection links of every edge.

use std::collections::BTreeMap;
use std::sync::Arc;

use netsim::capture::Tap;
use netsim::fabric::{Edge, Framing, TunnelSpec};
use scenario::assertion::PointKind;
use scenario::plan::{Plan, TlocPlan};
use verdict::evidence::CapturePoint;

use crate::lab::network;

/// A capture point before anything was captured.
#[derive(Debug, Clone)]
pub struct Point {
    /// Position of the edge.
    pub edge: usize,
    /// What is there.
    pub kind: PointKind,
    /// Transport, node or site name.
    pub name: String,
    /// The service VPN of a tunnel device, where the plan has several.
    pub service_vpn: Option<u16>,
    /// The edge's interface.
    pub interface: String,
    /// The site at the other end, where the tunnels of a transport have an interface each.
    remote: Option<String>,
    /// A neighbour there, for sentinels.
    neighbour: netsim::fabric::Mac,
}

/// All capture points of a plan and its edges, edge by edge.
#[must_use]
pub fn points(plan: &Plan, edges: &[Arc<Edge>]) -> Vec<Point> {
    let mut points = Vec::new();
    for (edge, spec) in plan.edges.iter().enumerate() {
        for (tloc, tunnel) in spec.tlocs.iter().zip(edges[edge].tunnels()) {
            let transport = tloc.transport;
            let named = &plan.transports[transport];
            points.extend(tunnel_points(plan, edge, tloc, tunnel));
            points.push(Point {
                edge,
                kind: PointKind::Underlay,
                name: named.name.clone(),
                service_vpn: None,
                interface: tloc.uplink.clone(),
                remote: None,
                neighbour: network::router_mac(edge, transport),
            });
        }
        for (position, node) in plan
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.edge == edge)
        {
            points.push(Point {
                edge,
                kind: PointKind::Node,
                name: node.name.clone(),
                service_vpn: None,
                interface: node.edge_interface.clone(),
                remote: None,
                neighbour: network::node_mac(position),
            });
        }
        points.extend(spec.inspection.as_ref().map(|inspection| Point {
            edge,
            kind: PointKind::Inspection,
            name: spec.site.clone(),
            service_vpn: None,
            interface: inspection.interface.clone(),
            remote: None,
            neighbour: network::inspection_mac(edge),
        }));
    }
    points
}

/// The points at the interfaces of a TLOC's tunnels, in every service VPN.
fn tunnel_points(plan: &Plan, edge: usize, tloc: &TlocPlan, tunnel: &TunnelSpec) -> Vec<Point> {
    let mut points = Vec::new();
    for device in &tunnel.devices {
        for interface in tunnel.interfaces(device) {
            let mut remotes = tloc.remotes.iter().enumerate();
            let leads_there = |position| tunnel.interface(device, position) == interface;
            let other = remotes.find(|(position, _)| leads_there(*position));
            let other = other.map_or(edge, |(_, remote)| remote.edge);
            points.push(Point {
                edge,
                kind: PointKind::Tunnel,
                name: plan.transports[tloc.transport].name.clone(),
                service_vpn: (plan.service_vpns.len() > 1).then_some(device.service_vpn),
                interface,
                remote: (tunnel.framing == Framing::Gre).then(|| plan.edges[other].site.clone()),
                neighbour: network::tunnel_mac(plan, other, tloc.transport, device.service_vpn),
            });
        }
    }
    points
}

impl Point {
    /// Its name among all points, such as `near:tunnel/bizinternet`; with GRE the site at the other end follows.
    #[must_use]
    pub fn title(&self, plan: &Plan) -> String {
        let end = self.remote.iter().map(|site| format!("/{site}"));
        let name = verdict::point_name(&self.evidence(plan));
        end.fold(name, |name, end| name + &end)
    }

    /// Its tap.
    #[must_use]
    pub fn tap<'a>(&'a self, edges: &'a [Arc<Edge>]) -> Tap<'a> {
        Tap {
            host: edges[self.edge].host(),
            interface: &self.interface,
            neighbour: self.neighbour,
        }
    }

    /// Its part of the evidence, with nothing captured.
    #[must_use]
    pub fn evidence(&self, plan: &Plan) -> CapturePoint {
        CapturePoint {
            site: plan.edges[self.edge].site.clone(),
            kind: self.kind,
            name: self.name.clone(),
            service_vpn: self.service_vpn,
            interface: self.interface.clone(),
            armed: false,
            kernel_drops: 0,
            captured_packets: 0,
            interface_packets: 0,
            hidden: BTreeMap::new(),
        }
    }
}
