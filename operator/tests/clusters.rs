//! Several clusters, one of which may be away.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/rbac.rs"]
mod rbac;
mod support;

use self::cluster::FakeCluster;
use self::operator::{Operator, eventually, ready, settings, stays};
use self::support::FakeManager;

/// A cluster with a steered Service of this name and endpoint.
fn shop(service: &str, host: &str) -> FakeCluster {
    let cluster = FakeCluster::new();
    cluster.service(service, &[("tunnel", "mpls")]);
    cluster.endpoints(service, &[host]);
    cluster
}

fn start(red: &FakeCluster, blue: &FakeCluster, manager: &FakeManager) -> Operator {
    Operator::of_mesh(&[("red", red), ("blue", blue)], manager, settings())
}

#[tokio::test]
async fn the_services_of_all_clusters_are_steered() {
    let (red, blue) = (shop("business", "10.2.0.5"), shop("business", "10.3.0.5"));
    let manager = FakeManager::start().await;
    let operator = start(&red, &blue, &manager);
    ready(&operator).await;
    let in_force = || manager.in_force();
    assert!(in_force().contains("10.2.0.5/32") && in_force().contains("10.3.0.5/32"));
    blue.delete_service("business");
    eventually("that of the other cluster is gone", || {
        !in_force().contains("10.3.0.5/32")
    })
    .await;
    assert!(in_force().contains("10.2.0.5/32"), "{}", in_force());
    operator.stop().await;
}

#[tokio::test]
async fn a_cluster_that_is_away_at_the_start_keeps_its_rules_until_it_is_seen() {
    let (red, blue) = (shop("business", "10.2.0.5"), shop("business", "10.3.0.5"));
    let manager = FakeManager::start().await;
    let first = start(&red, &blue, &manager);
    ready(&first).await;
    first.stop().await;

    blue.hold_slices(true);
    blue.endpoints("business", &["10.3.0.6"]);
    red.endpoints("business", &["10.2.0.6"]);
    let second = start(&red, &blue, &manager);
    ready(&second).await;
    let in_force = || manager.in_force();
    assert!(in_force().contains("10.3.0.5/32"), "kept: {}", in_force());
    assert!(in_force().contains("10.2.0.6/32"), "added: {}", in_force());
    let report = second.telemetry.health.ready();
    assert!(
        !report.passed && report.text.contains("[-] cluster `blue`: not seen yet"),
        "{report:?}"
    );
    assert_eq!(
        second.metric("sdwan_operator_clusters{cluster=\"blue\",state=\"seen\"}"),
        0.0
    );

    blue.hold_slices(false);
    eventually("what is known now is all", || {
        let in_force = manager.in_force();
        in_force.contains("10.3.0.6/32")
            && !in_force.contains("10.3.0.5/32")
            && !in_force.contains("10.2.0.5/32")
    })
    .await;
    assert!(second.telemetry.health.ready().passed);
    second.stop().await;
}

#[tokio::test]
async fn a_cluster_that_goes_away_keeps_its_last_known_rules() {
    let (red, blue) = (shop("business", "10.2.0.5"), shop("business", "10.3.0.5"));
    let manager = FakeManager::start().await;
    let operator = start(&red, &blue, &manager);
    ready(&operator).await;
    blue.fail(true);
    blue.break_watches();
    let said = || operator.telemetry.health.ready().text;
    red.endpoints("business", &["10.2.0.6"]);
    eventually("the other goes on", || manager.in_force().contains("10.2.0.6/32")).await;
    stays("kept", || manager.in_force().contains("10.3.0.5/32")).await;
    // The loop looks at its watches every time it has something to do.
    eventually("it says so", || {
        red.endpoints("business", &["10.2.0.6"]);
        said().contains("[-] cluster `blue`: unreachable, what was last known is kept")
    })
    .await;
    blue.fail(false);
    blue.endpoints("business", &["10.3.0.6"]);
    eventually("it is back", || manager.in_force().contains("10.3.0.6/32")).await;
    operator.stop().await;
}
