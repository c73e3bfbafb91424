//! The routes of an edge, as its policy and the health of its tunnels want them.
//!
//! Pure: what is known goes in, the whole content of the routing tables comes out. Invariants: a table of a choice
//! holds a route where the choice sends packets somewhere or drops them, and where it leaves them to routing none,
//! or one that says so if the table may have a less specific one: the longest prefix goes before any choice;
//! the table of a choice that never leaves packets to routing has a black hole beneath each destination, which is
//! there even when the kernel takes a route away because its device went down; the table of a VPN ends with an
//! unreachable default, so that no packet of a VPN ever meets the transport's routes.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::choices::{Choice, Choices, vpn_table};
use super::decision::{self, Decision, Way};
use super::edge::{EdgeSpec, RemoteVpn, VpnSpec};
use super::host::Families;
use super::host::routes::{NextHop, Target};
use crate::policy::{DataPath, Preference, Unmet};
use crate::sla::Health;

/// The whole content of an edge's routing tables.
pub type Routes = BTreeMap<RouteKey, Target>;

/// What tells routes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// The table.
    pub table: u32,
    /// The destination.
    pub destination: IpNet,
    /// Of two routes to one destination the one of the lower metric is taken.
    pub metric: u32,
}

/// All remote destinations of one service VPN, each with the ways to it.
pub type Destinations = BTreeMap<IpNet, Vec<WayTo>>;

/// A way over a tunnel to a remote edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayTo {
    /// Position of the tunnel on the edge.
    pub tunnel: usize,
    /// Position of the remote edge behind the tunnel.
    pub remote: usize,
    /// Tunnels to the destination's edge.
    pub hops: u16,
    /// The first router of the way.
    pub hop: NextHop,
}

/// A prefix behind a remote edge that no address of the edge's device leads to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "route {prefix} in service VPN {service_vpn}: the remote edge has no address of that family in the VPN"
)]
pub struct NoGateway {
    /// The prefix.
    pub prefix: IpNet,
    /// The service VPN.
    pub service_vpn: u16,
}

/// The destinations of each service VPN of an edge, in their order. What the site has itself is none of them.
///
/// # Errors
/// [`NoGateway`].
pub fn destinations(spec: &EdgeSpec) -> Result<Vec<Destinations>, NoGateway> {
    spec.vpns.iter().map(|vpn| destinations_in(spec, vpn)).collect()
}

fn destinations_in(spec: &EdgeSpec, vpn: &VpnSpec) -> Result<Destinations, NoGateway> {
    let service_vpn = vpn.service_vpn;
    let own: Vec<IpNet> = vpn.routes.iter().map(|route| route.prefix).collect();
    let mut destinations = Destinations::new();
    for (tunnel, of_tunnel) in spec.tunnels.iter().enumerate() {
        let mut devices = of_tunnel.devices.iter();
        let Some(device) = devices.find(|device| device.service_vpn == service_vpn) else {
            continue;
        };
        for (remote, of_remote) in of_tunnel.remotes.iter().enumerate() {
            let in_vpn = of_remote.vpns.iter().filter(|vpn| vpn.service_vpn == service_vpn);
            for (vpn, prefix) in in_vpn.flat_map(|vpn| vpn.prefixes.iter().map(move |prefix| (vpn, prefix))) {
                if own.contains(&prefix.prefix) {
                    continue;
                }
                destinations.entry(prefix.prefix).or_default().push(WayTo {
                    tunnel,
                    remote,
                    hops: prefix.hops,
                    hop: NextHop::new(
                        &of_tunnel.interface(device, remote),
                        Some(gateway(vpn, prefix.prefix)?),
                    ),
                });
            }
        }
    }
    Ok(destinations)
}

fn gateway(vpn: &RemoteVpn, prefix: IpNet) -> Result<std::net::IpAddr, NoGateway> {
    let is_ipv4 = matches!(prefix, IpNet::V4(_));
    let mut addresses = vpn.addresses.iter().copied();
    addresses
        .find(|address| address.is_ipv4() == is_ipv4)
        .ok_or(NoGateway {
            prefix,
            service_vpn: vpn.service_vpn,
        })
}

