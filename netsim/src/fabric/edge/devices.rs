//! The tunnel devices of an edge.
//!
//! Owns the way from a tunnel's specification to the kernel's devices, whichever its framing.

use ipnet::IpNet;

use super::{DeviceSpec, EdgeError, Framing, TunnelSpec};
use crate::encap::EncapError;
use crate::encap::gre::{self, GretapSpec};
use crate::fabric::host::{Host, HostError, VxlanPeer, VxlanSpec};

pub(super) async fn add_devices(host: &Host, tunnel: &TunnelSpec) -> Result<(), EdgeError> {
    for device in &tunnel.devices {
        match tunnel.framing {
            Framing::Vxlan { port } => add_vxlan(host, tunnel, device, port).await?,
            Framing::Gre => add_gretaps(host, tunnel, device).await?,
        }
    }
    Ok(())
}

async fn add_vxlan(
    host: &Host,
    tunnel: &TunnelSpec,
    device: &DeviceSpec,
    port: u16,
) -> Result<(), HostError> {
    let spec = VxlanSpec {
        interface: device.interface.clone(),
        vni: u32::from(device.service_vpn),
        port,
        local: tunnel.local,
        mac: device.mac,
        addresses: device.addresses.clone(),
        mtu: tunnel.mtu,
    };
    host.add_vxlan(&spec).await?;
    for (_, remote, vpn) in tunnel.peers(device.service_vpn) {
        let peer = VxlanPeer {
            underlay: remote.underlay,
            mac: vpn.mac,
            addresses: vpn.addresses.clone(),
        };
        host.add_vxlan_peer(&device.interface, &peer).await?;
    }
    Ok(())
}

async fn add_gretaps(host: &Host, tunnel: &TunnelSpec, device: &DeviceSpec) -> Result<(), EncapError> {
    for (position, remote, vpn) in tunnel.peers(device.service_vpn) {
        let spec = GretapSpec {
            interface: tunnel.interface(device, position),
            key: u32::from(device.service_vpn),
            local: tunnel.local,
            remote: remote.underlay,
            mac: device.mac,
            addresses: device.addresses.iter().map(IpNet::addr).collect(),
            peer_mac: vpn.mac,
            peer_addresses: vpn.addresses.clone(),
            mtu: tunnel.mtu,
        };
        gre::add_gretap(host, &spec).await?;
    }
    Ok(())
}
