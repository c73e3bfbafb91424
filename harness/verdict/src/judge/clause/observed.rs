//! What a journey did with regard to a clause, as fragments for people.

use scenario::assertion::{Clause, Encapsulation};

use super::Test;
use crate::PointKind;
use crate::evidence::{Hop, ProbeJourney};
use crate::trace::HopTrace;

impl Test<'_> {
    /// What the journey did.
    pub(in crate::judge) fn observed(&self, journey: &ProbeJourney) -> String {
        let wanted_hop = || journey.hops.iter().find(|hop| self.is_wanted(hop));
        match self.clause {
            Clause::Delivered | Clause::Dropped(_) if journey.delivered_ns.is_some() => {
                "delivered".to_owned()
            }
            Clause::Delivered | Clause::Dropped(_) => format!("not delivered, {}", self.end(journey)),
            Clause::At(set) | Clause::Avoiding(set) => match wanted_hop() {
                Some(hop) => format!("seen at {}", self.name(hop)),
                None => format!("not seen at {set}"),
            },
            Clause::Along(_) | Clause::SamePath(_) => self.way_taken(journey),
            Clause::Encapsulated(carrier) => self.carried(journey, *carrier),
            Clause::Dscp(dscp) => {
                let other = journey.hops.iter().find(|hop| hop.dscp != *dscp);
                match other.or(journey.hops.first()) {
                    Some(hop) => format!("DSCP {} at {}", hop.dscp, self.name(hop)),
                    None => "seen nowhere".to_owned(),
                }
            }
            Clause::Via { points: set, .. } => match (self.foreign_hop(journey), wanted_hop()) {
                (Some(hop), _) => format!("seen at {}", self.name(hop)),
                (None, _) if journey.delivered_ns.is_none() => {
                    format!("not delivered, {}", self.end(journey))
                }
                (None, Some(hop)) => format!("seen at {}", self.name(hop)),
                (None, None) => {
                    let is_tunnel = |hop: &&Hop| self.kind(hop) == Some(PointKind::Tunnel);
                    match journey.hops.iter().find(is_tunnel) {
                        Some(hop) => format!("not seen at {set}, but at {}", self.name(hop)),
                        None => format!("delivered without being seen at {set}"),
                    }
                }
            },
        }
    }

    fn name(&self, hop: &Hop) -> String {
        let point = self.points.get(usize::from(hop.point));
        point.map_or_else(String::new, |point| HopTrace::new(point, hop).to_string())
    }

    fn end(&self, journey: &ProbeJourney) -> String {
        self.last_seen(journey).map_or_else(
            || "seen nowhere".to_owned(),
            |hop| format!("last seen at {}", self.name(hop)),
        )
    }

    /// The points in the order of time, as a path would have them.
    fn way_taken(&self, journey: &ProbeJourney) -> String {
        let points = journey
            .hops
            .iter()
            .filter_map(|hop| self.points.get(usize::from(hop.point)));
        let mut names: Vec<String> = points
            .map(|point| format!("{}/{}", point.kind, point.name))
            .collect();
        names.dedup();
        if names.is_empty() {
            "seen nowhere".to_owned()
        } else {
            format!("took {}", names.join(" -> "))
        }
    }

    fn carried(&self, journey: &ProbeJourney, asked: Option<Encapsulation>) -> String {
        let crossings = self.carriage.crossings(journey);
        let other = crossings.iter().find(|crossing| !crossing.is_in(asked));
        match other.or(crossings.first()) {
            None => "seen at no underlay".to_owned(),
            Some(crossing) => {
                let how = crossing
                    .carried
                    .map_or("in clear".to_owned(), |how| format!("in {how}"));
                format!("{how} at {}", self.name(crossing.hop))
            }
        }
    }
}
