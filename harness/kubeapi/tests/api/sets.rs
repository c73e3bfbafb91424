//! ReplicaSets, StatefulSets and DaemonSets with their pods.

use kubeapi::{Local, ObjectRef};
use serde_json::{Value, json};

use crate::kubectl::{Kubectl, row};
use crate::lab::{DEADLINE, Lab, deadline, pod, until};
use crate::rollouts::{deployment, events, listed, rolled_out};

fn reference(kind: &str, name: &str) -> ObjectRef {
    let api_version = if kind == "Pod" { "v1" } else { "apps/v1" };
    ObjectRef::namespaced(api_version, kind, "default", name)
}

fn workload(kind: &str, name: &str, replicas: u32) -> Value {
    let mut set = deployment(name, replicas);
    set["kind"] = json!(kind);
    if kind == "DaemonSet" {
        set["spec"].as_object_mut().unwrap().remove("replicas");
    }
    set
}

/// The workload once all the counts of its status are so.
async fn counted(local: &Local, kind: &str, name: &str, counts: &[(&str, i64)]) -> Value {
    let holds = |set: Option<&Value>| {
        let Some(set) = set else { return false };
        let count = |field: &str| set["status"][field].as_i64().unwrap_or(0);
        set["metadata"]["generation"] == set["status"]["observedGeneration"]
            && counts.iter().all(|(field, expected)| count(field) == *expected)
    };
    let found = local.wait_for(&reference(kind, name), deadline(), holds).await;
    (*found.unwrap().unwrap()).clone()
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .map(|object| object["metadata"]["name"].as_str().unwrap())
        .collect()
}

fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap()
}

fn set_image(local: &Local, kind: &str, name: &str, image: &str) {
    let containers = json!([{"name": "main", "image": image}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    local.merge_patch(&reference(kind, name), patch).unwrap();
}

#[tokio::test]
async fn a_replica_set_adopts_releases_and_replaces_pods() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&pod("orphan", "web", 8080)).unwrap();
    local.create(&workload("ReplicaSet", "web", 2)).unwrap();
    let set = counted(&local, "ReplicaSet", "web", &[("availableReplicas", 2)]).await;
    let adopted = local.get(&reference("Pod", "orphan")).unwrap();
    assert_eq!(
        adopted["metadata"]["ownerReferences"][0]["uid"],
        set["metadata"]["uid"]
    );
    assert_eq!(listed(&local, "v1", "Pod", "app=web").len(), 2);

    // A pod whose labels no longer match is let go, and another takes its place.
    let relabel = json!({"metadata": {"labels": {"app": "debug"}}});
    local.merge_patch(&reference("Pod", "orphan"), relabel).unwrap();
    let is_free = |pod: Option<&Value>| pod.unwrap()["metadata"].get("ownerReferences").is_none();
    local
        .wait_for(&reference("Pod", "orphan"), deadline(), is_free)
        .await
        .unwrap();
    counted(
        &local,
        "ReplicaSet",
        "web",
        &[("availableReplicas", 2), ("replicas", 2)],
    )
    .await;

    // One that failed does not count.
    let failed = names(&listed(&local, "v1", "Pod", "app=web"))[0].to_owned();
    local
        .merge_patch_status(&reference("Pod", &failed), json!({"status": {"phase": "Failed"}}))
        .unwrap();
    let replaced = || listed(&local, "v1", "Pod", "app=web").len() == 3;
    until("the failed pod is replaced", &local, replaced).await;
    counted(&local, "ReplicaSet", "web", &[("availableReplicas", 2)]).await;
    assert_eq!(listed(&local, "v1", "Pod", "app=web").len(), 3);
}

