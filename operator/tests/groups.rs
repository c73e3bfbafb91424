//! What the operator says to a Manager whose edges follow policy groups.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rstest::rstest;
use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Backend, Identity, ManagerError};
use serde_json::{Value, json};

use self::support::steering::{everything, steering};
use self::support::{FakeManager, Fault, MARK, refusal};

const DEPLOY: &str = "/device/deploy";

fn business(hosts: &[&str]) -> SteeringPolicy {
    steering(&[("business", "biz-internet", Mode::Strict, hosts)])
}

fn identity() -> Identity {
    Identity {
        backend: Backend::PolicyGroups,
        ..Identity::default()
    }
}

fn reconciler(manager: &FakeManager) -> Reconciler {
    Reconciler::new(manager.client(), identity(), ServiceType::default())
}

async fn steered() -> (FakeManager, Reconciler) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager);
    reconciler.reconcile(&business(&["10.2.0.5"])).await.unwrap();
    manager.take_writes();
    (manager, reconciler)
}

/// What an edge does, without the id of its group.
fn edge(manager: &FakeManager, name: &str) -> String {
    let shelf = manager.shelf();
    let told = shelf.groups.in_force.get(name);
    told.map(|told| told.split_once('\n').unwrap().1.to_owned())
        .unwrap_or_default()
}

fn deployments(writes: &[String]) -> usize {
    writes.iter().filter(|call| call.ends_with(DEPLOY)).count()
}

