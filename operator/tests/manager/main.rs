//! What the operator says to a Manager, against a stateful stand-in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod foreign;
mod pushes;
#[path = "../support/mod.rs"]
mod support;

use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Identity, ManagerError};
use serde_json::json;

use self::support::FakeManager;
use self::support::steering::steering;

const DEFINITION: &str = "PUT /dataservice/template/policy/definition/data/";

fn steer(services: &[(&str, &str, &[&str])]) -> SteeringPolicy {
    let strict = services
        .iter()
        .map(|&(name, color, hosts)| (name, color, Mode::Strict, hosts));
    steering(&strict.collect::<Vec<_>>())
}

fn business() -> SteeringPolicy {
    steer(&[("business", "biz-internet", &["10.2.0.5"])])
}

fn reconciler(manager: &FakeManager) -> Reconciler {
    Reconciler::new(manager.client(), Identity::default(), ServiceType::default())
}

/// A Manager on which `business` is steered, by a reconciler that is still there.
async fn steered() -> (FakeManager, Reconciler) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager);
    reconciler.reconcile(&business()).await.unwrap();
    manager.take_writes();
    (manager, reconciler)
}

fn activations(writes: &[String]) -> usize {
    writes.iter().filter(|call| call.contains("/activate/")).count()
}

fn position(writes: &[String], start: &str) -> usize {
    writes
        .iter()
        .position(|call| call.starts_with(start))
        .unwrap_or_else(|| panic!("no {start} in {writes:#?}"))
}

