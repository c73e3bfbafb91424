//! What a probe carries: which run, which stream, which way, which number, sent when.
//!
//! The layout, big-endian, 40 octets at the start of a UDP payload or of each record of a TCP stream:
//!
//! | octets | field |
//! |---|---|
//! | 0-7 | mark `PATHPRF1` |
//! | 8-15 | run |
//! | 16-23 | sequence |
//! | 24-31 | time of sending, CLOCK_REALTIME in nanoseconds |
//! | 32-33 | stream |
//! | 34-35 | size of the whole record |
//! | 36 | way: 0 request, 1 reply |
//! | 37-39 | zero |

use std::time::{SystemTime, UNIX_EPOCH};

use verdict::evidence::Direction;

/// Octets of the identity.
pub const IDENTITY_LEN: usize = 40;
const MARK: [u8; 8] = *b"PATHPRF1";

/// Who a probe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The run it belongs to.
    pub run: u64,
    /// Position of its stream in the plan.
    pub stream: u16,
    /// Which way it goes.
    pub direction: Direction,
    /// Its number in (stream, direction).
    pub sequence: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// Octets of the whole record, padding included.
    pub size: u16,
}

impl Identity {
    /// The record: the identity, padded with zeros to its size.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(usize::from(self.size));
        record.extend(MARK);
        record.extend(self.run.to_be_bytes());
        record.extend(self.sequence.to_be_bytes());
        record.extend(self.sent_ns.to_be_bytes());
        record.extend(self.stream.to_be_bytes());
        record.extend(self.size.to_be_bytes());
        record.push(match self.direction {
            Direction::Request => 0,
            Direction::Reply => 1,
        });
        record.resize(usize::from(self.size).max(IDENTITY_LEN), 0);
        record
    }

    /// The identity at the start of `payload`, if there is one.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let header = payload.get(..IDENTITY_LEN)?;
        if header[..8] != MARK {
            return None;
        }
        let long = |at: usize| header[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        Some(Self {
            run: long(8)?,
            sequence: long(16)?,
            sent_ns: long(24)?,
            stream: short(32),
            size: short(34),
            direction: match header[36] {
                0 => Direction::Request,
                1 => Direction::Reply,
                _ => return None,
            },
        })
    }
}

/// CLOCK_REALTIME in nanoseconds: the clock of the kernel's capture timestamps.
#[must_use]
pub fn now_ns() -> u64 {
    unix_ns(SystemTime::now())
}

/// A time of the wall clock in nanoseconds since 1970.
#[must_use]
pub fn unix_ns(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Identity = Identity {
        run: 7,
        stream: 3,
        direction: Direction::Reply,
        sequence: 42,
        sent_ns: 1_000,
        size: 64,
    };

    #[test]
    fn a_record_parses_to_the_identity_it_was_made_of() {
        let record = PROBE.record();
        assert_eq!(record.len(), 64);
        assert_eq!(Identity::parse(&record), Some(PROBE));
    }

    #[test]
    fn a_hello_of_a_tunnel_session_is_no_probe() {
        use netsim::bfd::{Packet, PacketKind};
        for kind in [PacketKind::Hello, PacketKind::Echo] {
            let packet = Packet {
                kind,
                sequence: u64::from_be_bytes(MARK),
                sent_ns: PROBE.run,
                held_ns: 0,
            };
            assert_eq!(Identity::parse(&packet.octets()), None);
        }
    }

    #[test]
    fn anything_without_the_mark_or_with_an_unknown_way_is_no_probe() {
        let mut record = PROBE.record();
        record[36] = 2;
        assert_eq!(Identity::parse(&record), None);
        assert_eq!(Identity::parse(&PROBE.record()[1..]), None);
        assert_eq!(Identity::parse(&PROBE.record()[..IDENTITY_LEN - 1]), None);
    }
}
