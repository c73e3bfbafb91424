//! What users see of their intents.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/rbac.rs"]
mod rbac;
mod support;

use std::time::Duration;

use sdwan_operator::controller::Settings;
use serde_json::{Value, json};

use self::cluster::{FakeCluster, POLICIES, TUNNELS};
use self::operator::{NEVER, Operator, eventually, ready, settings, stays};
use self::support::{FakeManager, Fault, refusal};

fn policy(cluster: &FakeCluster, name: &str) -> Option<Value> {
    cluster.get(POLICIES, "shop", name)
}

/// `status reason` of a condition.
fn condition(cluster: &FakeCluster, name: &str, kind: &str) -> String {
    let policy = policy(cluster, name).unwrap_or_default();
    let conditions = policy["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    found.map_or(String::new(), |condition| {
        format!(
            "{} {}",
            condition["status"].as_str().unwrap(),
            condition["reason"].as_str().unwrap()
        )
    })
}

fn reasons(cluster: &FakeCluster) -> Vec<String> {
    let events = cluster.events();
    events
        .iter()
        .map(|event| event["reason"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_annotation_is_shown_as_a_policy_that_goes_with_it() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "bizinternet"), ("mode", "preferred")]);
    cluster.endpoints("business", &["10.2.0.5", "10.2.0.6"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    eventually("programmed", || {
        condition(&cluster, "business", "Programmed") == "True Programmed"
    })
    .await;
    let shown = policy(&cluster, "business").unwrap();
    assert_eq!(shown["spec"]["tunnel"], "biz-internet");
    assert_eq!(shown["spec"]["mode"], "preferred");
    assert_eq!(shown["metadata"]["ownerReferences"][0]["kind"], "Service");
    assert_eq!(shown["metadata"]["ownerReferences"][0]["uid"], "business");
    assert_eq!(shown["status"]["tunnel"], "biz-internet");
    assert_eq!(shown["status"]["endpoints"], 2);
    assert_eq!(
        shown["status"]["observedGeneration"],
        shown["metadata"]["generation"]
    );
    assert_eq!(condition(&cluster, "business", "Accepted"), "True Accepted");
    eventually("told", || reasons(&cluster) == ["Programmed"]).await;

    cluster.service("business", &[]);
    eventually("gone with the annotation", || {
        policy(&cluster, "business").is_none()
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn what_is_shown_is_kept_and_nothing_is_written_twice() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    let is_programmed = || condition(&cluster, "business", "Programmed") == "True Programmed";
    eventually("programmed", is_programmed).await;
    let patches = || {
        let requests = cluster.requests();
        requests.iter().filter(|call| call.starts_with("PATCH")).count()
    };
    let before = patches();
    cluster.endpoints("business", &["10.2.0.9"]);
    eventually("steered", || manager.in_force().contains("10.2.0.9/32")).await;
    stays("as many endpoints as before are no news", || patches() == before).await;

    cluster.delete(POLICIES, "shop", "business");
    eventually("shown again", is_programmed).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_refusal_is_a_condition_and_so_is_a_manager_that_fails() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    let broken = || Fault::new("POST /dataservice/template/policy/list", 500, refusal("no"));
    manager.shelf().faults.extend((0..1000).map(|_| broken()));
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    eventually("failed", || {
        condition(&cluster, "business", "Programmed") == "False Unclear"
    })
    .await;
    assert_eq!(condition(&cluster, "business", "Accepted"), "True Accepted");
    manager.shelf().faults.clear();
    eventually("programmed", || {
        condition(&cluster, "business", "Programmed") == "True Programmed"
    })
    .await;

    cluster.service("business", &[("tunnel", "mpls"), ("tenant", "nobody")]);
    eventually("refused", || {
        condition(&cluster, "business", "Accepted") == "False UnknownTenant"
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn what_the_manager_refuses_says_so_until_it_is_taken() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    let list = "POST /dataservice/template/policy/list/dataprefix";
    manager.shelf().refusing.push((list, "gold"));
    for (service, color, host) in [("business", "gold", "10.2.0.5"), ("batch", "mpls", "10.2.0.7")] {
        cluster.service(service, &[("tunnel", color)]);
        cluster.endpoints(service, &[host]);
    }
    let operator = Operator::start(&cluster, &manager, Duration::from_millis(100));
    eventually("the other is programmed", || {
        condition(&cluster, "batch", "Programmed") == "True Programmed"
    })
    .await;
    eventually("refused", || {
        condition(&cluster, "business", "Programmed") == "False RefusedByManager"
    })
    .await;
    assert_eq!(condition(&cluster, "business", "Accepted"), "True Accepted");
    let conditions = policy(&cluster, "business").unwrap()["status"]["conditions"].to_string();
    assert!(conditions.contains("cannot take gold"), "{conditions}");
    assert_eq!(operator.metric("sdwan_operator_classes_refused"), 1.0);
    assert!(operator.telemetry.health.ready().passed);
    let told = |reason: &str| {
        let events = cluster.events().into_iter();
        let mut of_business = events.filter(|event| event["regarding"]["name"] == "business");
        of_business.any(|event| event["reason"] == reason)
    };
    eventually("told", || told("RefusedByManager")).await;
    let count = || reasons(&cluster).len();
    let before = count();
    stays("told once, however often it is tried", || count() == before).await;
    assert!(!told("Programmed"));

    manager.shelf().refusing.clear();
    eventually("taken at a resync", || {
        condition(&cluster, "business", "Programmed") == "True Programmed"
    })
    .await;
    assert!(manager.in_force().contains("10.2.0.5/32"));
    eventually("told", || told("Programmed")).await;
    assert_eq!(operator.metric("sdwan_operator_classes_refused"), 0.0);
    operator.stop().await;
}

#[tokio::test]
async fn a_device_that_is_offline_is_named_until_it_is_back() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, Duration::from_millis(100));
    let says = |name: &str| condition(&cluster, name, "Programmed");
    eventually("programmed", || says("business") == "True Programmed").await;

    manager.shelf().controller_offline = true;
    let waiting = || operator.metric("sdwan_operator_devices_waiting");
    eventually("noticed", || waiting() == 1.0).await;
    stays("it had got that", || says("business") == "True Programmed").await;
    cluster.service("batch", &[("tunnel", "lte")]);
    cluster.endpoints("batch", &["10.2.0.7"]);
    eventually("waiting", || says("batch") == "False WaitingForDevices").await;
    let conditions = policy(&cluster, "batch").unwrap()["status"]["conditions"].to_string();
    assert!(conditions.contains("back: vsmart1"), "{conditions}");
    assert_eq!(says("business"), "True Programmed");

    manager.shelf().controller_offline = false;
    eventually("programmed", || says("batch") == "True Programmed").await;
    eventually("nobody is waited for", || waiting() == 0.0).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_policy_of_that_name_that_somebody_wrote_is_left_alone() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    let foreign = json!({
        "apiVersion": "sdwan.pathproof.dev/v1alpha1", "kind": "SteeringPolicy",
        "metadata": { "name": "business", "namespace": "shop" },
        "spec": { "serviceRef": { "name": "other" }, "tunnel": "lte" },
    });
    cluster.put(POLICIES, foreign);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    eventually("told", || reasons(&cluster).contains(&"Programmed".to_owned())).await;
    let spec = || policy(&cluster, "business").unwrap()["spec"].clone();
    stays("as it was written", || spec()["tunnel"] == "lte").await;
    cluster.service("business", &[]);
    stays("still there", || policy(&cluster, "business").is_some()).await;
    operator.stop().await;
}

#[tokio::test]
async fn without_the_resources_annotations_steer_all_the_same() {
    let (cluster, manager) = (
        FakeCluster::without_custom_resources(),
        FakeManager::start().await,
    );
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert!(manager.in_force().contains("10.2.0.5/32"));
    eventually("told", || reasons(&cluster) == ["Programmed"]).await;
    let written = cluster.requests();
    let asked = |call: &&String| call.starts_with("PATCH /apis/sdwan");
    assert_eq!(written.iter().find(asked), None);
    operator.stop().await;
}

#[tokio::test]
async fn steering_does_not_wait_for_an_api_server_that_takes_no_writes() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    for call in ["POST /apis/events", "PATCH /apis/sdwan"] {
        cluster.hold(call, true);
    }
    cluster.service("broken", &[("tunnel", "business-class")]);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    cluster.endpoints("business", &["10.2.0.6"]);
    eventually("steered", || manager.in_force().contains("10.2.0.6/32")).await;
    operator.stop().await;
}

#[tokio::test]
async fn policies_that_cannot_be_written_hold_up_no_others_for_good() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    let held = "PATCH /apis/sdwan.pathproof.dev/v1alpha1/namespaces/shop/steeringpolicies/a-";
    cluster.hold(held, true);
    // As many as are written at a time.
    for number in 0..8 {
        cluster.service(&format!("a-{number}"), &[("tunnel", "mpls")]);
    }
    cluster.service("business", &[("tunnel", "mpls")]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    eventually("the other is shown", || policy(&cluster, "business").is_some()).await;
    assert!(policy(&cluster, "a-0").is_none());
    operator.stop().await;
}

/// What the Manager reports of one tunnel: up, with this loss in percent.
fn report(loss: f64) -> [Fault; 2] {
    let ends = json!({
        "vdevice-name": "1.1.1.1", "system-ip": "1.1.1.2", "local-color": "mpls", "color": "mpls",
        "proto": "ipsec", "state": "up",
    });
    let figures = json!({
        "local_system_ip": "1.1.1.1", "remote_system_ip": "1.1.1.2", "local_color": "mpls",
        "remote_color": "mpls", "loss_percentage": loss, "latency": 20.0, "jitter": 1.0,
    });
    let rows = |row: Value| json!({ "data": [row] }).to_string();
    [
        Fault::new("GET /dataservice/data/device/state/BFDSessions", 200, rows(ends)),
        Fault::new("POST /dataservice/statistics/approute", 200, rows(figures)),
    ]
}

#[tokio::test]
async fn tunnels_are_shown_and_a_broken_sla_class_is_told_and_so_is_its_end() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    let reports = [report(5.0), report(5.0), report(5.0)];
    manager.shelf().faults.extend(reports.into_iter().flatten());
    cluster.service("voice", &[("tunnel", "mpls"), ("sla", "loss=1%")]);
    cluster.endpoints("voice", &["10.2.0.5"]);
    let tunnel_poll = Duration::from_millis(400);
    let operator = Operator::with(
        &cluster,
        &manager,
        Settings {
            tunnel_poll,
            ..settings()
        },
    );
    eventually("degraded", || {
        condition(&cluster, "voice", "Degraded") == "True SlaViolated"
    })
    .await;
    let shown = || cluster.get(TUNNELS, "", "mpls").unwrap_or_default()["status"].clone();
    eventually("shown", || shown()["loss"] == "5.00%").await;
    assert_eq!((&shown()["state"], &shown()["up"]), (&json!("up"), &json!(1)));
    let loss = operator.metric("sdwan_operator_tunnel_loss_ratios{color=\"mpls\"}");
    assert!((loss - 0.05).abs() < 1e-9, "{loss}");
    let healed = (0..200).flat_map(|_| report(0.0));
    manager.shelf().faults.extend(healed);
    eventually("kept again", || {
        condition(&cluster, "voice", "Degraded") == "False SlaMet"
    })
    .await;
    eventually("told", || {
        let reasons = reasons(&cluster);
        reasons.contains(&"SlaViolated".to_owned()) && reasons.contains(&"SlaMet".to_owned())
    })
    .await;
    eventually("shown", || shown()["loss"] == "0.00%").await;
    operator.stop().await;
}
