//! SteeringPolicies that people write: what their status says from end to end.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/rbac.rs"]
mod rbac;
mod support;

use rstest::rstest;
use serde_json::{Value, json};

use self::cluster::{FakeCluster, POLICIES, SERVICES};
use self::operator::{NEVER, Operator, eventually, ready};
use self::support::FakeManager;

/// A SteeringPolicy for a Service, from this second of the Unix epoch's first minute.
fn write(cluster: &FakeCluster, name: &str, service: &str, second: u8, mut spec: Value) {
    spec["serviceRef"] = json!({ "name": service });
    let created = format!("1970-01-01T00:00:{second:02}Z");
    cluster.put(
        POLICIES,
        json!({
            "apiVersion": "sdwan.pathproof.dev/v1alpha1", "kind": "SteeringPolicy",
            "metadata": { "name": name, "namespace": "shop", "uid": name, "creationTimestamp": created },
            "spec": spec,
        }),
    );
}

fn status(cluster: &FakeCluster, name: &str) -> Value {
    let policy = cluster.get(POLICIES, "shop", name).unwrap_or_default();
    policy["status"].clone()
}

/// A condition, if it is about the generation that the policy has.
fn condition(cluster: &FakeCluster, name: &str, kind: &str) -> Option<Value> {
    let policy = cluster.get(POLICIES, "shop", name)?;
    let generation = &policy["metadata"]["generation"];
    let conditions = policy["status"]["conditions"].as_array()?.iter();
    let mut conditions = conditions.filter(|condition| condition["type"] == kind);
    conditions
        .find(|condition| {
            condition["observedGeneration"] == *generation
                && policy["status"]["observedGeneration"] == *generation
        })
        .cloned()
}

/// `status reason` of a condition that is about the generation that the policy has.
fn says(cluster: &FakeCluster, name: &str, kind: &str) -> String {
    let found = condition(cluster, name, kind);
    found.map_or(String::new(), |condition| {
        let text = |key: &str| condition[key].as_str().unwrap().to_owned();
        format!("{} {}", text("status"), text("reason"))
    })
}

