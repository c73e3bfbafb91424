//! What hellos and echoes look like.
//!
//! The payload of UDP port 3785, the port of BFD echo packets, whose contents are a local matter (RFC 5881
//! section 4). Big-endian, 40 octets:
//!
//! | octets | field |
//! |---|---|
//! | 0-7 | mark `SDWANBFD` |
//! | 8-15 | kind: 0 hello, 1 echo |
//! | 16-23 | number of the hello in its session |
//! | 24-31 | when the hello was sent, CLOCK_REALTIME in nanoseconds |
//! | 32-39 | how long the remote edge held it, in nanoseconds; 0 in a hello |

/// UDP port of hellos and echoes.
pub const ECHO_PORT: u16 = 3785;
/// The first octets of every packet of a session.
pub const MARK: [u8; 8] = *b"SDWANBFD";
/// Octets of a packet.
pub const PACKET_LEN: usize = 40;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// From the edge that asks.
    Hello,
    /// Back from the edge that was asked.
    Echo,
}

/// A packet of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Which way it goes.
    pub kind: PacketKind,
    /// Number of the hello.
    pub sequence: u64,
    /// When the hello was sent.
    pub sent_ns: u64,
    /// How long the remote edge held it.
    pub held_ns: u64,
}

impl Packet {
    /// Its octets.
    #[must_use]
    pub fn octets(&self) -> [u8; PACKET_LEN] {
        let kind = match self.kind {
            PacketKind::Hello => 0_u64,
            PacketKind::Echo => 1,
        };
        let mut octets = [0; PACKET_LEN];
        octets[..8].copy_from_slice(&MARK);
        let fields = [kind, self.sequence, self.sent_ns, self.held_ns];
        for (place, field) in octets[8..].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        octets
    }

    /// The packet of these octets, if it is one.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let (mark, fields) = octets.split_first_chunk::<8>()?;
        if *mark != MARK || octets.len() != PACKET_LEN {
            return None;
        }
        let field = |number: usize| {
            let octets = fields.get(8 * number..8 * number + 8)?;
            octets.try_into().ok().map(u64::from_be_bytes)
        };
        Some(Self {
            kind: match field(0)? {
                0 => PacketKind::Hello,
                1 => PacketKind::Echo,
                _ => return None,
            },
            sequence: field(1)?,
            sent_ns: field(2)?,
            held_ns: field(3)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const ECHO: Packet = Packet {
        kind: PacketKind::Echo,
        sequence: 7,
        sent_ns: 1 << 40,
        held_ns: 3,
    };

    #[test]
    fn a_packet_parses_to_what_it_was_made_of() {
        assert_eq!(Packet::parse(&ECHO.octets()), Some(ECHO));
        let hello = Packet {
            kind: PacketKind::Hello,
            ..ECHO
        };
        assert_eq!(Packet::parse(&hello.octets()), Some(hello));
    }

    #[test]
    fn anything_else_is_no_packet() {
        let good = ECHO.octets();
        assert_eq!(Packet::parse(&good[..PACKET_LEN - 1]), None);
        assert_eq!(Packet::parse(&[good.as_slice(), &[0]].concat()), None);
        let (mut marked, mut kind) = (good, good);
        marked[0] ^= 1;
        kind[15] = 2;
        assert_eq!(Packet::parse(&marked), None);
        assert_eq!(Packet::parse(&kind), None);
    }
}
