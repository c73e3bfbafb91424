//! The link-layer addresses of a lab.
//!
//! Pure. Invariant: no two interfaces of a lab have the same one, and each follows from the plan.

use netsim::fabric::Mac;
use scenario::plan::Plan;

/// Kinds of interfaces, the second octet of their link-layer addresses.
pub(super) mod kind {
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
        Mac::local(kind::POD, number),
        Mac::local(kind::NODE_TO_POD, number),
    )
}

/// The link-layer address of a node's interface towards its edge.
#[must_use]
pub fn node_mac(node: usize) -> Mac {
    Mac::local(kind::NODE, position(node))
}

/// The link-layer address of the inspection service of an edge's site.
#[must_use]
pub fn inspection_mac(edge: usize) -> Mac {
    Mac::local(kind::INSPECTION, position(edge))
}

/// The link-layer address of a transport's interface towards an edge.
#[must_use]
pub fn router_mac(edge: usize, transport: usize) -> Mac {
    Mac::local(kind::ROUTER, tloc_number(edge, transport))
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
    Mac::local(kind::TUNNEL, tloc_number(edge, transport) * VPNS + vpn)
}

/// Numbers the pairs of edge and transport.
pub(super) fn tloc_number(edge: usize, transport: usize) -> u32 {
    /// One more than the number of colors, rounded up.
    const TRANSPORTS: usize = 32;
    position(edge * TRANSPORTS + transport)
}

/// A position in the plan.
pub(super) fn position(position: usize) -> u32 {
    u32::try_from(position).expect("a lab has far fewer than 2^32 of anything")
}
