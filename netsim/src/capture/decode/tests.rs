use std::net::Ipv6Addr;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

const PORTS: [u16; 2] = [4789, 4790];

fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [3; 6])
        .ipv4(source, destination, 64)
        .udp(ports.0, ports.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn vxlan(vni: u32, inner: &[u8], port: u16) -> Vec<u8> {
    let [_, a, b, c] = vni.to_be_bytes();
    let mut payload = vec![VXLAN_VNI_PRESENT, 0, 0, 0, a, b, c, 0];
    payload.extend(inner);
    udp([100, 64, 0, 1], [100, 64, 0, 3], (40_000, port), &payload)
}

#[test]
fn a_plain_datagram_has_no_tunnel() {
    let frame = udp([10, 0, 0, 1], [10, 0, 0, 2], (1, 2), b"probe");
    let packet = packet(&frame, &PORTS).unwrap();
    assert_eq!(packet.tunnel, None);
    assert_eq!(packet.source, "10.0.0.1:1".parse().unwrap());
    assert_eq!(packet.destination, "10.0.0.2:2".parse().unwrap());
    assert_eq!(packet.segment, Segment::Udp(b"probe"));
}

#[test]
fn an_encapsulated_datagram_is_seen_through_its_tunnel() {
    let inner = udp([10, 0, 0, 1], [10, 0, 0, 2], (1, 2), b"probe");
    let frame = vxlan(10, &inner, 4790);
    let packet = packet(&frame, &PORTS).unwrap();
    let tunnel = packet.tunnel.unwrap();
    assert_eq!(
        (tunnel.network, tunnel.source, tunnel.destination),
        (10, IpAddr::from([100, 64, 0, 1]), IpAddr::from([100, 64, 0, 3]))
    );
    assert_eq!(packet.destination, "10.0.0.2:2".parse().unwrap());
}

#[test]
fn vxlan_on_a_foreign_port_is_an_ordinary_datagram() {
    let inner = udp([10, 0, 0, 1], [10, 0, 0, 2], (1, 2), b"probe");
    let frame = vxlan(10, &inner, 9999);
    assert_eq!(packet(&frame, &PORTS).unwrap().tunnel, None);
}

#[test]
fn a_flipped_bit_inside_a_tunnel_is_seen() {
    let mut inner = udp([10, 0, 0, 1], [10, 0, 0, 2], (1, 2), b"probe");
    assert!(packet(&vxlan(10, &inner, 4789), &PORTS).unwrap().is_intact);
    *inner.last_mut().unwrap() ^= 1;
    assert!(!packet(&vxlan(10, &inner, 4789), &PORTS).unwrap().is_intact);
}

#[test]
fn a_tcp_segment_tells_its_sequence_number_and_payload() {
    let builder = PacketBuilder::ethernet2([2; 6], [3; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1, 2, 77, 1024)
        .syn();
    let mut frame = Vec::new();
    builder.write(&mut frame, b"x").unwrap();
    let segment = packet(&frame, &PORTS).unwrap().segment;
    assert_eq!(
        segment,
        Segment::Tcp {
            sequence: 77,
            syn: true,
            payload: b"x"
        }
    );
}

#[test]
fn a_sentinel_is_known_by_itself_and_inside_a_tunnel() {
    let mut sentinel = vec![2; 12];
    sentinel.extend(SENTINEL_ETHERTYPE.to_be_bytes());
    sentinel.resize(60, 0);
    assert!(is_sentinel(&sentinel));
    assert!(is_sentinel(&vxlan(10, &sentinel, 4789)));
    assert!(!is_sentinel(&udp([10, 0, 0, 1], [10, 0, 0, 2], (1, 2), b"probe")));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = packet(&frame, &PORTS);
        let _ = is_sentinel(&frame);
    }

    #[test]
    fn a_cut_frame_is_never_taken_for_a_whole_one(len in 0_usize..100) {
        let inner = udp([10, 0, 0, 1], [10, 0, 0, 2], (1, 2), b"probe");
        let frame = vxlan(10, &inner, 4789);
        prop_assume!(len < frame.len());
        prop_assert_eq!(packet(&frame[..len], &PORTS), None);
    }
}

fn udp6(source: u16, destination: u16, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let address = |last: u16| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).octets();
    let builder = PacketBuilder::ethernet2([2; 6], [3; 6])
        .ipv6(address(source), address(destination), 64)
        .udp(ports.0, ports.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn gre(key: u32, inner: &[u8]) -> Vec<u8> {
    let mut payload = GRE_ETHERNET_WITH_KEY.to_vec();
    payload.extend(key.to_be_bytes());
    payload.extend(inner);
    let builder = PacketBuilder::ethernet2([2; 6], [3; 6]).ipv4([100, 64, 0, 1], [100, 64, 0, 3], 64);
    let mut frame = Vec::new();
    builder.write(&mut frame, IpNumber::GRE, &payload).unwrap();
    frame
}

#[test]
fn an_inner_datagram_of_ipv6_is_seen_through_a_tunnel_of_either_family() {
    let inner = udp6(1, 2, (1, 2), b"probe");
    let over6 = {
        let mut payload = vec![VXLAN_VNI_PRESENT, 0, 0, 0, 0, 0, 10, 0];
        payload.extend(&inner);
        udp6(9, 8, (40_000, 4790), &payload)
    };
    for (frame, outer) in [(vxlan(10, &inner, 4790), "100.64.0.3"), (over6, "fd00::8")] {
        let packet = packet(&frame, &PORTS).unwrap();
        let tunnel = packet.tunnel.unwrap();
        assert_eq!((tunnel.network, tunnel.destination), (10, outer.parse().unwrap()));
        assert_eq!(packet.destination, "[fd00::2]:2".parse().unwrap());
        assert_eq!(packet.segment, Segment::Udp(b"probe"));
    }
}

#[test]
fn a_datagram_is_seen_through_gre_with_its_key() {
    let inner = udp([10, 0, 0, 1], [10, 0, 0, 2], (1, 2), b"probe");
    let frame = gre(20, &inner);
    let packet = packet(&frame, &PORTS).unwrap();
    assert_eq!(packet.tunnel.unwrap().network, 20);
    assert_eq!(packet.destination, "10.0.0.2:2".parse().unwrap());
    let mut without_key = gre(20, &inner);
    without_key[14 + 20] = 0;
    assert_eq!(super::packet(&without_key, &PORTS), None);
}

#[test]
fn a_sentinel_is_known_in_every_tunnel() {
    let mut sentinel = vec![0xff; 12];
    sentinel.extend(SENTINEL_ETHERTYPE.to_be_bytes());
    sentinel.resize(ETHERNET_MIN, 0);
    let over6 = {
        let mut payload = vec![VXLAN_VNI_PRESENT, 0, 0, 0, 0, 0, 10, 0];
        payload.extend(&sentinel);
        udp6(9, 8, (40_000, 4790), &payload)
    };
    for frame in [
        sentinel.clone(),
        vxlan(10, &sentinel, 4789),
        over6,
        gre(20, &sentinel),
    ] {
        assert!(is_sentinel(&frame));
        assert!(!is_sentinel(&frame[..frame.len() - 1]) || frame == sentinel);
    }
    assert!(!is_sentinel(&udp6(1, 2, (1, 2), b"probe")));
}
