//! A WireGuard device without input and output: packets and datagrams in, packets and datagrams out.
//!
//! Owns the peers, which packet goes to which (cryptokey routing), and what a peer may send. The cryptography and
//! its state machine are boringtun's. Invariants: a packet inside goes to the peer that has its destination address,
//! and comes from the peer that has its source address; everything else is counted as refused.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519;

use super::{KEEPALIVE_S, WireguardSpec};
use crate::encap::keys::PublicKey;

/// Handshakes that are answered within a second without asking for a cookie.
const HANDSHAKES_A_SECOND: u64 = 100;
/// How often the timers of the protocol are looked at; they count in seconds.
const TICK: Duration = Duration::from_millis(250);
/// The longest datagram there is, RFC 768.
const DATAGRAM_MAX: usize = 1 << 16;
/// Bits of a session's index that are not the peer's, as boringtun has them.
const SESSION_BITS: u32 = 8;

/// The types of cookie replies and of data, wireguard.com/protocol.
const COOKIE: Option<u8> = Some(3);
const DATA: Option<u8> = Some(4);

/// Where the device puts what it makes.
pub(super) trait Output {
    /// A datagram for the underlay.
    fn datagram(&mut self, to: SocketAddr, octets: &[u8]);
    /// A packet for the host.
    fn packet(&mut self, octets: &[u8]);
}

/// What the device has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DeviceCount {
    pub(super) sealed: u64,
    pub(super) opened: u64,
    pub(super) handshakes: u64,
    pub(super) refused: u64,
}

struct Peer {
    tunn: Tunn,
    endpoint: SocketAddr,
    address: IpAddr,
}

pub(super) struct Device {
    secret: x25519::StaticSecret,
    public: x25519::PublicKey,
    peers: Vec<Peer>,
    by_address: HashMap<IpAddr, usize>,
    by_key: HashMap<PublicKey, usize>,
    limiter: Arc<RateLimiter>,
    limiter_reset: Instant,
    next_tick: Instant,
    scratch: Box<[u8]>,
    count: DeviceCount,
}

impl Device {
    pub(super) fn new(spec: &WireguardSpec) -> Self {
        let secret = spec.private_key.secret();
        let public = x25519::PublicKey::from(&secret);
        let limiter = Arc::new(RateLimiter::new(&public, HANDSHAKES_A_SECOND));
        let peers: Vec<Peer> = (0_u32..)
            .zip(&spec.peers)
            .map(|(index, peer)| Peer {
                tunn: Tunn::new(
                    secret.clone(),
                    x25519::PublicKey::from(peer.public_key.0),
                    None,
                    Some(KEEPALIVE_S),
                    index,
                    Some(Arc::clone(&limiter)),
                ),
                endpoint: peer.endpoint(),
                address: peer.address,
            })
            .collect();
        let by_address = spec.peers.iter().map(|peer| peer.address).zip(0..).collect();
        let by_key = spec.peers.iter().map(|peer| peer.public_key).zip(0..).collect();
        let now = Instant::now();
        Self {
            secret,
            public,
            peers,
            by_address,
            by_key,
            limiter,
            limiter_reset: now,
            next_tick: now + TICK,
            scratch: vec![0; DATAGRAM_MAX].into(),
            count: DeviceCount::default(),
        }
    }

    pub(super) fn count(&self) -> DeviceCount {
        self.count
    }

    /// Starts a handshake with every peer, whether there is a session or not.
    pub(super) fn shake_hands(&mut self, output: &mut impl Output) {
        for peer in &mut self.peers {
            // One that is under way already is not begun anew: its answer could no longer be read.
            let begun = peer.tunn.format_handshake_initiation(&mut self.scratch, false);
            if let TunnResult::WriteToNetwork(datagram) = begun {
                output.datagram(peer.endpoint, datagram);
            }
        }
    }

