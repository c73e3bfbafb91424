//! What Services are given, and how their endpoints follow the readiness of pods.

use kubeapi::{Local, ObjectRef, Readiness};
use serde_json::{Value, json};

use crate::kubectl::{Kubectl, row};
use crate::lab::{Lab, pod, service, until};
use crate::rollouts::listed;

fn reference(kind: &str, name: &str) -> ObjectRef {
    ObjectRef::namespaced("v1", kind, "default", name)
}

/// (family, addresses, ready) of every endpoint of the Service `web`.
fn endpoints(local: &Local) -> Vec<(String, String, bool)> {
    let slices = listed(
        local,
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "kubernetes.io/service-name=web",
    );
    let of_slice = |slice: &Value| {
        let family = slice["addressType"].as_str().unwrap().to_owned();
        let endpoints = slice["endpoints"].as_array().cloned().unwrap_or_default();
        endpoints.into_iter().map(move |endpoint| {
            let address = endpoint["addresses"][0].as_str().unwrap().to_owned();
            (
                family.clone(),
                address,
                endpoint["conditions"]["ready"].as_bool().unwrap(),
            )
        })
    };
    let mut all: Vec<_> = slices.iter().flat_map(of_slice).collect();
    all.sort();
    all
}

async fn until_endpoints(local: &Local, expected: &[(&str, &str, bool)]) {
    let expected: Vec<(String, String, bool)> = expected
        .iter()
        .map(|(family, address, ready)| ((*family).to_owned(), (*address).to_owned(), *ready))
        .collect();
    until("the endpoints", local, || endpoints(local) == expected).await;
}

#[tokio::test]
async fn a_dual_stack_service_has_addresses_and_slices_of_both_families() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let mut web = service("web", "web");
    web["spec"]["ipFamilyPolicy"] = json!("PreferDualStack");
    let created = local.create(&web).unwrap();
    assert_eq!(
        (&created["spec"]["ipFamilies"], &created["spec"]["clusterIPs"]),
        (&json!(["IPv4", "IPv6"]), &json!(["10.96.0.2", "fd00:96::1"]))
    );
    local.create(&pod("p", "web", 8080)).unwrap();
    until_endpoints(&local, &[("IPv4", "10.0.0.1", true), ("IPv6", "fd00::1", true)]).await;

    // Back to one family: the second address is given back, and its slice goes.
    let single = json!({"spec": {"ipFamilyPolicy": "SingleStack"}});
    let single = local.merge_patch(&reference("Service", "web"), single).unwrap();
    assert_eq!(single["spec"]["clusterIPs"], json!(["10.96.0.2"]));
    until_endpoints(&local, &[("IPv4", "10.0.0.1", true)]).await;
    let both =
        json!({"spec": {"ipFamilyPolicy": "RequireDualStack", "clusterIPs": ["10.96.0.2", "fd00:96::1"]}});
    let both = local.merge_patch(&reference("Service", "web"), both).unwrap();
    assert_eq!(both["spec"]["clusterIPs"], json!(["10.96.0.2", "fd00:96::1"]));
}

#[tokio::test]
async fn kubectl_exposes_a_service_on_node_ports() {
    let Some(kubectl) = Kubectl::start("kubectl_exposes_a_service_on_node_ports").await else {
        return;
    };
    let mut web = service("web", "web");
    web["spec"]["type"] = json!("NodePort");
    kubectl.write("web.json", &web);
    kubectl.run("create -f web.json").await;
    assert_eq!(row(&kubectl.run("get svc").await, "web")[4], "8081:30000/TCP");
    // What is not said again stays.
    web["metadata"]["labels"] = json!({"again": "yes"});
    kubectl.write("web.json", &web);
    kubectl.run("replace -f web.json").await;
    assert_eq!(row(&kubectl.run("get svc").await, "web")[4], "8081:30000/TCP");
    kubectl
        .run("patch svc web --type=merge -p {\"spec\":{\"type\":\"LoadBalancer\"}}")
        .await;
    let shown = kubectl.run("get svc").await;
    assert_eq!(
        row(&shown, "web")[1..5],
        ["LoadBalancer", "10.96.0.2", "<pending>", "8081:30000/TCP"]
    );
    kubectl
        .run("patch svc web --type=merge -p {\"spec\":{\"type\":\"ClusterIP\"}}")
        .await;
    assert_eq!(row(&kubectl.run("get svc").await, "web")[4], "8081/TCP");
    let mut other = service("other", "web");
    other["spec"]["type"] = json!("NodePort");
    other["spec"]["ports"][0]["nodePort"] = json!(30000);
    kubectl.lab.server.local().create(&other).unwrap();
}

