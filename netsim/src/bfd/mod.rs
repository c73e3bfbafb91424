//! Probing of tunnels: whether each is up, and its loss, latency and jitter.
//!
//! Owns the sessions, one for each pair of a local tunnel and a remote edge: [`Session`] is the pure state
//! machine, [`Prober`] sends the hellos. It does not steer: what a change of state means for routing is up to
//! the edge (see [`crate::fabric::Edge::turn`] and, for loss and latency, [`crate::fabric::Edge::poll`]). The protocol
//! is that of BFD's echo function (RFC 5880 section 6.4): the remote edge sends each hello back, so a session is down
//! when either way fails.
//!
//! # Limits
//! Packets are not those of RFC 5880: no control packets, no negotiation of timers, no authentication. All hellos
//! of a lab are sent at the same moments by one thread, which suits labs of some tens of edges:
//! of the 79,600 sessions of 200 edges with two transports each, hellos every second, none counted an answer in
//! seconds 2 to 6 on a busy machine of 2 cores (`just bench mesh`).

mod packet;
mod prober;
mod session;

use std::time::Duration;

pub use packet::{ECHO_PORT, MARK, PACKET_LEN, Packet, PacketKind};
pub use prober::{News, Paused, Prober, ProberError, SessionId, SessionView, TunnelChange};
pub use session::{Session, State, Statistics, Totals, Transition, WINDOW};

/// How often a session is tried and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between hellos.
    pub hello: Duration,
    /// So many hellos in a row without any echo take a session down; at least 1.
    pub multiplier: u8,
}

impl Timing {
    /// The longest time from the failure of a tunnel to the end of its session: each of the hellos that have to be
    /// lost has a whole interval for its echo, and the first is sent at most one interval after the failure.
    #[must_use]
    pub fn detection_max(self) -> Duration {
        self.hello * (u32::from(self.multiplier) + 1)
    }
}
