//! The lab's own view of its edges, served at `/pathproof/v1/state`: not a resource of the product.
//!
//! Owns its form, which clients of the lab deserialize. It says what the product has no resource for (counters by
//! sequence, percentiles) and in full precision where the product rounds to milliseconds.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Device;
use crate::bfd::State;
use crate::fabric::edge::Counted;
use crate::policy::{Action, DataPath, DataPolicy, DefaultAction, Match, PolicyDirection, Sequence};
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
    /// The sequences in force, each data policy ending with its default action.
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
    /// Packets that the tunnel device sent.
    pub sent_packets: u64,
    /// Packets that it received.
    pub received_packets: u64,
    /// Octets that it sent.
    pub sent_octets: u64,
    /// Octets that it received.
    pub received_octets: u64,
}

/// A sequence of a data policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SequenceState {
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
    /// The colors it sets.
    pub colors: Vec<String>,
    /// Whether packets are dropped when no such tunnel is up.
    pub restrict: bool,
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
}

/// What an edge tells, in this form.
pub(super) fn site(device: &Device, tunnels: &[TunnelReport], policy: &PolicyReport) -> SiteState {
    SiteState {
        site_id: device.site_id,
        host_name: device.host_name.clone(),
        system_ip: device.system_ip,
        colors: device.colors.clone(),
        tunnels: tunnels.iter().map(tunnel).collect(),
        sequences: sequences(policy),
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
        sent_packets: report.traffic.sent,
        received_packets: report.traffic.received,
        sent_octets: report.traffic.sent_octets,
        received_octets: report.traffic.received_octets,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn sequences(report: &PolicyReport) -> Vec<SequenceState> {
    let data = &report.policy.data;
    let counts = report.counts.iter().filter_map(|count| {
        let Counted::Data(position) = count.of else {
            return None;
        };
        let data = data.get(position)?;
        let sequence = match count.sequence {
            Some(id) => Some(data.sequences.iter().find(|sequence| sequence.id == id)?),
            None => None,
        };
        Some(SequenceState {
            packets: count.count.packets,
            octets: count.count.octets,
            ..sequence.map_or_else(|| default_action(data), |sequence| of_sequence(data, sequence))
        })
    });
    counts.collect()
}

fn default_action(data: &DataPolicy) -> SequenceState {
    let action = match data.default_action {
        DefaultAction::Accept => "accept",
        DefaultAction::Drop => "drop",
    };
    SequenceState {
        service_vpn: data.service_vpn,
        direction: direction(data.direction).to_owned(),
        sequence: None,
        matching: MatchState::default(),
        action: action.to_owned(),
        colors: Vec::new(),
        restrict: false,
        packets: 0,
        octets: 0,
    }
}

fn of_sequence(data: &DataPolicy, sequence: &Sequence) -> SequenceState {
    let (action, tlocs) = match &sequence.action {
        Action::Drop => ("drop", None),
        Action::Accept {
            path: Some(DataPath::Local(tlocs)),
            ..
        } => ("accept", Some(tlocs)),
        Action::Accept { .. } => ("accept", None),
    };
    SequenceState {
        sequence: Some(sequence.id),
        matching: matching(&sequence.matching),
        action: action.to_owned(),
        colors: tlocs.map(|tlocs| tlocs.colors.clone()).unwrap_or_default(),
        restrict: tlocs.is_some_and(|tlocs| tlocs.restrict),
        ..default_action(data)
    }
}

fn direction(direction: PolicyDirection) -> &'static str {
    match direction {
        PolicyDirection::FromService => "from-service",
        PolicyDirection::FromTunnel => "from-tunnel",
        PolicyDirection::All => "all",
    }
}

fn matching(matching: &Match) -> MatchState {
    let prefixes = |prefixes: &Option<Vec<ipnet::IpNet>>| match prefixes {
        // A list that names nothing matches nothing, which an absent list does not.
        Some(prefixes) if prefixes.is_empty() => vec!["none".to_owned()],
        Some(prefixes) => prefixes.iter().map(ToString::to_string).collect(),
        None => Vec::new(),
    };
    let ports = |ports: &[RangeInclusive<u16>]| ports.iter().map(range).collect();
    MatchState {
        source_prefixes: prefixes(&matching.source_prefixes),
        destination_prefixes: prefixes(&matching.destination_prefixes),
        source_ports: ports(&matching.source_ports),
        destination_ports: ports(&matching.destination_ports),
        protocols: matching
            .protocols
            .iter()
            .map(|number| protocol(*number))
            .collect(),
    }
}

fn range(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

/// By the IANA registry of protocol numbers.
fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        number => number.to_string(),
    }
}
