//! What carried a probe over the underlays.
//!
//! Where a transport is encrypted nobody sees a probe on its underlay. There a probe that was seen at the tunnel and not
//! at the uplink beneath, though that was watched, has crossed it in what the uplink carried: the capture has counted
//! by kind what it could not look into.

use std::collections::BTreeMap;

use scenario::assertion::Encapsulation;

use super::Reading;
use crate::PointKind;
use crate::evidence::{CapturePoint, Hop, ProbeJourney};

pub(super) struct Carriage {
    kinds: Vec<PointKind>,
    /// For each tunnel point over an encrypted uplink: that uplink, and what hides packets there, if it is one kind.
    hidden: Vec<Option<(u16, Option<Encapsulation>)>>,
    /// Whether every uplink shows all that it carries.
    complete: bool,
}

impl Carriage {
    pub(super) fn new(points: &[CapturePoint], complete: &[bool]) -> Self {
        let uplinks = || {
            (0..)
                .zip(points)
                .filter(|(_, point)| point.kind == PointKind::Underlay)
        };
        let of_place: BTreeMap<(&str, &str), (u16, &CapturePoint)> = uplinks()
            .filter(|(_, point)| !point.hidden.is_empty())
            .map(|(index, point)| ((&*point.site, &*point.name), (index, point)))
            .collect();
        let beneath = points.iter().map(|point| {
            let (uplink, point) = of_place
                .get(&(&*point.site, &*point.name))
                .filter(|_| point.kind == PointKind::Tunnel)?;
            let mut kinds = point.hidden.keys();
            let only = kinds.next().copied().filter(|_| kinds.next().is_none());
            Some((*uplink, only))
        });
        Self {
            hidden: beneath.collect(),
            kinds: points.iter().map(|point| point.kind).collect(),
            complete: uplinks().all(|(index, _)| complete[usize::from(index)]),
        }
    }

    /// Whether it crossed an underlay, and each in this encapsulation; `None`: in any.
    pub(super) fn read(&self, journey: &ProbeJourney, asked: Option<Encapsulation>) -> Reading {
        let crossings = self.crossings(journey);
        let other = crossings.iter().find(|crossing| !crossing.is_in(asked));
        Reading {
            holds: other.is_none() && !crossings.is_empty(),
            certain: self.complete || other.is_some_and(|crossing| crossing.is_seen),
        }
    }

    /// Its sightings at underlays, and at tunnels over underlays that hide it.
    pub(super) fn crossings<'j>(&self, journey: &'j ProbeJourney) -> Vec<Crossing<'j>> {
        let crossing = |hop: &'j Hop| {
            let point = usize::from(hop.point);
            if self.kinds.get(point) == Some(&PointKind::Underlay) {
                return Some(Crossing {
                    hop,
                    carried: hop.carried,
                    is_seen: true,
                });
            }
            let (uplink, carried) = self.hidden.get(point).copied().flatten()?;
            let is_visible = journey.hops.iter().any(|hop| hop.point == uplink);
            (!is_visible && carried.is_some()).then_some(Crossing {
                hop,
                carried,
                is_seen: false,
            })
        };
        journey.hops.iter().filter_map(crossing).collect()
    }
}

/// One sighting that tells what carried a probe over an underlay.
pub(super) struct Crossing<'j> {
    pub(super) hop: &'j Hop,
    /// `None`: nothing, it was in clear.
    pub(super) carried: Option<Encapsulation>,
    /// Whether it was seen there, and not only concluded.
    is_seen: bool,
}

impl Crossing<'_> {
    pub(super) fn is_in(&self, asked: Option<Encapsulation>) -> bool {
        match asked {
            None => self.carried.is_some(),
            Some(_) => self.carried == asked,
        }
    }
}
