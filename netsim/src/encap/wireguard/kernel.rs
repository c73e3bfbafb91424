//! The kernel's WireGuard, by generic netlink (linux/wireguard.h).
//!
//! Owns the requests. Invariant: the key goes to the kernel and nowhere else.

use std::ffi::CString;
use std::io;

use ipnet::IpNet;
use netlink_bindings::wireguard;
use netlink_socket2::NetlinkSocket;
use rtnetlink::LinkWireguard;

use super::{KEEPALIVE_S, WireguardSpec};
use crate::encap::{EncapError, Encapsulation, failed, is_unknown_kind};
use crate::fabric::{Host, HostError, Mac, TABLE_MAIN};

/// WireGuard devices have no link-layer address.
const NO_MAC: Mac = Mac([0; 6]);

pub(super) async fn establish(host: &Host, spec: &WireguardSpec) -> Result<(), EncapError> {
    let name = &spec.interface;
    let index = add_device(host, name, spec.mtu).await?;
    let configured = host.netns().run(|| configure(spec))?;
    configured.map_err(|source| failed(host.netns(), "configure WireGuard device", name, source))?;
    host.add_address(index, IpNet::from(spec.address)).await?;
    host.set_up(index, name).await?;
    for peer in &spec.peers {
        host.add_route(TABLE_MAIN, IpNet::from(peer.address), name, None)
            .await?;
    }
    Ok(())
}

/// Adds the device, without key and peers.
pub(in crate::encap) async fn add_device(host: &Host, name: &str, mtu: u32) -> Result<u32, EncapError> {
    let device = LinkWireguard::new(name).mtu(mtu);
    let added = host
        .add_device("add WireGuard device", name, NO_MAC, device)
        .await;
    added.map_err(unsupported)
}

/// Gives a device of the calling thread's namespace its key and peers.
fn configure(spec: &WireguardSpec) -> io::Result<()> {
    let name = CString::new(spec.interface.as_str())?;
    let mut socket = NetlinkSocket::new();
    let mut request = wireguard::Request::new().op_set_device_do();
    let mut peers = request
        .encode()
        .push_ifname(&name)
        .push_private_key(spec.private_key.octets())
        .push_listen_port(spec.port)
        .array_peers();
    for peer in &spec.peers {
        let (family, whole) = match peer.address.is_ipv4() {
            true => (libc::AF_INET, 32),
            false => (libc::AF_INET6, 128),
        };
        peers = peers
            .entry_nested()
            .push_public_key(&peer.public_key.0)
            .push_endpoint(peer.endpoint())
            .push_persistent_keepalive_interval(KEEPALIVE_S)
            .array_allowedips()
            .entry_nested()
            .push_family(u16::try_from(family).expect("address families are small numbers"))
            .push_ipaddr(peer.address)
            .push_cidr_mask(whole)
            .end_nested()
            .end_array()
            .end_nested();
    }
    peers.end_array();
    let mut reply = socket.request(&request)?;
    reply.recv_ack().map_err(|error| {
        io::Error::from_raw_os_error(error.as_io_error().raw_os_error().unwrap_or(libc::EIO))
    })
}

/// What a kernel without WireGuard says, in words.
fn unsupported(error: HostError) -> EncapError {
    if !is_unknown_kind(&error) {
        return error.into();
    }
    EncapError::Unsupported {
        encapsulation: Encapsulation::Wireguard,
        reason: "the kernel has no WireGuard devices (needs CONFIG_WIREGUARD)".to_owned(),
    }
}
