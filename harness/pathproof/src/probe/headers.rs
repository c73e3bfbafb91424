//! What the headers of a frame say of a probe beside its addresses: its DSCP, and what carries it.
//!
//! Pure: bytes in, values out. It reads the frames of a lab, whose encapsulations are those of
//! [`netsim::capture::decode`]: no VLAN tags, and no IPv6 extension headers in front of a tunnel.

use scenario::assertion::Encapsulation;

const ETHERNET_HEADER: usize = 14;
/// Octets of a VXLAN header (RFC 7348 section 5) with the UDP header before it, and of a GRE header with a key.
const VXLAN_HEADERS: usize = 16;
const GRE_HEADERS: usize = 8;

/// Numbers of the IPv4 protocol and IPv6 next header fields.
const UDP: u8 = 17;
const GRE: u8 = 47;
const ESP: u8 = 50;

/// An IP header.
struct Ip {
    /// The upper six bits of the DS field, RFC 2474.
    dscp: u8,
    protocol: u8,
    /// Where its payload begins in the frame.
    payload: usize,
}

/// The encapsulation around a probe and the DSCP of the probe's own IP header. `is_tunnelled` is the decoder's word.
pub fn of_probe(frame: &[u8], is_tunnelled: bool) -> Option<(Option<Encapsulation>, u8)> {
    let outer = ip(frame, ETHERNET_HEADER)?;
    if !is_tunnelled {
        return Some((None, outer.dscp));
    }
    let (carried, headers) = match outer.protocol {
        GRE => (Encapsulation::Gre, GRE_HEADERS),
        _ => (Encapsulation::Vxlan, VXLAN_HEADERS),
    };
    let inner = ip(frame, outer.payload + headers + ETHERNET_HEADER)?;
    Some((Some(carried), inner.dscp))
}

/// The encryption that hides what is in a frame, if any; `UDP` to one of the ports is taken for `WireGuard`.
pub fn encryption(frame: &[u8], wireguard_ports: &[u16]) -> Option<Encapsulation> {
    let outer = ip(frame, ETHERNET_HEADER)?;
    let destination = frame.get(outer.payload + 2..outer.payload + 4)?;
    let destination = u16::from_be_bytes([destination[0], destination[1]]);
    match outer.protocol {
        ESP => Some(Encapsulation::Esp),
        UDP if wireguard_ports.contains(&destination) => Some(Encapsulation::Wireguard),
        _ => None,
    }
}

fn ip(frame: &[u8], at: usize) -> Option<Ip> {
    let header = frame.get(at..)?;
    match (header.first()? >> 4, header.len()) {
        (4, 20..) => Some(Ip {
            dscp: header[1] >> 2,
            protocol: header[9],
            payload: at + usize::from(header[0] & 0x0f) * 4,
        }),
        // The traffic class is the low half of the first octet and the high half of the second.
        (6, 40..) => Some(Ip {
            dscp: (header[0] & 0x0f) << 2 | header[1] >> 6,
            protocol: header[6],
            payload: at + 40,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{IpNumber, PacketBuilder};
    use proptest::prelude::*;

    use super::*;

    /// A UDP datagram of IPv4 or IPv6 with this DSCP.
    fn udp(is_v6: bool, dscp: u8, port: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let ethernet = PacketBuilder::ethernet2([2; 6], [3; 6]);
        let ip = if is_v6 {
            ethernet.ipv6([1; 16], [2; 16], 64)
        } else {
            ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        };
        ip.udp(1, port).write(&mut frame, payload).unwrap();
        if is_v6 {
            frame[14] |= dscp >> 2;
            frame[15] |= dscp << 6;
        } else {
            frame[15] = dscp << 2;
        }
        frame
    }

    fn over_ip(number: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let ip = PacketBuilder::ethernet2([2; 6], [3; 6]).ipv4([100, 64, 0, 1], [100, 64, 0, 3], 64);
        ip.write(&mut frame, IpNumber(number), payload).unwrap();
        frame
    }

    #[test]
    fn the_dscp_is_that_of_the_probe_and_not_of_what_carries_it() {
        for is_v6 in [false, true] {
            let inner = udp(is_v6, 46, 2, b"probe");
            assert_eq!(of_probe(&inner, false), Some((None, 46)));
            let vxlan = udp(
                !is_v6,
                10,
                4789,
                &[&[8, 0, 0, 0, 0, 0, 10, 0][..], &inner].concat(),
            );
            assert_eq!(of_probe(&vxlan, true), Some((Some(Encapsulation::Vxlan), 46)));
            let gre = over_ip(GRE, &[&[0x20, 0, 0x65, 0x58, 0, 0, 0, 1][..], &inner].concat());
            assert_eq!(of_probe(&gre, true), Some((Some(Encapsulation::Gre), 46)));
        }
    }

    #[test]
    fn encryption_is_known_by_its_protocol_or_port() {
        assert_eq!(encryption(&over_ip(ESP, &[0; 40]), &[]), Some(Encapsulation::Esp));
        let wireguard = udp(true, 0, 51_820, &[4; 64]);
        assert_eq!(encryption(&wireguard, &[51_820]), Some(Encapsulation::Wireguard));
        assert_eq!(encryption(&wireguard, &[51_821]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(frame in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = of_probe(&frame, true);
            let _ = encryption(&frame, &[4789]);
        }
    }
}
