//! Devices without a network: their datagrams are handed over by hand.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Device, Output};
use crate::encap::keys::RunSecret;
use crate::encap::wireguard::{WireguardPeer, WireguardSpec};

/// What a device has put out.
#[derive(Default)]
struct Wire {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    packets: Vec<Vec<u8>>,
}

impl Output for Wire {
    fn datagram(&mut self, to: SocketAddr, octets: &[u8]) {
        self.datagrams.push_back((to, octets.to_vec()));
    }

    fn packet(&mut self, octets: &[u8]) {
        self.packets.push(octets.to_vec());
    }
}

fn underlay(edge: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(192, 0, 2, edge).into(), 51820)
}

fn inside(edge: u8) -> IpAddr {
    Ipv4Addr::new(198, 19, 0, edge).into()
}

fn device(edge: u8, peers: &[u8]) -> Device {
    let secret = RunSecret::of_seed(3);
    let peer = |peer: &u8| WireguardPeer {
        underlay: underlay(*peer).ip(),
        port: underlay(*peer).port(),
        address: inside(*peer),
        public_key: secret.wireguard(&peer.to_string()).public(),
    };
    Device::new(&WireguardSpec {
        interface: "wg0".to_owned(),
        underlay: underlay(edge).ip(),
        port: underlay(edge).port(),
        address: inside(edge),
        private_key: secret.wireguard(&edge.to_string()),
        peers: peers.iter().map(peer).collect(),
        mtu: 1440,
    })
}

/// An IPv4 packet with these ends.
fn packet(from: u8, to: u8, len: usize) -> Vec<u8> {
    let ends = [from, to].map(|edge| match inside(edge) {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(_) => unreachable!("the addresses here are IPv4"),
    });
    let mut packet = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4(ends[0], ends[1], 64).udp(1, 2);
    builder.write(&mut packet, &vec![7; len - 28]).unwrap();
    packet
}

/// Hands datagrams over between edges 1 and up until none is left.
fn settle(edges: &mut [(Device, Wire)]) {
    for _ in 0..100 {
        let mut moved = false;
        for from in 0..edges.len() {
            while let Some((to, octets)) = edges[from].1.datagrams.pop_front() {
                moved = true;
                let IpAddr::V4(address) = to.ip() else { continue };
                let to = usize::from(address.octets()[3]) - 1;
                let (device, wire) = &mut edges[to];
                let sender = underlay(u8::try_from(from).unwrap() + 1);
                device.incoming(sender, &octets, wire);
            }
        }
        if !moved {
            return;
        }
    }
    panic!("the devices do not come to rest");
}

fn edges<const N: usize>(peers: [&[u8]; N]) -> Vec<(Device, Wire)> {
    (1..)
        .zip(peers)
        .map(|(edge, peers)| (device(edge, peers), Wire::default()))
        .collect()
}

fn send(edges: &mut [(Device, Wire)], from: usize, packet: &[u8]) {
    let (device, wire) = &mut edges[from - 1];
    device.outgoing(packet, wire);
    settle(edges);
}

#[test]
fn packets_that_come_before_the_session_wait_for_it() {
    let mut edges = edges([&[2], &[1]]);
    let sent: Vec<_> = (0..20).map(|number| packet(1, 2, 100 + number)).collect();
    let (device, wire) = &mut edges[0];
    for packet in &sent {
        device.outgoing(packet, wire);
    }
    assert_eq!(wire.datagrams.len(), 1, "one handshake, nothing else");
    settle(&mut edges);
    assert_eq!(edges[1].1.packets, sent);
    assert_eq!(edges[0].0.count().sealed, 20);
    assert_eq!(edges[1].0.count().opened, 20);
}

#[test]
fn a_packet_of_the_mtu_grows_by_the_overhead_of_wireguard() {
    let mut edges = edges([&[2], &[1]]);
    send(&mut edges, 1, &packet(1, 2, 100));
    let (device, wire) = &mut edges[0];
    device.outgoing(&packet(1, 2, 1440), wire);
    let (to, datagram) = wire.datagrams.pop_front().unwrap();
    assert_eq!((to, datagram.len()), (underlay(2), 1440 + 32));
    assert!(
        !datagram.windows(32).any(|window| window == [7; 32]),
        "it is not encrypted"
    );
}

