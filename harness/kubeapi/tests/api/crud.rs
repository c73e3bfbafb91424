use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;

use crate::lab::{Lab, soon};

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": "web"}}, "data": {"k": "v"},
    }))
    .unwrap()
}

#[tokio::test]
async fn an_object_is_created_read_replaced_patched_listed_and_deleted() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let created = maps
        .create(&PostParams::default(), &config_map("c"))
        .await
        .unwrap();
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());

    let mut replacement = created.clone();
    replacement.data = None;
    let replaced = maps
        .replace("c", &PostParams::default(), &replacement)
        .await
        .unwrap();
    assert_ne!(replaced.resource_version(), created.resource_version());
    let stale = maps
        .replace("c", &PostParams::default(), &created)
        .await
        .unwrap_err();
    assert!(matches!(stale, kube::Error::Api(status) if status.reason == "Conflict" && status.code == 409));

    let patch = Patch::Merge(json!({"data": {"k": "w"}}));
    let patched = maps.patch("c", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data.unwrap()["k"], "w");

    let listed = maps
        .list(&ListParams::default().labels("app in (web)"))
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 1);
    assert!(listed.metadata.resource_version.is_some());
    let metadata = maps.get_metadata("c").await.unwrap();
    assert_eq!(metadata.name_any(), "c");

    maps.delete("c", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("c").await.unwrap().is_none());
}

#[tokio::test]
async fn the_objects_of_a_new_cluster_are_there() {
    let lab = Lab::start().await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let names: Vec<String> = namespaces
        .list(&ListParams::default())
        .await
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(
        names,
        ["default", "kube-node-lease", "kube-public", "kube-system"]
    );
    let services: Api<Service> = Api::namespaced(lab.client.clone(), "default");
    let kubernetes = services.get("kubernetes").await.unwrap().spec.unwrap();
    assert_eq!(kubernetes.cluster_ip.as_deref(), Some("10.96.0.1"));
    let nodes: Api<Node> = Api::all(lab.client.clone());
    let conditions = nodes.get("a").await.unwrap().status.unwrap().conditions.unwrap();
    assert!(
        conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    );
}

#[tokio::test]
async fn lists_come_in_pages_and_by_field() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    for name in ["a", "b", "c"] {
        maps.create(&PostParams::default(), &config_map(name))
            .await
            .unwrap();
    }
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(
        (first.items.len(), first.metadata.remaining_item_count),
        (2, Some(1))
    );
    let token = first.metadata.continue_.unwrap();
    let second = maps
        .list(&ListParams::default().limit(2).continue_token(&token))
        .await
        .unwrap();
    assert_eq!((second.items.len(), second.metadata.continue_), (1, None));
    let one = maps
        .list(&ListParams::default().fields("metadata.name=b"))
        .await
        .unwrap();
    assert_eq!(one.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["b"]);
    let refused = maps
        .list(&ListParams::default().fields("data.k=v"))
        .await
        .unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.reason == "BadRequest"));
}

#[tokio::test]
async fn a_deleted_namespace_takes_its_contents_along() {
    let lab = Lab::start().await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let body = serde_json::from_value(json!({"metadata": {"name": "team"}})).unwrap();
    let created = namespaces.create(&PostParams::default(), &body).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(lab.client.clone(), "team");
    let mut pod = crate::lab::pod("p", "web", 80);
    pod["metadata"]["namespace"] = json!("team");
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
    let running = await_condition(pods.clone(), "p", conditions::is_pod_running());
    soon("pod runs", running).await.unwrap();

    let uid = created.uid().unwrap();
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    let gone = await_condition(namespaces.clone(), "team", conditions::is_deleted(&uid));
    soon("namespace is gone", gone).await.unwrap();
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(lab.kubelet.stopped(), ["p"]);
}

#[tokio::test]
async fn every_write_is_told_to_the_log_in_order() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let events = local.events();
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    maps.create(&PostParams::default(), &config_map("c"))
        .await
        .unwrap();
    maps.delete("c", &DeleteParams::default()).await.unwrap();
    let seen: Vec<_> = soon("two writes", events.take(2).collect()).await;
    let told: Vec<_> = seen
        .iter()
        .map(|event| (event.resource.as_str(), event.kind, event.name.as_str()))
        .collect();
    use kubeapi::ChangeKind::{Added, Deleted};
    assert_eq!(told, [("configmaps", Added, "c"), ("configmaps", Deleted, "c")]);
    assert_eq!(seen[1].resource_version, seen[0].resource_version + 1);
    assert!(seen[1].time >= seen[0].time);
}
