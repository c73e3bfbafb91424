//! What a clause says of one journey.
//!
//! A reading is taken at face value and carries whether it can be relied on: being seen always can, not being
//! seen only where the capture is complete. Delivery is the receiver's word: having arrived always counts, not
//! having arrived only where no receiver's host dropped anything.

use scenario::assertion::{Clause, PointKind, PointSet};

use super::capture::Capture;
use crate::evidence::{CapturePoint, Hop, ProbeJourney};
use crate::trace::HopTrace;

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
    /// For each point: whether it is in the clause's set.
    wanted: Vec<bool>,
    /// Whether not being seen at any wanted point means not having been there.
    wanted_complete: bool,
    foreign: Vec<Foreign>,
    foreign_complete: bool,
    /// Whether not having arrived means not having reached the receiver's host.
    receivers_complete: bool,
}

impl<'a> Test<'a> {
    pub(super) fn new(clause: &'a Clause, capture: &Capture<'_>) -> Self {
        let none = PointSet(Vec::new());
        let (set, only) = match clause {
            Clause::Via { points, only } => (points, *only),
            Clause::Avoiding(points) | Clause::At(points) => (points, false),
            Clause::Delivered => (&none, false),
        };
        let points = &capture.evidence.points;
        let wanted: Vec<bool> = points
            .iter()
            .map(|point| set.contains(point.kind, &point.name, point.service_vpn))
            .collect();
        let foreign: Vec<Foreign> = points
            .iter()
            .map(|point| if only { foreign(set, point) } else { Foreign::Never })
            .collect();
        let complete_where = |relevant: &dyn Fn(usize) -> bool| {
            capture
                .complete
                .iter()
                .enumerate()
                .all(|(index, complete)| *complete || !relevant(index))
        };
        Self {
            clause,
            wanted_complete: wanted.contains(&true) && complete_where(&|index| wanted[index]),
            foreign_complete: complete_where(&|index| foreign[index] != Foreign::Never),
            receivers_complete: capture.evidence.receiver_drops == 0,
            wanted,
            foreign,
        }
    }

    pub(super) fn read(&self, journey: &ProbeJourney) -> Reading {
        match self.clause {
            Clause::At(_) => self.seen(journey),
            Clause::Avoiding(_) => self.seen(journey).not(),
            Clause::Delivered => self.delivered(journey),
            Clause::Via { .. } => {
                let strayed = Reading::seen(self.foreign_hop(journey).is_some(), self.foreign_complete);
                self.seen(journey).and(self.delivered(journey)).and(strayed.not())
            }
        }
    }

    /// What the journey did with regard to the clause, as a fragment for people.
    pub(super) fn observed(&self, journey: &ProbeJourney, capture: &Capture<'_>) -> String {
        let points = &capture.evidence.points;
        let name = |hop: &Hop| {
            points
                .get(usize::from(hop.point))
                .map_or_else(String::new, |point| HopTrace::new(point, hop).to_string())
        };
        let last_seen = || {
            journey.hops.last().map_or_else(
                || "seen nowhere".to_owned(),
                |h| format!("last seen at {}", name(h)),
            )
        };
        let wanted_hop = || journey.hops.iter().find(|hop| self.is_wanted(hop));
        match self.clause {
            Clause::Delivered if journey.delivered_ns.is_some() => "delivered".to_owned(),
            Clause::Delivered => format!("not delivered, {}", last_seen()),
            Clause::At(set) | Clause::Avoiding(set) => match wanted_hop() {
                Some(hop) => format!("seen at {}", name(hop)),
                None => format!("not seen at {set}"),
            },
            Clause::Via { points: set, .. } => match (self.foreign_hop(journey), wanted_hop()) {
                (Some(hop), _) => format!("seen at {}", name(hop)),
                (None, _) if journey.delivered_ns.is_none() => format!("not delivered, {}", last_seen()),
                (None, Some(hop)) => format!("seen at {}", name(hop)),
                (None, None) => match journey.hops.iter().find(|hop| self.is_tunnel(hop, capture)) {
                    Some(hop) => format!("not seen at {set}, but at {}", name(hop)),
                    None => format!("delivered without being seen at {set}"),
                },
            },
        }
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

    fn is_wanted(&self, hop: &Hop) -> bool {
        self.wanted.get(usize::from(hop.point)).copied().unwrap_or(false)
    }

    fn is_tunnel(&self, hop: &Hop, capture: &Capture<'_>) -> bool {
        capture
            .evidence
            .points
            .get(usize::from(hop.point))
            .is_some_and(|point| point.kind == PointKind::Tunnel)
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

/// Whether a point matches one alternative of a point set.
///
/// What goes to an inspection service is a copy: the packet itself goes its way.
fn foreign(set: &PointSet, point: &CapturePoint) -> Foreign {
    let is_in = |kind, service_vpn| set.contains(kind, &point.name, service_vpn);
    match point.kind {
        PointKind::Node | PointKind::Inspection => Foreign::Never,
        kind if is_in(kind, point.service_vpn) => Foreign::Never,
        PointKind::Underlay if is_in(PointKind::Tunnel, None) => Foreign::InClear,
        PointKind::Tunnel | PointKind::Underlay => Foreign::Always,
    }
}
