//! What is wrong with the parts of one transport, and which of it a packet meets.
//!
//! Pure: sites are positions of edges. Invariant: of the impairments that a packet could meet it meets that of the
//! narrowest scope; where both ends' sites are impaired, that of the sender's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use netsim::impair::Impairment;

/// Which part of a transport is meant, by positions of edges; wider ones come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All of it.
    Whole,
    /// One site's link: both directions between it and every other site.
    Site(usize),
    /// Both directions between two sites.
    Tunnel(usize, usize),
    /// What goes from one site to another.
    Direction(usize, usize),
}

impl Scope {
    /// Whether packets from one edge to another are in it.
    #[must_use]
    pub fn covers(self, (from, to): (usize, usize)) -> bool {
        match self {
            Self::Whole => true,
            Self::Site(site) => site == from || site == to,
            Self::Tunnel(a, b) => (a, b) == (from, to) || (b, a) == (from, to),
            Self::Direction(a, b) => (a, b) == (from, to),
        }
    }

    /// Whether another scope is it or a part of it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole, _) => true,
            (_, Self::Whole) => false,
            (_, Self::Site(_)) => self == other,
            (Self::Tunnel(..) | Self::Site(_), Self::Direction(a, b)) => self.covers((a, b)),
            (_, Self::Tunnel(a, b)) => {
                matches!(self, Self::Site(_) | Self::Tunnel(..)) && self.covers((a, b))
            }
            (Self::Direction(..), Self::Direction(..)) => self == other,
        }
    }

    /// The directions that it names one by one, if it does.
    #[must_use]
    pub fn directions(self) -> Vec<(usize, usize)> {
        match self {
            Self::Whole | Self::Site(_) => Vec::new(),
            Self::Tunnel(a, b) => vec![(a, b), (b, a)],
            Self::Direction(a, b) => vec![(a, b)],
        }
    }
}

/// A part of a transport that is cut and whole in turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flap {
    /// How long each cut lasts.
    pub down: Duration,
    /// How long it is whole in between.
    pub up: Duration,
    /// Whether it is cut now.
    pub is_down: bool,
    /// When that changes.
    pub turns_at: Instant,
}

impl Flap {
    /// Turns it, if it is time. A phase that began late is as long as any other.
    pub fn turn(&mut self, now: Instant) {
        if self.turns_at <= now {
            self.is_down = !self.is_down;
            self.turns_at = now + if self.is_down { self.down } else { self.up };
        }
    }
}

/// What is wrong with one transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Impairments.
    pub impaired: BTreeMap<Scope, Impairment>,
    /// What is cut.
    pub cut: BTreeSet<Scope>,
    /// What flaps.
    pub flaps: BTreeMap<Scope, Flap>,
}

impl State {
    /// Ends what is wrong with a part and the parts of that.
    pub fn heal(&mut self, scope: Scope) {
        self.impaired.retain(|other, _| !scope.contains(*other));
        self.cut.retain(|other| !scope.contains(*other));
        self.flaps.retain(|other, _| !scope.contains(*other));
    }

    /// Whether an edge's link is down.
    #[must_use]
    pub fn is_link_down(&self, edge: usize) -> bool {
        [Scope::Whole, Scope::Site(edge)]
            .iter()
            .any(|scope| self.cut.contains(scope) || self.flaps.get(scope).is_some_and(|flap| flap.is_down))
    }

    /// The flap that packets from one edge to another may meet, in either phase of it.
    #[must_use]
    pub fn flap(&self, direction: (usize, usize)) -> Option<&Flap> {
        let mut flaps = self.flaps.iter();
        flaps
            .find(|(scope, _)| scope.covers(direction))
            .map(|(_, flap)| flap)
    }

    /// What packets from one edge to another meet; a flap counts as the cut that it is now and then.
    #[must_use]
    pub fn between(&self, direction: (usize, usize)) -> Option<Impairment> {
        let is_cut = self.cut.iter().any(|scope| scope.covers(direction));
        if is_cut || self.flap(direction).is_some() {
            return Some(Impairment::black_hole());
        }
        let (from, to) = direction;
        let scopes = [
            Scope::Direction(from, to),
            Scope::Tunnel(from.min(to), from.max(to)),
            Scope::Site(from),
            Scope::Site(to),
            Scope::Whole,
        ];
        scopes.iter().find_map(|scope| self.impaired.get(scope)).copied()
    }