#[tokio::test]
async fn a_replica_set_gives_up_pods_that_are_not_ready_first() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&workload("ReplicaSet", "web", 3)).unwrap();
    counted(&local, "ReplicaSet", "web", &[("availableReplicas", 3)]).await;
    let pods = listed(&local, "v1", "Pod", "app=web");
    let unready = names(&pods)[1];
    let conditions = json!([{"type": "Ready", "status": "False"}]);
    local
        .merge_patch_status(
            &reference("Pod", unready),
            json!({"status": {"conditions": conditions}}),
        )
        .unwrap();
    local
        .merge_patch(&reference("ReplicaSet", "web"), json!({"spec": {"replicas": 2}}))
        .unwrap();
    counted(
        &local,
        "ReplicaSet",
        "web",
        &[("replicas", 2), ("availableReplicas", 2)],
    )
    .await;
    local
        .wait_for(&reference("Pod", unready), deadline(), |pod| pod.is_none())
        .await
        .unwrap();
    assert_eq!(listed(&local, "v1", "Pod", "app=web").len(), 2);
}

#[tokio::test]
async fn a_stateful_set_comes_up_in_order_and_keeps_its_names() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let mut set = workload("StatefulSet", "db", 3);
    set["spec"]["serviceName"] = json!("db");
    local.create(&set).unwrap();
    counted(
        &local,
        "StatefulSet",
        "db",
        &[("readyReplicas", 3), ("currentReplicas", 3)],
    )
    .await;
    let pods = listed(&local, "v1", "Pod", "app=db");
    assert_eq!(names(&pods), ["db-0", "db-1", "db-2"]);
    for pair in pods.windows(2) {
        let started = |pod: &Value| {
            pod["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        assert!(
            started(&pair[0]) < started(&pair[1]),
            "each waits for the one before"
        );
    }
    let spec = &pods[1]["spec"];
    assert_eq!(
        (&spec["hostname"], &spec["subdomain"]),
        (&json!("db-1"), &json!("db"))
    );
    let uid = pods[1]["metadata"]["uid"].clone();
    local.delete(&reference("Pod", "db-1")).unwrap();
    let is_new = |pod: Option<&Value>| pod.is_some_and(|pod| pod["metadata"]["uid"] != uid);
    local
        .wait_for(&reference("Pod", "db-1"), deadline(), is_new)
        .await
        .unwrap();
    counted(&local, "StatefulSet", "db", &[("readyReplicas", 3)]).await;
}

#[tokio::test]
async fn a_stateful_set_is_updated_down_to_its_partition_and_undone() {
    let test = "a_stateful_set_is_updated_down_to_its_partition_and_undone";
    let Some(kubectl) = Kubectl::start(test).await else {
        return;
    };
    let local = kubectl.lab.server.local();
    local.create(&workload("StatefulSet", "db", 3)).unwrap();
    counted(&local, "StatefulSet", "db", &[("currentReplicas", 3)]).await;
    let partition = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}});
    local
        .merge_patch(&reference("StatefulSet", "db"), partition)
        .unwrap();
    kubectl.run("set image statefulset/db main=example/web:2").await;
    let status = kubectl.run("rollout status statefulset/db --timeout=20s").await;
    assert!(
        status.contains("partitioned roll out complete: 1 new pods"),
        "{status}"
    );
    let images = |pods: &[Value]| pods.iter().map(|pod| image(pod).to_owned()).collect::<Vec<_>>();
    let pods = listed(&local, "v1", "Pod", "app=db");
    assert_eq!(images(&pods), ["example/web:1", "example/web:1", "example/web:2"]);

    // A pod below the partition comes back as it was.
    local.delete(&reference("Pod", "db-0")).unwrap();
    let uid = pods[0]["metadata"]["uid"].clone();
    let is_new = |pod: Option<&Value>| pod.is_some_and(|pod| pod["metadata"]["uid"] != uid);
    let back = local
        .wait_for(&reference("Pod", "db-0"), deadline(), is_new)
        .await
        .unwrap();
    assert_eq!(image(&back.unwrap()), "example/web:1");

    let all = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
    local.merge_patch(&reference("StatefulSet", "db"), all).unwrap();
    kubectl.run("rollout status statefulset/db --timeout=20s").await;
    assert_eq!(
        images(&listed(&local, "v1", "Pod", "app=db")),
        ["example/web:2"; 3]
    );
    kubectl.run("rollout undo statefulset/db").await;
    kubectl.run("rollout status statefulset/db --timeout=20s").await;
    assert_eq!(
        images(&listed(&local, "v1", "Pod", "app=db")),
        ["example/web:1"; 3]
    );
    let history = kubectl.run("rollout history statefulset/db").await;
    assert!(!history.contains("\n1 ") && history.contains("\n3 "), "{history}");
    assert_eq!(row(&kubectl.run("get sts").await, "db")[1], "3/3");

    kubectl.run("scale statefulset/db --replicas=1").await;
    counted(&local, "StatefulSet", "db", &[("replicas", 1)]).await;
    assert_eq!(names(&listed(&local, "v1", "Pod", "app=db")), ["db-0"]);
    let deleted: Vec<_> = events(&local, "db")
        .into_iter()
        .map(|(_, message)| message)
        .collect();
    assert!(deleted.contains(&"delete Pod db-2 in StatefulSet db successful".to_owned()));
}

