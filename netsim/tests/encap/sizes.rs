//! How large packets are, inside and outside.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use etherparse::PacketBuilder;
use netsim::encap::{Encapsulation, Underlay};
use netsim::fabric::Host;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

use super::Case;
use super::carry::{bind, passes};
use super::lab::{Lab, PATH_MTU, overlay};
use super::secrecy::watch;

const ETHERNET: u32 = 14;

pub async fn overhead_is_exact(case: Case) {
    let mut lab = Lab::build(2, case.underlay).await;
    let mtu = lab.tunnel(case).await;
    assert!(passes(&lab, 0, 1, Duration::from_secs(10)));
    let receiver: UdpSocket = bind(&lab.edges[1], overlay(1), 7200);
    let frames = watch(&lab, async || {
        send_unfragmented(&lab.edges[0], mtu).unwrap();
        let mut buffer = [0; 2048];
        let payload = receiver.recv(&mut buffer).unwrap();
        assert_eq!(u32::try_from(payload).unwrap(), mtu - 28);
    })
    .await;
    // A packet of 1500 octets is one frame: were it in fragments, none would be as long.
    let longest = frames.iter().map(Vec::len).max().unwrap();
    let outer = u32::try_from(longest).unwrap() - ETHERNET;
    assert_eq!(outer, mtu + case.encapsulation.overhead(case.underlay));
    assert!(
        outer <= PATH_MTU && PATH_MTU - outer < 4,
        "{outer} of {PATH_MTU} octets used"
    );
    let fragments = frames
        .iter()
        .filter(|frame| is_fragment(frame, case.underlay))
        .count();
    assert_eq!(fragments, 0);
    assert_eq!(send_unfragmented(&lab.edges[0], mtu + 1), Err(Errno::EMSGSIZE));
    odd_paths_leave_no_fragment(case);
}

/// The arithmetic at other path MTUs: one octet more would not fit.
fn odd_paths_leave_no_fragment(case: Case) {
    for path in 1280..1300 {
        let mtu = case.encapsulation.tunnel_mtu(path, case.underlay);
        let used = mtu + case.encapsulation.overhead(case.underlay);
        let wasted = match case.encapsulation {
            Encapsulation::Ipsec => 4,
            _ => 1,
        };
        assert!(
            used <= path && path - used < wasted,
            "path {path}: {used} octets used"
        );
    }
}

/// Sends a UDP packet of that length from its IP header on, with DF set.
fn send_unfragmented(host: &Host, len: u32) -> Result<(), Errno> {
    let payload = vec![0x5a; usize::try_from(len).unwrap() - 28];
    let [source, to]: [Ipv4Addr; 2] = [overlay(0), overlay(1)];
    // etherparse sets DF unless told otherwise.
    let builder = PacketBuilder::ipv4(source.octets(), to.octets(), 64).udp(7200, 7200);
    let mut packet = Vec::new();
    builder.write(&mut packet, &payload).unwrap();
    let flags = SockFlag::SOCK_CLOEXEC;
    let raw = host
        .netns()
        .run(|| socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Raw))
        .unwrap()?;
    let [a, b, c, d] = to.octets();
    sendto(
        raw.as_raw_fd(),
        &packet,
        &SockaddrIn::new(a, b, c, d, 0),
        MsgFlags::empty(),
    )
    .map(drop)
}

/// More fragments or an offset, RFC 791 section 3.1; a fragment header, RFC 8200 section 4.5.
fn is_fragment(frame: &[u8], underlay: Underlay) -> bool {
    match underlay {
        Underlay::V4 => u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff != 0,
        Underlay::V6 => frame[20] == 44,
    }
}
