//! What the Manager tells the WAN edges to do: centralized policy, compiled for each edge.
//!
//! Owns the values between the Manager emulation, which compiles them from activated policy, and the fabric,
//! which turns them into steering. Invariant: nothing here refers to a Manager object; prefixes and classes are
//! expanded.
//!
//! A packet that comes from the site meets the app-route policy of its service VPN first and the data policy then,
//! as on Cisco's edges: what app-route drops is dropped whatever the data policy sets; a color that the data policy
//! sets goes before the one that app-route chose, as long as there is a tunnel of that color.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use serde::Serialize;

/// All policy of one WAN edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgePolicy {
    /// The site of the edge.
    pub site_id: u32,
    /// At most one app-route policy for each service VPN; sorted.
    pub app_route: Vec<AppRoutePolicy>,
    /// At most one data policy for each (service VPN, direction); sorted.
    pub data: Vec<DataPolicy>,
}

impl EdgePolicy {
    /// No policy: normal routing for everything.
    #[must_use]
    pub fn none(site_id: u32) -> Self {
        Self {
            site_id,
            app_route: Vec::new(),
            data: Vec::new(),
        }
    }
}

/// An app-route policy as one edge applies it in one service VPN, to what comes from the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppRoutePolicy {
    /// The service VPN.
    pub service_vpn: u16,
    /// First match wins; ascending ids. Edges that apply one definition share them.
    pub sequences: Arc<[AppRouteSequence]>,
    /// The class that packets need which no sequence matches; `None`: normal routing.
    pub default_class: Option<SlaClass>,
}

/// One sequence of an app-route policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppRouteSequence {
    /// 1 to 65534.
    pub id: u16,
    /// What it matches: the conjunction of all fields.
    pub matching: Match,
    /// Which tunnels it chooses; `None`: normal routing.
    pub choice: Option<AppRoute>,
    /// Counter name.
    pub counter: Option<String>,
}

/// How app-route chooses among the tunnels to a destination that are up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AppRoute {
    /// What a tunnel has to meet; `None`: any tunnel does.
    pub class: Option<SlaClass>,
    /// Which of the tunnels that meet it are taken, while there are such.
    pub preference: Preference,
    /// What happens when no tunnel meets the class.
    pub unmet: Unmet,
}

impl AppRoute {
    /// Any tunnel that meets the class, and any at all when none does.
    #[must_use]
    pub fn of_class(class: SlaClass) -> Self {
        Self {
            class: Some(class),
            preference: Preference::Equal,
            unmet: Unmet::Any,
        }
    }
}

/// Which tunnels come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Preference {
    /// None; flows are shared over all.
    Equal,
    /// Those of these colors; flows are shared over them.
    Colors(Vec<String>),
    /// By tiers.
    Group(ColorGroup),
}

/// What app-route does when no tunnel meets the class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Unmet {
    /// Flows are shared over all tunnels.
    Any,
    /// `strict`: dropped.
    Drop,
    /// `backup-sla-preferred-color`: these colors; without a tunnel of them as `Any`.
    Backup(Vec<String>),
    /// `fallback-to-best-path`: the tunnels that are best.
    Best(BestPath),
}

/// `fallback-best-tunnel`: what makes a tunnel best, the most important first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BestPath {
    /// Each criterion with its variance: a tunnel no worse than the best by more than that is as good.
    pub criteria: Vec<Criterion>,
}

/// One criterion of [`BestPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Criterion {
    /// Variance in millionths of the packets.
    Loss(u32),
    /// Variance of the latency.
    Latency(Duration),
    /// Variance of the jitter.
    Jitter(Duration),
}

/// What tunnels are measured by; each bound is inclusive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SlaClass {
    /// Its name on the Manager.
    pub name: String,
    /// Most millionths of packets that may be lost.
    pub loss: Option<u32>,
    /// Longest mean latency, there and back halved.
    pub latency: Option<Duration>,
    /// Most mean jitter.
    pub jitter: Option<Duration>,
}

/// `preferred-color-group`: one to three tiers, the first the most preferred.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ColorGroup {
    /// Its name on the Manager.
    pub name: String,
    /// The tiers.
    pub tiers: Vec<ColorTier>,
    /// Drop when no tier has a tunnel, instead of normal routing.
    pub restrict: bool,
}

/// One tier of a [`ColorGroup`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ColorTier {
    /// Colors, at least one; flows are shared over them.
    pub colors: Vec<String>,
    /// Which ways count.
    pub path: PathPreference,
}

/// `path-preference` of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathPreference {
    /// One tunnel from edge to edge.
    DirectPath,
    /// Through other edges.
    MultiHopPath,
    /// Either.
    AllPaths,
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
    /// First match wins; ascending ids. Edges that apply one definition share them.
    pub sequences: Arc<[Sequence]>,
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
    /// Counter name.
    pub counter: Option<String>,
}

/// Match conditions; an empty list matches anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Any of these. `Some(empty)` matches nothing, `None` matches everything of either address family. Sequences and
    /// edges that match by one list share it.
    pub source_prefixes: Option<Arc<[IpNet]>>,
    /// As `source_prefixes`.
    pub destination_prefixes: Option<Arc<[IpNet]>>,
    /// Any of these ranges.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// Any of these ranges.
    pub destination_ports: Vec<RangeInclusive<u16>>,
    /// Any of these IP protocol numbers.
    pub protocols: Vec<u8>,
    /// Any of these differentiated services code points, 0 to 63.
    pub dscp: Vec<u8>,
}

/// What happens to a packet that a sequence of a data policy matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Discarded.
    Drop,
    /// Forwarded.
    Accept {
        /// Which way; `None`: as routing, or app-route, has it.
        path: Option<DataPath>,
        /// A copy, as the packet came, goes to the site's inspection service.
        inspect: bool,
        /// The differentiated services code point that it leaves with, 0 to 63; `None`: its own.
        dscp: Option<u8>,
    },
}

/// The way that a data policy sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum DataPath {
    /// `set local-tloc-list`.
    Local(LocalTlocs),
    /// `set tloc` and `set tloc-list`: to these remote TLOCs, whatever the destination, those of the highest
    /// preference that are up; dropped when none is.
    Remote(Vec<RemoteTloc>),
    /// `set preferred-color-group`.
    Group(ColorGroup),
}

/// `set local-tloc-list { color …; restrict }`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LocalTlocs {
    /// Colors, at least one; flows are shared over them.
    pub colors: Vec<String>,
    /// Drop when none of the colors is up, instead of normal routing.
    pub restrict: bool,
}

/// A TLOC of another edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RemoteTloc {
    /// The edge's system IP.
    pub system_ip: Ipv4Addr,
    /// The TLOC's color.
    pub color: String,
    /// The higher, the more preferred.
    pub preference: u32,
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