#[tokio::test]
async fn a_daemon_set_follows_the_nodes_and_its_template() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&workload("DaemonSet", "agent", 0)).unwrap();
    counted(&local, "DaemonSet", "agent", &[("numberAvailable", 2)]).await;
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "c"}, "spec": {"unschedulable": true},
    });
    local.create(&node).unwrap();
    counted(&local, "DaemonSet", "agent", &[("numberAvailable", 3)]).await;
    let nodes: Vec<String> = lab.kubelet.running().into_values().collect();
    assert_eq!(
        nodes.iter().collect::<std::collections::BTreeSet<_>>().len(),
        3,
        "{nodes:?}"
    );

    set_image(&local, "DaemonSet", "agent", "example/web:2");
    let counts = [
        ("updatedNumberScheduled", 3),
        ("numberAvailable", 3),
        ("numberUnavailable", 0),
    ];
    counted(&local, "DaemonSet", "agent", &counts).await;
    let pods = listed(&local, "v1", "Pod", "app=agent");
    assert!(pods.iter().all(|pod| image(pod) == "example/web:2"));

    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    local
        .merge_patch(&ObjectRef::cluster("v1", "Node", "b"), taint)
        .unwrap();
    counted(
        &local,
        "DaemonSet",
        "agent",
        &[("desiredNumberScheduled", 2), ("numberMisscheduled", 0)],
    )
    .await;
}