    /// Takes an IP packet of the host.
    pub(super) fn outgoing(&mut self, packet: &[u8], output: &mut impl Output) {
        let to = Tunn::dst_address(packet).and_then(|address| self.by_address.get(&address));
        // boringtun wants room for its header and tag, and for a handshake.
        let (Some(&to), true) = (to, packet.len() + 256 <= self.scratch.len()) else {
            self.count.refused += 1;
            return;
        };
        let peer = &mut self.peers[to];
        match peer.tunn.encapsulate(packet, &mut self.scratch) {
            TunnResult::WriteToNetwork(datagram) => {
                // Otherwise it waits for the handshake that this datagram begins.
                self.count.sealed += u64::from(kind(datagram) == DATA);
                output.datagram(peer.endpoint, datagram);
            }
            // It waits for the handshake.
            TunnResult::Done => {}
            _ => self.count.refused += 1,
        }
    }

    /// Takes a datagram of the underlay.
    pub(super) fn incoming(&mut self, from: SocketAddr, datagram: &[u8], output: &mut impl Output) {
        let Some((index, is_handshake)) = self.peer_of(datagram) else {
            self.count.refused += 1;
            return;
        };
        let peer = &mut self.peers[index];
        match peer
            .tunn
            .decapsulate(Some(from.ip()), datagram, &mut self.scratch)
        {
            TunnResult::WriteToNetwork(answer) => {
                self.count.handshakes += u64::from(is_handshake && kind(answer) != COOKIE);
                output.datagram(peer.endpoint, answer);
                // What waited for the handshake goes now.
                while let TunnResult::WriteToNetwork(waited) =
                    peer.tunn.decapsulate(None, &[], &mut self.scratch)
                {
                    self.count.sealed += 1;
                    output.datagram(peer.endpoint, waited);
                }
            }
            TunnResult::WriteToTunnelV4(packet, source) => {
                accept(peer, source.into(), packet, &mut self.count, output);
            }
            TunnResult::WriteToTunnelV6(packet, source) => {
                accept(peer, source.into(), packet, &mut self.count, output);
            }
            // A keepalive.
            TunnResult::Done => {}
            TunnResult::Err(_) => self.count.refused += 1,
        }
    }

    /// Lets the timers of the protocol have their turn, when it is time, and says how long it is until the next.
    pub(super) fn tick(&mut self, output: &mut impl Output) -> Duration {
        let now = Instant::now();
        if now < self.next_tick {
            return self.next_tick - now;
        }
        self.next_tick = now + TICK;
        if now - self.limiter_reset >= Duration::from_secs(1) {
            self.limiter_reset = now;
            self.limiter.reset_count();
        }
        for peer in &mut self.peers {
            // A peer that was away too long is forgotten, and begun anew with the next packet for it.
            if let TunnResult::WriteToNetwork(datagram) = peer.tunn.update_timers(&mut self.scratch) {
                output.datagram(peer.endpoint, datagram);
            }
        }
        TICK
    }

    /// The peer that a datagram is from, as far as can be told before it is opened, and whether it is a handshake.
    fn peer_of(&self, datagram: &[u8]) -> Option<(usize, bool)> {
        let (index, is_handshake) = match Tunn::parse_incoming_packet(datagram).ok()? {
            Packet::HandshakeInit(init) => {
                let half = parse_handshake_anon(&self.secret, &self.public, &init).ok()?;
                let index = self.by_key.get(&PublicKey(half.peer_static_public))?;
                return Some((*index, true));
            }
            Packet::HandshakeResponse(response) => (response.receiver_idx, true),
            Packet::PacketCookieReply(reply) => (reply.receiver_idx, false),
            Packet::PacketData(data) => (data.receiver_idx, false),
        };
        let index = usize::try_from(index >> SESSION_BITS).ok()?;
        (index < self.peers.len()).then_some((index, is_handshake))
    }
}

/// The type of a datagram.
fn kind(datagram: &[u8]) -> Option<u8> {
    datagram.first().copied()
}

/// Hands a packet that was opened to the host, if its peer may send it.
fn accept(peer: &Peer, source: IpAddr, packet: &[u8], count: &mut DeviceCount, output: &mut impl Output) {
    if source == peer.address {
        count.opened += 1;
        output.packet(packet);
    } else {
        count.refused += 1;
    }
}

#[cfg(test)]
mod tests;