    /// What the lines of a transport between so many edges are impaired by: those to an edge from everywhere (no
    /// sender), and those from one edge to another, which go before them.
    #[must_use]
    pub fn lines(&self, edges: usize) -> BTreeMap<(Option<usize>, usize), Impairment> {
        let mut lines = BTreeMap::new();
        // From wide to narrow, so that the narrower one stays.
        for (scope, impairment) in &self.impaired {
            match *scope {
                Scope::Whole => lines.extend((0..edges).map(|to| ((None, to), *impairment))),
                Scope::Site(site) => {
                    lines.insert((None, site), *impairment);
                }
                Scope::Tunnel(..) | Scope::Direction(..) => {}
            }
        }
        for (scope, impairment) in &self.impaired {
            let directions = match *scope {
                Scope::Site(from) => (0..edges).filter(|to| *to != from).map(|to| (from, to)).collect(),
                _ => scope.directions(),
            };
            lines.extend(
                directions
                    .into_iter()
                    .map(|(from, to)| ((Some(from), to), *impairment)),
            );
        }
        let down = self
            .flaps
            .iter()
            .filter(|(_, flap)| flap.is_down)
            .map(|(scope, _)| scope);
        for (from, to) in self.cut.iter().chain(down).flat_map(|scope| scope.directions()) {
            lines.insert((Some(from), to), Impairment::black_hole());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EDGES: usize = 4;

    fn scopes() -> impl Strategy<Value = Scope> {
        let pair = (0..EDGES, 1..EDGES).prop_map(|(a, step)| (a, (a + step) % EDGES));
        prop_oneof![
            Just(Scope::Whole),
            (0..EDGES).prop_map(Scope::Site),
            pair.clone().prop_map(|(a, b)| Scope::Tunnel(a.min(b), a.max(b))),
            pair.prop_map(|(a, b)| Scope::Direction(a, b)),
        ]
    }

    fn impairments() -> impl Strategy<Value = Impairment> {
        (1..100_u64).prop_map(|ms| Impairment {
            delay: Duration::from_millis(ms),
            ..Impairment::default()
        })
    }

    fn states() -> impl Strategy<Value = State> {
        let impaired = proptest::collection::btree_map(scopes(), impairments(), 0..5);
        let cut = proptest::collection::btree_set(scopes(), 0..2);
        (impaired, cut).prop_map(|(impaired, cut)| State {
            impaired,
            cut,
            flaps: BTreeMap::new(),
        })
    }

    fn directions() -> impl Iterator<Item = (usize, usize)> {
        (0..EDGES).flat_map(|from| (0..EDGES).filter(move |to| *to != from).map(move |to| (from, to)))
    }

    proptest! {
        #[test]
        fn lines_and_links_do_what_packets_are_said_to_meet(state in states()) {
            let lines = state.lines(EDGES);
            for (from, to) in directions() {
                let line = lines.get(&(Some(from), to)).or(lines.get(&(None, to))).copied();
                let is_down = state.is_link_down(from) || state.is_link_down(to);
                let met = if is_down { Some(Impairment::black_hole()) } else { line };
                prop_assert_eq!(met, state.between((from, to)));
            }
        }

        #[test]
        fn a_scope_contains_what_it_covers_all_of(scope in scopes(), other in scopes()) {
            let is_part = directions().all(|direction| !other.covers(direction) || scope.covers(direction));
            prop_assert_eq!(scope.contains(other), is_part);
        }

        #[test]
        fn healing_leaves_wider_faults_and_nothing_narrower(state in states(), scope in scopes()) {
            let mut healed = state.clone();
            healed.heal(scope);
            for other in state.impaired.keys() {
                prop_assert_eq!(healed.impaired.contains_key(other), !scope.contains(*other));
            }
            for direction in directions().filter(|direction| !scope.covers(*direction)) {
                prop_assert_eq!(healed.between(direction), state.between(direction));
            }
        }
    }

    #[test]
    fn a_flap_is_cut_in_its_first_phase_and_whole_in_its_second() {
        let start = Instant::now();
        let (down, up) = (Duration::from_millis(200), Duration::from_millis(800));
        let mut flap = Flap {
            down,
            up,
            is_down: true,
            turns_at: start + down,
        };
        let phases: Vec<bool> = (0..12_u32)
            .map(|tenth| {
                flap.turn(start + tenth * Duration::from_millis(100));
                flap.is_down
            })
            .collect();
        let expected: Vec<bool> = (0..12).map(|tenth| tenth % 10 < 2).collect();
        assert_eq!(phases, expected);
        let mut state = State::default();
        state.flaps.insert(Scope::Site(1), flap);
        assert!(state.is_link_down(1) && !state.is_link_down(0));
        state.heal(Scope::Tunnel(0, 1));
        assert!(state.is_link_down(1), "a part of a site does not heal it");
        state.heal(Scope::Site(1));
        assert_eq!(state, State::default());
    }
}
