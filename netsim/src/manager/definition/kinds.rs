//! The kinds of definitions: two that edges carry out, and a row for each that is only stored.
//!
//! Invariant: no kind has the path of another, nor that of a kind of list, so a path says what it is the kind of.

use std::fmt;

/// A kind of definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::manager) enum DefinitionKind {
    /// `data`.
    Data,
    /// `approute`.
    AppRoute,
    /// One that edges do not carry out.
    Stored(&'static StoredKind),
}

/// A kind of definition that edges do not carry out: one row per kind, everything that differs between them.
pub(in crate::manager) struct StoredKind {
    /// The last path segment of its collection.
    path: &'static str,
    /// The `type` in bodies.
    type_name: &'static str,
    /// What a body may have besides what every definition has; of these `definition` has to be there.
    pub(super) keys: &'static [&'static str],
    /// Where a centralized policy applies it.
    pub(in crate::manager) applied: Applied,
}

/// Where a centralized policy applies a definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::manager) enum Applied {
    /// At the sites of lists.
    Sites,
    /// At the sites of lists, to what these send or to what they are sent.
    SitesEachWay,
    /// Where the definition itself says.
    Itself,
    /// Nowhere: it belongs to localized or security policies.
    Never,
}

impl fmt::Debug for StoredKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl PartialEq for StoredKind {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for StoredKind {}

const SEQUENCES: &[&str] = &["sequences", "defaultAction"];
const WHOLE: &[&str] = &["definition"];

/// Every kind that is only stored.
static STORED: [StoredKind; 14] = [
    stored("control", "control", SEQUENCES, Applied::SitesEachWay),
    stored("cflowd", "cflowd", WHOLE, Applied::Sites),
    stored("hubandspoke", "hubAndSpoke", WHOLE, Applied::Itself),
    stored("mesh", "mesh", WHOLE, Applied::Itself),
    stored("vpnmembershipgroup", "vpnMembershipGroup", WHOLE, Applied::Itself),
    stored("acl", "acl", SEQUENCES, Applied::Never),
    stored("aclv6", "aclv6", SEQUENCES, Applied::Never),
    stored(
        "deviceaccesspolicy",
        "deviceAccessPolicy",
        SEQUENCES,
        Applied::Never,
    ),
    stored(
        "deviceaccesspolicyv6",
        "deviceAccessPolicyv6",
        SEQUENCES,
        Applied::Never,
    ),
    stored("qosmap", "qosMap", WHOLE, Applied::Never),
    // Cisco's SDK writes a default action, which rewriting has no use for.
    stored(
        "rewriterule",
        "rewriteRule",
        &["definition", "defaultAction"],
        Applied::Never,
    ),
    stored("ruleset", "ruleSet", WHOLE, Applied::Never),
    stored(
        "securitygroup",
        "securityGroup",
        &["definition", "sequenceIpType"],
        Applied::Never,
    ),
    stored("zonebasedfw", "zoneBasedFW", WHOLE, Applied::Never),
];

const fn stored(
    path: &'static str,
    type_name: &'static str,
    keys: &'static [&'static str],
    applied: Applied,
) -> StoredKind {
    StoredKind {
        path,
        type_name,
        keys,
        applied,
    }
}

impl DefinitionKind {
    /// The last path segment of its collection.
    pub(in crate::manager) fn path(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::AppRoute => "approute",
            Self::Stored(kind) => kind.path,
        }
    }

    /// The `type` in bodies.
    pub(in crate::manager) fn type_name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::AppRoute => "appRoute",
            Self::Stored(kind) => kind.type_name,
        }
    }

    /// Whether centralized policies have such definitions.
    pub(in crate::manager) fn is_centralized(self) -> bool {
        match self {
            Self::Data | Self::AppRoute => true,
            Self::Stored(kind) => kind.applied != Applied::Never,
        }
    }
}

/// Every kind.
pub(in crate::manager) fn kinds() -> impl Iterator<Item = DefinitionKind> {
    let stored = STORED.iter().map(DefinitionKind::Stored);
    [DefinitionKind::Data, DefinitionKind::AppRoute]
        .into_iter()
        .chain(stored)
}

/// The kind whose collection has this last path segment.
pub(in crate::manager) fn kind(path: &str) -> Option<DefinitionKind> {
    kinds().find(|kind| kind.path() == path)
}
