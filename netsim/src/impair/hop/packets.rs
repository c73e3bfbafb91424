//! Packets in octets: second copies are sent, bits are flipped.
//!
//! Owns the sockets that copies leave by. Both IP versions are told by the first octet of a packet.

use std::io;
use std::net::SocketAddrV6;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto, socket,
};

/// Sockets for packets of ours, from the IP header on.
pub(super) struct Copies {
    ipv4: OwnedFd,
    ipv6: Option<OwnedFd>,
}

impl Copies {
    /// Opens them in the calling thread's namespace.
    pub(super) fn open() -> io::Result<Self> {
        let raw = |family| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw);
        Ok(Self {
            ipv4: raw(AddressFamily::Inet)?,
            // A kernel without IPv6 has no packets of it either.
            ipv6: raw(AddressFamily::Inet6).ok(),
        })
    }

    /// Sends a packet; it is routed as the one that it is a copy of.
    pub(super) fn send(&self, packet: &[u8]) {
        /// The destination address of a packet, which is at `at`.
        fn destination<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
            packet.get(at..at + N)?.try_into().ok()
        }
        let flags = MsgFlags::MSG_DONTWAIT;
        // A copy that the kernel does not take is one that a full line dropped.
        match (packet.first().map(|octet| octet >> 4), &self.ipv6) {
            (Some(6), Some(socket)) => {
                let Some(to) = destination::<16>(packet, 24) else {
                    return;
                };
                let to = SockaddrIn6::from(SocketAddrV6::new(to.into(), 0, 0, 0));
                sendto(socket.as_raw_fd(), packet, &to, flags).ok();
            }
            (Some(4), _) => {
                let Some([a, b, c, d]) = destination(packet, 16) else {
                    return;
                };
                sendto(
                    self.ipv4.as_raw_fd(),
                    packet,
                    &SockaddrIn::new(a, b, c, d, 0),
                    flags,
                )
                .ok();
            }
            _ => {}
        }
    }
}

/// A packet with one bit behind its IP header flipped.
pub(super) fn flipped(packet: &[u8], random: u64) -> Box<[u8]> {
    let mut packet: Box<[u8]> = packet.into();
    let header = packet.first().map_or(0, |octet| match octet >> 4 {
        // RFC 8200 section 3.
        6 => 40,
        // Internet header length in words, RFC 791 section 3.1.
        _ => usize::from(octet & 0xf) * 4,
    });
    let bits = 8 * packet.len().saturating_sub(header);
    if let Some(bit) = usize::try_from(random).unwrap_or(usize::MAX).checked_rem(bits) {
        packet[header + bit / 8] ^= 1 << (bit % 8);
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_flipped_and_never_in_the_ip_header() {
        // Headers of IPv4 without and with options, and of IPv6, each before one octet.
        for (first, header) in [(0x45, 20), (0x47, 28), (0x60, 40)] {
            let mut packet = vec![0; header + 1];
            packet[0] = first;
            for random in [0, 5, 8 * 7 + 3, u64::MAX] {
                let changed = flipped(&packet, random);
                assert_eq!(changed[..header], packet[..header]);
                assert_eq!(changed[header].count_ones(), 1);
            }
            // Nothing is behind the header.
            packet.pop();
            assert_eq!(*flipped(&packet, 7), *packet);
        }
        assert!(flipped(&[], 7).is_empty());
    }
}
