//! How long an event took to move a stream from one tunnel to another, read in several ways.
//!
//! Times here are the kernel's at the tunnels, not send times: a transition tells when the fabric changed, a
//! verdict's convergence which probes it served.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, Hop, ProbeJourney};
use crate::streams::Lane;
use crate::totals::longest_gap;
use crate::{PointKind, StreamId};

/// Probes that tell which tunnel a stream has settled on: the most frequent of the last so many.
const SETTLED_ON: usize = 20;

/// One direction of one stream changed its tunnel between an event and the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The event.
    pub event: String,
    /// Which stream and direction.
    pub stream: StreamId,
    /// The tunnel that it had settled on before the event.
    pub from_tunnel: String,
    /// The tunnel that it has settled on before the next event, or the end.
    pub to_tunnel: String,
    /// From the event to the first sighting of a probe on the new tunnel.
    pub first_on_new_path_ns: u64,
    /// From the event to the last sighting on the old tunnel; `None` when there was none after the event. This is
    /// the misroute-derived reading of a failover.
    pub last_on_old_path_ns: Option<u64>,
    /// The loss-derived reading: probes lost between the event and the next one, times the mean send interval.
    pub loss_ns: u64,
    /// The gap-derived reading: the longest time without an arrival; `None` when nothing arrived.
    pub gap_ns: Option<u64>,
}

/// Every transition of a run, in the order of (event, lane).
pub(crate) fn transitions(lanes: &[Lane<'_>], evidence: &Evidence) -> Vec<Transition> {
    let mut transitions = Vec::new();
    for (index, event) in evidence.events.iter().enumerate() {
        let previous_ns = index
            .checked_sub(1)
            .map_or(0, |previous| evidence.events[previous].at_ns);
        let next_ns = evidence.events.get(index + 1).map_or(u64::MAX, |next| next.at_ns);
        for lane in lanes {
            let before = sent_between(lane, previous_ns, event.at_ns);
            let after = sent_between(lane, event.at_ns, next_ns);
            let (Some(from), Some(to)) = (settled_on(before, evidence), settled_on(after, evidence)) else {
                continue;
            };
            if from == to {
                continue;
            }
            let Some(first_on_new_ns) = sightings(after, to, evidence).min() else {
                continue;
            };
            transitions.push(Transition {
                event: event.name.clone(),
                stream: lane.id.clone(),
                from_tunnel: from.to_owned(),
                to_tunnel: to.to_owned(),
                first_on_new_path_ns: first_on_new_ns.saturating_sub(event.at_ns),
                last_on_old_path_ns: sightings(after, from, evidence)
                    .max()
                    .map(|ns| ns.saturating_sub(event.at_ns)),
                loss_ns: time_lost(after),
                gap_ns: longest_gap(after),
            });
        }
    }
    transitions
}

fn sent_between<'a, 'e>(lane: &'a Lane<'e>, from_ns: u64, until_ns: u64) -> &'a [&'e ProbeJourney] {
    let from = lane.journeys.partition_point(|journey| journey.sent_ns < from_ns);
    let until = lane
        .journeys
        .partition_point(|journey| journey.sent_ns < until_ns);
    &lane.journeys[from..until.max(from)]
}

/// The tunnel that most of the last probes took; of equals the one of the earlier name.
fn settled_on<'e>(journeys: &[&ProbeJourney], evidence: &'e Evidence) -> Option<&'e str> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for journey in journeys.iter().rev().take(SETTLED_ON) {
        let tunnels: BTreeSet<&str> = journey
            .hops
            .iter()
            .filter_map(|hop| tunnel(hop, evidence))
            .collect();
        for tunnel in tunnels {
            *taken.entry(tunnel).or_default() += 1;
        }
    }
    taken
        .into_iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map(|(tunnel, _)| tunnel)
}

/// When probes were seen at a tunnel.
fn sightings<'a>(
    journeys: &'a [&ProbeJourney],
    wanted: &'a str,
    evidence: &'a Evidence,
) -> impl Iterator<Item = u64> + 'a {
    let hops = journeys.iter().flat_map(|journey| &journey.hops);
    hops.filter(move |hop| tunnel(hop, evidence) == Some(wanted))
        .map(|hop| hop.at_ns)
}

fn tunnel<'e>(hop: &Hop, evidence: &'e Evidence) -> Option<&'e str> {
    let point = evidence.points.get(usize::from(hop.point))?;
    (point.kind == PointKind::Tunnel).then_some(point.name.as_str())
}

pub(crate) fn time_lost(journeys: &[&ProbeJourney]) -> u64 {
    let (Some(first), Some(last)) = (journeys.first(), journeys.last()) else {
        return 0;
    };
    let intervals = journeys.len().saturating_sub(1).max(1) as u64;
    let lost = journeys
        .iter()
        .filter(|journey| journey.delivered_ns.is_none())
        .count() as u64;
    (last.sent_ns - first.sent_ns) / intervals * lost
}

#[cfg(test)]
mod tests;
