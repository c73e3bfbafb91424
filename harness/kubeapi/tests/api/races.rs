//! Workloads whose users do not wait.

use kubeapi::{Local, ObjectRef};
use serde_json::{Value, json};

use crate::lab::{Lab, until};
use crate::rollouts::{deployment, listed, rolled_out};

fn web() -> ObjectRef {
    ObjectRef::namespaced("apps/v1", "Deployment", "default", "web")
}

fn pods(local: &Local) -> Vec<Value> {
    listed(local, "v1", "Pod", "app=web")
}

#[tokio::test]
async fn only_the_last_of_many_changes_counts() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&deployment("web", 1)).unwrap();
    for (round, replicas) in [4, 0, 3, 1, 5, 2].into_iter().cycle().take(30).enumerate() {
        let template = json!({"metadata": {"labels": {"round": (round / 3).to_string()}}});
        let patch = json!({"spec": {"replicas": replicas, "template": template}});
        local.merge_patch(&web(), patch).unwrap();
        if round % 4 == 0 {
            tokio::task::yield_now().await;
        }
    }
    rolled_out(&local, "web").await;
    until("the others are gone", &local, || pods(&local).len() == 2).await;
    assert!(
        pods(&local)
            .iter()
            .all(|pod| pod["metadata"]["labels"]["round"] == "9")
    );
    let sets = listed(&local, "apps/v1", "ReplicaSet", "app=web");
    let with_pods = sets.iter().filter(|set| set["spec"]["replicas"] != 0);
    assert_eq!(with_pods.count(), 1);
}

#[tokio::test]
async fn a_successor_of_the_same_name_has_pods_of_its_own() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&deployment("web", 2)).unwrap();
    rolled_out(&local, "web").await;
    let before = pods(&local);
    // No await in between: the controllers see both writes at once.
    local.delete(&web()).unwrap();
    local.create(&deployment("web", 2)).unwrap();
    rolled_out(&local, "web").await;
    let owner = local.get(&web()).unwrap();
    let set = &listed(&local, "apps/v1", "ReplicaSet", "app=web")[0];
    assert_eq!(
        set["metadata"]["ownerReferences"][0]["uid"],
        owner["metadata"]["uid"]
    );
    let is_new = |pod: &Value| {
        before
            .iter()
            .all(|old| old["metadata"]["uid"] != pod["metadata"]["uid"])
    };
    until("the old pods are gone", &local, || {
        pods(&local).iter().all(is_new)
    })
    .await;
    assert_eq!(pods(&local).len(), 2);
}

#[tokio::test]
async fn pods_that_are_taken_away_come_back_as_many() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&deployment("web", 3)).unwrap();
    rolled_out(&local, "web").await;
    for _ in 0..3 {
        for pod in pods(&local) {
            let _gone_already = local.delete(&ObjectRef::of(&pod));
        }
        tokio::task::yield_now().await;
    }
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let is_going = pod["metadata"].get("deletionTimestamp").is_some();
        !is_going
            && conditions
                .clone()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    until("three ready pods and no others", &local, || {
        let pods = pods(&local);
        pods.len() == 3 && pods.iter().all(is_ready)
    })
    .await;
}

#[tokio::test]
async fn a_namespace_takes_its_workloads_along() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    local.create(&namespace).unwrap();
    let mut web = deployment("web", 3);
    web["metadata"]["namespace"] = json!("shop");
    local.create(&web).unwrap();
    until("its pods run", &local, || lab.kubelet.running().len() == 3).await;
    let namespace = ObjectRef::cluster("v1", "Namespace", "shop");
    local.delete(&namespace).unwrap();
    until("the namespace is gone", &local, || local.get(&namespace).is_err()).await;
    assert!(lab.kubelet.running().is_empty());
}
