//! What steering has to know of an edge.

use std::net::IpAddr;

use crate::fabric::nft::Family;

/// What steering has to know of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Its address families.
    pub families: Vec<Family>,
    /// Its service VPNs.
    pub vpns: Vec<VpnInterfaces>,
    /// The edge's own addresses on its tunnels. What is sent to them is the edge's own traffic, such as hellos, and
    /// no policy of a service VPN applies to it.
    pub own: Vec<IpAddr>,
    /// The edge's addresses on its transports, which no packet of a service VPN gets to.
    pub transport: Vec<IpAddr>,
    /// Where copies of inspected packets go, if the site has such a service.
    pub inspection: Option<Inspection>,
}

/// The interfaces of one service VPN on an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnInterfaces {
    /// The service VPN.
    pub service_vpn: u16,
    /// Towards the site.
    pub service: Vec<String>,
    /// Towards the WAN.
    pub tunnel: Vec<String>,
}

/// The site's inspection service, which gets copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The index of the edge's interface towards it.
    pub interface: u32,
    /// Its addresses on that link.
    pub addresses: Vec<IpAddr>,
}

impl Surroundings {
    /// Where a service VPN is among the edge's.
    #[must_use]
    pub fn position(&self, service_vpn: u16) -> Option<usize> {
        self.vpns.iter().position(|vpn| vpn.service_vpn == service_vpn)
    }
}
