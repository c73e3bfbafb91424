//! The tunnels of a stream before and after an event.

use std::collections::{BTreeMap, BTreeSet};

use super::capture::Capture;
use super::clause::Reading;
use crate::PointKind;
use crate::evidence::ProbeJourney;

/// The tunnels that one direction of a stream took before and after an event, in one window.
///
/// A probe on its way when the event fired belongs to neither side: what it did may be the event's doing or not.
pub(super) struct Sides {
    at_ns: u64,
    /// For each point its tunnel, by number.
    tunnels: Vec<Option<usize>>,
    complete: bool,
    before: Side,
    after: Side,
}

#[derive(Default)]
struct Side {
    taken: BTreeSet<usize>,
    probes: u64,
}

/// The number of what is no tunnel, for probes that were delivered outside of all.
const OUTSIDE: usize = usize::MAX;

impl Sides {
    pub(super) fn of(journeys: &[&ProbeJourney], at_ns: u64, capture: &Capture<'_>) -> Self {
        let points = &capture.evidence.points;
        let mut numbers = BTreeMap::new();
        let tunnels = points.iter().map(|point| {
            let next = numbers.len();
            let mut number = || *numbers.entry((&point.name, point.service_vpn)).or_insert(next);
            (point.kind == PointKind::Tunnel).then(&mut number)
        });
        let mut sides = Self {
            at_ns,
            tunnels: tunnels.collect(),
            complete: points
                .iter()
                .zip(&capture.complete)
                .all(|(point, complete)| point.kind != PointKind::Tunnel || *complete),
            before: Side::default(),
            after: Side::default(),
        };
        for journey in journeys {
            let taken = sides.taken(journey);
            let side = if journey.sent_ns >= at_ns {
                &mut sides.after
            } else if is_on_its_way(journey, at_ns) {
                continue;
            } else {
                &mut sides.before
            };
            side.probes += 1;
            side.taken.extend(taken);
        }
        sides
    }

    /// Whether the other side took every tunnel that the probe took.
    pub(super) fn read(&self, journey: &ProbeJourney) -> Reading {
        let other = match journey.sent_ns {
            sent if sent >= self.at_ns => &self.before,
            _ if is_on_its_way(journey, self.at_ns) => return Reading::TRUE,
            _ => &self.after,
        };
        Reading {
            holds: self.taken(journey).is_subset(&other.taken),
            certain: self.complete,
        }
    }

    /// How many probes the side has that has fewer.
    pub(super) fn probes(&self) -> u64 {
        self.before.probes.min(self.after.probes)
    }

    fn taken(&self, journey: &ProbeJourney) -> BTreeSet<usize> {
        let hops = journey.hops.iter();
        let mut taken: BTreeSet<usize> = hops
            .filter_map(|hop| self.tunnels.get(usize::from(hop.point)).copied().flatten())
            .collect();
        if taken.is_empty() && journey.delivered_ns.is_some() {
            taken.insert(OUTSIDE);
        }
        taken
    }
}

fn is_on_its_way(journey: &ProbeJourney, at_ns: u64) -> bool {
    journey.sent_ns < at_ns && journey.hops.iter().any(|hop| hop.at_ns >= at_ns)
}
