#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::fabric::strategies::{class, some_app_route, some_path, system_ip};
use crate::fabric::{DeviceSpec, Framing, Mac, RemotePrefix, RemoteSpec, SiteRoute, TunnelSpec, VpnSpec};
use crate::policy::{
    Action, AppRoute, AppRoutePolicy, AppRouteSequence, DataPolicy, DefaultAction, EdgePolicy, Match,
    PolicyDirection, Sequence,
};
use crate::sla::Polling;

const VPN: u16 = 10;
const COLORS: [&str; 3] = ["default", "mpls", "lte"];
/// The site's own; it lies within the last of those of the remote edges.
const OWN: &str = "10.0.0.0/24";
/// Of the first remote edge, of the second, and of both.
const PREFIXES: [&str; 5] = [
    "10.0.1.0/24",
    "10.0.2.0/24",
    "fd00:1::/64",
    "10.0.1.64/26",
    "10.0.0.0/8",
];

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn remote_prefixes(edge: u8) -> Vec<RemotePrefix> {
    let prefixes = PREFIXES.iter().enumerate();
    let of_edge = prefixes.filter(|(position, _)| *position > 2 || (*position == 1) == (edge == 2));
    // The second edge forwards to the first.
    let forwarded = PREFIXES
        .iter()
        .enumerate()
        .filter(|(position, _)| *position == 0 && edge == 2);
    let straight = of_edge.map(|(_, prefix)| (prefix, 1));
    straight
        .chain(forwarded.map(|(_, prefix)| (prefix, 2)))
        .map(|(prefix, hops)| RemotePrefix {
            prefix: net(prefix),
            hops,
        })
        .collect()
}

/// An edge of one VPN with tunnels of three colors to two edges.
fn spec(default_colors: &[&str]) -> EdgeSpec {
    let tunnel = |(number, color): (u8, &&str)| TunnelSpec {
        color: (*color).to_owned(),
        local: IpAddr::from([100, 64, number, 9]),
        framing: Framing::Vxlan { port: 4789 },
        mtu: 1400,
        devices: vec![DeviceSpec {
            service_vpn: VPN,
            interface: format!("tun{number}"),
            mac: Mac::local(5, number.into()),
            addresses: vec![net("198.18.0.9/24"), net("fd18::9/64")],
        }],
        remotes: [1_u8, 2]
            .map(|edge| RemoteSpec {
                site_id: edge.into(),
                system_ip: system_ip(edge),
                underlay: IpAddr::from([100, 64, number, edge]),
                vpns: vec![RemoteVpn {
                    service_vpn: VPN,
                    mac: Mac::local(6, edge.into()),
                    addresses: vec![
                        IpAddr::from([198, 18, number, edge]),
                        Ipv6Addr::new(0xfd18, 0, 0, 0, 0, 0, number.into(), edge.into()).into(),
                    ],
                    prefixes: remote_prefixes(edge),
                }],
            })
            .to_vec(),
    };
    EdgeSpec {
        site_id: 9,
        system_ip: system_ip(9),
        vpns: vec![VpnSpec {
            service_vpn: VPN,
            interfaces: vec!["lan0".to_owned()],
            routes: vec![SiteRoute {
                prefix: net(OWN),
                hop: NextHop::new("lan0", None),
            }],
        }],
        tunnels: (0..).zip(&COLORS).map(tunnel).collect(),
        default_colors: default_colors.iter().map(|color| (*color).to_owned()).collect(),
        polling: Polling::default(),
        inspection: None,
    }
}

fn policy(app_route: Option<AppRoute>, data: Option<DataPath>) -> EdgePolicy {
    let app_route = app_route.map(|choice| AppRoutePolicy {
        service_vpn: VPN,
        sequences: [AppRouteSequence {
            id: 1,
            matching: Match::default(),
            choice: Some(choice),
            counter: None,
        }]
        .into(),
        default_class: None,
    });
    let data = data.map(|path| DataPolicy {
        service_vpn: VPN,
        direction: PolicyDirection::FromService,
        default_action: DefaultAction::Accept,
        sequences: [Sequence {
            id: 1,
            matching: Match::default(),
            action: Action::Accept {
                path: Some(path),
                inspect: false,
                dscp: None,
            },
            counter: None,
        }]
        .into(),
    });
    EdgePolicy {
        site_id: 9,
        app_route: app_route.into_iter().collect(),
        data: data.into_iter().collect(),
    }
}

/// What the kernel makes of the tables that a packet asks one after the other: the longest prefix of the first table
/// that has one, unless that says to go on.
fn looked_up(routes: &Routes, tables: &[u32], to: IpAddr) -> Target {
    for table in tables {
        let matching = routes
            .iter()
            .filter(|(key, _)| key.table == *table && key.destination.contains(&to));
        let best =
            matching.max_by_key(|(key, _)| (key.destination.prefix_len(), std::cmp::Reverse(key.metric)));
        match best {
            None | Some((_, Target::Throw)) => {}
            Some((_, target)) => return target.clone(),
        }
    }
    Target::Unreachable
}

