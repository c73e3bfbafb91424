//! The whole loop, between an in-process cluster and a stand-in for the Manager.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/rbac.rs"]
mod rbac;
mod support;

use std::time::{Duration, Instant};

use sdwan_operator::controller;
use sdwan_operator::core::Cluster;
use serde_json::json;

use self::cluster::FakeCluster;
use self::operator::{NEVER, Operator, eventually, ready, stays};
use self::support::{FakeManager, Fault, refusal};

#[tokio::test]
async fn an_annotation_steers_and_its_removal_ends_that() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert_eq!(manager.take_writes(), Vec::<String>::new());

    cluster.service("business", &[("tunnel", "bizinternet")]);
    eventually("steered", || {
        manager
            .in_force()
            .contains("destinationDataPrefixList 10.2.0.5/32,")
    })
    .await;
    // What is not ready yet has packets on their way too.
    cluster.endpoints("business", &["10.2.0.5", "!10.2.0.6"]);
    eventually("both steered", || {
        manager.in_force().contains("10.2.0.5/32 10.2.0.6/32")
    })
    .await;
    cluster.service("business", &[]);
    eventually("not steered", || {
        manager.in_force() == "sites 100 200 vpn 10 service\ndefault accept\n"
    })
    .await;
    operator.stop().await;
    assert_eq!(
        manager.take_writes().last().map(String::as_str),
        Some("POST /logout")
    );
}

#[tokio::test]
async fn a_deleted_service_is_not_steered_any_more() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert!(
        manager.in_force().contains("mpls restrict"),
        "ready means steered"
    );
    cluster.delete_service("business");
    eventually("not steered", || !manager.in_force().contains("mpls")).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_refused_annotation_becomes_one_event_and_changes_nothing() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "business-class")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    // Further rounds must not repeat it.
    cluster.endpoints("business", &["10.2.0.6"]);
    cluster.service("other", &[("tunnel", "mpls")]);
    cluster.endpoints("other", &["10.2.0.7"]);
    eventually("the other is steered", || {
        manager.in_force().contains("10.2.0.7/32")
    })
    .await;
    operator.stop().await;

    assert!(!manager.in_force().contains("10.2.0.6"));
    let mut events = cluster.events();
    events.retain(|event| event["regarding"]["name"] == "business");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["type"], "Warning");
    assert_eq!(events[0]["reason"], "UnknownColor");
    assert_eq!(events[0]["regarding"]["name"], "business");
    let note = events[0]["note"].as_str().unwrap();
    assert!(
        note.contains("unknown color `business-class`; known colors: default, mpls"),
        "{note}"
    );
}

#[tokio::test]
async fn a_burst_of_changes_is_few_activations() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    for host in 1..=40 {
        cluster.endpoints("business", &[&format!("10.2.0.{host}")]);
    }
    eventually("the last endpoint is steered", || {
        manager.in_force().contains("10.2.0.40/32")
    })
    .await;
    let activations = manager
        .take_writes()
        .iter()
        .filter(|call| call.contains("/activate/"))
        .count();
    assert!(activations <= 10, "{activations} activations for 40 changes");
    operator.stop().await;
}

#[tokio::test]
async fn nothing_is_written_from_a_partial_view() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let first = Operator::start(&cluster, &manager, NEVER);
    ready(&first).await;
    first.stop().await;
    manager.take_writes();

    // A successor that knows the Service but not its endpoints would remove the rules.
    cluster.hold_slices(true);
    let second = Operator::start(&cluster, &manager, NEVER);
    eventually("observed", || {
        manager.shelf().calls.iter().any(|call| call.ends_with("/vsmart"))
    })
    .await;
    cluster.service("business", &[("tunnel", "mpls"), ("mode", "preferred")]);
    let writes = || {
        manager
            .shelf()
            .calls
            .iter()
            .filter(|call| !call.starts_with("GET"))
            .count()
    };
    stays("silent", || writes() == 0 && !second.ready_file.exists()).await;
    cluster.hold_slices(false);
    ready(&second).await;
    eventually("preferred", || {
        manager.in_force().contains("10.2.0.5/32") && !manager.in_force().contains("restrict")
    })
    .await;
    second.stop().await;
}

#[tokio::test]
async fn a_manager_that_fails_is_tried_again() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    let broken = || Fault::new("GET /dataservice/device", 500, refusal("Server error"));
    manager.shelf().faults.extend([broken(), broken(), broken()]);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert!(manager.in_force().contains("10.2.0.5/32"));
    operator.stop().await;
}

#[tokio::test]
async fn the_resync_repairs_what_others_changed() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, Duration::from_millis(100));
    ready(&operator).await;
    let before = manager.in_force();
    {
        let mut shelf = manager.shelf();
        shelf.in_force.clear();
        shelf.active = None;
    }
    eventually("repaired", || manager.in_force() == before).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_change_does_not_wait_for_a_look_at_the_manager() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, Duration::from_secs(1));
    ready(&operator).await;
    manager.shelf().unanswered = Some("GET /dataservice/template/policy/list/site");
    eventually("looked at", || manager.shelf().unanswered.is_none()).await;
    let changed = Instant::now();
    cluster.endpoints("business", &["10.2.0.6"]);
    eventually("steered", || manager.in_force().contains("10.2.0.6/32")).await;
    assert!(
        changed.elapsed() < Duration::from_secs(5),
        "the look's own deadline"
    );
    operator.stop().await;
}

#[tokio::test]
async fn namespace_defaults_and_policies_steer_and_the_policy_goes_before_annotations() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.namespace(&[("tunnel", "mpls")]);
    cluster.service("business", &[("mode", "preferred")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert!(
        manager.in_force().contains("protocol 6, mpls\n"),
        "{}",
        manager.in_force()
    );

    cluster.policy("business", json!({ "tunnel": "lte" }));
    eventually("steered by the policy", || {
        manager.in_force().contains("protocol 6, lte restrict\n")
    })
    .await;
    eventually("the annotations are overruled", || {
        cluster.events().iter().any(|event| event["reason"] == "Conflict")
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_dry_run_says_what_the_first_round_would_write() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let members = [(Cluster::default(), cluster.client())];
    let mut settings = operator::settings();
    settings.conventions.clusters.insert(Cluster::default(), 10);
    let plan = controller::dry_run(&members, manager.client(), &settings)
        .await
        .unwrap();
    assert!(plan.to_string().contains("+10.2.0.5/32"), "{plan}");
    let mut writes = manager.take_writes();
    writes.retain(|call| !call.ends_with("/preview"));
    assert_eq!(writes, ["POST /logout"]);
}