#[tokio::test]
async fn the_first_intent_builds_lists_definition_policy_and_activates_once() {
    let manager = FakeManager::start().await;
    reconciler(&manager).reconcile(&business()).await.unwrap();
    let writes = manager.take_writes();
    let definition = position(&writes, "POST /dataservice/template/policy/definition/data");
    let policy = writes
        .iter()
        .position(|call| call == "POST /dataservice/template/policy/vsmart")
        .unwrap();
    let activation = position(&writes, "POST /dataservice/template/policy/vsmart/activate/");
    assert!(
        writes[..definition]
            .iter()
            .all(|call| call.starts_with("POST /dataservice/template/policy/list/"))
    );
    assert_eq!((policy, activation), (definition + 1, definition + 2));
    assert_eq!(activations(&writes), 1);
    insta::assert_snapshot!(manager.in_force(), @r"
    sites 100 200 vpn 10 service
    sourceDataPrefixList 10.2.0.5/32, sourcePort 8080, protocol 6, biz-internet restrict
    destinationDataPrefixList 10.2.0.5/32, destinationPort 8080, protocol 6, biz-internet restrict
    default accept
    ");
}

#[tokio::test]
async fn an_edit_of_the_active_policy_is_one_locked_edit_with_one_activation() {
    let (manager, mut reconciler) = steered().await;
    let policy = steer(&[
        ("business", "biz-internet", &["10.2.0.6", "fd00:2::6"]),
        ("batch", "mpls", &["10.2.0.7"]),
    ]);
    reconciler.reconcile(&policy).await.unwrap();
    let writes = manager.take_writes();
    let steps = [
        position(&writes, "POST /dataservice/template/policy/list/dataprefix"),
        position(&writes, "PUT /dataservice/template/policy/list/dataprefix/"),
        position(&writes, DEFINITION),
        position(&writes, "PUT /dataservice/template/policy/vsmart/central/"),
        position(
            &writes,
            "POST /dataservice/template/policy/vsmart/activate/central/",
        ),
    ];
    assert!(steps.is_sorted(), "{writes:#?}");
    assert_eq!(activations(&writes), 1);
    assert_eq!(manager.shelf().lock, None);
    insta::assert_snapshot!(manager.in_force(), @r"
    sites 100 200 vpn 10 service
    sourceDataPrefixList 10.2.0.6/32, sourcePort 8080, protocol 6, biz-internet restrict
    destinationDataPrefixList 10.2.0.6/32, destinationPort 8080, protocol 6, biz-internet restrict
    sourceDataIpv6PrefixList fd00:2::6/128, sourcePort 8080, protocol 6, biz-internet restrict
    destinationDataIpv6PrefixList fd00:2::6/128, destinationPort 8080, protocol 6, biz-internet restrict
    sourceDataPrefixList 10.2.0.7/32, sourcePort 8080, protocol 6, mpls restrict
    destinationDataPrefixList 10.2.0.7/32, destinationPort 8080, protocol 6, mpls restrict
    default accept
    ");
}

#[tokio::test]
async fn a_second_round_and_a_restart_write_nothing() {
    let (manager, mut first) = steered().await;
    first.reconcile(&business()).await.unwrap();
    first.forget();
    first.reconcile(&business()).await.unwrap();
    reconciler(&manager).reconcile(&business()).await.unwrap();
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn without_any_intent_ever_nothing_is_written() {
    let manager = FakeManager::start().await;
    reconciler(&manager)
        .reconcile(&SteeringPolicy::default())
        .await
        .unwrap();
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_last_intent_gone_leaves_an_active_policy_without_sequences() {
    let (manager, mut reconciler) = steered().await;
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    let writes = manager.take_writes();
    assert_eq!(activations(&writes), 1);
    assert!(
        position(&writes, "DELETE") > position(&writes, "POST /dataservice/template/policy/vsmart/activate/")
    );
    assert!(manager.shelf().active.is_some());
    insta::assert_snapshot!(manager.in_force(), @r"
    sites 100 200 vpn 10 service
    default accept
    ");
    assert!(
        manager
            .list_names()
            .iter()
            .all(|name| name.contains("sites") || name.contains("vpn10"))
    );

    reconciler.reconcile(&business()).await.unwrap();
    assert_eq!(activations(&manager.take_writes()), 1);
    assert!(manager.in_force().contains("10.2.0.5/32"));
}

#[tokio::test]
async fn a_restart_removes_the_rules_of_services_that_are_gone() {
    let (manager, _crashed) = steered().await;
    reconciler(&manager)
        .reconcile(&SteeringPolicy::default())
        .await
        .unwrap();
    assert!(!manager.in_force().contains("10.2.0.5/32"));
    assert!(manager.list_names().iter().all(|name| !name.contains("t8080")));
}

#[tokio::test]
async fn a_fabric_without_wan_edges_is_an_error() {
    let manager = FakeManager::start().await;
    manager.shelf().sites.clear();
    let error = reconciler(&manager).reconcile(&business()).await.unwrap_err();
    assert!(matches!(error, ManagerError::NoWanEdges), "{error}");
    reconciler(&manager)
        .reconcile(&SteeringPolicy::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_tunnels_of_many_pages_become_one_report_for_each_color() {
    let manager = FakeManager::start().await;
    let session = |near: &str, state: &str| {
        json!({
            "vdevice-name": near, "system-ip": "9", "local-color": "mpls", "color": "mpls", "proto": "ipsec", "state": state,
        })
    };
    let pages = [
        (
            "GET /dataservice/data/device/state/BFDSessions?count=1000",
            "1",
            json!({ "endId": "7", "moreEntries": true }),
        ),
        (
            "GET /dataservice/data/device/state/BFDSessions?count=1000&startId=7",
            "2",
            json!({ "endId": "8", "moreEntries": false }),
        ),
    ];
    for (call, near, info) in pages {
        let page = json!({ "data": [session(near, "up"), session(near, "down")], "pageInfo": info });
        manager.shelf().canned.insert(call, page);
    }
    let row = json!({
        "local_system_ip": "2", "remote_system_ip": "9", "local_color": "mpls", "remote_color": "mpls",
        "loss_percentage": 1.5, "latency": 20, "jitter": 3,
    });
    let call = "POST /dataservice/statistics/approute";
    manager.shelf().canned.insert(call, json!({ "data": [row] }));
    let reports = manager.client().tunnels().await.unwrap();
    let report = &reports[&"mpls".parse().unwrap()];
    assert_eq!((reports.len(), report.up, report.total), (1, 2, 4));
    assert_eq!(report.quality.unwrap().loss_ppm, 15_000);
}
