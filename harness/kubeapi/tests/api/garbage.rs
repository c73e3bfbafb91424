//! What goes with its owner, what holds it back, and what stays.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Preconditions};
use kubeapi::{Local, ObjectRef};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::lab::{Lab, deadline, until};
use crate::rollouts::{deployment, listed, rolled_out};

fn config_map(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}})
}

fn reference(name: &str) -> ObjectRef {
    ObjectRef::namespaced("v1", "ConfigMap", "default", name)
}

fn owned_by(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
    })
}

/// A ConfigMap with these owners.
fn dependent(local: &Local, name: &str, owners: &[Value]) -> Value {
    let mut object = config_map("default", name);
    object["metadata"]["ownerReferences"] = json!(owners);
    (*local.create(&object).unwrap()).clone()
}

async fn is_gone(local: &Local, reference: &ObjectRef) {
    local
        .wait_for(reference, deadline(), |object| object.is_none())
        .await
        .unwrap();
}

/// Whatever is to be collected by now is: a ConfigMap made last is collected last.
async fn is_settled(local: &Local) {
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "none"}});
    let last = dependent(local, "last", &[owned_by(&owner)]);
    is_gone(local, &ObjectRef::of(&last)).await;
}

#[tokio::test]
async fn dependents_go_after_their_owner_and_theirs_after_them() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let owner = local.create(&config_map("default", "owner")).unwrap();
    let child = dependent(&local, "child", &[owned_by(&owner)]);
    dependent(&local, "grandchild", &[owned_by(&child)]);
    local.delete(&reference("owner")).unwrap();
    is_gone(&local, &reference("grandchild")).await;
    is_gone(&local, &reference("child")).await;
}

#[tokio::test]
async fn an_owner_is_known_by_its_uid_and_its_namespace() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let owner = local.create(&config_map("default", "owner")).unwrap();
    let elsewhere = local.create(&config_map("kube-system", "elsewhere")).unwrap();
    let mut successor = owned_by(&owner);
    successor["uid"] = json!("of-another-life");
    let mut renamed = owned_by(&owner);
    renamed["name"] = json!("renamed");
    let unknown = json!({"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "y"});
    dependent(&local, "of-the-owner", &[owned_by(&owner)]);
    dependent(&local, "of-something-unknown", &[unknown]);
    dependent(&local, "of-a-predecessor", &[successor]);
    dependent(&local, "of-another-name", &[renamed]);
    dependent(&local, "of-another-namespace", &[owned_by(&elsewhere)]);
    for name in ["of-a-predecessor", "of-another-name", "of-another-namespace"] {
        is_gone(&local, &reference(name)).await;
    }
    let mut outside = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "outside"}});
    outside["metadata"]["ownerReferences"] = json!([owned_by(&owner)]);
    local.create(&outside).unwrap();
    local.delete(&reference("owner")).unwrap();
    is_gone(&local, &reference("of-the-owner")).await;
    is_settled(&local).await;
    local.get(&reference("of-something-unknown")).unwrap();
    // Nothing inside of a namespace can own what is outside.
    local.get(&ObjectRef::cluster("v1", "Node", "outside")).unwrap();
}

#[tokio::test]
async fn one_owner_of_two_is_enough_to_stay() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let first = local.create(&config_map("default", "first")).unwrap();
    let second = local.create(&config_map("default", "second")).unwrap();
    dependent(&local, "shared", &[owned_by(&first), owned_by(&second)]);
    local.delete(&reference("first")).unwrap();
    let remaining = |object: Option<&Value>| {
        let owners = object.unwrap()["metadata"]["ownerReferences"].as_array().unwrap();
        owners.len() == 1 && owners[0]["name"] == "second"
    };
    local
        .wait_for(&reference("shared"), deadline(), remaining)
        .await
        .unwrap();
    local.delete(&reference("second")).unwrap();
    is_gone(&local, &reference("shared")).await;
}

#[tokio::test]
async fn an_owner_in_the_foreground_waits_for_those_that_block_it() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let owner = local.create(&config_map("default", "owner")).unwrap();
    let mut free = owned_by(&owner);
    free["blockOwnerDeletion"] = json!(false);
    for (name, owner) in [("blocking", owned_by(&owner)), ("free", free)] {
        dependent(&local, name, &[owner]);
        let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
        local.merge_patch(&reference(name), held).unwrap();
    }
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    maps.delete("owner", &DeleteParams::foreground()).await.unwrap();
    let is_going = |object: Option<&Value>| object.unwrap()["metadata"].get("deletionTimestamp").is_some();
    for name in ["blocking", "free"] {
        local
            .wait_for(&reference(name), deadline(), is_going)
            .await
            .unwrap();
    }
    is_settled(&local).await;
    let waiting = local.get(&reference("owner")).unwrap();
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let free = json!({"metadata": {"finalizers": null}});
    local.merge_patch(&reference("blocking"), free).unwrap();
    is_gone(&local, &reference("owner")).await;
    local.get(&reference("free")).unwrap();
}

