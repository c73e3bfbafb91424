//! What becomes of a packet from a site under the policy of the site's edge.
//!
//! Reads the policy as [`netsim::policy`] describes it, sequence by sequence, and leaves the choice among tunnels to
//! [`netsim::fabric::decision`]. Knows only what comes from the site: the operator sets no policy for what comes from
//! tunnels.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netsim::fabric::decision::{Decision, Health, Way, app_route, data_path, routing};
use netsim::policy::{Action, AppRoute, DataPath, DefaultAction, EdgePolicy, Match, PolicyDirection};

use crate::edges::WatchedEdges;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    assert_eq!(policy.site_id, packet.sites.0, "the packet comes from there");
    let device = edges
        .devices()
        .iter()
        .find(|device| device.site_id == packet.sites.0);
    let colors = device.map_or(&[][..], |device| &device.colors);
    let health = |color: &String| Health {
        up: edges.is_up(packet.sites, color),
        ..Health::default()
    };
    let healths: Vec<Health> = colors.iter().map(health).collect();
    let ways: Vec<Way<'_>> = colors
        .iter()
        .zip(&healths)
        .map(|(color, health)| Way {
            color,
            system_ip: Ipv4Addr::UNSPECIFIED,
            hops: 1,
            health,
        })
        .collect();
    let chosen = match (
        app_route_of(policy, packet).map(|choice| app_route(choice, &ways)),
        data_of(policy, packet),
    ) {
        (Some(Decision::Drop), _) | (_, Data::Drop) => return Fate::Dropped,
        (_, Data::Path(path)) => match data_path(path, &ways) {
            Decision::Routing => Decision::Routing,
            decided => decided,
        },
        (Some(decided), Data::Nothing) => decided,
        (None, Data::Nothing) => Decision::Routing,
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

/// What a data policy says of a packet.
enum Data<'a> {
    Nothing,
    Path(&'a DataPath),
    Drop,
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
        return Data::Nothing;
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
        (Some(Action::Accept { path: Some(path), .. }), _) => Data::Path(path),
        (Some(Action::Accept { path: None, .. }), _) | (None, DefaultAction::Accept) => Data::Nothing,
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
