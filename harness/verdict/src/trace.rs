//! Probes and their hops as a verdict quotes them: with names instead of indices.

use std::fmt;

use scenario::assertion::Encapsulation;
use serde::{Deserialize, Serialize};

use crate::evidence::{CapturePoint, Direction, Evidence, Hop, ProbeJourney, Way};
use crate::streams::Lane;
use crate::{PointKind, Protocol};

/// One direction of one stream of a flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId {
    /// Index into [`Evidence::streams`]; tells streams of one flow and protocol apart.
    pub stream: u16,
    /// The flow's name.
    pub flow: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Which way.
    pub direction: Direction,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.flow, self.protocol, self.direction)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Reply => "reply",
        })
    }
}

/// One probe and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeTrace {
    /// Whose probe.
    pub stream: StreamId,
    /// Its number within the stream and direction.
    pub sequence: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// Send time from the opening of the window.
    pub offset_ns: i64,
    /// When it was first delivered.
    pub delivered_ns: Option<u64>,
    /// Where it was seen, in time order.
    pub hops: Vec<HopTrace>,
}

impl ProbeTrace {
    pub(crate) fn new(evidence: &Evidence, lane: &Lane<'_>, journey: &ProbeJourney, opens_ns: u64) -> Self {
        let named = |hop: &Hop| {
            evidence
                .points
                .get(usize::from(hop.point))
                .map(|point| HopTrace::new(point, hop))
        };
        Self {
            stream: lane.id.clone(),
            sequence: journey.sequence,
            sent_ns: journey.sent_ns,
            offset_ns: journey.sent_ns.wrapping_sub(opens_ns).cast_signed(),
            delivered_ns: journey.delivered_ns,
            hops: journey.hops.iter().filter_map(named).collect(),
        }
    }

    /// The hops in one line, `near:node/near-1(in) → near:tunnel/default(out) → delivered`.
    #[must_use]
    pub fn journey(&self) -> String {
        let end = if self.delivered_ns.is_some() {
            "delivered"
        } else {
            "lost"
        };
        let hops = self.hops.iter().map(HopTrace::to_string);
        hops.chain([end.to_owned()]).collect::<Vec<_>>().join(" → ")
    }
}

/// One sighting of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopTrace {
    /// The site of the WAN edge.
    pub site: String,
    /// What kind of point.
    pub kind: PointKind,
    /// The point's name.
    pub name: String,
    /// The service VPN of a tunnel device, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_vpn: Option<u16>,
    /// Entering or leaving the edge.
    pub way: Way,
    /// Kernel timestamp.
    pub at_ns: u64,
    /// The tunnel encapsulation that it was inside when seen; `None`: in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Encapsulation>,
    /// The DSCP of its own IP header.
    pub dscp: u8,
}

impl HopTrace {
    pub(crate) fn new(point: &CapturePoint, hop: &Hop) -> Self {
        Self {
            site: point.site.clone(),
            kind: point.kind,
            name: point.name.clone(),
            service_vpn: point.service_vpn,
            way: hop.way,
            at_ns: hop.at_ns,
            carried: hop.carried,
            dscp: hop.dscp,
        }
    }
}

impl fmt::Display for HopTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::In => "in",
            Way::Out => "out",
        };
        // Encapsulated at an underlay is the normal case; what a reader must not miss is the packet in clear.
        let in_clear = if self.kind == PointKind::Underlay && self.carried.is_none() {
            ", in clear"
        } else {
            ""
        };
        let vpn = at_vpn(self.service_vpn);
        write!(
            f,
            "{}:{}/{}{vpn}({way}{in_clear})",
            self.site, self.kind, self.name
        )
    }
}

/// The name of a capture point, `near:tunnel/default`, `near:tunnel/default@10` where there are several service VPNs.
#[must_use]
pub fn point_name(point: &CapturePoint) -> String {
    let vpn = at_vpn(point.service_vpn);
    format!("{}:{}/{}{vpn}", point.site, point.kind, point.name)
}

/// `@10`, or nothing.
fn at_vpn(service_vpn: Option<u16>) -> String {
    service_vpn.map_or_else(String::new, |vpn| format!("@{vpn}"))
}
