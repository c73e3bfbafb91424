//! Points: the places of a WAN edge where packets are captured, and the patterns that name them.

use serde::{Deserialize, Serialize};

use crate::names::glob_matches;

/// What kind of thing was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointKind {
    /// A tunnel device of a WAN edge; named by its transport, and by its service VPN where there are several.
    Tunnel,
    /// An uplink of a WAN edge, where packets are encapsulated; named by its transport.
    Underlay,
    /// The service side of a WAN edge; named by the node attached to it.
    Node,
    /// The link of a WAN edge to the inspection service of its site, which takes copies; named by the site.
    Inspection,
}

/// What a pattern names points by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PatternKind {
    /// Their kind and name.
    Of(PointKind),
    /// Their interface, whatever they are.
    If,
}

impl PatternKind {
    /// Every kind, with its word in assertions.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("tunnel", Self::Of(PointKind::Tunnel)),
        ("underlay", Self::Of(PointKind::Underlay)),
        ("node", Self::Of(PointKind::Node)),
        ("inspection", Self::Of(PointKind::Inspection)),
        ("if", Self::If),
    ];
}

/// One point, as patterns see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointName<'p> {
    /// What is there.
    pub kind: PointKind,
    /// Its name.
    pub name: &'p str,
    /// The service VPN; `None`: the only one, or one that all share, as in case of an underlay.
    pub service_vpn: Option<u16>,
    /// The edge's interface.
    pub interface: &'p str,
}

/// One alternative of a point set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointPattern {
    /// What it names points by.
    pub kind: PatternKind,
    /// Name with `*` for any run of characters and `?` for any one.
    pub glob: String,
    /// The service VPN of a tunnel; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_vpn: Option<u16>,
}

impl PointPattern {
    /// Whether it means a point.
    #[must_use]
    pub fn matches(&self, point: &PointName<'_>) -> bool {
        match self.kind {
            PatternKind::If => glob_matches(&self.glob, point.interface),
            PatternKind::Of(kind) => {
                let of_vpn = |asked: u16| point.service_vpn.is_none_or(|of| of == asked);
                kind == point.kind
                    && glob_matches(&self.glob, point.name)
                    && self.service_vpn.is_none_or(of_vpn)
            }
        }
    }
}

/// A set of points: alternatives joined by `|`; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointSet(pub Vec<PointPattern>);

impl PointSet {
    /// Whether one of its patterns means the point.
    #[must_use]
    pub fn contains(&self, point: &PointName<'_>) -> bool {
        self.0.iter().any(|pattern| pattern.matches(point))
    }
}

/// The points of a way, in the order of time; never empty, and at most [`PathPattern::STEPS_MAX`] steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathPattern(pub Vec<PathStep>);

impl PathPattern {
    /// The longest way that can be written.
    pub const STEPS_MAX: usize = 32;
}

/// One step of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathStep {
    /// `..`: any points, or none.
    Any,
    /// One or more sightings in a row at these points. The glob does not end in `?`, which would say `Perhaps`.
    At(PointPattern),
    /// With `?` behind it: likewise, or none.
    Perhaps(PointPattern),
}

impl PathStep {
    /// The points of a step; `None`: any.
    #[must_use]
    pub fn pattern(&self) -> Option<&PointPattern> {
        match self {
            Self::Any => None,
            Self::At(pattern) | Self::Perhaps(pattern) => Some(pattern),
        }
    }
}
