use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::wait::{await_condition, conditions};
use kubeapi::{Collection, Local, ObjectRef};
use serde_json::{Value, json};

use crate::lab::{Lab, deadline, pod, service, soon};

fn reference(kind: &str, name: &str) -> ObjectRef {
    ObjectRef::namespaced("v1", kind, "default", name)
}

fn is_ready(pod: Option<&Value>) -> bool {
    let conditions = pod.and_then(|pod| pod["status"]["conditions"].as_array());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

async fn run_pod(local: &Local, manifest: &Value) -> Value {
    local.create(manifest).unwrap();
    let ready = local
        .wait_for(&ObjectRef::of(manifest), deadline(), is_ready)
        .await
        .unwrap();
    (*ready.unwrap()).clone()
}

/// The name of the only slice of a Service, once it satisfies `condition`.
async fn slice(local: &Local, service: &str, condition: impl Fn(&Value) -> bool) -> Value {
    use futures::StreamExt;
    let of_service = Collection::all("discovery.k8s.io/v1", "EndpointSlice")
        .in_namespace("default")
        .labelled(&format!("kubernetes.io/service-name={service}"));
    let events = local.watch(&of_service).unwrap();
    let objects = events.map(|event| (*event.unwrap().object).clone());
    let found = objects.filter(|slice| std::future::ready(condition(slice)));
    let mut found = std::pin::pin!(found);
    soon("the slice", found.next()).await.unwrap()
}

/// (pod, ready, serving, terminating) of every endpoint.
fn endpoints(slice: &Value) -> Vec<(&str, bool, bool, bool)> {
    let endpoints = slice["endpoints"].as_array();
    endpoints
        .into_iter()
        .flatten()
        .map(|endpoint| {
            let condition = |name: &str| endpoint["conditions"][name].as_bool().unwrap();
            let name = endpoint["targetRef"]["name"].as_str().unwrap();
            (
                name,
                condition("ready"),
                condition("serving"),
                condition("terminating"),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_pod_is_bound_started_and_ready() {
    let lab = Lab::start().await;
    let mut pinned = pod("p", "web", 8080);
    pinned["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "b"});
    let running = run_pod(&lab.server.local(), &pinned).await;
    assert_eq!(running["spec"]["nodeName"], "b");
    let status = &running["status"];
    assert_eq!(
        (&status["phase"], &status["podIP"], &status["hostIP"]),
        (&json!("Running"), &json!("10.0.0.1"), &json!("192.0.2.2"))
    );
    assert_eq!(status["podIPs"], json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]));
    assert_eq!(status["containerStatuses"][0]["ready"], true);
    assert_eq!(lab.kubelet.running()["p"], "b");
}

#[tokio::test]
async fn pods_without_a_preference_are_spread() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    for name in ["p0", "p1", "p2", "p3"] {
        run_pod(&local, &pod(name, "web", 8080)).await;
    }
    let nodes: Vec<String> = lab.kubelet.running().into_values().collect();
    assert_eq!(nodes, ["a", "b", "a", "b"]);
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_waits_for_a_node_that_fits() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let mut demanding = pod("p", "web", 8080);
    demanding["spec"]["nodeSelector"] = json!({"rack": "7"});
    local.create(&demanding).unwrap();
    let refused = |pod: Option<&Value>| {
        let conditions = pod.and_then(|pod| pod["status"]["conditions"].as_array());
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["reason"] == "Unschedulable")
    };
    let pending = local
        .wait_for(&reference("Pod", "p"), deadline(), refused)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            &pending["status"]["phase"],
            &pending["status"]["conditions"][0]["status"]
        ),
        (&json!("Pending"), &json!("False"))
    );

    let node = ObjectRef::cluster("v1", "Node", "a");
    local
        .merge_patch(&node, json!({"metadata": {"labels": {"rack": "7"}}}))
        .unwrap();
    local
        .wait_for(&reference("Pod", "p"), deadline(), is_ready)
        .await
        .unwrap();
    assert_eq!(lab.kubelet.running()["p"], "a");
}

#[tokio::test]
async fn a_start_that_fails_is_shown_and_tried_again() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    lab.kubelet.fail_once("p");
    run_pod(&local, &pod("p", "web", 8080)).await;
    let events = local
        .list(&Collection::all("v1", "Event").in_namespace("default"))
        .unwrap();
    let failure = events
        .iter()
        .find(|event| event["reason"] == "FailedCreatePodSandBox")
        .unwrap();
    assert_eq!(failure["message"], "run pod: no address left");
}

#[tokio::test]
async fn a_pod_is_gone_once_it_is_stopped_and_not_before() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    run_pod(&local, &pod("p", "web", 8080)).await;
    lab.kubelet.hold("p");
    let pods: Api<Pod> = Api::namespaced(lab.client.clone(), "default");
    let uid = pods.get("p").await.unwrap().metadata.uid.unwrap();
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    let terminating = pods.get("p").await.unwrap();
    assert_eq!(terminating.metadata.deletion_grace_period_seconds, Some(30));
    lab.kubelet.release("p");
    soon(
        "removal",
        await_condition(pods, "p", conditions::is_deleted(&uid)),
    )
    .await
    .unwrap();
    assert_eq!(lab.kubelet.stopped(), ["p"]);
}

#[tokio::test]
async fn a_forced_deletion_still_stops_the_pod_and_its_successor_runs() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    run_pod(&local, &pod("p", "web", 8080)).await;
    let pods: Api<Pod> = Api::namespaced(lab.client.clone(), "default");
    pods.delete("p", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
    run_pod(&local, &pod("p", "web", 8080)).await;
    // Stopped exactly once: the successor is another pod.
    local.delete(&reference("Pod", "p")).unwrap();
    local
        .wait_for(&reference("Pod", "p"), deadline(), |pod| pod.is_none())
        .await
        .unwrap();
    assert_eq!(lab.kubelet.stopped(), ["p", "p"]);
}