/// What becomes of a packet by the decision table itself, at the longest prefix; `None` is dropped.
fn decided(
    spec: &EdgeSpec,
    destinations: &Destinations,
    health: &[Vec<Health>],
    (app_route, data): (Option<&AppRoute>, Option<&DataPath>),
    to: IpAddr,
) -> Option<Target> {
    let matching = destinations.iter().filter(|(prefix, _)| prefix.contains(&to));
    let mut matching: Vec<_> = matching.collect();
    matching.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.prefix_len()));
    let ways = |ways_to: &[WayTo]| {
        let ways = ways_to.iter().map(|way| judged(spec, way, health));
        ways.collect::<Vec<_>>()
    };
    // For policy the longest prefix alone counts,
    let (_, longest) = matching.first()?;
    let by_app_route = app_route.map_or(Decision::Routing, |choice| {
        decision::app_route(choice, &ways(longest))
    });
    let by_data = data.map_or(Decision::Routing, |path| {
        decision::data_path(path, &ways(longest))
    });
    match (by_app_route, by_data) {
        (Decision::Drop, _) | (_, Decision::Drop) => return None,
        (_, Decision::Over(taken)) | (Decision::Over(taken), _) => return Some(over(&taken, longest)),
        (Decision::Routing, Decision::Routing) => {}
    }
    // and for routing the longest that has a way.
    matching.iter().find_map(
        |(_, ways_to)| match decision::routing(&spec.default_colors, &ways(ways_to)) {
            Decision::Over(taken) => Some(over(&taken, ways_to)),
            Decision::Drop | Decision::Routing => None,
        },
    )
}

fn some_health() -> impl Strategy<Value = Vec<Vec<Health>>> {
    let one = prop::sample::select(vec![
        Health::default(),
        Health {
            up: true,
            ..Health::default()
        },
        Health {
            up: true,
            met: BTreeSet::from([class()]),
            ..Health::default()
        },
    ]);
    prop::collection::vec(prop::collection::vec(one, 2), COLORS.len())
}

proptest! {
    #[test]
    fn the_tables_send_packets_where_the_decision_table_does(
        defaults in prop::sample::subsequence(COLORS.to_vec(), 1..=2),
        app_route in prop::option::of(some_app_route(&COLORS)),
        data in prop::option::of(some_path(&COLORS)),
        health in some_health(),
    ) {
        let spec = spec(&defaults);
        let destinations = destinations(&spec).unwrap();
        let policy = policy(app_route.clone(), data.clone());
        let choices = Choices::default().with(&policy, |_| Some(0)).unwrap();
        let routes = routes(&spec, Families::Both, &destinations, &choices, &health);
        let tables = |wanted: fn(&Choice) -> bool| choices.tables().find(|(_, choice, ..)| wanted(choice));
        let of_app_route = tables(|choice| matches!(choice, Choice::AppRoute(_)));
        let of_data = tables(|choice| matches!(choice, Choice::Data(_)));
        let asked: Vec<u32> = of_app_route.iter().map(|(_, _, _, drops)| *drops)
            .chain(of_data.iter().map(|(_, _, table, _)| *table))
            .chain(of_app_route.iter().map(|(_, _, table, _)| *table))
            .chain([vpn_table(0)])
            .collect();
        for to in ["10.0.1.7", "10.0.1.70", "10.0.2.7", "10.9.9.9", "fd00:1::7", "fd00:2::7", "192.0.2.1"] {
            let to: IpAddr = to.parse().unwrap();
            let expected = decided(&spec, &destinations[0], &health, (app_route.as_ref(), data.as_ref()), to);
            let found = match looked_up(&routes, &asked, to) {
                Target::Over(hops) => Some(Target::Over(hops)),
                Target::Blackhole | Target::Unreachable | Target::Throw => None,
            };
            prop_assert_eq!(found, expected, "{}", to);
        }
        // No choice leads packets away from their own site.
        let own = looked_up(&routes, &asked, "10.0.0.7".parse().unwrap());
        prop_assert_eq!(own, Target::Over(vec![NextHop::new("lan0", None)]));
    }

    /// The kernel takes routes away when their devices go down.
    #[test]
    fn what_fails_closed_does_so_without_its_routes(path in some_path(&COLORS), health in some_health()) {
        let spec = spec(&["default"]);
        let destinations = destinations(&spec).unwrap();
        let fails_closed = fails_closed(&Choice::Data(path.clone()));
        let choices = Choices::default().with(&policy(None, Some(path)), |_| Some(0)).unwrap();
        let mut routes = routes(&spec, Families::Both, &destinations, &choices, &health);
        let table = choices.tables().next().unwrap().2;
        routes.retain(|key, target| key.table != table || !matches!(target, Target::Over(_)));
        for to in ["10.0.1.7", "10.0.1.70", "10.0.2.7", "fd00:1::7"] {
            let found = looked_up(&routes, &[table, vpn_table(0)], to.parse().unwrap());
            if fails_closed {
                prop_assert_eq!(found, Target::Blackhole);
            }
        }
    }
}

#[test]
fn a_prefix_without_a_gateway_of_its_family_is_refused() {
    let mut spec = spec(&["default"]);
    for remote in &mut spec.tunnels[0].remotes {
        remote.vpns[0].addresses.truncate(1);
    }
    let refused = destinations(&spec).unwrap_err();
    let expected = "route fd00:1::/64 in service VPN 10: \
        the remote edge has no address of that family in the VPN";
    assert_eq!(refused.to_string(), expected);
}
