//! The lab's own view of its edges, served at `/pathproof/v1/state`: not a resource of the product.
//!
//! Owns its form, which clients of the lab deserialize; what is said of policies is in `sequences`. It says what the product has no resource for (counters by
//! sequence, percentiles) and in full precision where the product rounds to milliseconds.

mod sequences;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Device;
use crate::bfd::State;
use crate::telemetry::{PolicyReport, TunnelReport};

/// All edges of a lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabState {
    /// One for each site.
    pub sites: Vec<SiteState>,
}

/// A site's edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteState {
    /// The site.
    pub site_id: u32,
    /// The edge's name.
    pub host_name: String,
    /// The edge's system IP.
    pub system_ip: Ipv4Addr,
    /// The colors of its TLOCs.
    pub colors: Vec<String>,
    /// Its tunnels.
    pub tunnels: Vec<TunnelState>,
    /// The sequences in force, each policy ending with its default action.
    pub sequences: Vec<SequenceState>,
}

/// A tunnel to another edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelState {
    /// The other edge's site.
    pub remote_site_id: u32,
    /// The color of both TLOCs.
    pub color: String,
    /// How it carries packets: `vxlan`, `gre`, `ipsec`, `wireguard (kernel)` or `wireguard (userspace)`.
    pub encapsulation: String,
    /// The addresses of the uplinks, local and remote.
    pub underlay: (IpAddr, IpAddr),
    /// `up`, `down` or `pending`.
    pub state: String,
    /// For how long it has been that.
    pub state_for_ms: u64,
    /// How often it went from up to down or back.
    pub transitions: u64,
    /// Time between hellos.
    pub hello_ms: f64,
    /// Hellos lost in a row that take it down.
    pub multiplier: u8,
    /// Hellos that the statistics are over.
    pub total: u32,
    /// Those lost.
    pub lost: u32,
    /// Those lost, of a hundred.
    pub loss_percent: f64,
    /// Mean of half the round trip.
    pub latency_ms: Option<f64>,
    /// Its median.
    pub latency_p50_ms: Option<f64>,
    /// What 99 of 100 keep below.
    pub latency_p99_ms: Option<f64>,
    /// Interarrival jitter.
    pub jitter_ms: Option<f64>,
    /// The SLA classes in force that it meets, by name.
    pub classes_met: Vec<String>,
    /// Packets that the tunnel device sent.
    pub sent_packets: u64,
    /// Packets that it received.
    pub received_packets: u64,
    /// Octets that it sent.
    pub sent_octets: u64,
    /// Octets that it received.
    pub received_octets: u64,
}

/// A sequence of a policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SequenceState {
    /// `app-route` or `data`.
    pub policy: String,
    /// The service VPN.
    pub service_vpn: u16,
    /// `from-service`, `from-tunnel` or `all`.
    pub direction: String,
    /// Its number; none for the default action.
    pub sequence: Option<u16>,
    /// What it matches.
    #[serde(rename = "match")]
    pub matching: MatchState,
    /// `accept` or `drop`.
    pub action: String,
    /// Which tunnels it chooses, for people: `biz-internet`, `mpls lte (restrict)`, `sla voice, prefer biz-internet,
    /// strict`; none where routing decides.
    pub path: Option<String>,
    /// Whether the site's inspection service gets a copy.
    pub inspect: bool,
    /// The code point that packets leave with; none where they keep their own.
    pub set_dscp: Option<u8>,
    /// The name of its counter.
    pub counter: Option<String>,
    /// Packets matched, on through changes of the policy that differ only in prefixes or ports.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
}

/// What a sequence matches; what is empty matches anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchState {
    /// Source prefixes.
    pub source_prefixes: Vec<String>,
    /// Destination prefixes.
    pub destination_prefixes: Vec<String>,
    /// Source ports and ranges of them.
    pub source_ports: Vec<String>,
    /// Destination ports and ranges of them.
    pub destination_ports: Vec<String>,
    /// Protocol names, or numbers.
    pub protocols: Vec<String>,
    /// Differentiated services code points.
    pub dscp: Vec<u8>,
}

/// What an edge tells, in this form.
pub(super) fn site(device: &Device, tunnels: &[TunnelReport], policy: &PolicyReport) -> SiteState {
    SiteState {
        site_id: device.site_id,
        host_name: device.host_name.clone(),
        system_ip: device.system_ip,
        colors: device.colors.clone(),
        tunnels: tunnels.iter().map(tunnel).collect(),
        sequences: sequences::rows(policy),
    }
}

/// The word for a state.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Up => "up",
        State::Down => "down",
    }
}

fn tunnel(report: &TunnelReport) -> TunnelState {
    let statistics = &report.statistics;
    TunnelState {
        remote_site_id: report.remote_site_id,
        color: report.color.clone(),
        encapsulation: report.carried.to_string(),
        underlay: report.underlay,
        state: word(report.state).to_owned(),
        state_for_ms: u64::try_from(report.state_for.as_millis()).unwrap_or(u64::MAX),
        transitions: report.transitions,
        hello_ms: millis(report.timing.hello),
        multiplier: report.timing.multiplier,
        total: statistics.total,
        lost: statistics.lost,
        loss_percent: statistics.loss_percent(),
        latency_ms: statistics.latency.map(millis),
        latency_p50_ms: statistics.latency_p50.map(millis),
        latency_p99_ms: statistics.latency_p99.map(millis),
        jitter_ms: statistics.jitter.map(millis),
        classes_met: report.met.iter().map(|class| class.name.clone()).collect(),
        sent_packets: report.traffic.sent,
        received_packets: report.traffic.received,
        sent_octets: report.traffic.sent_octets,
        received_octets: report.traffic.received_octets,
    }
}

fn millis(duration: Duration) -> f64 {
    // Milliseconds with six decimals; seconds times a thousand would have more, of rounding.
    duration.as_nanos() as f64 / 1e6
}
