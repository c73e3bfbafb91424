//! What an edge tells of its routes is what the kernel has.

use ipnet::IpNet;
use netsim::bfd::State;
use netsim::fabric::edge::VpnRoutes;

use super::world::{BOTH, Flow, Plan, World};

const MPLS: usize = 0;
const LTE: usize = 1;

fn plan() -> Plan {
    Plan {
        colors: vec!["mpls", "lte"],
        default_colors: vec!["mpls", "lte"],
        vpns: vec![10, 20],
        ..Plan::default()
    }
}

async fn told(world: &World, site: u8) -> Vec<VpnRoutes> {
    world.edges[usize::from(site)].vpn_routes().await.unwrap()
}

/// The transports over which a prefix is chosen, installed and resolved.
fn over(routes: &VpnRoutes, prefix: IpNet) -> [Vec<usize>; 3] {
    let ways = || routes.received.iter().filter(|route| route.prefix == prefix);
    [
        ways()
            .filter(|route| route.chosen)
            .map(|route| route.tunnel.0)
            .collect(),
        ways()
            .filter(|route| route.installed)
            .map(|route| route.tunnel.0)
            .collect(),
        ways()
            .filter(|route| route.resolved)
            .map(|route| route.tunnel.0)
            .collect(),
    ]
}

pub async fn routes_told_are_those_of_the_kernel() {
    let world = World::build(plan()).await;
    for ip in BOTH {
        let prefix = world.plan.prefix(1, 0, ip);
        assert_eq!(over(&told(&world, 0).await[0], prefix), [[MPLS, LTE]; 3]);
    }
    // Its tunnel goes down: the route is over the other, in the kernel as well.
    world.edges[0].turn((MPLS, 0), State::Down).await.1.unwrap();
    for ip in BOTH {
        let prefix = world.plan.prefix(1, 0, ip);
        assert_eq!(over(&told(&world, 0).await[0], prefix), [[LTE]; 3]);
        assert_eq!(world.arrive(&Flow::new(0, 1, ip)).await, [0, 3]);
    }
}

pub async fn what_the_kernel_lost_is_not_told_as_installed() {
    let world = World::build(plan()).await;
    let edge = &world.edges[0];
    // Behind the edge's back: the kernel removes the routes over a device that goes down.
    edge.host().set_down("tun0v0").await.unwrap();
    edge.host().set_down("lan1").await.unwrap();
    let routes = told(&world, 0).await;
    for ip in BOTH {
        let prefix = world.plan.prefix(1, 0, ip);
        assert_eq!(
            over(&routes[0], prefix),
            [vec![MPLS, LTE], vec![LTE], vec![MPLS, LTE]]
        );
        let other_vpn = world.plan.prefix(1, 1, ip);
        assert_eq!(over(&routes[1], other_vpn), [[MPLS, LTE]; 3]);
    }
    assert_eq!(routes[0].originated.len(), BOTH.len());
    assert!(routes[1].originated.is_empty(), "{routes:?}");
}

pub async fn leaked_and_forwarded_prefixes_are_told_as_such() {
    let world = World::build(Plan {
        sites: 3,
        hub: Some(2),
        apart: vec![(0, 1)],
        leaks: vec![(1, 20, 10)],
        ..plan()
    })
    .await;
    for ip in BOTH {
        let shared = world.plan.prefix(1, 0, ip);
        let at_site = told(&world, 1).await;
        let leaked = |routes: &VpnRoutes| {
            let mut own = routes.originated.iter();
            own.find(|route| route.prefix == shared).unwrap().leaked_from
        };
        assert_eq!(at_site.iter().map(leaked).collect::<Vec<_>>(), [None, Some(10)]);
        let hops = |routes: &VpnRoutes, prefix| {
            let mut ways = routes.received.iter();
            ways.find(|route| route.prefix == prefix).map(|route| route.hops)
        };
        // The hub has both from its own tunnels, the far site the one that the hub forwards.
        let at_hub = told(&world, 2).await;
        assert_eq!(
            [hops(&at_hub[0], shared), hops(&at_hub[1], shared)],
            [Some(1), Some(1)]
        );
        assert_eq!(hops(&told(&world, 0).await[0], shared), Some(2));
    }
}
