//! Which way packets take: the decision table of app-route policy, data policy and routing.
//!
//! Owns the choice among the ways to a destination, given what is known of their tunnels. It has no clock and no I/O
//! and remembers nothing; a choice is made anew whenever a tunnel changes. Invariants: a way whose tunnel is down is
//! never chosen; [`Unmet::Drop`] never gives a way that does not meet the class, nor leaves it to routing, which
//! might; a group with `restrict` never gives a way that none of its tiers admits, nor leaves it to routing; the
//! order of the ways does not matter.
//!
//! # The table
//! `[reading]` marks what Cisco's documentation leaves open.
//!
//! | choice | some way meets the class | ways are up, none meets it | no way is up |
//! |---|---|---|---|
//! | no choice | [`routing`] | routing | routing |
//! | class | all that meet it | all ways | routing |
//! | class, preferred colors | those of these colors that meet it; none: all that meet it | all ways | routing |
//! | …, backup | as without | ways of the backup colors; none: all ways | routing |
//! | …, strict | as without | drop | drop `[reading]` |
//! | …, best path | as without | the best ways, of these the preferred ones, if any | routing |
//! | class, group | the first tier of which ways meet it; none: all that meet it `[reading]` | as without the group | routing |
//! | class, group with `restrict` | the first tier of which ways meet it | as without the group, ways of the tiers alone `[reading]` | drop |
//!
//! Without a class nothing is judged, and only up and down count:
//!
//! | choice | its ways are up | other ways are up | no way is up |
//! |---|---|---|---|
//! | preferred colors | those of these colors | all ways | routing |
//! | backup | those of the preferred colors, then of the backup colors `[reading]` | all ways | routing |
//! | strict, preferred colors | those of these colors | all ways `[reading]` | drop |
//! | group | the first tier that has any | routing; strict: all ways `[reading]` | routing |
//! | group with `restrict` | the first tier that has any | drop | drop |
//! | data policy: local TLOCs | those of these colors | routing | routing |
//! | data policy: local TLOCs with `restrict` | those of these colors | drop | drop |
//! | data policy: remote TLOCs | those to the TLOCs of the highest preference | drop | drop |
//! | routing | those of the default colors | drop | drop |
//!
//! - Flows are shared over the ways in a cell. Of these the ways with the fewest hops are taken `[reading]`, except in
//!   two cells: all that the path preference of a tier admits count equally, and the way to a remote TLOC leads to
//!   that TLOC's edge, whatever lies behind it.
//! - With no way up routing finds none either: what is left to it is dropped until there is one.
//! - Best path: of all ways those that are within the variance of the best by the first criterion; of these by the
//!   second; and so on. What has not been measured is worse than anything measured. The preferred colors, or the
//!   first tier, count among the best ways, as the fix of Cisco's CSCwe85195 has it.
//!
//! # Limits
//! What is known of a way through other edges is what the caller says, which is likely that of its first tunnel.

use std::net::Ipv4Addr;

use crate::policy::{
    AppRoute, BestPath, ColorGroup, ColorTier, Criterion, DataPath, PathPreference, Preference, RemoteTloc,
    Unmet,
};
pub use crate::sla::{Health, Means};

/// One way towards a destination: over a tunnel to a remote edge.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// The color of the tunnel.
    pub color: &'a str,
    /// The remote edge, which is the next hop.
    pub system_ip: Ipv4Addr,
    /// Tunnels to the destination's edge: 1 straight to it, more through others.
    pub hops: u16,
    /// What is known of the tunnel.
    pub health: &'a Health,
}

/// What becomes of packets to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Flows are shared over the ways at these positions, at equal cost; ascending, at least one.
    Over(Vec<usize>),
    /// As [`routing`] has it.
    Routing,
    /// Discarded.
    Drop,
}

