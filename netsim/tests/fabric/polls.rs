//! What the end of a poll interval does to an edge's routes when it brings nothing new.

use std::sync::Arc;
use std::time::Instant;

use netsim::bfd::State;
use netsim::fabric::Families;
use netsim::fabric::choices::vpn_table;
use netsim::policy::Unmet;

use super::policies::{app_route, apply, plan};
use super::world::{Flow, Ip, Plan, World};

/// Sends over the last of three colors while it is up, in IPv4 alone.
async fn world_over_lte() -> World {
    let world = World::build(Plan {
        families: Families::Ipv4,
        ..plan()
    })
    .await;
    let mut policy = app_route("lte", Unmet::Any);
    let sequence = &mut Arc::make_mut(&mut policy.sequences)[0];
    sequence.choice.as_mut().unwrap().class = None;
    apply(&world, 0, vec![policy], vec![]).await;
    assert_eq!(world.arrive(&Flow::new(0, 1, Ip::V4)).await, [0, 0, 3]);
    world
}

pub async fn a_poll_without_news_leaves_the_kernel_alone() {
    let world = world_over_lte().await;
    let edge = &world.edges[0];
    apply(&world, 0, vec![], vec![]).await;
    // What somebody else takes away tells whether the edge writes.
    let prefix = world.plan.prefix(1, 0, Ip::V4);
    edge.host().remove_route(vpn_table(0), prefix).await.unwrap();
    edge.poll([], Instant::now()).await.1.unwrap();
    world.vanish(&Flow::new(0, 1, Ip::V4)).await;
}

pub async fn routes_that_failed_are_tried_again_at_the_next_poll() {
    let world = world_over_lte().await;
    let (edge, lte) = (&world.edges[0], (2, 0));
    edge.turn(lte, State::Down).await.1.unwrap();
    edge.host().set_down("tun2v0").await.unwrap();
    let (_, refused) = edge.turn(lte, State::Up).await;
    assert!(refused.unwrap_err().to_string().starts_with("set route"));
    // It has not been forgotten, and is told again as long as it lasts.
    edge.poll([], Instant::now()).await.1.unwrap_err();
    edge.host().set_up_again("tun2v0").await.unwrap();
    // The kernel has forgotten the neighbours.
    let remote = &edge.tunnels()[lte.0].remotes[lte.1].vpns[0];
    for address in remote.addresses.iter().filter(|address| address.is_ipv4()) {
        edge.host()
            .replace_neighbour("tun2v0", *address, remote.mac)
            .await
            .unwrap();
    }
    edge.poll([], Instant::now()).await.1.unwrap();
    assert_eq!(world.arrive(&Flow::new(0, 1, Ip::V4)).await, [0, 0, 3]);
}