#[tokio::test]
async fn a_rolling_update_never_leaves_its_bounds() {
    use futures::StreamExt;
    let lab = Lab::start().await;
    let local = lab.server.local();
    let mut web = deployment("web", 6);
    web["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}});
    local.create(&web).unwrap();
    rolled_out(&local, "web").await;
    let mut writes = std::pin::pin!(local.events());
    set_image(&local, "Deployment", "web", "example/web:2");
    set_image(&local, "Deployment", "web", "example/web:3");
    // In the order of the store: no state of the ReplicaSets or the pods in between goes unseen.
    let mut sizes = std::collections::BTreeMap::new();
    let mut available = std::collections::BTreeMap::new();
    for object in listed(&local, "apps/v1", "ReplicaSet", "app=web") {
        sizes.insert(
            object["metadata"]["name"].clone().to_string(),
            object["spec"]["replicas"].clone(),
        );
    }
    for pod in listed(&local, "v1", "Pod", "app=web") {
        available.insert(pod["metadata"]["name"].to_string(), true);
    }
    loop {
        let write = tokio::time::timeout(DEADLINE, writes.next())
            .await
            .unwrap()
            .unwrap();
        let object = &write.object;
        let name = object["metadata"]["name"].to_string();
        match (&*write.resource, write.kind) {
            ("replicasets.apps", _) => drop(sizes.insert(name, object["spec"]["replicas"].clone())),
            ("pods", _) => {
                let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                let is_ready = conditions
                    .clone()
                    .any(|c| c["type"] == "Ready" && c["status"] == "True");
                let is_going = object["metadata"].get("deletionTimestamp").is_some();
                available.insert(name, is_ready && !is_going);
            }
            ("deployments.apps", _) => {
                let is_last = object["spec"]["template"]["spec"]["containers"][0]["image"] == "example/web:3";
                let count = |field: &str| object["status"][field].as_i64().unwrap_or(0);
                let is_seen = object["metadata"]["generation"] == object["status"]["observedGeneration"];
                if is_last
                    && is_seen
                    && count("updatedReplicas") == 6
                    && count("availableReplicas") == 6
                    && count("replicas") == 6
                {
                    return;
                }
            }
            _ => {}
        }
        let total: i64 = sizes.values().filter_map(Value::as_i64).sum();
        assert!(total <= 8, "more than replicas and surge: {sizes:?}");
        let ready = available.values().filter(|ready| **ready).count();
        assert!(
            ready >= 5,
            "fewer than replicas less what may be unavailable: {available:?}"
        );
    }
}

#[tokio::test]
async fn a_recreated_deployment_has_no_two_templates_at_once() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let mut web = deployment("web", 2);
    web["spec"]["strategy"] = json!({"type": "Recreate"});
    local.create(&web).unwrap();
    rolled_out(&local, "web").await;
    let held = names(&listed(&local, "v1", "Pod", "app=web"))[0].to_owned();
    lab.kubelet.hold(&held);
    set_image(&local, "Deployment", "web", "example/web:2");
    // All old pods go; while one is still there, nothing new comes.
    let only_held = || names(&listed(&local, "v1", "Pod", "app=web")) == [held.as_str()];
    until("the other pod is gone", &local, only_held).await;
    assert_eq!(listed(&local, "apps/v1", "ReplicaSet", "app=web").len(), 1);
    lab.kubelet.release(&held);
    rolled_out(&local, "web").await;
    let pods = listed(&local, "v1", "Pod", "app=web");
    assert!(pods.len() == 2 && pods.iter().all(|pod| image(pod) == "example/web:2"));
}

#[tokio::test]
async fn a_paused_deployment_is_scaled_and_not_rolled_out() {
    let test = "a_paused_deployment_is_scaled_and_not_rolled_out";
    let Some(kubectl) = Kubectl::start(test).await else {
        return;
    };
    let local = kubectl.lab.server.local();
    local.create(&deployment("web", 2)).unwrap();
    rolled_out(&local, "web").await;
    kubectl.run("rollout pause deployment/web").await;
    set_image(&local, "Deployment", "web", "example/web:2");
    kubectl.run("scale deployment/web --replicas=4").await;
    counted(&local, "Deployment", "web", &[("availableReplicas", 4)]).await;
    let pods = listed(&local, "v1", "Pod", "app=web");
    assert!(pods.iter().all(|pod| image(pod) == "example/web:1"), "{pods:?}");
    kubectl.run("rollout resume deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=20s").await;
    let pods = listed(&local, "v1", "Pod", "app=web");
    assert!(pods.iter().all(|pod| image(pod) == "example/web:2"), "{pods:?}");
}

#[tokio::test]
async fn pods_count_only_after_they_were_ready_for_long_enough() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let mut web = deployment("web", 1);
    web["spec"]["minReadySeconds"] = json!(2);
    local.create(&web).unwrap();
    let ready = counted(&local, "Deployment", "web", &[("readyReplicas", 1)]).await;
    assert_eq!(ready["status"].get("availableReplicas"), None);
    let available = rolled_out(&local, "web").await;
    let pods = listed(&local, "v1", "Pod", "app=web");
    let conditions = pods[0]["status"]["conditions"].as_array().unwrap();
    let since = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .unwrap();
    let time = |condition: &Value| condition["lastTransitionTime"].as_str().unwrap().to_owned();
    let conditions = available["status"]["conditions"].as_array().unwrap();
    let at = conditions
        .iter()
        .find(|condition| condition["type"] == "Available")
        .unwrap();
    assert!(time(at) > time(since), "{} {}", time(at), time(since));
}
