//! The kernel's WireGuard, by generic netlink (linux/wireguard.h).
//!
//! Owns the requests. Invariant: the key goes to the kernel and nowhere else.

use std::ffi::CString;
use std::io;

use netlink_bindings::wireguard;
use netlink_socket2::NetlinkSocket;
use rtnetlink::LinkWireguard;

use super::{KEEPALIVE_S, WireguardSpec};
use crate::encap::link::{Link, errno, next_index};
use crate::encap::{EncapError, Encapsulation};
use crate::fabric::host::Interface;
use crate::fabric::{Host, Mac};

/// WireGuard devices have no link-layer address.
const NO_MAC: Mac = Mac([0; 6]);

pub(super) async fn establish(host: &Host, spec: &WireguardSpec) -> Result<Interface, EncapError> {
    let link = Link::open(host)?;
    let index = next_index();
    let device = LinkWireguard::new(&spec.interface)
        .index(index)
        .mtu(spec.mtu)
        .build();
    let added = link.add("add WireGuard device", &spec.interface, device).await;
    added.map_err(unsupported)?;
    if spec.address.is_ipv6() {
        link.allow_ipv6(&spec.interface)?;
    }
    let configured = host.netns().run(|| configure(spec))?;
    configured.map_err(|source| link.failed("configure WireGuard device", &spec.interface, source))?;
    link.add_address(index, spec.address).await?;
    link.set_up(index, &spec.interface).await?;
    for peer in &spec.peers {
        link.add_route(index, peer.address).await?;
    }
    Ok(Interface { index, mac: NO_MAC })
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
pub(in crate::encap) fn unsupported(error: EncapError) -> EncapError {
    match &error {
        EncapError::Netlink { source, .. } if errno(source) == Some(libc::EOPNOTSUPP) => {
            EncapError::Unsupported {
                encapsulation: Encapsulation::Wireguard,
                reason: "the kernel has no WireGuard devices (needs CONFIG_WIREGUARD)".to_owned(),
            }
        }
        _ => error,
    }
}
