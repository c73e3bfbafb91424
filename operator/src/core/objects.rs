//! The Manager objects of one operator, by name.
//!
//! Owns the model that desired and observed state share, so that they can be compared. Ids, JSON, and the objects
//! of others are the client's business.
//!
//! Invariant: what the operator would never write (a changed definition, a foreign match) is representable only as
//! `Altered`, which equals nothing that is desired.

use std::collections::{BTreeMap, BTreeSet};

use super::compile::{Direction, Family, Preference, Protocol};
use super::naming::ListName;

/// All objects of this operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// Its lists, of all kinds.
    pub lists: BTreeMap<ListName, List>,
    /// Its data definition, if there is one.
    pub definition: Option<Definition>,
    /// Its centralized policy, if there is one.
    pub policy: Option<CentralPolicy>,
    /// An edit or activation was begun, and it is not known that it reached the fabric.
    pub unconfirmed: bool,
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Which kind.
    pub kind: ListKind,
    /// Its entries as the Manager writes them.
    pub entries: BTreeSet<String>,
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
}

/// A data definition. Its default action is always `accept`: without it, unmatched traffic would be dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// As the operator writes them: sequences in order, first match wins.
    Sequences(Vec<Sequence>),
    /// Something else.
    Altered,
}

/// One sequence of the data definition.
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
    /// Where matched traffic goes.
    pub prefer: Preference,
}

/// The centralized policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentralPolicy {
    /// Where the data definition applies.
    pub assembly: Assembly,
    /// It is the active policy of the Manager.
    pub active: bool,
}

/// Where the data definition applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assembly {
    /// On traffic from the service side, at these sites, in these service VPNs.
    Service {
        /// The site list.
        sites: ListName,
        /// The VPN list.
        service_vpns: ListName,
    },
    /// Something else.
    Altered,
}