/// Where app-route policy sends packets.
#[must_use]
pub fn app_route(choice: &AppRoute, ways: &[Way<'_>]) -> Decision {
    let restricted = match &choice.preference {
        Preference::Group(group) if group.restrict => Some(group),
        _ => None,
    };
    let nowhere = match (&choice.unmet, restricted) {
        (Unmet::Drop, _) | (_, Some(_)) => Decision::Drop,
        _ => Decision::Routing,
    };
    let up = Taken::up(ways);
    let usable = match restricted {
        Some(group) => up.only(|way| group.tiers.iter().any(|tier| admits(tier, way))),
        None => up,
    };
    if usable.is_empty() {
        return nowhere;
    }
    let Some(class) = &choice.class else {
        return unjudged(choice, &usable);
    };
    let meeting = usable.only(|way| way.health.met.contains(class));
    if meeting.is_empty() {
        return unmet(choice, &usable);
    }
    preferred(&choice.preference, &meeting).unwrap_or_else(|| meeting.fewest_hops())
}

/// Where data policy sends packets.
#[must_use]
pub fn data_path(path: &DataPath, ways: &[Way<'_>]) -> Decision {
    let up = Taken::up(ways);
    let (found, may_be_routed) = match path {
        DataPath::Local(tlocs) => (over_colors(&tlocs.colors, &up), !tlocs.restrict),
        DataPath::Remote(tlocs) => (over_tlocs(tlocs, &up), false),
        DataPath::Group(group) => (over_tiers(group, &up), !group.restrict),
    };
    let otherwise = if may_be_routed {
        Decision::Routing
    } else {
        Decision::Drop
    };
    found.unwrap_or(otherwise)
}

/// Where packets go that no policy sends anywhere: over these colors alone, or nowhere.
#[must_use]
pub fn routing(default_colors: &[String], ways: &[Way<'_>]) -> Decision {
    over_colors(default_colors, &Taken::up(ways)).unwrap_or(Decision::Drop)
}

/// App-route without a class: nothing is to be met.
fn unjudged(choice: &AppRoute, usable: &Taken<'_>) -> Decision {
    let backup = || match &choice.unmet {
        Unmet::Backup(colors) => over_colors(colors, usable),
        Unmet::Any | Unmet::Drop | Unmet::Best(_) => None,
    };
    let otherwise = || match (&choice.preference, &choice.unmet) {
        (Preference::Equal | Preference::Colors(_), _) | (_, Unmet::Drop) => usable.fewest_hops(),
        (Preference::Group(_), _) => Decision::Routing,
    };
    preferred(&choice.preference, usable)
        .or_else(backup)
        .unwrap_or_else(otherwise)
}

/// App-route when no way meets the class.
fn unmet(choice: &AppRoute, usable: &Taken<'_>) -> Decision {
    match &choice.unmet {
        Unmet::Any => usable.fewest_hops(),
        Unmet::Drop => Decision::Drop,
        Unmet::Backup(colors) => over_colors(colors, usable).unwrap_or_else(|| usable.fewest_hops()),
        Unmet::Best(path) => {
            let best = usable.best(path);
            preferred(&choice.preference, &best).unwrap_or_else(|| best.fewest_hops())
        }
    }
}

/// Over the preferred ones; `None` when there are none.
fn preferred(preference: &Preference, among: &Taken<'_>) -> Option<Decision> {
    match preference {
        Preference::Equal => None,
        Preference::Colors(colors) => over_colors(colors, among),
        Preference::Group(group) => over_tiers(group, among),
    }
}

fn over_colors(colors: &[String], among: &Taken<'_>) -> Option<Decision> {
    let of_colors = among.only(|way| colors.iter().any(|color| color == way.color));
    (!of_colors.is_empty()).then(|| of_colors.fewest_hops())
}

fn over_tiers(group: &ColorGroup, among: &Taken<'_>) -> Option<Decision> {
    let mut tiers = group.tiers.iter().map(|tier| among.only(|way| admits(tier, way)));
    tiers.find(|tier| !tier.is_empty()).map(Taken::over)
}

fn over_tlocs(tlocs: &[RemoteTloc], among: &Taken<'_>) -> Option<Decision> {
    let leads_to =
        |way: &Way<'_>, tloc: &RemoteTloc| tloc.system_ip == way.system_ip && tloc.color == way.color;
    let preference = |way: &Way<'_>| {
        let tlocs = tlocs.iter().filter(|tloc| leads_to(way, tloc));
        tlocs.map(|tloc| tloc.preference).max()
    };
    let highest = among.ways().filter_map(preference).max()?;
    Some(among.only(|way| preference(way) == Some(highest)).over())
}

fn admits(tier: &ColorTier, way: &Way<'_>) -> bool {
    let path = match tier.path {
        PathPreference::DirectPath => way.hops <= 1,
        PathPreference::MultiHopPath => way.hops > 1,
        PathPreference::AllPaths => true,
    };
    path && tier.colors.iter().any(|color| color == way.color)
}

/// Some of the ways.
#[derive(Debug)]
struct Taken<'a> {
    all: &'a [Way<'a>],
    /// Ascending.
    positions: Vec<usize>,
}

impl<'a> Taken<'a> {
    fn up(all: &'a [Way<'a>]) -> Self {
        let every = Self {
            all,
            positions: (0..all.len()).collect(),
        };
        every.only(|way| way.health.up)
    }

    fn ways(&self) -> impl Iterator<Item = &'a Way<'a>> {
        self.positions.iter().map(|position| &self.all[*position])
    }

    fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    fn only(&self, keep: impl Fn(&Way<'_>) -> bool) -> Self {
        let positions = self.positions.iter().copied();
        Self {
            all: self.all,
            positions: positions.filter(|position| keep(&self.all[*position])).collect(),
        }
    }

    /// Those that are as good as the best.
    fn best(&self, path: &BestPath) -> Self {
        let every = self.only(|_| true);
        path.criteria
            .iter()
            .fold(every, |best, criterion| match *criterion {
                Criterion::Loss(variance) => {
                    best.least(|means| means.loss, |least| least.saturating_add(variance))
                }
                Criterion::Latency(variance) => {
                    best.least(|means| means.latency, |least| least.saturating_add(variance))
                }
                Criterion::Jitter(variance) => {
                    best.least(|means| means.jitter, |least| least.saturating_add(variance))
                }
            })
    }

    /// Those of which a measure is at most what `bound` makes of the least; all when none is measured.
    fn least<T: Ord + Copy>(&self, measure: impl Fn(&Means) -> Option<T>, bound: impl Fn(T) -> T) -> Self {
        let least = self.ways().filter_map(|way| measure(&way.health.means)).min();
        self.only(|way| {
            least.is_none_or(|least| measure(&way.health.means).is_some_and(|value| value <= bound(least)))
        })
    }

    /// Over those of them with the fewest hops.
    fn fewest_hops(&self) -> Decision {
        let fewest = self.ways().map(|way| way.hops).min();
        self.only(|way| Some(way.hops) == fewest).over()
    }

    /// Over all of them; there is at least one.
    fn over(self) -> Decision {
        Decision::Over(self.positions)
    }
}

#[cfg(test)]
mod tests;
