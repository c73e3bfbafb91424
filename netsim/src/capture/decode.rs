//! What is in a captured frame: the innermost IP packet and the tunnel around it.
//!
//! Pure: bytes in, values out. Frames that are neither UDP nor TCP over IP decode to nothing; they are captured and
//! counted, but never mistaken for a probe. What is in an encrypted tunnel is not to be seen.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, IpNumber, NetSlice, SlicedPacket, TransportSlice};

use super::{ETHERNET_MIN, SENTINEL_ETHERTYPE, checksum};

/// Octets of an Ethernet header.
const ETHERNET_HEADER: usize = 14;
/// Octets of an IPv4 header without options and of an IPv6 header.
const IP_HEADERS: [usize; 2] = [20, 40];
/// Octets of a UDP header, RFC 768, and of a VXLAN header, RFC 7348 section 5.
const UDP_HEADER: usize = 8;
const VXLAN_HEADER: usize = 8;
/// The flag that says that a VXLAN network identifier is there.
const VXLAN_VNI_PRESENT: u8 = 0x08;
/// Octets of a GRE header with a key and nothing else, RFC 2890 section 2; how it begins when it carries Ethernet.
const GRE_HEADER: usize = 8;
const GRE_ETHERNET_WITH_KEY: [u8; 4] = [0x20, 0x00, 0x65, 0x58];

/// The innermost UDP or TCP packet of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The tunnel around it, if any.
    pub tunnel: Option<Tunnel>,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// What it carries.
    pub segment: Segment<'a>,
    /// Whether its checksum is right, or not there yet: one with a flipped bit is not what was sent.
    pub is_intact: bool,
}

/// An encapsulation in VXLAN or GRE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// Outer source address.
    pub source: IpAddr,
    /// Outer destination address.
    pub destination: IpAddr,
    /// The VXLAN network identifier, or the GRE key.
    pub network: u32,
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
    // The port is not looked at: a frame of that length with this EtherType there is nothing else in a lab.
    let ip_header = match ethertype(frame) {
        Some(number) if number == EtherType::IPV4.0 => IP_HEADERS[0],
        Some(number) if number == EtherType::IPV6.0 => IP_HEADERS[1],
        _ => return false,
    };
    [UDP_HEADER + VXLAN_HEADER, GRE_HEADER].into_iter().any(|header| {
        let inner = ETHERNET_HEADER + ip_header + header;
        frame.len() == inner + ETHERNET_MIN
            && frame.get(inner..).and_then(ethertype) == Some(SENTINEL_ETHERTYPE)
    })
}

/// Decodes a frame; UDP to one of `vxlan_ports` is taken for VXLAN.
#[must_use]
pub fn packet<'a>(frame: &'a [u8], vxlan_ports: &[u16]) -> Option<Packet<'a>> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let net = sliced.net?;
    let outer = addresses(&net)?;
    let ip = net.ip_payload_ref()?;
    if ip.ip_number == IpNumber::GRE {
        return inside(outer, gre(ip.payload)?);
    }
    let (ports, segment) = transport(sliced.transport?)?;
    match segment {
        Segment::Udp(payload) if vxlan_ports.contains(&ports.1) => inside(outer, vxlan(payload)?),
        segment => Some(Packet {
            tunnel: None,
            source: SocketAddr::new(outer.0, ports.0),
            destination: SocketAddr::new(outer.1, ports.1),
            is_intact: checksum::is_intact(outer, ip.ip_number.0, ip.payload),
            segment,
        }),
    }
}

/// The packet of an inner frame, in the tunnel that is around it.
fn inside<'a>(outer: (IpAddr, IpAddr), (network, frame): (u32, &'a [u8])) -> Option<Packet<'a>> {
    let inner = packet(frame, &[])?;
    Some(Packet {
        tunnel: Some(Tunnel {
            source: outer.0,
            destination: outer.1,
            network,
        }),
        ..inner
    })
}

fn vxlan(payload: &[u8]) -> Option<(u32, &[u8])> {
    let (header, frame) = payload.split_at_checked(VXLAN_HEADER)?;
    let network = u32::from_be_bytes([0, header[4], header[5], header[6]]);
    (header[0] & VXLAN_VNI_PRESENT != 0).then_some((network, frame))
}

fn gre(payload: &[u8]) -> Option<(u32, &[u8])> {
    let (header, frame) = payload.split_at_checked(GRE_HEADER)?;
    let key = header.strip_prefix(&GRE_ETHERNET_WITH_KEY)?;
    let key = u32::from_be_bytes(key.try_into().ok()?);
    Some((key, frame))
}

fn addresses(net: &NetSlice<'_>) -> Option<(IpAddr, IpAddr)> {
    match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            Some((header.source_addr().into(), header.destination_addr().into()))
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            Some((header.source_addr().into(), header.destination_addr().into()))
        }
        NetSlice::Arp(_) => None,
    }
}

fn transport(transport: TransportSlice<'_>) -> Option<((u16, u16), Segment<'_>)> {
    match transport {
        TransportSlice::Udp(udp) => Some((
            (udp.source_port(), udp.destination_port()),
            Segment::Udp(udp.payload()),
        )),
        TransportSlice::Tcp(tcp) => Some((
            (tcp.source_port(), tcp.destination_port()),
            Segment::Tcp {
                sequence: tcp.sequence_number(),
                syn: tcp.syn(),
                payload: tcp.payload(),
            },
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