/// What the tables hold.
#[must_use]
pub fn routes(
    spec: &EdgeSpec,
    families: Families,
    destinations: &[Destinations],
    choices: &Choices,
    health: &[Vec<Health>],
) -> Routes {
    let mut routes = Routes::new();
    for (position, vpn) in spec.vpns.iter().enumerate() {
        let table = vpn_table(position);
        routes.insert(key(table, Ipv4Net::default().into()), Target::Unreachable);
        if families == Families::Both {
            routes.insert(key(table, Ipv6Net::default().into()), Target::Unreachable);
        }
        let own = vpn.routes.iter();
        routes.extend(own.map(|route| (key(table, route.prefix), Target::Over(vec![route.hop.clone()]))));
    }
    for (vpn, destinations) in destinations.iter().enumerate() {
        let chosen: Vec<_> = choices.tables().filter(|(of, ..)| *of == vpn).collect();
        let own = spec.vpns[vpn].routes.iter().map(|route| route.prefix);
        let nested = nested(destinations, own);
        for (_, _, table, drops) in &chosen {
            let left = nested
                .iter()
                .flat_map(|prefix| [key(*table, *prefix), key(*drops, *prefix)]);
            routes.extend(left.map(|key| (key, Target::Throw)));
        }
        for (prefix, ways_to) in destinations {
            let ways: Vec<Way<'_>> = ways_to.iter().map(|way| judged(spec, way, health)).collect();
            // Without a way the unreachable default is what is left.
            if let Decision::Over(taken) = decision::routing(&spec.default_colors, &ways) {
                routes.insert(key(vpn_table(vpn), *prefix), over(&taken, ways_to));
            }
            for (_, choice, table, drops) in &chosen {
                let decision = match choice {
                    Choice::AppRoute(choice) => decision::app_route(choice, &ways),
                    Choice::Data(path) => decision::data_path(path, &ways),
                };
                match decision {
                    Decision::Over(taken) => routes.insert(key(*table, *prefix), over(&taken, ways_to)),
                    Decision::Drop => routes.insert(key(*drops, *prefix), Target::Blackhole),
                    Decision::Routing => None,
                };
                if fails_closed(choice) {
                    let beneath = RouteKey {
                        metric: u32::MAX,
                        ..key(*table, *prefix)
                    };
                    routes.insert(beneath, Target::Blackhole);
                }
            }
        }
    }
    routes
}

/// Those destinations, and prefixes of the site itself, that lie within another destination.
fn nested(destinations: &Destinations, own: impl Iterator<Item = IpNet>) -> BTreeSet<IpNet> {
    let mut outer: Option<IpNet> = None;
    let mut nested: BTreeSet<IpNet> = own.chain(destinations.keys().copied()).collect();
    // What lies within a prefix comes after it and before anything else does.
    nested.retain(|prefix| {
        let is_nested = outer.is_some_and(|outer| outer.contains(prefix));
        if !is_nested && destinations.contains_key(prefix) {
            outer = Some(*prefix);
        }
        is_nested
    });
    nested
}

/// With the metric that the kernel gives a route which asks for none.
fn key(table: u32, destination: IpNet) -> RouteKey {
    RouteKey {
        table,
        destination,
        metric: match destination {
            IpNet::V4(_) => 0,
            // IP6_RT_PRIO_USER of linux/ipv6_route.h.
            IpNet::V6(_) => 1024,
        },
    }
}

/// Whether a choice drops what it has no tunnel for, rather than leave it to routing.
fn fails_closed(choice: &Choice) -> bool {
    let restricts =
        |preference: &Preference| matches!(preference, Preference::Group(group) if group.restrict);
    match choice {
        Choice::AppRoute(choice) => choice.unmet == Unmet::Drop || restricts(&choice.preference),
        Choice::Data(DataPath::Local(tlocs)) => tlocs.restrict,
        Choice::Data(DataPath::Remote(_)) => true,
        Choice::Data(DataPath::Group(group)) => group.restrict,
    }
}

fn judged<'a>(spec: &'a EdgeSpec, way: &WayTo, health: &'a [Vec<Health>]) -> Way<'a> {
    let tunnel = &spec.tunnels[way.tunnel];
    Way {
        color: &tunnel.color,
        system_ip: tunnel.remotes[way.remote].system_ip,
        hops: way.hops,
        health: &health[way.tunnel][way.remote],
    }
}

fn over(taken: &[usize], ways: &[WayTo]) -> Target {
    Target::Over(taken.iter().map(|way| ways[*way].hop.clone()).collect())
}

#[cfg(test)]
mod tests;
