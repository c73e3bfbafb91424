//! Deployments and their ReplicaSets, from the first pod to the rollback.

use kubeapi::{Collection, Local, ObjectRef};
use serde_json::{Value, json};

use crate::kubectl::{Kubectl, row};
use crate::lab::{Lab, deadline};

pub fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "example/web:1"}]},
            },
        },
    })
}

fn reference(name: &str) -> ObjectRef {
    ObjectRef::namespaced("apps/v1", "Deployment", "default", name)
}

/// What `kubectl rollout status` waits for.
fn is_rolled_out(deployment: Option<&Value>) -> bool {
    let Some(deployment) = deployment else {
        return false;
    };
    let count = |field: &str| deployment["status"][field].as_i64().unwrap_or(0);
    let replicas = deployment["spec"]["replicas"].as_i64().unwrap();
    let is_seen = deployment["metadata"]["generation"] == deployment["status"]["observedGeneration"];
    is_seen
        && ["updatedReplicas", "replicas", "availableReplicas"]
            .iter()
            .all(|field| count(field) == replicas)
}

pub async fn rolled_out(local: &Local, name: &str) -> Value {
    let done = local.wait_for(&reference(name), deadline(), is_rolled_out).await;
    (*done.unwrap().unwrap()).clone()
}

pub fn listed(local: &Local, api_version: &str, kind: &str, selector: &str) -> Vec<Value> {
    let all = Collection::all(api_version, kind)
        .in_namespace("default")
        .labelled(selector);
    let listed = local.list(&all).unwrap();
    listed.iter().map(|object| (**object).clone()).collect()
}

fn replica_sets(local: &Local, app: &str) -> Vec<Value> {
    listed(local, "apps/v1", "ReplicaSet", &format!("app={app}"))
}

pub fn events(local: &Local, about: &str) -> Vec<(String, String)> {
    let of = |event: &Value| {
        event["involvedObject"]["name"]
            .as_str()
            .unwrap()
            .starts_with(about)
    };
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    let events = listed(local, "v1", "Event", "");
    let events = events.iter().filter(|event| of(event));
    events
        .map(|event| (text(event, "reason"), text(event, "message")))
        .collect()
}

