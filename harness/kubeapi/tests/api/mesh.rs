//! Global Services over two clusters, as Cilium Cluster Mesh shows them.

use std::net::TcpListener;
use std::sync::Arc;

use kubeapi::{Collection, Config, Local, Mesh, ObjectRef, Server};
use serde_json::{Value, json};

use crate::lab::{MemoryKubelet, pod, service, until};

/// A cluster with one node, the Service `web` with the annotations, and its pod.
async fn cluster(name: &str, annotations: Value) -> Server {
    let config = Config {
        cluster: name.to_owned(),
        listeners: vec![TcpListener::bind("127.0.0.1:0").unwrap()],
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        service_cidr_v6: None,
    };
    let kubelet = Arc::new(MemoryKubelet::default());
    let server = Server::start(config, kubelet).await.unwrap();
    let local = server.local();
    local
        .create(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}))
        .unwrap();
    let mut web = service("web", "web");
    web["metadata"]["labels"] = json!({"team": "shop"});
    web["metadata"]["annotations"] = annotations;
    local.create(&web).unwrap();
    local.create(&pod(&format!("{name}-pod"), "web", 8080)).unwrap();
    server
}

fn global() -> Value {
    json!({"service.cilium.io/global": "true", "service.cilium.io/global-sync-endpoint-slices": "true"})
}

fn web() -> ObjectRef {
    ObjectRef::namespaced("v1", "Service", "default", "web")
}

fn annotate(local: &Local, annotation: &str, value: Value) {
    let patch = json!({"metadata": {"annotations": {annotation: value}}});
    local.merge_patch(&web(), patch).unwrap();
}

fn synced(local: &Local) -> Vec<Arc<Value>> {
    let of_mesh = "endpointslice.kubernetes.io/managed-by=endpointslice-mesh-controller.cilium.io";
    local
        .list(&Collection::all("discovery.k8s.io/v1", "EndpointSlice").labelled(of_mesh))
        .unwrap()
}

/// How many endpoints the slices of other clusters have.
fn endpoints(local: &Local) -> Vec<usize> {
    let slices = synced(local);
    slices
        .iter()
        .map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len))
        .collect()
}

#[tokio::test]
async fn a_global_service_shows_the_endpoints_of_the_other_cluster() {
    let (east, west) = (cluster("east", global()).await, cluster("west", global()).await);
    let (here, there) = (east.local(), west.local());
    let _mesh = Mesh::join(&[("east", &east), ("west", &west)]);
    for local in [&here, &there] {
        until("the synced slice", local, || endpoints(local) == [1]).await;
    }
    let slice = synced(&here).remove(0);
    let labels = &slice["metadata"]["labels"];
    assert_eq!(
        *labels,
        json!({
            "team": "shop", "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-mesh-controller.cilium.io",
            "multicluster.kubernetes.io/source-cluster": "west",
        })
    );
    assert_eq!(
        slice["endpoints"],
        json!([{
            "addresses": ["10.0.0.1"], "nodeName": "west",
            "conditions": {"ready": true, "serving": true, "terminating": false},
        }])
    );
    assert_eq!(
        slice["ports"],
        json!([{"name": "web", "port": 8080, "protocol": "TCP"}])
    );
    let owner = here.get(&web()).unwrap();
    assert_eq!(
        slice["metadata"]["ownerReferences"][0]["uid"],
        owner["metadata"]["uid"]
    );
    assert!(
        slice["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("web-west-")
    );

    // It follows the other cluster, and is nobody's but the mesh's.
    there.create(&pod("more", "web", 8080)).unwrap();
    until("the second endpoint", &here, || endpoints(&here) == [2]).await;
    there
        .delete(&ObjectRef::namespaced("v1", "Pod", "default", "more"))
        .unwrap();
    until("one endpoint again", &here, || endpoints(&here) == [1]).await;
    here.delete(&ObjectRef::of(&synced(&here)[0])).unwrap();
    until("the slice again", &here, || endpoints(&here) == [1]).await;
    here.delete(&web()).unwrap();
    until("no slice without the Service", &here, || {
        endpoints(&here).is_empty()
    })
    .await;
    until("nor elsewhere", &there, || endpoints(&there).is_empty()).await;
}

#[tokio::test]
async fn annotations_say_who_shows_what() {
    let (east, west) = (cluster("east", global()).await, cluster("west", global()).await);
    let (here, there) = (east.local(), west.local());
    let mesh = Mesh::join(&[("east", &east), ("west", &west)]);
    until("the synced slice", &here, || endpoints(&here) == [1]).await;
    until("the synced slice", &there, || endpoints(&there) == [1]).await;

    annotate(&there, "service.cilium.io/shared", json!("false"));
    until("nothing is shared", &here, || endpoints(&here).is_empty()).await;
    assert_eq!(endpoints(&there), [1], "west still sees east");
    annotate(&there, "service.cilium.io/shared", Value::Null);
    until("shared again", &here, || endpoints(&here) == [1]).await;

    annotate(
        &here,
        "service.cilium.io/global-sync-endpoint-slices",
        Value::Null,
    );
    until("only headless Services are shown unasked", &here, || {
        endpoints(&here).is_empty()
    })
    .await;
    annotate(
        &here,
        "service.cilium.io/global-sync-endpoint-slices",
        json!("true"),
    );
    until("shown again", &here, || endpoints(&here) == [1]).await;

    annotate(&here, "service.cilium.io/global", json!("false"));
    until("no longer global here", &here, || endpoints(&here).is_empty()).await;
    until("nor seen from there", &there, || endpoints(&there).is_empty()).await;
    annotate(&here, "service.cilium.io/global", json!("true"));
    until("global again", &here, || endpoints(&here) == [1]).await;

    mesh.leave("west");
    until("west is forgotten", &here, || endpoints(&here).is_empty()).await;
    assert_eq!(endpoints(&there), [0usize; 0]);
}

#[tokio::test]
async fn a_headless_global_service_is_shown_unasked() {
    let (east, west) = (cluster("east", json!({})).await, cluster("west", json!({})).await);
    let _mesh = Mesh::join(&[("east", &east), ("west", &west)]);
    for server in [&east, &west] {
        let mut headless = service("peers", "web");
        headless["spec"]["clusterIP"] = json!("None");
        headless["metadata"]["annotations"] = json!({"io.cilium/global-service": "true"});
        server.local().create(&headless).unwrap();
    }
    let here = east.local();
    until("the synced slice", &here, || endpoints(&here) == [1]).await;
    assert_eq!(
        synced(&here)[0]["metadata"]["labels"]["service.kubernetes.io/headless"],
        ""
    );
}
