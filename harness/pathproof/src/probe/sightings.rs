//! From captured frames to sightings of probes.
//!
//! Owns the recognition of probes in frames: a UDP probe by its payload, a TCP probe by its octets' place in the
//! stream, because segments do not have to begin where records begin (RFC 9293 section 3.8). It keeps the
//! pcapng files too, as it sees every frame. Invariant: a record that a tap saw any octet of is sighted there, also
//! in a tunnel where it does not belong: connections are known by their addresses and ports alone, which no two of a
//! run share (see [`super::agent`]).

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use netsim::capture::decode::{self, Packet, Segment};
use netsim::capture::{Frame, Sink, Way};
use verdict::Encapsulation;
use verdict::evidence::{self, Direction};

use super::headers;
use super::identity::Identity;
use crate::record::pcapng::PcapngFiles;

/// A probe seen at a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Position of the stream in the plan.
    pub stream: u16,
    /// Which way the probe went.
    pub direction: Direction,
    /// Its number.
    pub sequence: u64,
    /// Where and when.
    pub hop: evidence::Hop,
}

/// The sink of a run's capture.
#[derive(Debug)]
pub struct Sightings {
    run: u64,
    ports: TunnelPorts,
    connections: HashMap<(SocketAddr, SocketAddr), Connection>,
    files: PcapngFiles,
    /// What was seen, in order of reading.
    pub seen: Vec<Sighting>,
    /// Packets with a probe's mark that belong to another run, and records whose stream is unknown.
    pub strays: u64,
    /// For each tap the packets in which no probe can be told, by what they are encrypted in.
    pub hidden: Vec<BTreeMap<Encapsulation, u64>>,
}

/// The UDP ports by which tunnels of a run are known.
#[derive(Debug, Default)]
pub struct TunnelPorts {
    /// Of VXLAN.
    pub vxlan: Vec<u16>,
    /// Of `WireGuard`.
    pub wireguard: Vec<u16>,
}

/// One way of a TCP connection.
#[derive(Debug, Clone, Copy, Default)]
struct Connection {
    /// Sequence number of the first octet of data.
    first: Option<u32>,
    /// Place in the stream of the segment seen last: sequence numbers wrap every 4 GiB, places do not.
    last: u64,
    /// The first record seen: from it, the identity of every other follows.
    identity: Option<Identity>,
}

impl Connection {
    /// The place in the stream that has these low 32 bits and is nearest to the segment seen last.
    fn place(&mut self, low: u32) -> u64 {
        let forward =
            low.wrapping_sub(u32::try_from(self.last & u64::from(u32::MAX)).expect("masked to 32 bits"));
        self.last = self.last.saturating_add_signed(i64::from(forward.cast_signed()));
        self.last
    }
}

impl Sightings {
    /// A sink for the probes of one run, seen at so many taps.
    #[must_use]
    pub fn new(run: u64, ports: TunnelPorts, taps: usize, files: PcapngFiles) -> Self {
        Self {
            run,
            ports,
            connections: HashMap::new(),
            files,
            seen: Vec::new(),
            strays: 0,
            hidden: vec![BTreeMap::new(); taps],
        }
    }

    /// Ends the pcapng files.
    ///
    /// # Errors
    /// The first write that failed.
    pub fn close_files(&mut self) -> std::io::Result<()> {
        self.files.close()
    }

    fn sight(&mut self, probe: &Identity, hop: evidence::Hop) {
        if probe.run == self.run {
            let Identity {
                stream,
                direction,
                sequence,
                ..
            } = *probe;
            self.seen.push(Sighting {
                stream,
                direction,
                sequence,
                hop,
            });
        } else {
            self.strays += 1;
        }
    }

    fn segment(&mut self, packet: &Packet<'_>, sequence: u32, payload: &[u8], hop: evidence::Hop) {
        let connection = self
            .connections
            .entry((packet.source, packet.destination))
            .or_default();
        let Some(first) = connection.first else {
            self.strays += u64::from(!payload.is_empty());
            return;
        };
        let offset = connection.place(sequence.wrapping_sub(first));
        if connection.identity.is_none() && offset == 0 {
            connection.identity = Identity::parse(payload);
        }
        let Some(base) = connection.identity else {
            self.strays += u64::from(!payload.is_empty());
            return;
        };
        let size = u64::from(base.size);
        let end = offset + u64::try_from(payload.len()).expect("a u64 holds a usize");
        // Records number from 0 on each connection, and each is as long as the first.
        for number in offset / size..end.div_ceil(size) {
            let sequence = base.sequence + number;
            self.sight(&Identity { sequence, ..base }, hop);
        }
    }
}

impl Sink for Sightings {
    fn frame(&mut self, tap: usize, frame: Frame<'_>) {
        self.files.write(tap, frame);
        if let Some(encryption) = headers::encryption(frame.data, &self.ports.wireguard) {
            *self.hidden[tap].entry(encryption).or_default() += 1;
            return;
        }
        let decoded = decode::packet(frame.data, &self.ports.vxlan);
        // A flipped bit can make a probe look like another one; its receiver drops it, too.
        let Some(packet) = decoded.filter(|packet| packet.is_intact) else {
            return;
        };
        let Some((carried, dscp)) = headers::of_probe(frame.data, packet.tunnel.is_some()) else {
            return;
        };
        let hop = evidence::Hop {
            point: u16::try_from(tap).expect("a lab has far fewer than 65536 taps"),
            way: match frame.way {
                Way::In => evidence::Way::In,
                Way::Out => evidence::Way::Out,
            },
            at_ns: frame.at_ns,
            carried,
            dscp,
        };
        match packet.segment {
            Segment::Udp(payload) => {
                if let Some(probe) = Identity::parse(payload) {
                    self.sight(&probe, hop);
                }
            }
            Segment::Tcp {
                sequence, syn: true, ..
            } => {
                // The SYN itself takes one sequence number; data begins after it.
                let connection = self
                    .connections
                    .entry((packet.source, packet.destination))
                    .or_default();
                connection.first = Some(sequence.wrapping_add(1));
            }
            Segment::Tcp {
                sequence, payload, ..
            } => self.segment(&packet, sequence, payload, hop),
        }
    }
}

#[cfg(test)]
mod tests;