#[tokio::test]
async fn endpoints_follow_what_probes_and_gates_say() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&service("web", "web")).unwrap();
    let mut gated = pod("p", "web", 8080);
    gated["spec"]["readinessGates"] = json!([{"conditionType": "example.com/lb"}]);
    local.create(&gated).unwrap();
    until_endpoints(&local, &[("IPv4", "10.0.0.1", false)]).await;

    // A client opens the gate through the status.
    let conditions = |status: &str| {
        let pod = local.get(&reference("Pod", "p")).unwrap();
        let mut conditions = pod["status"]["conditions"].as_array().unwrap().clone();
        conditions.retain(|condition| condition["type"] != "example.com/lb");
        conditions.push(json!({"type": "example.com/lb", "status": status}));
        let patch = json!({"status": {"conditions": conditions}});
        local.merge_patch_status(&reference("Pod", "p"), patch).unwrap();
    };
    conditions("True");
    until_endpoints(&local, &[("IPv4", "10.0.0.1", true)]).await;
    local
        .report_readiness("default", "p", Readiness::NotReady)
        .unwrap();
    until_endpoints(&local, &[("IPv4", "10.0.0.1", false)]).await;
    conditions("False");
    local.report_readiness("default", "p", Readiness::Ready).unwrap();
    let closed = local.get(&reference("Pod", "p")).unwrap();
    let of = |kind: &str| {
        let conditions = closed["status"]["conditions"].as_array().unwrap().iter();
        let mut found = conditions.filter(|condition| condition["type"] == kind);
        found.next().unwrap()["status"].clone()
    };
    assert_eq!(
        (of("ContainersReady"), of("Ready")),
        (json!("True"), json!("False"))
    );
    conditions("True");
    until_endpoints(&local, &[("IPv4", "10.0.0.1", true)]).await;

    // What a client says of the pod itself counts as well.
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    local.merge_patch_status(&reference("Pod", "p"), unready).unwrap();
    until_endpoints(&local, &[("IPv4", "10.0.0.1", false)]).await;
    let publish = json!({"spec": {"publishNotReadyAddresses": true}});
    local.merge_patch(&reference("Service", "web"), publish).unwrap();
    until_endpoints(&local, &[("IPv4", "10.0.0.1", true)]).await;
}

#[tokio::test]
async fn the_endpoints_of_a_service_follow_its_pods_and_go_with_it() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&service("web", "web")).unwrap();
    let read = || local.get(&reference("Endpoints", "web")).ok();
    let addresses = |list: &str| -> Vec<String> {
        let endpoints = read().unwrap_or_default();
        let list = endpoints["subsets"][0][list].as_array().cloned();
        let names = list.into_iter().flatten();
        names
            .map(|address| address["targetRef"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    until("empty endpoints", &local, || {
        read().is_some_and(|found| found.get("subsets").is_none())
    })
    .await;

    local.create(&pod("p1", "web", 8080)).unwrap();
    local.create(&pod("p2", "web", 8080)).unwrap();
    until("two addresses", &local, || addresses("addresses") == ["p1", "p2"]).await;
    let found = read().unwrap();
    assert_eq!(
        found["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"],
        "endpoint-controller"
    );
    assert_eq!(
        found["subsets"][0]["ports"],
        json!([{"name": "web", "port": 8080, "protocol": "TCP"}])
    );

    local
        .report_readiness("default", "p1", Readiness::NotReady)
        .unwrap();
    until("one ready", &local, || addresses("addresses") == ["p2"]).await;
    assert_eq!(addresses("notReadyAddresses"), ["p1"]);

    local
        .merge_patch(&reference("Endpoints", "web"), json!({"subsets": null}))
        .unwrap();
    until("mended endpoints", &local, || addresses("addresses") == ["p2"]).await;

    local.delete(&reference("Service", "web")).unwrap();
    until("no endpoints", &local, || read().is_none()).await;
}