#[tokio::test]
async fn the_first_intent_builds_a_group_and_deploys_it_once() {
    let (manager, mut reconciler) = steered().await;
    insta::assert_snapshot!(edge(&manager, "edge-100"), @r"
    VPN10 service
    sourceDataPrefixList ipv4Address 10.2.0.5, ipv4PrefixLength 32, sourcePort 8080, protocol 6, set localTlocList color biz-internet, encap ipsec, restrict true, accept
    destinationDataPrefixList ipv4Address 10.2.0.5, ipv4PrefixLength 32, destinationPort 8080, protocol 6, set localTlocList color biz-internet, encap ipsec, restrict true, accept
    default accept
    ");
    assert_eq!(edge(&manager, "edge-200"), edge(&manager, "edge-100"));

    reconciler.reconcile(&business(&["10.2.0.6"])).await.unwrap();
    let writes = manager.take_writes();
    assert_eq!((writes.len(), deployments(&writes)), (2, 1), "{writes:#?}");
    assert!(edge(&manager, "edge-200").contains("10.2.0.6"));
}

#[tokio::test]
async fn all_that_can_be_asked_for_is_known_again() {
    let manager = FakeManager::start().await;
    reconciler(&manager).reconcile(&everything()).await.unwrap();
    let text = edge(&manager, "edge-100");
    for part in [
        "slaClass slaName jitter 10, latency 50, loss 1, preferredColor",
        "preferredColorGroup primaryPreference colorPreference mpls, pathPreference all-paths",
        "service local true, type FW, vpn 10",
        "protocol 6, drop",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    manager.take_writes();
    reconciler(&manager).reconcile(&everything()).await.unwrap();
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_last_intent_gone_leaves_a_group_without_sequences() {
    let (manager, mut reconciler) = steered().await;
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert_eq!(edge(&manager, "edge-100"), "VPN10 service\ndefault accept\n");
    let fresh = FakeManager::start().await;
    let mut idle = Reconciler::new(fresh.client(), identity(), ServiceType::default());
    idle.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert_eq!(fresh.take_writes(), Vec::<String>::new());
}

#[rstest]
#[case::hosts(|manager: &FakeManager| {
    let mut shelf = manager.shelf();
    let mut parcels = shelf.groups.parcels.iter_mut();
    let (_, parcel) = parcels.find(|((_, kind, _), _)| kind == "data-prefix").unwrap();
    parcel["payload"]["data"]["entries"][0]["ipv4Address"]["value"] = json!("10.9.9.9");
})]
#[case::default_action(|manager: &FakeManager| {
    let mut shelf = manager.shelf();
    let mut parcels = shelf.groups.parcels.iter_mut();
    let (_, parcel) = parcels.find(|((_, kind, _), _)| kind == "traffic-policy").unwrap();
    parcel["payload"]["data"]["dataDefaultAction"]["value"] = json!("drop");
})]
#[case::restrict(|manager: &FakeManager| {
    let mut shelf = manager.shelf();
    let mut parcels = shelf.groups.parcels.iter_mut();
    let (_, parcel) = parcels.find(|((_, kind, _), _)| kind == "traffic-policy").unwrap();
    let set = parcel.pointer_mut("/payload/data/sequences/0/actions/0/set/0/localTlocList").unwrap();
    set.as_object_mut().unwrap().remove("restrict");
})]
#[case::device(|manager: &FakeManager| {
    manager.shelf().groups.devices.retain(|(_, device), _| device == "edge-100");
    manager.shelf().groups.in_force.remove("edge-200");
})]
#[case::profile(|manager: &FakeManager| {
    for group in manager.shelf().groups.groups.values_mut() {
        group["profiles"] = json!([]);
    }
})]
#[tokio::test]
async fn what_others_changed_is_repaired_at_the_resync(#[case] change: impl Fn(&FakeManager)) {
    let (manager, mut reconciler) = steered().await;
    let before = [edge(&manager, "edge-100"), edge(&manager, "edge-200")];
    change(&manager);
    reconciler.forget();
    reconciler.reconcile(&business(&["10.2.0.5"])).await.unwrap();
    assert_eq!([edge(&manager, "edge-100"), edge(&manager, "edge-200")], before);
    assert_eq!(deployments(&manager.take_writes()), 1);
    reconciler.forget();
    reconciler.reconcile(&business(&["10.2.0.5"])).await.unwrap();
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_new_site_gets_what_the_others_have() {
    let (manager, mut reconciler) = steered().await;
    manager.shelf().sites.push("300");
    reconciler.forget();
    reconciler.reconcile(&business(&["10.2.0.5"])).await.unwrap();
    assert!(edge(&manager, "edge-300").contains("10.2.0.5"));
    let writes = manager.take_writes();
    assert_eq!((writes.len(), deployments(&writes)), (2, 1), "{writes:#?}");
    let shelf = manager.shelf();
    let (_, deployment) = shelf
        .requests
        .iter()
        .rfind(|(call, _)| call.ends_with(DEPLOY))
        .unwrap();
    assert_eq!(*deployment, json!({ "devices": [{ "id": "edge-300" }] }));
}

#[tokio::test]
async fn names_of_others_are_not_used() {
    let manager = FakeManager::start().await;
    for kind in ["policy-object", "application-priority"] {
        let row = json!({ "profileId": "p", "profileName": "k8s-steering", "description": "ours" });
        let key = (kind.to_owned(), "p".to_owned());
        manager.shelf().groups.profiles.insert(key.clone(), row);
        let error = reconciler(&manager)
            .reconcile(&business(&["10.2.0.5"]))
            .await
            .unwrap_err();
        assert!(matches!(error, ManagerError::NameTaken { .. }), "{error}");
        manager.shelf().groups.profiles.remove(&key);
    }
    let row = json!({ "id": "g", "name": "k8s-steering", "description": format!("{MARK}2"), "profiles": [] });
    manager.shelf().groups.groups.insert("g".to_owned(), row);
    let error = reconciler(&manager)
        .reconcile(&business(&["10.2.0.5"]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("policy group `k8s-steering`"),
        "{error}"
    );
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn an_edge_in_a_group_of_others_is_named_and_left_there() {
    let manager = FakeManager::start().await;
    let theirs = ("theirs".to_owned(), "edge-200".to_owned());
    manager.shelf().groups.devices.insert(theirs.clone(), None);
    let error = reconciler(&manager)
        .reconcile(&business(&["10.2.0.5"]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("edge-200 is already associated"),
        "{error}"
    );
    assert!(manager.shelf().groups.devices.contains_key(&theirs));
    assert_eq!(edge(&manager, "edge-200"), "");
}

fn task(host: &str, status: &str) -> Value {
    json!({
        "data": [{ "host-name": host, "statusId": status, "activity": ["so it ended"] }],
        "validation": { "statusId": "validation_success" }, "summary": { "status": "done" },
    })
}

#[tokio::test]
async fn a_deployment_that_failed_is_made_up_for() {
    let (manager, mut reconciler) = steered().await;
    manager.shelf().task_results.push_back(task("edge-1", "failure"));
    let error = reconciler.reconcile(&business(&["10.2.0.6"])).await.unwrap_err();
    assert!(
        matches!(error, ManagerError::TaskFailed { ref device, .. } if device == "edge-1"),
        "{error}"
    );
    reconciler.reconcile(&business(&["10.2.0.6"])).await.unwrap();
    assert!(edge(&manager, "edge-100").contains("10.2.0.6"));
    assert_eq!(deployments(&manager.take_writes()), 2);
}

#[tokio::test]
async fn an_edge_that_is_offline_is_reported_and_not_pushed_to_in_vain() {
    let (manager, mut reconciler) = steered().await;
    manager
        .shelf()
        .task_results
        .push_back(task("edge-1", "success_scheduled"));
    reconciler.reconcile(&business(&["10.2.0.6"])).await.unwrap();
    assert_eq!(reconciler.waiting_for(), ["edge-1"]);
    manager.take_writes();

    manager.shelf().edges_offline = true;
    reconciler.forget();
    reconciler.reconcile(&business(&["10.2.0.6"])).await.unwrap();
    assert_eq!(reconciler.waiting_for(), ["edge-100", "edge-200"]);
    assert_eq!(manager.take_writes(), Vec::<String>::new());

    manager.shelf().edges_offline = false;
    reconciler.forget();
    reconciler.reconcile(&business(&["10.2.0.6"])).await.unwrap();
    assert_eq!(reconciler.waiting_for(), [] as [&str; 0]);
    assert!(edge(&manager, "edge-100").contains("10.2.0.6"));
}

#[rstest]
#[case::rate_limit(Fault::new("PUT /dataservice/v1/", 429, ""))]
#[case::push_of_others(Fault::new(
    "POST /dataservice/v1/policy-group/",
    400,
    refusal("an operation is already in progress")
))]
#[case::session(Fault::new("POST /dataservice/v1/policy-group/", 403, "SessionTokenFilter"))]
#[case::unavailable(Fault::new("GET /dataservice/device/action/status/", 503, ""))]
#[tokio::test]
async fn hindrances_are_waited_for(#[case] fault: Fault) {
    let (manager, mut reconciler) = steered().await;
    manager.shelf().faults.push_back(fault);
    reconciler.reconcile(&business(&["10.2.0.6"])).await.unwrap();
    assert!(manager.shelf().faults.is_empty());
    assert!(edge(&manager, "edge-100").contains("10.2.0.6"));
    assert_eq!(manager.shelf().groups.groups.len(), 1);
}
