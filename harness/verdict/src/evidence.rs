//! What a run observed, as plain values: the only input of [`crate::judge`].
//!
//! Owns no clock and no files. Every time is in nanoseconds of one clock (CLOCK_REALTIME of the machine that
//! ran the lab), which senders and the kernel's capture timestamps share.

use std::collections::BTreeMap;

use scenario::assertion::{Encapsulation, PointKind, PointName};
use scenario::model::Protocol;
use serde::{Deserialize, Serialize};

/// All that was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The capture points, indexed by [`Hop::point`].
    pub points: Vec<CapturePoint>,
    /// The streams, indexed by [`ProbeJourney::stream`].
    pub streams: Vec<StreamInfo>,
    /// Events in the order they fired.
    pub events: Vec<EventMark>,
    /// Phases in the order they began.
    #[serde(default)]
    pub phases: Vec<PhaseMark>,
    /// When the first probe could be sent.
    pub started_ns: u64,
    /// When the senders were told to stop; later send times do not occur.
    pub stopped_ns: u64,
    /// One journey for every probe that was sent, sorted by (stream, direction, sequence).
    pub journeys: Vec<ProbeJourney>,
    /// Packets that carried this run's mark but belong to no probe sent (duplicates count in journeys).
    pub strays: u64,
    /// Datagrams that reached a receiver's host and were dropped there, because its program did not read them in
    /// time (`RcvbufErrors` of the kernel's UDP counters).
    pub receiver_drops: u64,
    /// How far CLOCK_REALTIME moved against CLOCK_MONOTONIC during the run.
    pub clock_step_ns: i64,
}

/// One place where packets were captured, and how far its capture can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapturePoint {
    /// The site of the WAN edge.
    pub site: String,
    /// What is there.
    pub kind: PointKind,
    /// Transport name of a tunnel or underlay, node name of a node link, site name of a link to an inspection service.
    pub name: String,
    /// The service VPN of a tunnel device, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_vpn: Option<u16>,
    /// The interface in the edge's namespace.
    pub interface: String,
    /// Whether its sentinel was seen before the first probe was sent.
    pub armed: bool,
    /// Packets that the kernel dropped because the ring was full (PACKET_STATISTICS, packet(7)).
    pub kernel_drops: u64,
    /// Packets in the capture since arming.
    pub captured_packets: u64,
    /// Packets received and sent by the interface in the same span (IFLA_STATS64).
    pub interface_packets: u64,
    /// Packets in which no probe can be told because they are encrypted, by what they are encrypted in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hidden: BTreeMap<Encapsulation, u64>,
}

impl CapturePoint {
    /// How assertions name it.
    #[must_use]
    pub fn name(&self) -> PointName<'_> {
        PointName {
            kind: self.kind,
            name: &self.name,
            service_vpn: self.service_vpn,
            interface: &self.interface,
        }
    }
}

/// One 5-tuple of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// The flow's name in the scenario.
    pub flow: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Client address and port, `10.244.0.2:40001`; the first one where it connected anew.
    pub client: String,
    /// Server (backend pod) address and port; the first one likewise.
    pub server: String,
}

/// When an event of the timeline took effect at the Kubernetes API or the fabric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventMark {
    /// The event's name in the scenario.
    pub name: String,
    /// When.
    pub at_ns: u64,
}

/// When a phase of the timeline began; it lasted to the next one, or to the end of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseMark {
    /// The phase's name in the scenario.
    pub name: String,
    /// When.
    pub from_ns: u64,
}

/// Client to server or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Client to server.
    Request,
    /// Server to client.
    Reply,
}

/// What one probe did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeJourney {
    /// Index into [`Evidence::streams`].
    pub stream: u16,
    /// Which way it went.
    pub direction: Direction,
    /// Its sequence number, from 0 in each (stream, direction).
    pub sequence: u64,
    /// When its sender sent it.
    pub sent_ns: u64,
    /// When its receiver first had it; `None`: never within the drain time.
    pub delivered_ns: Option<u64>,
    /// How often its receiver had it.
    pub deliveries: u32,
    /// Where it was seen, in time order.
    pub hops: Vec<Hop>,
}

/// One sighting of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Index into [`Evidence::points`].
    pub point: u16,
    /// Relative to the edge.
    pub way: Way,
    /// Kernel timestamp.
    pub at_ns: u64,
    /// The tunnel encapsulation that it was inside when seen; `None`: in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Encapsulation>,
    /// The DSCP (RFC 2474) of its own IP header, 0 to 63; not that of what carried it.
    pub dscp: u8,
}

/// Whether a captured packet was entering or leaving the edge at that interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Received by the interface.
    In,
    /// Sent by the interface.
    Out,
}
