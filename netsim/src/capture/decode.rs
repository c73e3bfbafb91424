//! What is in a captured frame: the innermost IPv4 packet and the tunnel around it.
//!
//! Pure: bytes in, values out. Frames that are not IPv4, UDP or TCP decode to nothing; they are captured and
//! counted, but never mistaken for a probe.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{EtherType, NetSlice, SlicedPacket, TransportSlice};

use super::SENTINEL_ETHERTYPE;
use super::checksum;

/// Octets of a VXLAN header, RFC 7348 section 5.
const VXLAN_HEADER: usize = 8;
/// The flag that says that a VXLAN network identifier is there.
const VXLAN_VNI_PRESENT: u8 = 0x08;

/// The innermost UDP or TCP packet of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The tunnel around it, if any.
    pub tunnel: Option<Tunnel>,
    /// Source address and port.
    pub source: SocketAddrV4,
    /// Destination address and port.
    pub destination: SocketAddrV4,
    /// What it carries.
    pub segment: Segment<'a>,
    /// Whether its checksum is right, or not there yet: one with a flipped bit is not what was sent.
    pub is_intact: bool,
}

/// A VXLAN encapsulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// Outer source address.
    pub source: Ipv4Addr,
    /// Outer destination address.
    pub destination: Ipv4Addr,
    /// VXLAN network identifier.
    pub vni: u32,
}

/// The transport layer of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// A UDP datagram's payload.
    Udp(&'a [u8]),
    /// A TCP segment.
    Tcp {
        /// Sequence number of the first octet; of the SYN itself when `syn` is set.
        sequence: u32,
        /// Whether it opens the connection.
        syn: bool,
        /// Payload.
        payload: &'a [u8],
    },
}

/// Whether a frame is one of our sentinels, by itself or inside a tunnel.
#[must_use]
pub fn is_sentinel(frame: &[u8]) -> bool {
    let ethertype = |frame: &[u8]| {
        frame
            .get(12..14)
            .map(|field| u16::from_be_bytes([field[0], field[1]]))
    };
    if ethertype(frame) == Some(SENTINEL_ETHERTYPE) {
        return true;
    }
    // Outer Ethernet, IPv4 without options, UDP and VXLAN precede the inner frame; the port is not looked at,
    // because a frame of 60 octets with this EtherType there is nothing else in a lab.
    let inner = 14 + 20 + 8 + VXLAN_HEADER;
    ethertype(frame) == Some(EtherType::IPV4.0)
        && frame.len() == inner + 60
        && frame.get(inner..).and_then(ethertype) == Some(SENTINEL_ETHERTYPE)
}

/// Decodes a frame; UDP to one of `vxlan_ports` is taken for VXLAN.
#[must_use]
pub fn packet<'a>(frame: &'a [u8], vxlan_ports: &[u16]) -> Option<Packet<'a>> {
    let outer = plain(frame)?;
    let Segment::Udp(payload) = outer.segment else {
        return Some(outer);
    };
    if !vxlan_ports.contains(&outer.destination.port()) {
        return Some(outer);
    }
    let header = payload.get(..VXLAN_HEADER)?;
    if header[0] & VXLAN_VNI_PRESENT == 0 {
        return None;
    }
    let inner = plain(&payload[VXLAN_HEADER..])?;
    let tunnel = Tunnel {
        source: *outer.source.ip(),
        destination: *outer.destination.ip(),
        vni: u32::from_be_bytes([0, header[4], header[5], header[6]]),
    };
    Some(Packet {
        tunnel: Some(tunnel),
        ..inner
    })
}

fn plain(frame: &[u8]) -> Option<Packet<'_>> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(NetSlice::Ipv4(ip)) = sliced.net else {
        return None;
    };
    let (source, destination) = (ip.header().source_addr(), ip.header().destination_addr());
    let payload = ip.payload();
    let is_intact = checksum::is_intact(
        &source.octets(),
        &destination.octets(),
        payload.ip_number.0,
        payload.payload,
    );
    let (ports, segment) = match sliced.transport? {
        TransportSlice::Udp(udp) => (
            (udp.source_port(), udp.destination_port()),
            Segment::Udp(udp.payload()),
        ),
        TransportSlice::Tcp(tcp) => (
            (tcp.source_port(), tcp.destination_port()),
            Segment::Tcp {
                sequence: tcp.sequence_number(),
                syn: tcp.syn(),
                payload: tcp.payload(),
            },
        ),
        _ => return None,
    };
    Some(Packet {
        tunnel: None,
        source: SocketAddrV4::new(source, ports.0),
        destination: SocketAddrV4::new(destination, ports.1),
        segment,
        is_intact,
    })
}

#[cfg(test)]
mod tests;
