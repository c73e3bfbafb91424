//! The assertion grammar: what a scenario claims about the paths of packets.
//!
//! ```text
//! assertion = quant flow clause { clause } [ "unless" clause ] [ "when" window ]
//! quant     = "all" | "no" | "some" | ("at least" | "at most") (INT | PERCENT)
//! flow      = IDENT [ ".reply" | ".both" ] | "!" IDENT | "any"
//! clause    = "via" pset [ "only" ] | "avoiding" pset | "at" pset | "along" path
//!           | "delivered" | "dropped" [ "by" pset ] | "encapsulated" [ "as" PROTO ] | "dscp" INT
//!           | "same" "path" "across" EVENT
//! pset      = point { "|" point }
//! point     = "tunnel" "/" GLOB [ "@" VPN ] | ("underlay" | "node" | "inspection" | "if") "/" GLOB
//! path      = step { "->" step }
//! step      = ".." | point [ "?" ]
//! window    = "always"
//!           | "within" DUR "of" EVENT [ "until" EVENT ]
//!           | "from" EVENT [ "+" DUR ] [ "until" EVENT [ "-" DUR ] ]
//!           | "during" PHASE
//! ```
//!
//! A name is a DNS label that begins with a letter; a hyphen belongs to the name that it stands in, so the minus
//! of `until EVENT - DUR` needs a space before it. No `when` means `when always`.
//!
//! In a path the last `?` of a point is no wildcard: it says that the point may be missing.
//!
//! Owns the syntax tree, the parser and the printer; `parse(print(x)) == x`. What a clause means for a
//! journey is decided in the `verdict` crate.

mod lex;
mod parse;
mod points;
mod print;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use parse::ParseError;
pub(crate) use parse::{Mention, Mentioned, parse_with_mentions};
pub use points::{PathPattern, PathStep, PatternKind, PointKind, PointName, PointPattern, PointSet};

/// One named assertion of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assertion {
    /// Its key under `assert:`.
    pub name: String,
    /// The file it stands in, as given to the reader, and its 1-based line and column there.
    pub place: Place,
    /// Its text as written.
    pub text: String,
    /// The parsed text.
    pub formula: Formula,
    /// Probes that the window must hold for a universal verdict to mean something; 20 unless set.
    pub min_probes: u64,
    /// What its probes may cost.
    #[serde(skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
}

/// Limits for the probes of a window, in each direction of each stream; `None`: no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Budget {
    /// Probes that may be lost. With it, clauses do not ask for delivery.
    pub lost: Option<Amount>,
    /// The longest time without an arrival.
    pub gap: Option<Duration>,
    /// Deliveries beyond the first of each probe.
    pub duplicates: Option<u64>,
    /// Probes that arrive after one that was sent later.
    pub reordered: Option<u64>,
    /// Probes seen at a tunnel that the claim's `via` does not name, before convergence, too.
    pub misrouted: Option<u64>,
    /// The time in which 99 of 100 probes that arrive do.
    pub p99: Option<Duration>,
}

impl Budget {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// File name as given to the reader.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

/// The parsed text of an assertion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Formula {
    /// How many of the probes must satisfy the clauses.
    pub quantifier: Quantifier,
    /// Which probes are meant.
    pub flow: FlowSelector,
    /// What must hold; all of them (conjunction), at least one.
    pub clauses: Vec<Clause>,
    /// Probes that satisfy this are exempt.
    pub unless: Option<Clause>,
    /// Which send times are meant.
    pub window: Window,
}

/// How many probes must satisfy the clauses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Quantifier {
    /// Every one.
    All,
    /// None.
    No,
    /// At least one.
    Some,
    /// This many or more.
    AtLeast(Amount),
    /// This many or fewer.
    AtMost(Amount),
}

/// A count or a share of probes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Amount {
    /// An absolute number.
    Count(u64),
    /// Percent of the probes in the window, 0 to 100.
    Percent(f64),
}

/// Which probes an assertion is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum FlowSelector {
    /// One flow, in the given direction.
    Flow(String, DirectionSelector),
    /// Every flow but this one, both directions.
    Except(String),
    /// Every flow, both directions.
    Any,
}

/// Which direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum DirectionSelector {
    /// Client to server (no suffix).
    Request,
    /// Server to client (`.reply`).
    Reply,
    /// Each direction for itself (`.both`).
    Both,
}

/// What a journey must look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Clause {
    /// Crossed a point of the set; with `only`, no tunnel or underlay outside the set saw it, and it was delivered.
    Via {
        /// The points.
        points: PointSet,
        /// Closed world.
        only: bool,
    },
    /// Crossed no point of the set.
    Avoiding(PointSet),
    /// Was seen at a point of the set, on its way or not.
    At(PointSet),
    /// The points that saw it, in the order of time, are those of the way, from its first to its last.
    Along(PathPattern),
    /// Reached its receiver.
    Delivered,
    /// Did not, and was last seen at a point of the set; `None`: at any point.
    Dropped(Option<PointSet>),
    /// Was seen at an underlay, and there in nothing but this encapsulation; `None`: in any.
    Encapsulated(Option<Encapsulation>),
    /// Was seen, and had this DSCP, 0 to 63, wherever it was.
    Dscp(u8),
    /// Took no tunnel that its stream took in the window only before, or only after, this event. That all do says that
    /// the tunnels before and after are the same.
    SamePath(String),
}

impl Clause {
    /// The points that it names.
    #[must_use]
    pub fn patterns(&self) -> Vec<&PointPattern> {
        match self {
            Self::Via { points, .. }
            | Self::Avoiding(points)
            | Self::At(points)
            | Self::Dropped(Some(points)) => points.0.iter().collect(),
            Self::Along(path) => path.0.iter().filter_map(PathStep::pattern).collect(),
            Self::Delivered
            | Self::Dropped(None)
            | Self::Encapsulated(_)
            | Self::Dscp(_)
            | Self::SamePath(_) => Vec::new(),
        }
    }
}

/// What carries packets between WAN edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// GRE with a key (RFC 2890).
    Gre,
    /// ESP (RFC 4303), whatever is in it.
    Esp,
    /// `WireGuard`, whatever is in it.
    Wireguard,
}

impl Encapsulation {
    /// Every encapsulation, with its word in assertions.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("vxlan", Self::Vxlan),
        ("gre", Self::Gre),
        ("esp", Self::Esp),
        ("wireguard", Self::Wireguard),
    ];
}

/// Which send times are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Window {
    /// The whole run.
    Always,
    /// Converges no later than `limit` after `event`, then holds until `until` (or the end of the run).
    Within {
        /// Longest convergence.
        limit: Duration,
        /// The event that it is measured from.
        event: String,
        /// The event that ends the window.
        until: Option<String>,
    },
    /// From `event + delay` until `until - margin` (or the end of the run).
    From {
        /// The event that opens it.
        event: String,
        /// Added to the event's time.
        delay: Duration,
        /// The event that ends the window.
        until: Option<String>,
        /// Subtracted from the time of `until`; zero without `until`.
        margin: Duration,
    },
    /// This phase of the timeline: from its step to that of the next phase, or to the end of the run.
    During(String),
}
