//! `Api` on parts of objects: status, scale, tokens; and the requests that kube-rs has names for.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenReview};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::refusal;
use crate::lab::{Lab, connect_with, pod, soon};

fn deployment(replicas: i32) -> Deployment {
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": pod("web", "web", 80)["spec"]});
    let spec =
        json!({"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap()
}

async fn deployed() -> (Lab, Api<Deployment>) {
    let lab = Lab::start().await;
    let deployments: Api<Deployment> = Api::namespaced(lab.client.clone(), "default");
    deployments
        .create(&PostParams::default(), &deployment(2))
        .await
        .unwrap();
    let complete = await_condition(deployments.clone(), "web", conditions::is_deployment_completed());
    soon("the rollout", complete).await.unwrap();
    (lab, deployments)
}

#[tokio::test]
async fn a_scale_is_read_patched_and_replaced() {
    let (_lab, deployments) = deployed().await;
    let scale = deployments.get_scale("web").await.unwrap();
    let status = scale.status.as_ref().unwrap();
    assert_eq!(
        (status.replicas, status.selector.as_deref()),
        (2, Some("app=web"))
    );
    let to_three = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let patched = deployments
        .patch_scale("web", &PatchParams::default(), &to_three)
        .await
        .unwrap();
    assert_eq!(patched.spec.unwrap().replicas, Some(3));
    // It has changed since it was read.
    let lost = deployments
        .replace_scale("web", &PostParams::default(), &scale)
        .await;
    assert_eq!(refusal(lost), (409, "Conflict".to_owned()));
    let mut current = deployments.get_scale("web").await.unwrap();
    current.spec.as_mut().unwrap().replicas = Some(1);
    deployments
        .replace_scale("web", &PostParams::default(), &current)
        .await
        .unwrap();
    let one = |deployment: Option<&Deployment>| {
        deployment
            .and_then(|deployment| deployment.status.as_ref())
            .is_some_and(|status| status.replicas == Some(1))
    };
    soon("one pod", await_condition(deployments, "web", one))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_restart_by_name_rolls_the_pods() {
    let (_lab, deployments) = deployed().await;
    let before = deployments.get("web").await.unwrap();
    deployments.restart("web").await.unwrap();
    let generation = before.metadata.generation.unwrap() + 1;
    let complete = |deployment: Option<&Deployment>| {
        let status = deployment.and_then(|deployment| deployment.status.as_ref());
        status.is_some_and(|status| {
            status.observed_generation == Some(generation)
                && status.updated_replicas == Some(2)
                && status.replicas == Some(2)
                && status.available_replicas == Some(2)
        })
    };
    soon(
        "the second rollout",
        await_condition(deployments, "web", complete),
    )
    .await
    .unwrap();
}

fn condition(status: &str) -> Value {
    json!({"type": "Ready", "status": status, "reason": "Tested", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[tokio::test]
async fn a_status_is_applied_patched_and_replaced_without_the_rest() {
    let lab = Lab::start().await;
    let nodes: Api<Node> = Api::all(lab.client.clone());
    let applied = |ready: &str| {
        Patch::Apply(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"},
            "spec": {"unschedulable": true}, "status": {"conditions": [condition(ready)]},
        }))
    };
    let first = PatchParams::apply("first");
    nodes.patch_status("a", &first, &applied("True")).await.unwrap();
    let second = PatchParams::apply("second");
    let refused = nodes.patch_status("a", &second, &applied("False")).await;
    assert_eq!(refusal(refused), (409, "Conflict".to_owned()));
    let node = nodes
        .patch_status("a", &second.force(), &applied("False"))
        .await
        .unwrap();
    let ready = |node: &Node| {
        let conditions = node.status.as_ref().unwrap().conditions.as_ref().unwrap();
        conditions
            .iter()
            .find(|condition| condition.type_ == "Ready")
            .unwrap()
            .status
            .clone()
    };
    assert_eq!(ready(&node), "False");
    assert!(node.spec.as_ref().is_none_or(|spec| spec.unschedulable.is_none()));

    let merged = Patch::Merge(json!({"status": {"conditions": [condition("Unknown")]}}));
    assert_eq!(
        ready(
            &nodes
                .patch_status("a", &PatchParams::default(), &merged)
                .await
                .unwrap()
        ),
        "Unknown"
    );
    let mut next = nodes.get_status("a").await.unwrap();
    next.labels_mut().insert("unseen".to_owned(), "x".to_owned());
    next.spec.get_or_insert_default().unschedulable = Some(true);
    next.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "True".to_owned();
    let replaced = nodes
        .replace_status("a", &PostParams::default(), &next)
        .await
        .unwrap();
    assert_eq!(ready(&replaced), "True");
    assert_eq!(replaced.spec.and_then(|spec| spec.unschedulable), None);
    assert_eq!(
        refusal(nodes.replace_status("a", &PostParams::default(), &next).await).0,
        409
    );
}

#[tokio::test]
async fn a_node_is_cordoned_by_name() {
    let lab = Lab::start().await;
    let nodes: Api<Node> = Api::all(lab.client.clone());
    let unschedulable = |node: Node| node.spec.and_then(|spec| spec.unschedulable);
    assert_eq!(unschedulable(nodes.cordon("a").await.unwrap()), Some(true));
    assert_ne!(unschedulable(nodes.uncordon("a").await.unwrap()), Some(true));
}

#[tokio::test]
async fn a_token_that_is_requested_is_the_one_of_its_account() {
    let lab = Lab::start().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(lab.client.clone(), "default");
    let request: TokenRequest =
        serde_json::from_value(json!({"spec": {"audiences": [], "expirationSeconds": 600}})).unwrap();
    let answer = accounts
        .create_token_request("default", &PostParams::default(), &request)
        .await
        .unwrap();
    let token = answer.status.unwrap().token;
    let reviews: Api<TokenReview> = Api::all(lab.client.clone());
    let review = serde_json::from_value(json!({"metadata": {}, "spec": {"token": token}})).unwrap();
    let review = reviews
        .create(&PostParams::default(), &review)
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(review.authenticated, Some(true));
    let user = review.user.unwrap();
    assert_eq!(
        user.username.as_deref(),
        Some("system:serviceaccount:default:default")
    );

    let kubeconfig = lab
        .server
        .kubeconfig_for_service_account("default", "default")
        .unwrap();
    let stranger = connect_with(&kubeconfig).await;
    let nodes: Api<Node> = Api::all(stranger);
    assert_eq!(refusal(nodes.get("a").await), (403, "Forbidden".to_owned()));
    let none = accounts
        .create_token_request("none", &PostParams::default(), &request)
        .await;
    assert_eq!(refusal(none), (404, "NotFound".to_owned()));
    assert_eq!(
        accounts
            .get("default")
            .await
            .unwrap()
            .object_ref(&())
            .kind
            .as_deref(),
        Some("ServiceAccount")
    );
}
