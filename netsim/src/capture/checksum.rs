//! The Internet checksum (RFC 1071) of captured UDP and TCP segments.
//!
//! Pure: octets in, a verdict out. Before a segment reaches a real wire its checksum may not be there yet: the
//! kernel then keeps the sum of the pseudo-header in its place (include/linux/skbuff.h, `CHECKSUM_PARTIAL`).

use std::net::IpAddr;

/// IP protocol number of UDP.
const UDP: u8 = 17;

/// Whether a segment, from its UDP or TCP header on, carries the checksum that it left its sender with. One with a
/// single flipped bit never does; a UDP datagram without a checksum, or a segment of another protocol, always does.
///
/// The addresses, source and destination, are part of what is summed: RFC 768 and RFC 9293 for IPv4, RFC 8200
/// section 8.1 for IPv6.
#[must_use]
pub fn is_intact((source, destination): (IpAddr, IpAddr), protocol: u8, segment: &[u8]) -> bool {
    /// IP protocol number of TCP.
    const TCP: u8 = 6;
    let at = match protocol {
        UDP => 6,
        TCP => 16,
        _ => return true,
    };
    let Some(field) = segment.get(at..at + 2) else {
        return false;
    };
    let stored = u16::from_be_bytes([field[0], field[1]]);
    if protocol == UDP && stored == 0 {
        return true;
    }
    let len = u64::try_from(segment.len()).expect("a u64 holds a usize");
    let pseudo_header = sum_of(source) + sum_of(destination) + u64::from(protocol) + len;
    folded(pseudo_header + sum(segment)) == u16::MAX || folded(pseudo_header) == stored
}

fn sum_of(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    }
}

/// The sum of 16-bit words, big-endian, the last one padded with zero.
fn sum(octets: &[u8]) -> u64 {
    let (words, rest) = octets.as_chunks::<2>();
    let words: u64 = words
        .iter()
        .map(|word| u64::from(u16::from_be_bytes(*word)))
        .sum();
    words + rest.first().map_or(0, |octet| u64::from(*octet) << 8)
}

/// A sum with its carries added in, as ones' complement arithmetic has it.
fn folded(mut sum: u64) -> u16 {
    while sum > u64::from(u16::MAX) {
        sum = (sum >> 16) + (sum & u64::from(u16::MAX));
    }
    u16::try_from(sum).expect("folded until it fits")
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const SOURCE: [u8; 4] = [10, 0, 0, 1];
    const DESTINATION: [u8; 4] = [10, 0, 0, 2];

    /// A segment with its header, as its sender makes it.
    fn segment(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let ip = PacketBuilder::ipv4(SOURCE, DESTINATION, 64);
        let mut packet = Vec::new();
        match protocol {
            UDP => ip.udp(1, 2).write(&mut packet, payload),
            _ => ip.tcp(1, 2, 77, 1024).write(&mut packet, payload),
        }
        .unwrap();
        packet.split_off(20)
    }

    fn check(protocol: u8, segment: &[u8]) -> bool {
        is_intact((SOURCE.into(), DESTINATION.into()), protocol, segment)
    }

    #[rstest]
    #[case(UDP, 6)]
    #[case(6, 16)]
    fn what_its_sender_made_is_intact_before_and_after_the_checksum_is_there(
        #[case] protocol: u8,
        #[case] at: usize,
    ) {
        for payload in [b"probe".as_slice(), b"probes", b""] {
            let mut segment = segment(protocol, payload);
            assert!(check(protocol, &segment));
            let len = u16::try_from(segment.len()).unwrap();
            let words = [0x0a00_u16, 1, 0x0a00, 2, u16::from(protocol), len];
            let partial: u16 = words.into_iter().sum();
            segment[at..at + 2].copy_from_slice(&partial.to_be_bytes());
            assert!(check(protocol, &segment));
        }
    }

    #[test]
    fn without_a_checksum_a_datagram_is_taken_as_it_is_and_a_stub_is_not() {
        let mut datagram = segment(UDP, b"probe");
        datagram[6..8].copy_from_slice(&[0, 0]);
        assert!(check(UDP, &datagram));
        assert!(!check(UDP, &datagram[..7]));
        assert!(check(1, &[]));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_always_seen(
            payload in proptest::collection::vec(any::<u8>(), 0..100), is_udp: bool, bit in any::<usize>(),
        ) {
            let protocol = if is_udp { UDP } else { 6 };
            let whole = segment(protocol, &payload);
            let mut flipped = whole.clone();
            let bit = bit % (8 * flipped.len());
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A flip can make no checksum, or by one chance in 65536 one that is not there yet, of another.
            let at = if is_udp { 6 } else { 16 };
            prop_assume!(bit / 8 != at && bit / 8 != at + 1);
            let stored = u16::from_be_bytes([whole[at], whole[at + 1]]);
            let len = u64::try_from(whole.len()).unwrap();
            let pseudo = sum(&SOURCE) + sum(&DESTINATION) + u64::from(protocol) + len;
            prop_assume!(folded(pseudo) != stored);
            prop_assert!(!check(protocol, &flipped));
        }
    }
}
