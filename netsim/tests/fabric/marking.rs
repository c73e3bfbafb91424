//! What a policy writes into the packets that it matches.

use std::net::SocketAddr;

use netsim::capture::{Capture, Frame, RingSize, Sink, Tap};
use netsim::fabric::Mac;
use netsim::policy::{Action, Match};
use nix::sys::socket::{setsockopt, sockopt};

use super::policies::{apply, from_service, over, plan, udp};
use super::world::{BOTH, Ip, PORT, World};

const ETHERNET: usize = 14;
/// Explicit congestion notification, ECT(1): no part of the code point.
const ECN: u8 = 1;

/// The IP packets of a link, without their checksums' words.
#[derive(Default)]
struct Packets(Vec<Vec<u8>>);

impl Sink for Packets {
    fn frame(&mut self, _: usize, frame: Frame<'_>) {
        self.0.push(frame.data[ETHERNET..].to_vec());
    }
}

/// TOS of IPv4 and traffic class of IPv6: the code point, and two bits of ECN.
pub fn traffic_class(packet: &[u8]) -> u8 {
    match packet[0] >> 4 {
        4 => packet[1],
        _ => packet[0] << 4 | packet[1] >> 4,
    }
}

/// RFC 1071: a header with the right checksum adds up to all ones.
fn header_sum(packet: &[u8]) -> u16 {
    let words = packet[..20].chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

/// Marks what has this code point with that one, and leaves the rest alone.
fn rewrite(from: u8, to: u8) -> Vec<(Match, Action)> {
    let matching = Match {
        dscp: vec![from],
        ..udp()
    };
    let Action::Accept { path, inspect, .. } = over("mpls", true) else {
        unreachable!("the action is to accept");
    };
    let dscp = Some(to);
    vec![(matching, Action::Accept { path, inspect, dscp })]
}

/// Sends a packet of each of these traffic classes from site 0 to site 1, and gives them as they arrive at the host.
fn cross(world: &World, ip: Ip, classes: &[u8]) -> Vec<Vec<u8>> {
    let tap = Tap {
        host: &world.hosts[1][0],
        interface: "eth0",
        neighbour: Mac::local(9, 9),
    };
    let capture = Capture::start(
        std::slice::from_ref(&tap),
        RingSize::default(),
        Packets::default(),
    )
    .unwrap();
    assert_eq!(capture.sweep().unwrap(), [true]);
    let (sender, receiver) = (world.bind(0, 0, ip, 40_000), world.bind(1, 0, ip, PORT));
    for class in classes {
        match ip {
            Ip::V4 => setsockopt(&sender, sockopt::Ipv4Tos, &i32::from(*class)).unwrap(),
            Ip::V6 => setsockopt(&sender, sockopt::Ipv6TClass, &i32::from(*class)).unwrap(),
        }
        let to = SocketAddr::new(world.address(1, 0, ip), PORT);
        sender.send_to(b"probe", to).unwrap();
        // The kernel of the receiver checks every checksum on the way here.
        assert_eq!(receiver.recv(&mut [0; 16]).unwrap(), 5, "{class} of {ip:?}");
    }
    assert_eq!(capture.sweep().unwrap(), [true]);
    let (mut packets, counts) = capture.finish().unwrap();
    assert_eq!(counts[0].dropped, 0);
    packets.0.retain(|packet| packet.ends_with(b"probe"));
    packets.0
}

pub async fn a_code_point_is_rewritten_and_nothing_else() {
    let world = World::build(plan()).await;
    for ip in BOTH {
        for (from, to) in [(46, 10), (0, 63), (63, 0)] {
            apply(&world, 0, vec![], vec![from_service(rewrite(from, to))]).await;
            let sent = [from << 2 | ECN, from << 2, 18 << 2 | ECN];
            let packets = cross(&world, ip, &sent);
            let arrived: Vec<u8> = packets.iter().map(|packet| traffic_class(packet)).collect();
            assert_eq!(arrived, [to << 2 | ECN, to << 2, 18 << 2 | ECN], "{ip:?}");
            for packet in &packets {
                match ip {
                    Ip::V4 => assert_eq!(header_sum(packet), u16::MAX, "{packet:?}"),
                    // The hop limit, the length and what is next in IPv6; of the flow label the kernel chose the rest.
                    Ip::V6 => assert_eq!(packet[4..8], [0, 8 + 5, 17, 62], "{packet:?}"),
                }
            }
        }
    }
}
