//! What becomes of a packet from a site under the policy of the site's edge.
//!
//! Reads the policy as [`netsim::policy`] describes it, sequence by sequence, and leaves the choice among tunnels to
//! [`netsim::fabric::decision`]. Knows only what comes from the site: the operator sets no policy for what comes from
//! tunnels. A tunnel meets the SLA classes that its latency allows; it loses nothing and has no jitter.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netsim::fabric::decision::{Decision, Health, Way, app_route, data_path, routing};
use netsim::policy::{
    Action, AppRoute, DataPath, DefaultAction, EdgePolicy, Match, PolicyDirection, SlaClass,
};

use crate::edges::{Tunnel, WatchedEdges};

/// The color that takes what no policy steers.
const DEFAULT_COLOR: &str = "default";

/// A packet at the edge of the site that it comes from; DSCP 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// The site it comes from and the site it goes to.
    pub sites: (u32, u32),
    /// The service VPN.
    pub service_vpn: u16,
    /// The IP protocol number.
    pub protocol: u8,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
}

impl Packet {
    /// The answer to it.
    #[must_use]
    pub fn reply(&self) -> Self {
        Self {
            sites: (self.sites.1, self.sites.0),
            source: self.destination,
            destination: self.source,
            ..*self
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It takes a tunnel of one of these colors.
    Over(BTreeSet<String>),
    /// It is dropped.
    Dropped,
}

impl Fate {
    /// It takes a tunnel of this color, and none else.
    #[must_use]
    pub fn over(color: &str) -> Self {
        Self::Over(BTreeSet::from([color.to_owned()]))
    }
}

/// What becomes of a packet under a policy of the edge that it comes from, with the tunnels as they are.
///
/// # Panics
/// When the policy is another site's, or has something for what comes from tunnels.
#[must_use]
pub fn fate(policy: &EdgePolicy, edges: &WatchedEdges, packet: &Packet) -> Fate {
    fate_over(policy, &edges.tunnels_between(packet.sites), packet)
}

/// The same with the tunnels between the packet's sites as they might be.
///
/// # Panics
/// When the policy is another site's, or has something for what comes from tunnels.
#[must_use]
pub fn fate_over(policy: &EdgePolicy, tunnels: &[Tunnel], packet: &Packet) -> Fate {
    assert_eq!(policy.site_id, packet.sites.0, "the packet comes from there");
    let by_class = app_route_of(policy, packet);
    let class = by_class.and_then(|choice| choice.class.as_ref());
    let healths: Vec<Health> = tunnels.iter().map(|tunnel| health(tunnel, class)).collect();
    let ways: Vec<Way<'_>> = tunnels.iter().zip(&healths).map(way).collect();
    let chosen = match (
        by_class.map(|choice| app_route(choice, &ways)),
        data_of(policy, packet),
    ) {
        (Some(Decision::Drop), _) | (_, Data::Drop) => return Fate::Dropped,
        (decided, Data::Accept { path: Some(path), .. }) => match data_path(path, &ways) {
            Decision::Routing => decided.unwrap_or(Decision::Routing),
            decided => decided,
        },
        (decided, Data::Accept { path: None, .. }) => decided.unwrap_or(Decision::Routing),
    };
    let chosen = match chosen {
        Decision::Routing => routing(&[DEFAULT_COLOR.to_owned()], &ways),
        decided => decided,
    };
    match chosen {
        Decision::Over(taken) => Fate::Over(taken.iter().map(|way| ways[*way].color.to_owned()).collect()),
        Decision::Drop | Decision::Routing => Fate::Dropped,
    }
}

/// Whether the inspection service of its site gets a copy of a packet.
///
/// # Panics
/// When the policy has something for what comes from tunnels.
#[must_use]
pub fn is_inspected(policy: &EdgePolicy, packet: &Packet) -> bool {
    matches!(data_of(policy, packet), Data::Accept { inspect: true, .. })
}

fn health(tunnel: &Tunnel, class: Option<&SlaClass>) -> Health {
    let meets = |class: &&SlaClass| class.latency.is_none_or(|bound| tunnel.latency <= bound);
    Health {
        up: tunnel.up,
        met: class.filter(meets).cloned().into_iter().collect(),
        ..Health::default()
    }
}

fn way<'a>((tunnel, health): (&'a Tunnel, &'a Health)) -> Way<'a> {
    Way {
        color: &tunnel.color,
        system_ip: Ipv4Addr::UNSPECIFIED,
        hops: 1,
        health,
    }
}

/// What a data policy says of a packet.
enum Data<'a> {
    Accept {
        path: Option<&'a DataPath>,
        inspect: bool,
    },
    Drop,
}

impl Data<'_> {
    const NOTHING: Self = Self::Accept {
        path: None,
        inspect: false,
    };
}

fn app_route_of<'a>(policy: &'a EdgePolicy, packet: &Packet) -> Option<&'a AppRoute> {
    let of_vpn = policy
        .app_route
        .iter()
        .find(|policy| policy.service_vpn == packet.service_vpn)?;
    let first = of_vpn
        .sequences
        .iter()
        .find(|sequence| matches(&sequence.matching, packet))?;
    first.choice.as_ref()
}

fn data_of<'a>(policy: &'a EdgePolicy, packet: &Packet) -> Data<'a> {
    let mut of_vpn = policy
        .data
        .iter()
        .filter(|policy| policy.service_vpn == packet.service_vpn);
    let Some(data) = of_vpn.next() else {
        return Data::NOTHING;
    };
    assert!(
        data.direction == PolicyDirection::FromService && of_vpn.next().is_none(),
        "a policy for what comes from tunnels is not read here"
    );
    let first = data
        .sequences
        .iter()
        .find(|sequence| matches(&sequence.matching, packet));
    match (first.map(|sequence| &sequence.action), data.default_action) {
        (Some(Action::Drop), _) | (None, DefaultAction::Drop) => Data::Drop,
        (Some(Action::Accept { path, inspect, .. }), _) => Data::Accept {
            path: path.as_ref(),
            inspect: *inspect,
        },
        (None, DefaultAction::Accept) => Data::NOTHING,
    }
}

fn matches(matching: &Match, packet: &Packet) -> bool {
    let within = |prefixes: &Option<std::sync::Arc<[ipnet::IpNet]>>, address: IpAddr| {
        prefixes
            .as_ref()
            .is_none_or(|prefixes| prefixes.iter().any(|prefix| prefix.contains(&address)))
    };
    let among = |ranges: &[std::ops::RangeInclusive<u16>], port: u16| {
        ranges.is_empty() || ranges.iter().any(|range| range.contains(&port))
    };
    within(&matching.source_prefixes, packet.source.ip())
        && within(&matching.destination_prefixes, packet.destination.ip())
        && among(&matching.source_ports, packet.source.port())
        && among(&matching.destination_ports, packet.destination.port())
        && (matching.protocols.is_empty() || matching.protocols.contains(&packet.protocol))
        && (matching.dscp.is_empty() || matching.dscp.contains(&0))
}