#[tokio::test]
async fn a_deployment_comes_up_with_one_replica_set_and_its_pods() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&deployment("web", 3)).unwrap();
    let ready = rolled_out(&local, "web").await;
    assert_eq!(
        ready["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    assert_eq!(ready["metadata"]["generation"], 1);
    let conditions = ready["status"]["conditions"].as_array().unwrap();
    let reasons: Vec<_> = conditions
        .iter()
        .map(|condition| condition["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]);

    let sets = replica_sets(&local, "web");
    let [set] = &sets[..] else { panic!("{sets:?}") };
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    let pods = listed(&local, "v1", "Pod", &format!("app=web,pod-template-hash={hash}"));
    assert_eq!(pods.len(), 3);
    for pod in &pods {
        assert_eq!(
            pod["metadata"]["ownerReferences"][0]["uid"],
            set["metadata"]["uid"]
        );
        assert!(
            pod["metadata"]["name"]
                .as_str()
                .unwrap()
                .starts_with(&format!("web-{hash}-"))
        );
    }
    let told = events(&local, "web");
    assert!(told.contains(&(
        "ScalingReplicaSet".to_owned(),
        format!("Scaled up replica set web-{hash} from 0 to 3")
    )));
    assert_eq!(
        told.iter()
            .filter(|(reason, _)| reason == "SuccessfulCreate")
            .count(),
        3
    );
}

#[tokio::test]
async fn kubectl_rolls_out_and_back() {
    let Some(kubectl) = Kubectl::start("kubectl_rolls_out_and_back").await else {
        return;
    };
    let local = kubectl.lab.server.local();
    kubectl.write("web.json", &deployment("web", 4));
    kubectl.run("apply -f web.json").await;
    let status = kubectl.run("rollout status deployment/web --timeout=20s").await;
    assert!(
        status.ends_with("deployment \"web\" successfully rolled out\n"),
        "{status}"
    );
    assert_eq!(
        row(&kubectl.run("get deploy").await, "web")[1..4],
        ["4/4", "4", "4"]
    );

    kubectl.run("set image deployment/web main=example/web:2").await;
    kubectl
        .run("annotate deployment/web kubernetes.io/change-cause=second")
        .await;
    kubectl.run("rollout status deployment/web --timeout=20s").await;
    let history = kubectl.run("rollout history deployment/web").await;
    assert!(
        history.contains("1         <none>") && history.contains("2         second"),
        "{history}"
    );

    kubectl.run("rollout undo deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=20s").await;
    let undone = kubectl.json("get deploy web -o json").await;
    assert_eq!(
        undone["spec"]["template"]["spec"]["containers"][0]["image"],
        "example/web:1"
    );
    let sets = replica_sets(&local, "web");
    let mut sizes: Vec<_> = sets
        .iter()
        .map(|set| {
            let annotations = &set["metadata"]["annotations"];
            (
                annotations["deployment.kubernetes.io/revision"].as_str().unwrap(),
                set["spec"]["replicas"].as_i64().unwrap(),
            )
        })
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [("2", 0), ("3", 4)]);

    let before = listed(&local, "v1", "Pod", "app=web");
    kubectl.run("rollout restart deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=20s").await;
    let after = listed(&local, "v1", "Pod", "app=web");
    assert!(before.iter().all(|pod| !after.contains(pod)));

    kubectl.run("scale deployment/web --replicas=2").await;
    kubectl.run("rollout status deployment/web --timeout=20s").await;
    assert_eq!(
        row(&kubectl.run("get deploy -o wide").await, "web")[1..4],
        ["2/2", "2", "2"]
    );
    let described = kubectl.run("describe deployment web").await;
    assert!(
        described.contains("NewReplicaSet:   web-") && described.contains("ScalingReplicaSet"),
        "{described}"
    );
}

#[tokio::test]
async fn kubectl_creates_and_exposes_a_deployment() {
    let Some(kubectl) = Kubectl::start("kubectl_creates_and_exposes_a_deployment").await else {
        return;
    };
    kubectl
        .run("create deployment web --image=example/web:1 --replicas=2 --port=8080 -- serve --fast")
        .await;
    kubectl.run("rollout status deployment/web --timeout=20s").await;
    let created = kubectl.json("get deployment web -o json").await;
    assert_eq!(
        created["spec"]["template"]["spec"]["containers"],
        json!([{
            "name": "web", "image": "example/web:1", "command": ["serve", "--fast"], "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 8080, "protocol": "TCP"}], "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }])
    );
    assert_eq!(created["spec"].get("paused"), None);
    kubectl
        .run("expose deployment web --port=80 --type=NodePort")
        .await;
    kubectl.run("create service clusterip other --tcp=81:http").await;
    let services = kubectl.run("get svc").await;
    assert_eq!(row(&services, "web")[4], "80:30000/TCP");
    assert_eq!(row(&services, "other")[4], "81/TCP");
    let other = kubectl.json("get svc other -o json").await;
    assert_eq!(other["spec"]["ports"][0]["targetPort"], "http");
}

#[tokio::test]
async fn many_replicas_are_spread_evenly_over_the_nodes() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&deployment("web", 300)).unwrap();
    rolled_out(&local, "web").await;
    let mut load = std::collections::BTreeMap::new();
    for node in lab.kubelet.running().into_values() {
        *load.entry(node).or_insert(0) += 1;
    }
    let (least, most) = (load.values().min(), load.values().max());
    assert_eq!(load.values().sum::<u32>(), 300);
    assert!(
        most.zip(least).is_some_and(|(most, least)| most - least <= 1),
        "{load:?}"
    );
}
