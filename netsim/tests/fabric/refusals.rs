//! Policies that an edge refuses, and what does not change then.

use futures::TryStreamExt;
use netsim::fabric::Host;
use netsim::policy::{Action, DataPolicy, DefaultAction, EdgePolicy, LocalTlocs, PolicyDirection};
use netsim::policy::{DataPath, Unmet};
use rtnetlink::{IpVersion, RouteMessageBuilder};

use super::policies::{app_route, at, data, from_service, over, plan, udp};
use super::world::{BOTH, Flow, World};

/// More than there are slots for choices, however few are in use.
const TOO_MANY: u16 = 2048;

/// All routes and rules of a host, as text.
async fn routing(host: &Host) -> Vec<String> {
    let netlink = host.netns().netlink().unwrap();
    let mut all = Vec::new();
    for ip in [IpVersion::V4, IpVersion::V6] {
        let routes = match ip {
            IpVersion::V4 => RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            IpVersion::V6 => RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        };
        let routes: Vec<_> = netlink.route().get(routes).execute().try_collect().await.unwrap();
        // What the kernel tells of a route's age and use differs each time.
        let is_fixed = |attribute: &netlink_packet_route::route::RouteAttribute| {
            !matches!(
                attribute,
                netlink_packet_route::route::RouteAttribute::CacheInfo(_)
            )
        };
        all.extend(routes.into_iter().map(|mut route| {
            route.attributes.retain(is_fixed);
            format!("{route:?}")
        }));
        let rules: Vec<_> = netlink.rule().get(ip).execute().try_collect().await.unwrap();
        all.extend(rules.into_iter().map(|rule| format!("{rule:?}")));
    }
    all.sort();
    all
}

fn inspecting() -> DataPolicy {
    let inspect = Action::Accept {
        path: None,
        inspect: true,
        dscp: None,
    };
    from_service(vec![(udp(), over("default", true)), (udp(), inspect)])
}

fn of_too_many_choices() -> DataPolicy {
    let mut policy = from_service(vec![(udp(), Action::Drop)]);
    let sequence = policy.sequences[0].clone();
    policy.sequences = (1..=TOO_MANY)
        .map(|id| netsim::policy::Sequence {
            id,
            action: Action::Accept {
                path: Some(DataPath::Local(LocalTlocs {
                    colors: vec![format!("color-{id}")],
                    restrict: true,
                })),
                inspect: false,
                dscp: None,
            },
            ..sequence.clone()
        })
        .collect();
    policy
}

/// Each is refused, for that reason, after a part that could be done.
fn refused() -> [(EdgePolicy, &'static str); 4] {
    let mut closed = from_service(vec![(udp(), over("default", true))]);
    closed.default_action = DefaultAction::Drop;
    let unknown = data(99, PolicyDirection::All, vec![]);
    [
        (at(0, vec![], vec![closed.clone(), unknown]), "service VPN 99"),
        (at(0, vec![], vec![inspecting()]), "no inspection service"),
        (
            at(0, vec![], vec![of_too_many_choices()]),
            "2047 different choices",
        ),
        // Routes for the new class are refused by the kernel: one of its colors has no device that is up.
        (
            at(0, vec![app_route("lte", Unmet::Any)], vec![closed]),
            "set route",
        ),
    ]
}

pub async fn a_policy_that_is_refused_changes_nothing() {
    let world = World::build(plan()).await;
    let edge = &world.edges[0];
    let in_force = at(0, vec![], vec![from_service(vec![(udp(), over("mpls", true))])]);
    edge.apply(&in_force).await.unwrap();
    edge.host().set_down("tun2v0").await.unwrap();
    for ip in BOTH {
        assert_eq!(world.arrive(&Flow::new(0, 1, ip)).await, [0, 3, 0]);
    }
    let before = (routing(edge.host()).await, edge.policy_in_force().await.unwrap());
    for (policy, reason) in refused() {
        let error = edge.apply(&policy).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        let after = (routing(edge.host()).await, edge.policy_in_force().await.unwrap());
        assert_eq!(before, after, "after {reason}");
        assert!(edge.health((0, 0)).await.met.is_empty(), "no class is in force");
    }
    for ip in BOTH {
        assert_eq!(world.arrive(&Flow::new(0, 1, ip)).await, [0, 3, 0]);
    }
}
