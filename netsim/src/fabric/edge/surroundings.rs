//! What steering has to know of an edge, from what the edge is made of.

use ipnet::IpNet;

use super::EdgeSpec;
use crate::fabric::host::{Families, Host, HostError};
use crate::fabric::nft::Family;
use crate::fabric::steering::{Inspection, Surroundings, VpnInterfaces};

/// The surroundings that policies meet on this edge.
///
/// # Errors
/// [`HostError`] when the host has no interface towards the inspection service.
pub(super) fn of(host: &Host, spec: &EdgeSpec) -> Result<Surroundings, HostError> {
    let devices = || {
        let tunnels = spec.tunnels.iter();
        tunnels.flat_map(|tunnel| tunnel.devices.iter().map(move |device| (tunnel, device)))
    };
    let vpns = spec.vpns.iter().map(|vpn| VpnInterfaces {
        service_vpn: vpn.service_vpn,
        service: vpn.interfaces.clone(),
        tunnel: devices()
            .filter(|(_, device)| device.service_vpn == vpn.service_vpn)
            .flat_map(|(tunnel, device)| tunnel.interfaces(device))
            .collect(),
    });
    let inspection = spec.inspection.as_ref().map(|inspection| {
        host.interface(&inspection.interface).map(|interface| Inspection {
            interface: interface.index,
            addresses: inspection.addresses.clone(),
        })
    });
    Ok(Surroundings {
        families: match host.families() {
            Families::Ipv4 => vec![Family::Ipv4],
            Families::Both => vec![Family::Ipv4, Family::Ipv6],
        },
        vpns: vpns.collect(),
        own: devices()
            .flat_map(|(_, device)| &device.addresses)
            .map(IpNet::addr)
            .collect(),
        transport: spec.tunnels.iter().map(|tunnel| tunnel.local).collect(),
        inspection: inspection.transpose()?,
    })
}
