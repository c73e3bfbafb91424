//! What tunnels carry.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use netsim::encap::gre::add_gretap;
use netsim::encap::{Encapsulation, Means, Underlay};
use netsim::fabric::Host;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::Case;
use super::lab::{Lab, PATH_MTU, inside, octet, overlay};

/// How long anything may take that must arrive.
const PATIENCE: Duration = Duration::from_secs(10);
const BULK_OCTETS: usize = 16 << 20;

pub fn bind(host: &Host, address: impl Into<IpAddr>, port: u16) -> UdpSocket {
    let address = SocketAddr::new(address.into(), port);
    let deadline = Instant::now() + PATIENCE;
    let socket = loop {
        match host.netns().run(|| UdpSocket::bind(address)).unwrap() {
            Ok(socket) => break socket,
            // An IPv6 address is not to be had before its link has a carrier.
            Err(error) => assert!(Instant::now() < deadline, "bind {address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a datagram from one edge to another; whether it arrives in time.
pub fn passes(lab: &Lab, from: usize, to: usize, patience: Duration) -> bool {
    let receiver = bind(&lab.edges[to], overlay(to), 0);
    receiver.set_read_timeout(Some(patience)).unwrap();
    let sender = bind(&lab.edges[from], overlay(from), 0);
    sender
        .send_to(b"through", receiver.local_addr().unwrap())
        .unwrap();
    let mut buffer = [0; 64];
    receiver
        .recv(&mut buffer)
        .is_ok_and(|len| &buffer[..len] == b"through")
}

pub async fn ping_and_udp(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    lab.tunnel(case).await;
    assert!(ping(&lab.edges[0], overlay(1)), "no echo reply");
    for (from, to) in [(0, 1), (1, 0)] {
        assert!(passes(&lab, from, to, PATIENCE), "from {from} to {to}");
    }
    exchange(&lab, 500);
}

/// Sends datagrams of every kind of length there and back; all of them arrive, unchanged.
fn exchange(lab: &Lab, count: u16) {
    let near = bind(&lab.edges[0], overlay(0), 7000);
    let far = bind(&lab.edges[1], overlay(1), 7000);
    for number in 0..count {
        let len = 2 + usize::from(number) * 7 % 1300;
        let mut sent = vec![number.to_le_bytes()[0]; len];
        sent[..2].copy_from_slice(&number.to_be_bytes());
        let mut buffer = [0; 2048];
        near.send_to(&sent, (overlay(1), 7000)).unwrap();
        let (len, from) = far.recv_from(&mut buffer).unwrap();
        assert!(
            buffer[..len] == sent,
            "datagram {number} has changed on its way there"
        );
        far.send_to(&buffer[..len], from).unwrap();
        let len = near.recv(&mut buffer).unwrap();
        assert!(
            buffer[..len] == sent,
            "datagram {number} has changed on its way back"
        );
    }
}

/// Sends an echo request (RFC 792) and waits for the kernel's reply.
fn ping(host: &Host, to: std::net::Ipv4Addr) -> bool {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = host
        .netns()
        .run(|| socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp))
        .unwrap()
        .unwrap();
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(10)).unwrap();
    let mut request = Vec::new();
    let header = etherparse::Icmpv4Type::EchoRequest(etherparse::IcmpEchoHeader { id: 77, seq: 1 });
    etherparse::Icmpv4Header::with_checksum(header, b"echo")
        .write(&mut request)
        .unwrap();
    request.extend(b"echo");
    let [a, b, c, d] = to.octets();
    let to = SockaddrIn::new(a, b, c, d, 0);
    sendto(socket.as_raw_fd(), &request, &to, MsgFlags::empty()).unwrap();
    let mut reply = [0; 256];
    recv(socket.as_raw_fd(), &mut reply, MsgFlags::empty()).is_ok_and(|len| reply[..len].ends_with(b"echo"))
}

pub async fn tcp_in_bulk(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    lab.tunnel(case).await;
    let listener = lab.edges[1]
        .netns()
        .run(|| TcpListener::bind((overlay(1), 7001)))
        .unwrap()
        .unwrap();
    let mut sender = lab.edges[0]
        .netns()
        .run(|| TcpStream::connect_timeout(&(overlay(1), 7001).into(), PATIENCE))
        .unwrap()
        .unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    sender.set_write_timeout(Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    let sending = std::thread::spawn(move || {
        let chunk: Vec<u8> = (0..=250).cycle().take(251 * 256).collect();
        let mut left = BULK_OCTETS;
        while left > 0 {
            let len = left.min(chunk.len());
            sender.write_all(&chunk[..len]).unwrap();
            left -= len;
        }
    });
    let (mut received, mut buffer) = (0, vec![0; 1 << 18]);
    loop {
        let len = receiver.read(&mut buffer).unwrap();
        if len == 0 {
            break;
        }
        for (position, octet) in (received..).zip(&buffer[..len]) {
            assert!(
                usize::from(*octet) == position % 251,
                "octet {position} has changed"
            );
        }
        received += len;
    }
    let took = begun.elapsed();
    sending.join().unwrap();
    assert_eq!(received, BULK_OCTETS);
    let megabits = u128::try_from(8 * BULK_OCTETS).unwrap() / took.as_micros();
    eprintln!("{}: {megabits} Mbit/s of TCP", case.name());
    for wireguard in &lab.wireguards {
        eprintln!("  {:?}", wireguard.count());
    }
}

pub async fn three_edges(case: Case) {
    let mut lab = Lab::build(3, case.underlay).await;
    lab.tunnel(case).await;
    for from in 0..3 {
        for to in lab.others(from) {
            assert!(passes(&lab, from, to, PATIENCE), "from {from} to {to}");
        }
    }
}

pub async fn rekeying(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    lab.tunnel(case).await;
    assert!(passes(&lab, 0, 1, PATIENCE));
    let receiver = bind(&lab.edges[1], overlay(1), 7002);
    let sender = bind(&lab.edges[0], overlay(0), 7002);
    const COUNT: u32 = 1000;
    // Packets from two processors may overtake each other on any link, so only their number is looked at.
    let receiving = std::thread::spawn(move || {
        let mut missing: BTreeSet<u32> = (0..COUNT).collect();
        let mut buffer = [0; 4];
        while !missing.is_empty() && receiver.recv(&mut buffer).is_ok() {
            missing.remove(&u32::from_be_bytes(buffer));
        }
        missing
    });
    let handshakes = |lab: &Lab| lab.wireguards[0].count().unwrap().handshakes;
    let before = handshakes(&lab);
    for number in 0..COUNT {
        if number % 100 == 50 {
            lab.wireguards[usize::from(number % 200 == 50)].rekey();
        }
        sender.send_to(&number.to_be_bytes(), (overlay(1), 7002)).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let missing = receiving.join().unwrap();
    assert!(missing.is_empty(), "{missing:?} are missing");
    let deadline = Instant::now() + PATIENCE;
    while handshakes(&lab) < before + 5 {
        assert!(
            Instant::now() < deadline,
            "no new handshakes: {}",
            handshakes(&lab)
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn ends_and_starts_again(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    lab.tunnel(case).await;
    assert!(passes(&lab, 0, 1, PATIENCE));
    let begun = Instant::now();
    let again = lab.wireguard_spec(1);
    drop(lab.wireguards.pop());
    assert!(begun.elapsed() < Duration::from_secs(1), "the thread did not end");
    assert!(
        !passes(&lab, 0, 1, Duration::from_millis(200)),
        "nobody is there to decrypt it"
    );
    // Its link goes with the thread, as soon as the kernel has cleaned up; then the name is free again.
    while let Err(error) = lab.try_wireguard(1, case.means, &again).await {
        assert!(begun.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let deadline = Instant::now() + PATIENCE;
    while !passes(&lab, 1, 0, Duration::from_millis(200)) {
        assert!(Instant::now() < deadline, "the new device does not pass anything");
    }
}

pub async fn mixed_means(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    let mtu = Encapsulation::Wireguard.tunnel_mtu(PATH_MTU, Underlay::V4);
    for (edge, means) in [(0, Means::Userspace), (1, Means::Kernel)] {
        let spec = lab.wireguard_spec(edge);
        lab.add_wireguard(edge, means, &spec).await;
        lab.add_vxlan(edge, mtu, |_, edge| inside(edge)).await;
    }
    exchange(&lab, 200);
}

/// Addresses inside the tunnel are IPv6, for WireGuard's devices and for GRE's.
pub async fn ipv6_inside(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    let inner = |edge: usize| IpAddr::from(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, octet(edge).into()));
    for edge in 0..2 {
        if case.encapsulation == Encapsulation::Gre {
            let mut spec = lab.gretap_spec(edge, 1 - edge, 1400);
            (spec.addresses, spec.peer_addresses) = (vec![inner(edge)], vec![inner(1 - edge)]);
            add_gretap(&lab.edges[edge], &spec).await.unwrap();
        } else {
            let mut spec = lab.wireguard_spec(edge);
            spec.address = inner(edge);
            spec.peers[0].address = inner(1 - edge);
            lab.add_wireguard(edge, case.means, &spec).await;
        }
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let receiver = bind(&lab.edges[to], inner(to), 7300);
        let sender = bind(&lab.edges[from], inner(from), 7300);
        sender.send_to(b"through", (inner(to), 7300)).unwrap();
        assert_eq!(receiver.recv(&mut [0; 64]).unwrap(), 7, "from {from} to {to}");
    }
}
