//! What a clause says of one journey.
//!
//! A reading is taken at face value and carries whether it can be relied on: being seen always can, not being
//! seen only where the capture is complete. Delivery is the receiver's word: having arrived always counts, not
//! having arrived only where no receiver's host dropped anything.

mod carriage;
mod observed;
mod way;

use std::collections::BTreeSet;

use scenario::assertion::{Clause, PathPattern, PointKind, PointSet};

use super::across::Sides;
use super::capture::Capture;
use crate::evidence::{CapturePoint, Hop, ProbeJourney};
use carriage::Carriage;
use way::Way;

/// Whether a journey satisfies a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) holds: bool,
    pub(super) certain: bool,
}

impl Reading {
    pub(super) const TRUE: Self = Self {
        holds: true,
        certain: true,
    };

    fn seen(seen: bool, complete: bool) -> Self {
        Self {
            holds: seen,
            certain: seen || complete,
        }
    }

    fn not(self) -> Self {
        Self {
            holds: !self.holds,
            ..self
        }
    }

    /// Conjunction: one part that is certainly false decides.
    pub(super) fn and(self, other: Self) -> Self {
        let refuted = |part: Self| !part.holds && part.certain;
        Self {
            holds: self.holds && other.holds,
            certain: refuted(self) || refuted(other) || (self.certain && other.certain),
        }
    }
}

/// Whether a sighting at a point contradicts `only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    Never,
    /// An underlay of a wanted tunnel: it must carry the tunnel's own, encapsulated packet and nothing else.
    InClear,
    Always,
}

/// A clause made ready for the points of one run.
pub(super) struct Test<'a> {
    pub(super) clause: &'a Clause,
    points: &'a [CapturePoint],
    /// For each point: whether it is in the clause's set.
    wanted: Vec<bool>,
    /// Whether not being seen at any wanted point means not having been there.
    wanted_complete: bool,
    /// Whether it is a `via` with a tunnel in its set.
    names_tunnels: bool,
    foreign: Vec<Foreign>,
    foreign_complete: bool,
    /// Whether not having been seen anywhere means not having been anywhere.
    all_complete: bool,
    /// Whether not having arrived means not having reached the receiver's host.
    receivers_complete: bool,
    way: Way,
    carriage: Carriage,
}

impl<'a> Test<'a> {
    pub(super) fn new(clause: &'a Clause, capture: &Capture<'a>) -> Self {
        let points = capture.evidence.points.as_slice();
        let none = PointSet(Vec::new());
        let (set, only) = match clause {
            Clause::Via { points, only } => (points, *only),
            Clause::Avoiding(points) | Clause::At(points) | Clause::Dropped(Some(points)) => (points, false),
            _ => (&none, false),
        };
        let wanted: Vec<bool> = points.iter().map(|point| set.contains(&point.name())).collect();
        let foreign = if only {
            foreign(points, &wanted)
        } else {
            vec![Foreign::Never; points.len()]
        };
        let complete_where = |relevant: &dyn Fn(usize) -> bool| {
            capture
                .complete
                .iter()
                .enumerate()
                .all(|(index, complete)| *complete || !relevant(index))
        };
        let no_way = PathPattern(Vec::new());
        let way = match clause {
            Clause::Along(path) => path,
            _ => &no_way,
        };
        Self {
            clause,
            points,
            wanted_complete: wanted.contains(&true) && complete_where(&|index| wanted[index]),
            names_tunnels: matches!(clause, Clause::Via { .. })
                && points
                    .iter()
                    .zip(&wanted)
                    .any(|(point, wanted)| *wanted && point.kind == PointKind::Tunnel),
            foreign_complete: complete_where(&|index| foreign[index] != Foreign::Never),
            all_complete: complete_where(&|_| true),
            receivers_complete: capture.evidence.receiver_drops == 0,
            wanted,
            foreign,
            way: Way::new(way, points),
            carriage: Carriage::new(points, &capture.complete),
        }
    }

