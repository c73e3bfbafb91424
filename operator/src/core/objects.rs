//! The Manager objects of one operator, by name.
//!
//! Owns the model that desired and observed state share, so that they can be compared. Ids, JSON, and the objects
//! of others are the client's business.
//!
//! Invariant: what the operator would never write (a changed definition, a foreign match) is representable only as
//! `Altered`, which equals nothing that is desired.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::color::Color;
use super::intent::Mode;
use super::naming::ListName;
use super::rule::{Direction, Encapsulations, Family, Hosts, Protocol};
use super::sla::Sla;

/// All objects of this operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// Its lists, of all kinds.
    pub lists: BTreeMap<ListName, List>,
    /// Its definitions.
    pub definitions: BTreeMap<DefinitionKey, Definition>,
    /// Its centralized policy, if there is one.
    pub policy: Option<CentralPolicy>,
    /// An edit or activation was begun, and it is not known that it reached the fabric.
    pub unconfirmed: bool,
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// IPv4 hosts, as data prefixes of 32 bits.
    V4Hosts(Hosts),
    /// IPv6 hosts, as data prefixes of 128 bits.
    V6Hosts(Hosts),
    /// Sites, by id.
    Sites(BTreeSet<String>),
    /// A service VPN.
    ServiceVpn(u16),
    /// An SLA class.
    Sla(Sla),
    /// A preferred color group: primary, secondary and tertiary preference of one color each, over all paths.
    ColorGroup(Vec<Color>),
    /// Something else.
    Altered(ListKind),
}

/// The kinds of list that steering needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// IPv4 data prefixes.
    DataPrefix,
    /// IPv6 data prefixes.
    DataIpv6Prefix,
    /// Sites.
    Site,
    /// Service VPNs.
    Vpn,
    /// SLA classes.
    Sla,
    /// Preferred color groups.
    PreferredColorGroup,
}

/// Which definition; there is one of each kind for a service VPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionKey {
    /// The service VPN in which it applies.
    pub service_vpn: u16,
    /// Its kind.
    pub kind: DefinitionKind,
}

/// The kinds of definition that steering needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    /// A data definition. Its default action is always `accept`: without it, unmatched traffic would be dropped.
    Data,
    /// An app-route definition, without a default action: unmatched traffic is routed.
    AppRoute,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// A list.
    List(ListName),
    /// A definition.
    Definition(DefinitionKey),
    /// The policy, or its activation.
    Policy,
}

/// A definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// As the operator writes them: sequences in order, numbered from 1; first match wins.
    Sequences(Vec<Sequence>),
    /// Something else.
    Altered,
}

/// One sequence of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Matches the source (replies) or the destination (requests).
    pub direction: Direction,
    /// The family of the list.
    pub family: Family,
    /// The prefixes of the endpoints.
    pub hosts: ListName,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of the endpoints.
    pub port: u16,
    /// What happens to matched traffic.
    pub action: SequenceAction,
}

/// What a sequence does. The last variant is for app-route definitions, the others for data definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceAction {
    /// Base action `drop`.
    Drop,
    /// Base action `accept`, and what is set.
    Set {
        /// The service of the sender's site that inspects the traffic.
        inspect: Option<Inspection>,
        /// The tunnels; without, it is routed, or takes what an app-route definition chose.
        tunnels: Option<Tunnels>,
    },
    /// `slaClass`.
    KeepSla {
        /// The SLA list.
        class: ListName,
        /// The preferred color.
        preferred: Option<Color>,
        /// While no tunnel keeps the class: dropped (`strict`), or spread over all.
        mode: Mode,
    },
}

/// Tunnels that a data definition sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tunnels {
    /// `localTlocList`, with `restrict` if strict.
    Color {
        /// The color.
        color: Color,
        /// The encapsulations.
        encapsulations: Encapsulations,
        /// What happens while there is none.
        mode: Mode,
    },
    /// `preferredColorGroup`, with `colorRestrict` if strict.
    Group {
        /// The preferred color group.
        group: ListName,
        /// What happens while there is none.
        mode: Mode,
    },
}

/// Which service a site inspects traffic with, and the service VPN that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// The type of the service.
    pub service: ServiceType,
    /// The service VPN.
    pub service_vpn: u16,
}

/// A type of service that a site can have; other than a Kubernetes Service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceType {
    /// A firewall.
    #[default]
    Firewall,
    /// Intrusion detection.
    IntrusionDetection,
    /// Intrusion prevention.
    IntrusionPrevention,
}

/// The centralized policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentralPolicy {
    /// Where the definitions apply.
    pub assembly: Assembly,
    /// It is the active policy of the Manager.
    pub active: bool,
}

/// Where the definitions apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assembly {
    /// On traffic from the service side, at these sites and in these service VPNs.
    Service(BTreeMap<DefinitionKey, AppliedAt>),
    /// Something else.
    Altered,
}

/// Where one definition applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedAt {
    /// The site list.
    pub sites: ListName,
    /// The VPN list.
    pub service_vpns: ListName,
}

impl Sequence {
    /// The lists that it refers to.
    pub(super) fn lists(&self) -> impl Iterator<Item = &ListName> {
        let action = match &self.action {
            SequenceAction::KeepSla { class, .. } => Some(class),
            SequenceAction::Set {
                tunnels: Some(Tunnels::Group { group, .. }),
                ..
            } => Some(group),
            _ => None,
        };
        std::iter::once(&self.hosts).chain(action)
    }
}

impl List {
    /// Which kind.
    #[must_use]
    pub fn kind(&self) -> ListKind {
        match self {
            Self::V4Hosts(_) => ListKind::DataPrefix,
            Self::V6Hosts(_) => ListKind::DataIpv6Prefix,
            Self::Sites(_) => ListKind::Site,
            Self::ServiceVpn(_) => ListKind::Vpn,
            Self::Sla(_) => ListKind::Sla,
            Self::ColorGroup(_) => ListKind::PreferredColorGroup,
            Self::Altered(kind) => *kind,
        }
    }

    /// The hosts, if it is a list of hosts.
    #[must_use]
    pub fn hosts(&self) -> Option<&Hosts> {
        match self {
            Self::V4Hosts(hosts) | Self::V6Hosts(hosts) => Some(hosts),
            _ => None,
        }
    }

    /// The same kind of list of hosts with other hosts.
    pub(super) fn with_hosts(&self, hosts: Hosts) -> Self {
        match self {
            Self::V6Hosts(_) => Self::V6Hosts(hosts),
            _ => Self::V4Hosts(hosts),
        }
    }
}

impl Definition {
    /// These sequences, and after them those of `other` that match something else.
    pub(super) fn and_also(&self, other: &Self) -> Self {
        let matched = |sequence: &Sequence| (sequence.hosts.clone(), sequence.direction);
        let own: HashSet<_> = self.sequences().iter().map(matched).collect();
        let others = other.sequences().iter();
        let others = others.filter(|sequence| !own.contains(&matched(sequence)));
        Self::Sequences(self.sequences().iter().chain(others).cloned().collect())
    }

    /// Its sequences; none if it is something else.
    #[must_use]
    pub fn sequences(&self) -> &[Sequence] {
        match self {
            Self::Sequences(sequences) => sequences,
            Self::Altered => &[],
        }
    }
}

impl ServiceType {
    /// All types.
    pub const ALL: [Self; 3] = [
        Self::Firewall,
        Self::IntrusionDetection,
        Self::IntrusionPrevention,
    ];

    /// As the Manager writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firewall => "FW",
            Self::IntrusionDetection => "IDS",
            Self::IntrusionPrevention => "IDP",
        }
    }
}
