//! What an edge is made of: values for [`super::Edge::create`].

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::fabric::host::Mac;
use crate::fabric::host::routes::NextHop;
use crate::sla::Polling;

/// What an edge is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSpec {
    /// The site id that the Manager knows it by.
    pub site_id: u32,
    /// Its system IP.
    pub system_ip: Ipv4Addr,
    /// Its service VPNs, at most 255.
    pub vpns: Vec<VpnSpec>,
    /// Its tunnels, one for each transport that it is attached to.
    pub tunnels: Vec<TunnelSpec>,
    /// The colors that traffic takes which no policy sends elsewhere; flows are shared over several.
    pub default_colors: Vec<String>,
    /// How tunnels are judged against the classes in force.
    pub polling: Polling,
    /// Where copies of inspected packets go.
    pub inspection: Option<InspectionSpec>,
}

/// A service VPN of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnSpec {
    /// Its number.
    pub service_vpn: u16,
    /// The edge's interfaces towards the site; they exist on the host already.
    pub interfaces: Vec<String>,
    /// The prefixes of the site.
    pub routes: Vec<SiteRoute>,
}

/// A prefix of the edge's own site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRoute {
    /// The prefix.
    pub prefix: IpNet,
    /// The way to it.
    pub hop: NextHop,
}

/// The tunnels of an edge over one transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelSpec {
    /// The color of its local TLOC.
    pub color: String,
    /// What its devices are.
    pub framing: Framing,
    /// Outer address.
    pub local: IpAddr,
    /// Largest inner IP packet, in octets.
    pub mtu: u32,
    /// One device for each service VPN.
    pub devices: Vec<DeviceSpec>,
    /// The edges at the other ends.
    pub remotes: Vec<RemoteSpec>,
}

/// What carries the frames of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// VXLAN: one device for each service VPN reaches all remote edges.
    Vxlan {
        /// Outer UDP port, the same on all edges.
        port: u16,
    },
    /// GRE: one device for each service VPN and remote edge.
    Gre,
}

/// The end of a transport's tunnels in one service VPN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSpec {
    /// The service VPN; its number is the VXLAN network identifier or the GRE key.
    pub service_vpn: u16,
    /// Interface name, at most 15 bytes with what [`TunnelSpec::interface`] makes of it.
    pub interface: String,
    /// Its link-layer address.
    pub mac: Mac,
    /// Its inner addresses: one of IPv4, and one of IPv6 if the VPN carries it.
    pub addresses: Vec<IpNet>,
}

impl TunnelSpec {
    /// The interface that leads to the remote edge at a position: the device's own name; with GRE it is followed by
    /// `r` and the position.
    #[must_use]
    pub fn interface(&self, device: &DeviceSpec, remote: usize) -> String {
        match self.framing {
            Framing::Vxlan { .. } => device.interface.clone(),
            Framing::Gre => format!("{}r{remote}", device.interface),
        }
    }

    /// All interfaces of a device.
    #[must_use]
    pub fn interfaces(&self, device: &DeviceSpec) -> Vec<String> {
        match self.framing {
            Framing::Vxlan { .. } => vec![device.interface.clone()],
            Framing::Gre => {
                let reached = self.peers(device.service_vpn);
                reached
                    .map(|(remote, ..)| self.interface(device, remote))
                    .collect()
            }
        }
    }

    /// The remote edges that have a service VPN, with their positions and what they are in it.
    pub(super) fn peers(&self, service_vpn: u16) -> impl Iterator<Item = (usize, &RemoteSpec, &RemoteVpn)> {
        let remotes = self.remotes.iter().enumerate();
        remotes.filter_map(move |(position, remote)| {
            let vpn = remote.vpns.iter().find(|vpn| vpn.service_vpn == service_vpn)?;
            Some((position, remote, vpn))
        })
    }
}

/// An edge at the other end of tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSpec {
    /// Its site.
    pub site_id: u32,
    /// Its system IP.
    pub system_ip: Ipv4Addr,
    /// Its outer address.
    pub underlay: IpAddr,
    /// The service VPNs that both edges have, at least one; the tunnel is probed in the first.
    pub vpns: Vec<RemoteVpn>,
}

/// A service VPN at the other end of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteVpn {
    /// Its number.
    pub service_vpn: u16,
    /// The link-layer address of the remote device.
    pub mac: Mac,
    /// The inner addresses of the remote device, the IPv4 address first.
    pub addresses: Vec<IpAddr>,
    /// What can be reached through it.
    pub prefixes: Vec<RemotePrefix>,
}

/// A prefix of another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemotePrefix {
    /// The prefix.
    pub prefix: IpNet,
    /// Tunnels to its site: 1 when it is the remote edge's own, more when that edge forwards.
    pub hops: u16,
}

/// A site's inspection service: a host of its own on a link to the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectionSpec {
    /// The edge's interface towards it, which exists on the host already.
    pub interface: String,
    /// Its addresses on that link, at most one of each family.
    pub addresses: Vec<IpAddr>,
}