    /// What it says of a journey. `sides` is of its lane, if the clause is about both sides of an event.
    pub(super) fn read(&self, journey: &ProbeJourney, sides: Option<&Sides>) -> Reading {
        match self.clause {
            Clause::SamePath(_) => sides.map_or(Reading::TRUE, |sides| sides.read(journey)),
            Clause::At(_) => self.seen(journey),
            Clause::Avoiding(_) => self.seen(journey).not(),
            Clause::Along(_) => self.way.read(journey, self.all_complete),
            Clause::Delivered => self.delivered(journey),
            Clause::Dropped(by) => self.dropped(journey, by.is_some()),
            Clause::Encapsulated(carrier) => self.carriage.read(journey, *carrier),
            Clause::Dscp(dscp) => self.marked(journey, *dscp),
            Clause::Via { .. } => {
                let strayed = Reading::seen(self.foreign_hop(journey).is_some(), self.foreign_complete);
                self.seen(journey).and(self.delivered(journey)).and(strayed.not())
            }
        }
    }

    /// What it says of a journey of which no delivery is asked.
    pub(super) fn read_lossy(&self, journey: &ProbeJourney, sides: Option<&Sides>) -> Reading {
        match self.clause {
            Clause::Delivered => Reading::TRUE,
            Clause::Via { .. } if journey.delivered_ns.is_none() => {
                Reading::seen(self.foreign_hop(journey).is_some(), self.foreign_complete).not()
            }
            _ => self.read(journey, sides),
        }
    }

    /// Whether a sighting is at a tunnel other than those that a `via` names, if it names any.
    pub(super) fn is_detour(&self, hop: &Hop) -> bool {
        self.names_tunnels && self.kind(hop) == Some(PointKind::Tunnel) && !self.is_wanted(hop)
    }

    fn delivered(&self, journey: &ProbeJourney) -> Reading {
        Reading::seen(journey.delivered_ns.is_some(), self.receivers_complete)
    }

    fn seen(&self, journey: &ProbeJourney) -> Reading {
        Reading::seen(
            journey.hops.iter().any(|hop| self.is_wanted(hop)),
            self.wanted_complete,
        )
    }

    /// Where it was lost is where it was seen last; what was missed later would tell otherwise.
    fn dropped(&self, journey: &ProbeJourney, by_wanted: bool) -> Reading {
        let there = self
            .last_seen(journey)
            .is_some_and(|hop| !by_wanted || self.is_wanted(hop));
        let last_seen = Reading {
            holds: there,
            certain: self.all_complete,
        };
        self.delivered(journey).not().and(last_seen)
    }

    fn marked(&self, journey: &ProbeJourney, dscp: u8) -> Reading {
        let other = journey.hops.iter().any(|hop| hop.dscp != dscp);
        Reading {
            holds: !other && !journey.hops.is_empty(),
            certain: other || self.all_complete,
        }
    }

    /// The last sighting of the packet itself, not of a copy of it.
    fn last_seen<'j>(&self, journey: &'j ProbeJourney) -> Option<&'j Hop> {
        let is_copy = |hop: &&Hop| self.kind(hop) == Some(PointKind::Inspection);
        journey.hops.iter().rev().find(|hop| !is_copy(hop))
    }

    fn kind(&self, hop: &Hop) -> Option<PointKind> {
        self.points.get(usize::from(hop.point)).map(|point| point.kind)
    }

    fn is_wanted(&self, hop: &Hop) -> bool {
        self.wanted.get(usize::from(hop.point)).copied().unwrap_or(false)
    }

    fn foreign_hop<'j>(&self, journey: &'j ProbeJourney) -> Option<&'j Hop> {
        journey
            .hops
            .iter()
            .find(|hop| match self.foreign.get(usize::from(hop.point)) {
                Some(Foreign::Always) => true,
                Some(Foreign::InClear) => hop.carried.is_none(),
                Some(Foreign::Never) | None => false,
            })
    }
}

/// What each point means where nothing but the wanted ones may be seen.
///
/// What goes to an inspection service is a copy: the packet itself goes its way.
fn foreign(points: &[CapturePoint], wanted: &[bool]) -> Vec<Foreign> {
    let tunnels = points
        .iter()
        .zip(wanted)
        .filter(|(point, wanted)| **wanted && point.kind == PointKind::Tunnel);
    let tunnels: BTreeSet<&str> = tunnels.map(|(point, _)| point.name.as_str()).collect();
    let each = points.iter().zip(wanted).map(|(point, wanted)| match point.kind {
        PointKind::Node | PointKind::Inspection => Foreign::Never,
        _ if *wanted => Foreign::Never,
        PointKind::Underlay if tunnels.contains(point.name.as_str()) => Foreign::InClear,
        PointKind::Tunnel | PointKind::Underlay => Foreign::Always,
    });
    each.collect()
}