#[tokio::test]
async fn slices_follow_pods_through_their_life() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let owner = local.create(&service("web", "web")).unwrap();
    let empty = slice(&local, "web", |_| true).await;
    assert_eq!(empty["endpoints"], Value::Null);

    run_pod(&local, &pod("p1", "web", 8080)).await;
    run_pod(&local, &pod("p2", "web", 8080)).await;
    run_pod(&local, &pod("other", "db", 8080)).await;
    let full = slice(&local, "web", |slice| endpoints(slice).len() == 2).await;
    assert_eq!(
        endpoints(&full),
        [("p1", true, true, false), ("p2", true, true, false)]
    );
    assert_eq!(full["metadata"]["name"], empty["metadata"]["name"]);
    assert_eq!(
        full["ports"],
        json!([{"name": "web", "port": 8080, "protocol": "TCP"}])
    );
    assert_eq!(
        (&full["addressType"], &full["endpoints"][0]["addresses"]),
        (&json!("IPv4"), &json!(["10.0.0.1"]))
    );
    assert_eq!(full["endpoints"][0]["nodeName"], "a");
    let metadata = &full["metadata"];
    assert_eq!(
        metadata["labels"]["endpointslice.kubernetes.io/managed-by"],
        "endpointslice-controller.k8s.io"
    );
    assert_eq!(metadata["ownerReferences"][0]["uid"], owner["metadata"]["uid"]);

    lab.kubelet.hold("p1");
    local.delete(&reference("Pod", "p1")).unwrap();
    let draining = slice(&local, "web", |slice| {
        endpoints(slice).contains(&("p1", false, true, true))
    })
    .await;
    assert_eq!(endpoints(&draining).len(), 2);
    lab.kubelet.release("p1");
    slice(&local, "web", |slice| {
        endpoints(slice) == [("p2", true, true, false)]
    })
    .await;

    let reselect = json!({"spec": {"selector": {"app": "db"}}});
    local.merge_patch(&reference("Service", "web"), reselect).unwrap();
    slice(&local, "web", |slice| {
        endpoints(slice) == [("other", true, true, false)]
    })
    .await;

    local.delete(&reference("Service", "web")).unwrap();
    let name = metadata["name"].as_str().unwrap();
    let gone = ObjectRef::namespaced("discovery.k8s.io/v1", "EndpointSlice", "default", name);
    local
        .wait_for(&gone, deadline(), |slice| slice.is_none())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_named_port_that_differs_between_pods_makes_two_slices() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&service("web", "web")).unwrap();
    run_pod(&local, &pod("p1", "web", 8080)).await;
    run_pod(&local, &pod("p2", "web", 9090)).await;
    for (port, name) in [(8080, "p1"), (9090, "p2")] {
        let found = slice(&local, "web", |slice| {
            slice["ports"][0]["port"] == port && !endpoints(slice).is_empty()
        });
        assert_eq!(endpoints(&found.await), [(name, true, true, false)]);
    }
}

#[tokio::test]
async fn a_headless_service_has_slices_and_no_address() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    let mut headless = service("web", "web");
    headless["spec"]["clusterIP"] = json!("None");
    headless["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    headless["spec"]["ipFamilyPolicy"] = json!("RequireDualStack");
    let created = local.create(&headless).unwrap();
    assert_eq!(
        (&created["spec"]["clusterIP"], &created["spec"]["clusterIPs"]),
        (&json!("None"), &json!(["None"]))
    );
    run_pod(&local, &pod("p", "web", 8080)).await;
    let v6 = slice(&local, "web", |slice| {
        slice["addressType"] == "IPv6" && !endpoints(slice).is_empty()
    })
    .await;
    assert_eq!(v6["endpoints"][0]["addresses"], json!(["fd00::1"]));
    assert_eq!(v6["metadata"]["labels"]["service.kubernetes.io/headless"], "");
}

#[tokio::test]
async fn a_service_without_a_selector_has_no_slices() {
    let lab = Lab::start().await;
    let slices: Api<EndpointSlice> = Api::all(lab.client.clone());
    let local = lab.server.local();
    local.create(&service("web", "web")).unwrap();
    // The controller works in order: once this slice is there, `default/kubernetes` has been looked at.
    slice(&local, "web", |_| true).await;
    let names: Vec<_> = slices.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(names.len(), 1);
}

#[tokio::test]
async fn a_slice_somebody_breaks_is_mended() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    local.create(&service("web", "web")).unwrap();
    run_pod(&local, &pod("p", "web", 8080)).await;
    let full = slice(&local, "web", |slice| endpoints(slice).len() == 1).await;
    let reference = ObjectRef::of(&full);
    local.merge_patch(&reference, json!({"endpoints": []})).unwrap();
    slice(&local, "web", |slice| endpoints(slice).len() == 1).await;
    local.delete(&reference).unwrap();
    slice(&local, "web", |slice| endpoints(slice).len() == 1).await;
}

#[tokio::test]
async fn a_pod_replaced_before_it_was_bound_is_started_once() {
    let lab = Lab::start().await;
    let local = lab.server.local();
    // No await in between: the controllers see all three writes at once.
    local.create(&pod("p", "web", 8080)).unwrap();
    local.delete(&reference("Pod", "p")).unwrap();
    run_pod(&local, &pod("p", "web", 8080)).await;
    local.delete(&reference("Pod", "p")).unwrap();
    local
        .wait_for(&reference("Pod", "p"), deadline(), |pod| pod.is_none())
        .await
        .unwrap();
    assert_eq!(lab.kubelet.stopped(), ["p"]);
}
