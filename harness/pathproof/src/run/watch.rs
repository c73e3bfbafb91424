//! The capture points of a plan: the tunnels, uplinks, node links and inspection links of every edge.

use std::sync::Arc;

use netsim::capture::Tap;
use netsim::fabric::Edge;
use scenario::assertion::PointKind;
use scenario::plan::Plan;
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
    /// A neighbour there, for sentinels.
    neighbour: netsim::fabric::Mac,
}

/// All capture points of a plan, edge by edge.
#[must_use]
pub fn points(plan: &Plan) -> Vec<Point> {
    let mut points = Vec::new();
    for (edge, spec) in plan.edges.iter().enumerate() {
        for tloc in &spec.tlocs {
            let transport = tloc.transport;
            let named = &plan.transports[transport];
            let other = tloc.remotes.first().map_or(edge, |remote| remote.edge);
            points.extend(tloc.tunnels.iter().map(|device| Point {
                edge,
                kind: PointKind::Tunnel,
                name: named.name.clone(),
                service_vpn: (plan.service_vpns.len() > 1).then_some(device.service_vpn),
                interface: device.interface.clone(),
                neighbour: network::tunnel_mac(plan, other, transport, device.service_vpn),
            }));
            points.push(Point {
                edge,
                kind: PointKind::Underlay,
                name: named.name.clone(),
                service_vpn: None,
                interface: tloc.uplink.clone(),
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
                neighbour: network::node_mac(position),
            });
        }
        points.extend(spec.inspection.as_ref().map(|inspection| Point {
            edge,
            kind: PointKind::Inspection,
            name: spec.site.clone(),
            service_vpn: None,
            interface: inspection.interface.clone(),
            neighbour: network::inspection_mac(edge),
        }));
    }
    points
}

impl Point {
    /// Its name among all points, such as `near:tunnel/bizinternet`.
    #[must_use]
    pub fn title(&self, plan: &Plan) -> String {
        verdict::point_name(&self.evidence(plan))
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
        }
    }
}