#[tokio::test]
async fn two_that_own_each_other_go_together() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let a = local.create(&config_map("default", "a")).unwrap();
    let b = dependent(&local, "b", &[owned_by(&a)]);
    let owners = json!({"metadata": {"ownerReferences": [owned_by(&b)]}});
    local.merge_patch(&reference("a"), owners).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    maps.delete("a", &DeleteParams::foreground()).await.unwrap();
    is_gone(&local, &reference("a")).await;
    is_gone(&local, &reference("b")).await;
}

#[tokio::test]
async fn orphans_forget_their_owner() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let owner = local.create(&config_map("default", "owner")).unwrap();
    dependent(&local, "child", &[owned_by(&owner)]);
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let uid = owner["metadata"]["uid"].as_str().map(str::to_owned);
    let params = DeleteParams::orphan().preconditions(Preconditions {
        uid,
        resource_version: None,
    });
    maps.delete("owner", &params).await.unwrap();
    is_gone(&local, &reference("owner")).await;
    is_settled(&local).await;
    let child = local.get(&reference("child")).unwrap();
    assert_eq!(child["metadata"].get("ownerReferences"), None);
}

#[tokio::test]
async fn custom_resources_own_and_are_owned() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            }],
        },
    });
    local.create(&definition).unwrap();
    let thing = |name: &str, owners: Value| {
        json!({
            "apiVersion": "example.com/v1", "kind": "Thing",
            "metadata": {"name": name, "namespace": "default", "ownerReferences": owners},
        })
    };
    let root = local.create(&config_map("default", "root")).unwrap();
    let middle = local.create(&thing("middle", json!([owned_by(&root)]))).unwrap();
    dependent(&local, "leaf", &[owned_by(&middle)]);
    local.delete(&reference("root")).unwrap();
    is_gone(&local, &reference("leaf")).await;
    is_gone(&local, &ObjectRef::of(&middle)).await;

    // With its definition a kind is gone, and so is what its objects owned.
    let owner = local.create(&thing("owner", json!([]))).unwrap();
    dependent(&local, "leaf", &[owned_by(&owner)]);
    local
        .delete(&ObjectRef::cluster(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "things.example.com",
        ))
        .unwrap();
    is_gone(&local, &reference("leaf")).await;
}

#[tokio::test]
async fn kubectl_deletes_in_all_cascades() {
    let Some(kubectl) = Kubectl::start("kubectl_deletes_in_all_cascades").await else {
        return;
    };
    let local = kubectl.lab.server.local();
    let pods = || listed(&local, "v1", "Pod", "app=web");
    let sets = || listed(&local, "apps/v1", "ReplicaSet", "app=web");
    local.create(&deployment("web", 2)).unwrap();
    rolled_out(&local, "web").await;
    kubectl.run("delete deployment web --cascade=orphan").await;
    assert_eq!((sets().len(), pods().len()), (1, 2));
    assert_eq!(sets()[0]["metadata"].get("ownerReferences"), None);

    // A Deployment of the same template takes over what was left.
    let uid = sets()[0]["metadata"]["uid"].clone();
    local.create(&deployment("web", 2)).unwrap();
    rolled_out(&local, "web").await;
    assert_eq!(
        (&sets()[0]["metadata"]["uid"], sets().len(), pods().len()),
        (&uid, 1, 2)
    );

    let held = pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    kubectl.lab.kubelet.hold(&held);
    kubectl
        .run("delete deployment web --cascade=foreground --wait=false")
        .await;
    until("one pod is gone", &local, || pods().len() == 1).await;
    let waiting = kubectl.json("get deployment web -o json").await;
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    kubectl.lab.kubelet.release(&held);
    kubectl
        .run("wait --for=delete deployment/web --timeout=20s")
        .await;
    assert_eq!((sets().len(), pods().len()), (0, 0));

    local.create(&deployment("web", 2)).unwrap();
    rolled_out(&local, "web").await;
    kubectl.run("delete deployment web").await;
    until("everything is gone", &local, || {
        sets().is_empty() && pods().is_empty()
    })
    .await;
}
