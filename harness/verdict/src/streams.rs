//! Journeys sorted into lanes, one for each direction of each stream: the unit that assertions, totals and
//! transitions quantify over.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{CapturePoint, Direction, Evidence, ProbeJourney};
use crate::{PointKind, StreamId};

/// One direction of one stream, with its journeys in the order they were sent.
pub(crate) struct Lane<'e> {
    pub(crate) id: StreamId,
    pub(crate) client: &'e str,
    pub(crate) server: &'e str,
    pub(crate) journeys: Vec<&'e ProbeJourney>,
}

/// The lanes of a run, in the order of (stream, direction). Journeys of streams that the evidence does not list
/// are left out; [`crate::Reason::Dangling`] accounts for them.
pub(crate) fn lanes(evidence: &Evidence) -> Vec<Lane<'_>> {
    let mut lanes: Vec<Lane<'_>> = Vec::with_capacity(evidence.streams.len() * 2);
    for (stream, info) in (0_u16..).zip(&evidence.streams) {
        for direction in [Direction::Request, Direction::Reply] {
            let id = StreamId {
                stream,
                flow: info.flow.clone(),
                protocol: info.protocol,
                direction,
            };
            lanes.push(Lane {
                id,
                client: &info.client,
                server: &info.server,
                journeys: Vec::new(),
            });
        }
    }
    for journey in &evidence.journeys {
        let lane = usize::from(journey.stream) * 2 + usize::from(journey.direction == Direction::Reply);
        if let Some(lane) = lanes.get_mut(lane) {
            lane.journeys.push(journey);
        }
    }
    for lane in &mut lanes {
        // Sorted already when the evidence is as documented, and then linear.
        lane.journeys
            .sort_by_key(|journey| (journey.sent_ns, journey.sequence));
    }
    lanes
}

/// Counts probes by the tunnel that saw them, each probe once per tunnel.
pub(crate) struct TunnelTally<'e> {
    names: Vec<&'e str>,
    /// For each capture point the index of its tunnel in `names`.
    tunnel_of: Vec<Option<usize>>,
    counts: Vec<u64>,
    /// The last probe counted for each tunnel, so that its second sighting there is not counted again.
    counted: Vec<u64>,
    probes: u64,
}

impl<'e> TunnelTally<'e> {
    pub(crate) fn new(evidence: &'e Evidence) -> Self {
        let is_tunnel = |point: &&CapturePoint| point.kind == PointKind::Tunnel;
        let names: BTreeSet<&str> = evidence
            .points
            .iter()
            .filter(is_tunnel)
            .map(|p| p.name.as_str())
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let index = |point: &CapturePoint| {
            names
                .binary_search(&point.name.as_str())
                .ok()
                .filter(|_| point.kind == PointKind::Tunnel)
        };
        let tunnel_of = evidence.points.iter().map(index).collect();
        Self {
            tunnel_of,
            counts: vec![0; names.len()],
            counted: vec![0; names.len()],
            names,
            probes: 0,
        }
    }

    /// Counts a probe; true when a tunnel saw it.
    pub(crate) fn add(&mut self, journey: &ProbeJourney) -> bool {
        self.probes += 1;
        let mut tunnelled = false;
        for hop in &journey.hops {
            let Some(tunnel) = self.tunnel_of.get(usize::from(hop.point)).copied().flatten() else {
                continue;
            };
            tunnelled = true;
            if self.counted[tunnel] != self.probes {
                self.counted[tunnel] = self.probes;
                self.counts[tunnel] += 1;
            }
        }
        tunnelled
    }

    /// The counts by tunnel; tunnels that saw nothing are listed with 0.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.names
            .iter()
            .map(|name| (*name).to_owned())
            .zip(self.counts.iter().copied())
            .collect()
    }
}
