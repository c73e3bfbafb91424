//! What the Manager tells the WAN edges to do: centralized policy, compiled for each edge.
//!
//! Owns the values between the Manager emulation, which compiles them from activated policy, and the fabric,
//! which turns them into steering. Invariant: nothing here refers to a Manager object; prefixes are expanded.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use ipnet::IpNet;
use serde::Serialize;

/// All policy of one WAN edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgePolicy {
    /// The site of the edge.
    pub site_id: u32,
    /// At most one data policy for each (service VPN, direction); sorted.
    pub data: Vec<DataPolicy>,
}

/// A data policy as one edge applies it in one service VPN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataPolicy {
    /// The service VPN.
    pub service_vpn: u16,
    /// Which traffic it sees.
    pub direction: PolicyDirection,
    /// What happens to packets that no sequence matches.
    pub default_action: DefaultAction,
    /// First match wins; ascending ids.
    pub sequences: Vec<Sequence>,
}

/// Which traffic a data policy sees, relative to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyDirection {
    /// Coming from the site.
    FromService,
    /// Coming from the WAN.
    FromTunnel,
    /// Both.
    All,
}

/// The explicit end of a data policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultAction {
    /// Normal routing.
    Accept,
    /// Dropped.
    Drop,
}

/// One sequence of a data policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sequence {
    /// 1 to 65534.
    pub id: u16,
    /// What it matches: the conjunction of all fields.
    pub matching: Match,
    /// What it does.
    pub action: Action,
}

/// Match conditions; an empty list matches anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Any of these. `Some(empty)` matches nothing, `None` matches everything.
    pub source_prefixes: Option<Vec<IpNet>>,
    /// As `source_prefixes`.
    pub destination_prefixes: Option<Vec<IpNet>>,
    /// Any of these ranges.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// Any of these ranges.
    pub destination_ports: Vec<RangeInclusive<u16>>,
    /// Any of these IP protocol numbers.
    pub protocols: Vec<u8>,
}

/// What happens to a packet that a sequence matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Discarded.
    Drop,
    /// Forwarded, on the given local TLOCs if any are named.
    Accept {
        /// `set local-tloc-list`.
        local_tlocs: Option<LocalTlocs>,
        /// Counter name.
        counter: Option<String>,
    },
}

/// `set local-tloc-list { color …; restrict }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LocalTlocs {
    /// Colors, at least one.
    pub colors: Vec<String>,
    /// Drop when none of the colors is up, instead of normal routing.
    pub restrict: bool,
}

/// The WAN edges, as the Manager sees them.
#[async_trait]
pub trait Edges: Send + Sync + 'static {
    /// Replaces the whole policy of the edge at `policy.site_id`, atomically: packets see the old or the new one.
    ///
    /// # Errors
    /// When there is no such edge or its kernel refused; the old policy is then still in force.
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError>;
}

/// Why an edge did not take a policy.
#[derive(Debug, thiserror::Error)]
#[error("apply policy to the edge of site {site_id}: {reason}")]
pub struct ApplyError {
    /// The site.
    pub site_id: u32,
    /// For people, from the fabric.
    pub reason: String,
}
