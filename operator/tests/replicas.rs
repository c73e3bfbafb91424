//! Several replicas and one lease.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/rbac.rs"]
mod rbac;
mod support;

use std::time::Duration;

use serde_json::{Value, json};

use self::cluster::{FakeCluster, LEASES};
use self::operator::{Operator, eventually, ready, stays};
use self::support::FakeManager;

const NAME: &str = "sdwan-operator";

fn lease(cluster: &FakeCluster) -> Value {
    cluster.get(LEASES, NAME, NAME).unwrap_or_default()
}

fn holder(cluster: &FakeCluster) -> String {
    let lease = lease(cluster);
    lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn leads(operator: &Operator) -> bool {
    operator.metric("sdwan_operator_leader") == 1.0
}

/// A cluster with one steered Service.
fn shop() -> FakeCluster {
    let cluster = FakeCluster::new();
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    cluster
}

/// Somebody else writes the lease, as a replica does that this one cannot see.
fn usurp(cluster: &FakeCluster) {
    let mut lease = lease(cluster);
    lease["spec"]["holderIdentity"] = json!("usurper");
    cluster.put(LEASES, lease);
}

/// Changes something, and has its push not end by itself.
async fn begin_long_round(cluster: &FakeCluster, manager: &FakeManager) {
    let running = json!({ "summary": { "status": "in_progress" }, "validation": {}, "data": [] });
    manager
        .shelf()
        .task_results
        .extend((0..10_000).map(|_| running.clone()));
    let before = manager.shelf().calls.len();
    cluster.endpoints("business", &["10.2.0.6"]);
    eventually("activation asked for", || {
        let shelf = manager.shelf();
        shelf
            .calls
            .iter()
            .skip(before)
            .any(|call| call.contains("/activate/"))
    })
    .await;
}

#[tokio::test]
async fn one_of_two_replicas_writes_and_the_other_stands_by() {
    let (cluster, manager) = (shop(), FakeManager::start().await);
    let first = Operator::replica(&cluster, &manager, "first");
    ready(&first).await;
    let second = Operator::replica(&cluster, &manager, "second");
    eventually("the second has listed", || second.telemetry.health.ready().passed).await;
    stays("the second does nothing", || !second.ready_file.exists()).await;
    assert!(leads(&first) && !leads(&second));
    let text = second.telemetry.health.ready().text;
    assert!(text.contains("standing by"), "{text}");
    assert_eq!(manager.shelf().sessions.logins, 1, "standing by needs no session");
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_at_once() {
    let (cluster, manager) = (shop(), FakeManager::start().await);
    let first = Operator::replica(&cluster, &manager, "first");
    ready(&first).await;
    let second = Operator::replica(&cluster, &manager, "second");
    eventually("the second has listed", || second.telemetry.health.ready().passed).await;
    first.stop().await;
    // The second may have seen it already.
    assert_ne!(holder(&cluster), "first", "released");
    let released = tokio::time::Instant::now();
    ready(&second).await;
    assert!(
        released.elapsed() < Duration::from_millis(800),
        "sooner than the lease runs out"
    );
    assert_eq!(lease(&cluster)["spec"]["leaseTransitions"], 1);
    cluster.endpoints("business", &["10.2.0.6"]);
    eventually("the second steers", || manager.in_force().contains("10.2.0.6/32")).await;
    second.stop().await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_has_stopped_before_another_leads() {
    let (cluster, manager) = (shop(), FakeManager::start().await);
    let first = Operator::replica(&cluster, &manager, "first");
    ready(&first).await;
    cluster.hold("PUT /apis/coordination.k8s.io", true);
    eventually("it does not lead any more", || !leads(&first)).await;
    assert_eq!(holder(&cluster), "first", "the lease has not run out yet");
    manager.take_writes();
    cluster.endpoints("business", &["10.2.0.6"]);
    stays("nothing is written", || manager.take_writes().is_empty()).await;

    cluster.hold("PUT /apis/coordination.k8s.io", false);
    eventually("it leads again", || leads(&first)).await;
    eventually("what was missed is made up for", || {
        manager.in_force().contains("10.2.0.6/32")
    })
    .await;
    first.stop().await;
}

#[tokio::test]
async fn a_lease_lost_in_the_middle_of_a_change_ends_the_writing_and_the_successor_finishes_it() {
    let (cluster, manager) = (shop(), FakeManager::start().await);
    let first = Operator::replica(&cluster, &manager, "first");
    ready(&first).await;
    manager.take_writes();
    begin_long_round(&cluster, &manager).await;
    usurp(&cluster);
    eventually("the first has stopped", || !leads(&first)).await;
    manager.take_writes();
    stays("silent", || manager.take_writes().is_empty()).await;
    first.stop().await;

    manager.shelf().task_results.clear();
    let second = Operator::replica(&cluster, &manager, "second");
    ready(&second).await;
    assert!(manager.in_force().contains("10.2.0.6/32"));
    let left: Vec<_> = manager.list_names().into_iter().collect();
    assert!(left.iter().all(|name| !name.contains("edit")), "{left:?}");
    second.stop().await;
}

#[tokio::test]
async fn a_lease_lost_after_the_signal_to_stop_changes_nothing_about_it() {
    let (cluster, manager) = (shop(), FakeManager::start().await);
    let first = Operator::replica(&cluster, &manager, "first");
    ready(&first).await;
    begin_long_round(&cluster, &manager).await;
    // The round goes on for a while, and the lease is lost in it.
    tokio::join!(first.stop(), async { usurp(&cluster) });
    assert_eq!(holder(&cluster), "usurper");
}

#[tokio::test]
async fn a_lease_in_the_hands_of_another_is_not_given_back() {
    let (cluster, manager) = (shop(), FakeManager::start().await);
    let first = Operator::replica(&cluster, &manager, "first");
    ready(&first).await;
    usurp(&cluster);
    eventually("it does not lead any more", || !leads(&first)).await;
    first.stop().await;
    assert_eq!(holder(&cluster), "usurper");
}