/// The notes of the Events of this reason about a SteeringPolicy.
fn notes(cluster: &FakeCluster, name: &str, reason: &str) -> Vec<String> {
    let events = cluster.events().into_iter().filter(|event| {
        let about = &event["regarding"];
        about["kind"] == "SteeringPolicy" && about["name"] == name && event["reason"] == reason
    });
    events
        .map(|event| event["note"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_policy_is_accepted_programmed_and_followed_through_its_generations() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[]);
    cluster.endpoints("business", &["10.2.0.5", "10.2.0.6"]);
    write(&cluster, "gold-class", "business", 1, json!({ "tunnel": "gold" }));
    let operator = Operator::start(&cluster, &manager, NEVER);
    let programmed = || says(&cluster, "gold-class", "Programmed") == "True Programmed";
    eventually("programmed", programmed).await;
    assert_eq!(says(&cluster, "gold-class", "Accepted"), "True Accepted");
    assert_eq!(
        says(&cluster, "gold-class", "Degraded"),
        "",
        "no SLA is asked for"
    );
    let first = status(&cluster, "gold-class");
    assert_eq!(
        (&first["tunnel"], &first["endpoints"]),
        (&json!("gold"), &json!(2))
    );
    assert!(manager.in_force().contains("gold restrict"));
    eventually("told", || !notes(&cluster, "gold-class", "Programmed").is_empty()).await;
    assert_eq!(
        notes(&cluster, "gold-class", "Programmed"),
        ["2 endpoints are steered to gold"]
    );

    let spec = json!({ "tunnel": "lte", "mode": "preferred", "sla": { "loss": 1 } });
    write(&cluster, "gold-class", "business", 1, spec);
    eventually("programmed anew", programmed).await;
    let second = status(&cluster, "gold-class");
    assert_eq!(second["tunnel"], "lte");
    assert_ne!(second["lastProgrammed"], first["lastProgrammed"]);
    assert_eq!(says(&cluster, "gold-class", "Degraded"), "Unknown NotMeasured");

    cluster.endpoints("business", &[]);
    eventually("nothing to steer", || {
        says(&cluster, "gold-class", "Programmed") == "True NoEndpoints"
    })
    .await;
    cluster.delete(POLICIES, "shop", "gold-class");
    cluster.endpoints("business", &["10.2.0.5"]);
    eventually("not steered any more", || !manager.in_force().contains("10.2.0")).await;
    let written = cluster.get(POLICIES, "shop", "gold-class");
    assert_eq!(written, None, "what people delete stays deleted");
    operator.stop().await;
}

#[rstest]
#[case::color(
    "business", json!({ "tunnel": "business-class" }),
    "UnknownColor", "field `spec.tunnel`: unknown color `business-class`",
)]
#[case::service("nowhere", json!({ "tunnel": "gold" }), "ServiceNotFound", "service shop/nowhere does not exist")]
#[case::port(
    "business", json!({ "ports": [{ "port": "metrics", "tunnel": "gold" }] }),
    "UnknownPort", "unknown port `metrics`; ports of the Service: http (80)",
)]
#[case::tenant(
    "business", json!({ "tunnel": "gold", "tenant": "nobody" }), "UnknownTenant", "unknown tenant `nobody`",
)]
#[case::older_policy(
    "taken", json!({ "tunnel": "gold" }), "Conflict", "the SteeringPolicy `first` is for the same Service",
)]
#[case::older_service(
    "younger", json!({ "tunnel": "gold" }), "Conflict", "already steered to mpls (strict) by the older Service shop/taken",
)]
#[tokio::test]
async fn a_policy_that_is_refused_says_why_and_disturbs_nobody(
    #[case] service: &str,
    #[case] spec: Value,
    #[case] reason: &'static str,
    #[case] message: &'static str,
) {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    for (name, second) in [("taken", 1), ("business", 2), ("younger", 3)] {
        let created = format!("1970-01-01T00:00:{second:02}Z");
        cluster.put(
            SERVICES,
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": name, "namespace": "shop", "uid": name, "creationTimestamp": created },
                "spec": { "ports": [{ "name": "http", "port": 80 }] },
            }),
        );
    }
    cluster.endpoints("taken", &["10.2.0.5"]);
    cluster.endpoints("younger", &["10.2.0.5"]);
    cluster.endpoints("business", &["10.2.0.7"]);
    write(&cluster, "first", "taken", 1, json!({ "tunnel": "mpls" }));
    write(&cluster, "second", service, 2, spec);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    let refused = format!("False {reason}");
    eventually("refused", || says(&cluster, "second", "Accepted") == refused).await;
    assert_eq!(says(&cluster, "second", "Programmed"), "False Refused");
    for kind in ["Accepted", "Programmed"] {
        let condition = condition(&cluster, "second", kind).unwrap();
        let said = condition["message"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
    }
    let shown = status(&cluster, "second");
    assert_eq!(
        (&shown["tunnel"], &shown["endpoints"]),
        (&Value::Null, &Value::Null)
    );
    eventually("told", || !notes(&cluster, "second", reason).is_empty()).await;
    let [note] = notes(&cluster, "second", reason).try_into().unwrap();
    assert!(note.contains(message), "{note}");

    eventually("the other is programmed", || {
        says(&cluster, "first", "Programmed") == "True Programmed"
    })
    .await;
    assert!(!manager.in_force().contains("gold"));
    operator.stop().await;
}

#[tokio::test]
async fn a_refusal_ends_with_its_reason() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    write(&cluster, "early", "business", 1, json!({ "tunnel": "gold" }));
    write(&cluster, "late", "business", 2, json!({ "tunnel": "lte" }));
    let operator = Operator::start(&cluster, &manager, NEVER);
    eventually("there is no such Service", || {
        says(&cluster, "early", "Accepted") == "False ServiceNotFound"
    })
    .await;
    cluster.service("business", &[]);
    cluster.endpoints("business", &["10.2.0.5"]);
    eventually("programmed", || {
        says(&cluster, "early", "Programmed") == "True Programmed"
    })
    .await;
    eventually("overruled", || {
        says(&cluster, "late", "Accepted") == "False Conflict"
    })
    .await;
    cluster.delete(POLICIES, "shop", "early");
    eventually("the next in line", || {
        says(&cluster, "late", "Programmed") == "True Programmed"
    })
    .await;
    assert!(manager.in_force().contains("lte restrict"));
    operator.stop().await;
}
