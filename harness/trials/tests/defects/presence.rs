//! Services that come and go, an operator that does too, and what it may do and says.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{Api, DeleteParams, ListParams};
use kubeapi::{Collection, ObjectRef};
use pathproof_trials::settings;
use sdwan_operator::controller::{Contest, Settings, Timing};
use sdwan_operator::manager::Backend;
use serde_json::json;

use crate::support::admin::{inventory, lists, policies, push, text};
use crate::support::{Trial, eventually, resyncing, stays};

/// A Service without endpoints ends the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_endpoints_has_no_rule_and_harms_nobody() {
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    trial.service("batch", &[("tunnel", "mpls")], &["10.0.2.6"]);
    trial.service("unborn", &[("tunnel", "mpls")], &[]);
    let operator = trial.operator(settings()).await;
    trial.until_taken("10.0.2.6", "mpls").await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    let since = trial.wan.edges.count();
    trial.endpoints("batch", &[]);
    trial.until_taken("10.0.2.6", "default").await;
    trial.cluster.delete_slice("batch-tcp-8080-v4");
    trial.endpoints("batch", &["10.0.2.7"]);
    trial.until_taken("10.0.2.7", "mpls").await;
    trial.never_left(since, "10.0.2.5", &["biz-internet"]);
    operator.stop().await;
}

/// What goes while the operator is away is never removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_went_while_the_operator_was_away_leave_nothing() {
    let trial = Trial::start().await;
    let rest = trial.wan.rest().await;
    trial.service("stays", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let operator = trial.operator(settings()).await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    eventually("nothing is under way", || {
        operator.metric("sdwan_operator_activations_total") == 1.0
    })
    .await;
    let alone = inventory(&rest, Backend::Classic).await;
    trial.service("goes", &[("tunnel", "mpls")], &["10.0.2.6"]);
    trial.service(
        "changes",
        &[("tunnel", "mpls"), ("mode", "preferred")],
        &["10.0.2.7"],
    );
    trial.until_taken("10.0.2.6", "mpls").await;
    trial.until_taken("10.0.2.7", "mpls").await;
    operator.kill();

    trial.cluster.delete_service("goes");
    trial
        .cluster
        .annotate("changes", &crate::support::annotation("tunnel"), Some("none"));
    let since = trial.wan.edges.count();
    let successor = trial.operator(settings()).await;
    trial.until_taken("10.0.2.6", "default").await;
    trial.until_taken("10.0.2.7", "default").await;
    successor.stop().await;
    trial.never_left(since, "10.0.2.5", &["biz-internet"]);
    assert_eq!(inventory(&rest, Backend::Classic).await, alone);
}

/// What is on the Manager is read once, at the start; what others change there stays changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_change_is_put_right() {
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let operator = trial.operator(resyncing(Duration::from_millis(100))).await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    let rest = trial.wan.rest().await;
    let policies = policies(&rest).await;
    let policy = text(&policies[0], "policyId");

    let lists = lists(&rest).await;
    let list = lists.iter().find(|list| list["type"] == "dataPrefix").unwrap();
    let path = format!("/template/policy/list/dataprefix/{}", text(list, "listId"));
    let body = json!({
        "name": list["name"], "description": list["description"], "type": "dataPrefix",
        "entries": [{"ipPrefix": "192.0.2.0/24"}],
    });
    let since = trial.wan.edges.count();
    rest.done("PUT", &path, Some(&body)).await;
    push(&rest, "activate", policy).await;
    assert!(trial.wan.edges.count() > since, "others had their way");
    trial.until_taken("10.0.2.5", "biz-internet").await;

    push(&rest, "deactivate", policy).await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    let edges = &trial.wan.edges;
    let settled = edges.count();
    stays("nothing is left to do", || edges.count() == settled).await;
    operator.stop().await;
}

/// The operator may do anything, and says nothing of what it does: no metric, Event or condition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_delivered_roles_are_enough_for_all_that_is_told_and_for_nothing_else() {
    const NAME: &str = "sdwan-operator";
    let trial = Trial::start().await;
    trial.install();
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    trial.service("mistyped", &[("tunnel", "bizz-internet")], &["10.0.2.6"]);
    let client = trial.cluster.client_of_service_account(NAME, NAME).await;
    let contest = Contest {
        kube_namespace: NAME.to_owned(),
        name: NAME.to_owned(),
        identity: "first".to_owned(),
        timing: Timing::default(),
    };
    let settings = Settings {
        contest: Some(contest),
        tunnel_poll: Duration::from_millis(50),
        ..settings()
    };
    let operator = trial.operator_as(client, settings);
    trial.until_taken("10.0.2.5", "biz-internet").await;
    eventually("shown", || {
        trial.condition("business", "Programmed") == "True Programmed"
    })
    .await;
    eventually("Events", || {
        trial.reasons("business") == ["Programmed"] && trial.reasons("mistyped") == ["UnknownColor"]
    })
    .await;
    let tunnels = Collection::all("sdwan.pathproof.dev/v1alpha1", "WanTunnel");
    eventually("tunnels", || trial.cluster.api.list(&tunnels).unwrap().len() == 3).await;
    for metric in [
        "leader",
        "activations_total",
        "annotation_to_programmed_seconds_count",
    ] {
        assert!(
            operator.metric(&format!("sdwan_operator_{metric}")) >= 1.0,
            "{metric}"
        );
    }
    let lease = ObjectRef::namespaced("coordination.k8s.io/v1", "Lease", NAME, NAME);
    operator.stop().await;
    assert_eq!(
        trial.cluster.api.get(&lease).unwrap()["spec"]["holderIdentity"],
        "",
        "given back"
    );

    // The connections of the other client have ended with the operator.
    let client = trial.cluster.client_of_service_account(NAME, NAME).await;
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let refused = services
        .delete("business", &DeleteParams::default())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("cannot delete resource"),
        "{refused}"
    );
    let secrets: Api<Secret> = Api::all(client);
    let refused = secrets.list(&ListParams::default()).await.unwrap_err();
    assert!(refused.to_string().contains("cannot list resource"), "{refused}");
}
