//! Figures of a whole run, for each direction of each stream.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::StreamId;
use crate::evidence::{Evidence, ProbeJourney};
use crate::streams::{Lane, TunnelTally};
use crate::trace::HopTrace;

/// What became of the probes of one direction of one stream. `sent == delivered + lost`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamTotals {
    /// Which stream and direction.
    pub stream: StreamId,
    /// Client address and port.
    pub client: String,
    /// Server address and port.
    pub server: String,
    /// Probes sent.
    pub sent: u64,
    /// Probes that reached their receiver.
    pub delivered: u64,
    /// Probes that did not.
    pub lost: u64,
    /// Deliveries beyond the first of each probe.
    pub duplicates: u64,
    /// Probes by the tunnel that saw them; a probe that two tunnels saw counts in both.
    pub per_tunnel: BTreeMap<String, u64>,
    /// Probes that no tunnel saw.
    pub untunnelled: u64,
    /// Lost probes by where they were last seen, `near:tunnel/default(out)`.
    pub lost_after: BTreeMap<String, u64>,
    /// Lost probes that were seen nowhere.
    pub lost_unseen: u64,
    /// From sending to first delivery; `None` when nothing was delivered.
    pub latency: Option<Latency>,
    /// The longest time in which probes were sent and none arrived; `None` when nothing was delivered.
    pub longest_gap_ns: Option<u64>,
}

/// The distribution of one-way delays, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the probes were at least this fast.
    pub p50_ns: u64,
    /// 99 of 100 were.
    pub p99_ns: u64,
    /// All were.
    pub max_ns: u64,
}

/// The totals of every lane, in the order of the lanes.
pub(crate) fn totals(lanes: &[Lane<'_>], evidence: &Evidence) -> Vec<StreamTotals> {
    lanes.iter().map(|lane| lane_totals(lane, evidence)).collect()
}

fn lane_totals(lane: &Lane<'_>, evidence: &Evidence) -> StreamTotals {
    let mut tunnels = TunnelTally::new(evidence);
    let mut totals = StreamTotals {
        stream: lane.id.clone(),
        client: lane.client.to_owned(),
        server: lane.server.to_owned(),
        sent: lane.journeys.len() as u64,
        delivered: 0,
        lost: 0,
        duplicates: 0,
        per_tunnel: BTreeMap::new(),
        untunnelled: 0,
        lost_after: BTreeMap::new(),
        lost_unseen: 0,
        latency: latency(lane),
        longest_gap_ns: longest_gap(&lane.journeys),
    };
    for journey in &lane.journeys {
        totals.untunnelled += u64::from(!tunnels.add(journey));
        if journey.delivered_ns.is_some() {
            totals.delivered += 1;
            totals.duplicates += u64::from(journey.deliveries.saturating_sub(1));
        } else {
            totals.lost += 1;
            match last_seen(journey, evidence) {
                Some(place) => *totals.lost_after.entry(place).or_insert(0) += 1,
                None => totals.lost_unseen += 1,
            }
        }
    }
    totals.per_tunnel = tunnels.counts();
    totals
}

fn last_seen(journey: &ProbeJourney, evidence: &Evidence) -> Option<String> {
    let hop = journey.hops.last()?;
    let point = evidence.points.get(usize::from(hop.point))?;
    Some(HopTrace::new(point, hop).to_string())
}

fn latency(lane: &Lane<'_>) -> Option<Latency> {
    let delay = |journey: &&ProbeJourney| journey.delivered_ns.map(|at| at.saturating_sub(journey.sent_ns));
    let mut delays: Vec<u64> = lane.journeys.iter().filter_map(delay).collect();
    delays.sort_unstable();
    let max_ns = *delays.last()?;
    Some(Latency {
        p50_ns: percentile(&delays, 50),
        p99_ns: percentile(&delays, 99),
        max_ns,
    })
}

/// The nearest-rank percentile of sorted values, of which there is at least one.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// The longest time without an arrival, from the first send to the last.
pub(crate) fn longest_gap(journeys: &[&ProbeJourney]) -> Option<u64> {
    let mut arrivals: Vec<u64> = journeys
        .iter()
        .filter_map(|journey| journey.delivered_ns)
        .collect();
    arrivals.sort_unstable();
    let (first, last) = (*arrivals.first()?, *arrivals.last()?);
    let before = first.saturating_sub(journeys.first()?.sent_ns);
    let after = journeys.last()?.sent_ns.saturating_sub(last);
    let between = arrivals
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or(0);
    Some(before.max(between).max(after))
}

#[cfg(test)]
mod tests;
