//! What goes through other sites, and what must not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use netsim::policy::{
    Action, AppRoute, AppRoutePolicy, ColorGroup, ColorTier, DataPath, DataPolicy, PathPreference,
    Preference, RemoteTloc, SlaClass, Unmet,
};

use super::policies::{app_route, apply, class, from_service, judge, over, plan, udp};
use super::world::{BOTH, Condition, Flow, Plan, World, system_ip};

/// Sites 0 and 1 have no tunnel, site 2 forwards.
pub async fn a_hub_forwards_between_sites_apart() {
    let world = World::build(Plan {
        sites: 3,
        hub: Some(2),
        apart: vec![(0, 1)],
        ..plan()
    })
    .await;
    let tloc = |color: &str, preference| RemoteTloc {
        system_ip: system_ip(2),
        color: color.into(),
        preference,
    };
    let tlocs = DataPath::Remote(vec![
        tloc("mpls", 10),
        tloc("lte", 20),
        RemoteTloc {
            system_ip: system_ip(1),
            ..tloc("default", 30)
        },
    ]);
    let to_hub = Action::Accept {
        path: Some(tlocs),
        inspect: false,
        dscp: None,
    };
    // App-route and policies for what comes from the site do not see what the hub forwards.
    let at_hub = from_service(vec![(udp(), Action::Drop)]);
    let mut strict = app_route("none", Unmet::Drop);
    Arc::make_mut(&mut strict.sequences)[0].choice = Some(AppRoute {
        class: Some(SlaClass {
            latency: Some(Duration::ZERO),
            ..class()
        }),
        preference: Preference::Equal,
        unmet: Unmet::Drop,
    });
    apply(&world, 2, vec![strict], vec![at_hub]).await;
    for ip in BOTH {
        let flow = Flow::new(0, 1, ip);
        apply(&world, 0, vec![], vec![]).await;
        judge(&world, Condition::GOOD, None).await;
        assert_eq!(world.arrive(&flow).await, [3, 0, 0], "by routing");
        apply(
            &world,
            0,
            vec![],
            vec![from_service(vec![(udp(), to_hub.clone())])],
        )
        .await;
        assert_eq!(world.arrive(&flow).await, [0, 0, 3], "the preferred TLOC");
        judge(&world, Condition::GOOD, Some((2, Condition::Down))).await;
        assert_eq!(world.arrive(&flow).await, [0, 3, 0], "the next one");
        judge(&world, Condition::Down, Some((0, Condition::GOOD))).await;
        world.vanish(&flow).await;
    }
}

/// A choice that finds no tunnel for a destination must not find one for a less specific destination.
pub async fn the_longest_prefix_goes_before_any_choice() {
    let world = World::build(Plan {
        sites: 3,
        vpns: vec![10, 20],
        default_at: Some(2),
        leaks: vec![(0, 10, 20)],
        ..plan()
    })
    .await;
    let choices: [(Vec<AppRoutePolicy>, Vec<DataPolicy>); 2] = [
        (vec![], vec![from_service(vec![(udp(), over("mpls", false))])]),
        (vec![group_of_mpls()], vec![]),
    ];
    for (app_route, data) in choices {
        judge(&world, Condition::GOOD, None).await;
        // There before the policy, and come by a change of a tunnel: the order of the routes must not matter.
        for applied_first in [true, false] {
            if applied_first {
                apply(&world, 0, app_route.clone(), data.clone()).await;
            }
            let to_site = BTreeMap::from([((1, 0), Condition::Down), ((1, 1), Condition::GOOD)]);
            world.judge(0, &to_site).await;
            apply(&world, 0, app_route.clone(), data.clone()).await;
            for ip in BOTH {
                let flow = Flow::new(0, 1, ip);
                let at_hub = world.received(2, 0).await;
                let taken = world.arrive(&flow).await;
                assert_eq!(world.received(2, 0).await[1], at_hub[1], "over the hub: {flow:?}");
                assert_eq!(taken[0], 3, "{flow:?} {taken:?}");
                // Nor do packets leave for a host of their own site.
                let own = Flow {
                    to: 0,
                    to_vpn: 1,
                    ..flow
                };
                assert_eq!(world.arrive(&own).await, [0, 0, 0]);
            }
            apply(&world, 0, vec![], vec![]).await;
        }
    }
}

/// Only straight ways over mpls; else routing.
fn group_of_mpls() -> AppRoutePolicy {
    let mut policy = app_route("mpls", Unmet::Any);
    Arc::make_mut(&mut policy.sequences)[0].choice = Some(AppRoute {
        class: None,
        preference: Preference::Group(ColorGroup {
            name: "straight".into(),
            tiers: vec![ColorTier {
                colors: vec!["mpls".into()],
                path: PathPreference::DirectPath,
            }],
            restrict: false,
        }),
        unmet: Unmet::Any,
    });
    policy
}