#[test]
fn a_packet_goes_to_the_peer_with_its_destination_and_to_nobody_else() {
    let mut edges = edges([&[2, 3], &[1, 3], &[1, 2]]);
    send(&mut edges, 1, &packet(1, 3, 200));
    assert_eq!(edges[2].1.packets.len(), 1);
    assert!(edges[1].1.packets.is_empty());
    send(&mut edges, 1, &packet(1, 9, 200));
    send(&mut edges, 1, b"no IP packet");
    send(&mut edges, 1, &[]);
    assert_eq!(edges[0].0.count().refused, 3);
}

#[test]
fn a_peer_sends_from_its_own_address_alone() {
    let mut edges = edges([&[2, 3], &[1, 3], &[1, 2]]);
    send(&mut edges, 2, &packet(2, 1, 100));
    assert_eq!(edges[0].1.packets.len(), 1);
    send(&mut edges, 2, &packet(3, 1, 100));
    assert_eq!(edges[0].1.packets.len(), 1, "edge 2 passed for edge 3");
    assert_eq!(edges[0].0.count().refused, 1);
}

#[test]
fn an_unknown_key_is_not_answered() {
    // Edge 2 knows edge 1, but not the other way round.
    let mut edges = edges([&[], &[1]]);
    send(&mut edges, 2, &packet(2, 1, 100));
    assert!(edges[1].1.packets.is_empty() && edges[0].1.packets.is_empty());
    assert_eq!(edges[0].0.count().refused, 1);
    assert_eq!(edges[1].0.count().handshakes, 0);
}

#[test]
fn damaged_and_repeated_datagrams_are_refused() {
    let mut edges = edges([&[2], &[1]]);
    send(&mut edges, 1, &packet(1, 2, 100));
    let (device, wire) = &mut edges[0];
    device.outgoing(&packet(1, 2, 300), wire);
    let (_, datagram) = wire.datagrams.pop_front().unwrap();
    let (far, wire) = &mut edges[1];
    let mut damaged = datagram.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for bad in [&damaged[..], &datagram[..20], b"", &[0xff; 200]] {
        far.incoming(underlay(1), bad, wire);
    }
    assert_eq!((wire.packets.len(), far.count().refused), (1, 4));
    far.incoming(underlay(1), &datagram, wire);
    far.incoming(underlay(1), &datagram, wire);
    assert_eq!(
        (wire.packets.len(), far.count().refused),
        (2, 5),
        "the second copy is a replay"
    );
}

#[test]
fn new_keys_take_over_without_a_gap() {
    let mut edges = edges([&[2], &[1]]);
    send(&mut edges, 1, &packet(1, 2, 100));
    for round in 0..12 {
        let (device, wire) = &mut edges[round % 2];
        device.shake_hands(wire);
        // A packet is on its way while the handshake is.
        let (device, wire) = &mut edges[0];
        device.outgoing(&packet(1, 2, 100), wire);
        settle(&mut edges);
        send(&mut edges, 1, &packet(1, 2, 100));
    }
    assert_eq!(edges[1].1.packets.len(), 1 + 2 * 12);
    assert_eq!(edges[1].0.count().refused, 0);
    assert!(edges[0].0.count().handshakes > 12, "{:?}", edges[0].0.count());
}

#[test]
fn a_flood_of_handshakes_is_answered_with_cookies() {
    let mut edges = edges([&[2], &[1]]);
    let mut answers = 0;
    let mut cookies = 0;
    for _ in 0..200 {
        // A fresh device each time, or its handshakes would be replays.
        let mut flooder = (device(1, &[2]), Wire::default());
        flooder.0.shake_hands(&mut flooder.1);
        let (_, handshake) = flooder.1.datagrams.pop_front().unwrap();
        let (far, wire) = &mut edges[1];
        far.incoming(underlay(1), &handshake, wire);
        while let Some((_, answer)) = wire.datagrams.pop_front() {
            // Message types of wireguard.com/protocol.
            cookies += u32::from(answer[0] == 3);
            answers += u32::from(answer[0] == 2);
        }
    }
    assert!(cookies >= 90, "{cookies} cookies, {answers} answers");
    assert!(answers >= 1, "{cookies} cookies, {answers} answers");
}
