//! The sockets of a prober.
//!
//! Owns what is probed over which interface, and a socket for each such interface, bound to it. Hellos go over IPv4,
//! in the first service VPN that both edges have.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use ipnet::IpNet;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, setsockopt, socket, sockopt,
};

use super::{ProberError, SessionId};
use crate::bfd::ECHO_PORT;
use crate::fabric::{DeviceSpec, Edge};

/// Class selector 6, as Cisco marks its BFD packets (DSCP 48), in the upper six bits of the TOS octet.
const TOS_CS6: u8 = 48 << 2;

/// An interface of tunnels, and the remote edges that are probed over it.
pub(super) struct Probed<'a> {
    tunnel: usize,
    interface: String,
    device: &'a DeviceSpec,
    /// Each by its position and its address on the device's link.
    remotes: Vec<(usize, Ipv4Addr)>,
}

impl Probed<'_> {
    pub(super) fn sessions(&self, edge: usize) -> impl Iterator<Item = (SessionId, Ipv4Addr)> {
        self.remotes.iter().map(move |&(remote, address)| {
            let id = SessionId {
                edge,
                tunnel: self.tunnel,
                remote,
            };
            (id, address)
        })
    }
}

/// The interfaces that tunnels of an edge are probed over.
fn probed(edge: &Edge) -> Vec<Probed<'_>> {
    let mut probed: Vec<Probed<'_>> = Vec::new();
    for (tunnel, spec) in edge.tunnels().iter().enumerate() {
        for device in &spec.devices {
            let remotes = spec.remotes.iter().enumerate().filter_map(|(position, remote)| {
                let vpn = remote
                    .vpns
                    .first()
                    .filter(|vpn| vpn.service_vpn == device.service_vpn)?;
                let addresses = vpn.addresses.iter();
                let address = addresses.into_iter().find_map(|address| match address {
                    IpAddr::V4(address) => Some(*address),
                    IpAddr::V6(_) => None,
                })?;
                Some((position, address))
            });
            let mut by_interface: Vec<Probed<'_>> = Vec::new();
            for remote in remotes {
                let interface = spec.interface(device, remote.0);
                match by_interface.iter_mut().find(|of| of.interface == interface) {
                    Some(of) => of.remotes.push(remote),
                    None => by_interface.push(Probed {
                        tunnel,
                        interface,
                        device,
                        remotes: vec![remote],
                    }),
                }
            }
            probed.append(&mut by_interface);
        }
    }
    probed
}

/// A socket for each device that is probed over.
pub(super) fn open(edge: &Edge) -> Result<Vec<(Probed<'_>, UdpSocket)>, ProberError> {
    let host = edge.host();
    host.netns().run(|| {
        let sockets = probed(edge).into_iter().map(|probed| {
            let socket = bind(&probed).map_err(|source| ProberError::Socket {
                host: host.name().to_owned(),
                interface: probed.interface.clone(),
                source,
            })?;
            Ok((probed, socket))
        });
        sockets.collect::<Result<Vec<_>, _>>()
    })?
}

fn bind(probed: &Probed<'_>) -> io::Result<UdpSocket> {
    let mut addresses = probed.device.addresses.iter();
    let address = addresses.find_map(|address| match address {
        IpNet::V4(address) => Some(SocketAddrV4::new(address.addr(), ECHO_PORT)),
        IpNet::V6(_) => None,
    });
    let address = address.ok_or_else(|| io::Error::other("the device has no IPv4 address"))?;
    let kind = (SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::Udp);
    let socket = socket(AddressFamily::Inet, kind.0, kind.1, kind.2)?;
    // Before it has an address: the GRE devices of a service VPN all have the same.
    setsockopt(&socket, sockopt::BindToDevice, &(&probed.interface).into())?;
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    let socket = UdpSocket::from(socket);
    setsockopt(&socket, sockopt::Ipv4Tos, &i32::from(TOS_CS6))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    Ok(socket)
}
