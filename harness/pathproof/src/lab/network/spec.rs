//! What netsim is told of a WAN edge.
//!
//! Pure: the translation from the plan.

use netsim::fabric::{
    DeviceSpec, EdgeSpec, InspectionSpec, NextHop, RemotePrefix, RemoteSpec, RemoteVpn, SiteRoute,
    TunnelSpec, VpnSpec,
};
use netsim::sla::Polling;
use scenario::plan::{Plan, RemotePlan, TlocPlan};

use super::mac::tunnel_mac;
use crate::lab::carriage::Carriage;
use crate::lab::sabotage::Sabotage;

/// An edge, mis-steered if sabotage asks for it.
pub(super) fn edge_spec(
    plan: &Plan,
    carriage: &Carriage<'_>,
    position: usize,
    sabotage: Option<Sabotage>,
) -> EdgeSpec {
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
