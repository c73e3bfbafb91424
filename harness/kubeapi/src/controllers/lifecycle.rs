//! The life of one bound pod: start, run, stop, gone.
//!
//! Owns the order of the calls to the kubelet and what the pod's status says at each point. A stop that arrives
//! during a start waits for it, so the kubelet never sees both at once.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::objects::modify;
use super::pods::remove;
use super::recorder::{Component, Severity, record};
use crate::api::Api;
use crate::kubelet::{Kubelet, KubeletError, PodAddress};
use crate::object;
use crate::readiness::{self, Readiness};
use crate::status::Status;
use crate::store::Key;
use crate::strategy::Part;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

pub(super) async fn run(api: Arc<Api>, kubelet: Arc<dyn Kubelet>, pod: Arc<Value>, stop: CancellationToken) {
    start(&api, &*kubelet, &pod, &stop).await;
    stop.cancelled().await;
    record(
        &api,
        &pod,
        Component::Kubelet,
        (Severity::Normal, "Killing"),
        "Stopping container",
    );
    let (namespace, name, uid) = (object::namespace(&pod), object::name(&pod), object::uid(&pod));
    let mut pause = FIRST_RETRY;
    while let Err(error) = kubelet.stop_pod(namespace, name, uid).await {
        warn!(namespace, name, error = %chain(&error), "stop pod");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
    remove(&api, &pod);
}

async fn start(api: &Api, kubelet: &dyn Kubelet, pod: &Value, stop: &CancellationToken) {
    let mut pause = FIRST_RETRY;
    while !stop.is_cancelled() {
        let outcome = kubelet.start_pod(pod).await;
        if report(api, pod, &outcome).is_err() {
            // The pod was removed meanwhile; the stop signal is on its way.
            return;
        }
        match &outcome {
            Ok(_) => {
                record(
                    api,
                    pod,
                    Component::Kubelet,
                    (Severity::Normal, "Started"),
                    "Started container",
                );
                return;
            }
            Err(error) => {
                let message = chain(error);
                warn!(
                    namespace = object::namespace(pod),
                    name = object::name(pod),
                    error = message,
                    "start pod"
                );
                record(
                    api,
                    pod,
                    Component::Kubelet,
                    (Severity::Warning, "FailedCreatePodSandBox"),
                    &message,
                );
            }
        }
        let _stopped = tokio::time::timeout(pause, stop.cancelled()).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

fn report(api: &Api, pod: &Value, outcome: &Result<PodAddress, KubeletError>) -> Result<Arc<Value>, Status> {
    let node = Key::new("", object::text(pod, "/spec/nodeName"));
    let node = api.store.read(|state| state.get("nodes", &node));
    modify(api, pod, Part::Status, |pod| {
        let containers = object::items(pod, "/spec/containers").to_vec();
        let status = object::map_mut(pod, "status")?;
        object::set_condition(status, json!({"type": "PodScheduled", "status": "True"}));
        match outcome {
            Ok(address) => running(status, &containers, address, node.as_deref()),
            Err(error) => waiting(status, &containers, &chain(error)),
        }
        readiness::report(
            pod,
            match outcome {
                Ok(_) => Readiness::Ready,
                Err(_) => Readiness::NotReady,
            },
        )
    })
}

fn running(
    status: &mut Map<String, Value>,
    containers: &[Value],
    address: &PodAddress,
    node: Option<&Value>,
) {
    let now = object::now();
    let ips: Vec<Value> = address
        .ips
        .iter()
        .map(|ip| json!({"ip": ip.to_string()}))
        .collect();
    let set = |status: &mut Map<String, Value>, field: &str, value: Value| {
        status.insert(field.to_owned(), value);
    };
    set(status, "phase", json!("Running"));
    set(status, "startTime", json!(now));
    if let Some(primary) = ips.first() {
        set(status, "podIP", primary["ip"].clone());
    }
    set(status, "podIPs", json!(ips));
    if let Some(host_ip) = node.and_then(internal_ip) {
        set(status, "hostIP", json!(host_ip));
        set(status, "hostIPs", json!([{"ip": host_ip}]));
    }
    object::set_condition(status, json!({"type": "Initialized", "status": "True"}));
    set(
        status,
        "containerStatuses",
        container_statuses(containers, &json!({"running": {"startedAt": now}})),
    );
}

fn waiting(status: &mut Map<String, Value>, containers: &[Value], message: &str) {
    let state = json!({"waiting": {"reason": "ContainerCreating", "message": message}});
    status.insert(
        "containerStatuses".to_owned(),
        container_statuses(containers, &state),
    );
}

fn container_statuses(containers: &[Value], state: &Value) -> Value {
    let ready = state.get("running").is_some();
    let statuses = containers.iter().map(|container| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "", "containerID": "",
            "ready": ready, "started": ready, "restartCount": 0, "state": state, "lastState": {},
        })
    });
    Value::Array(statuses.collect())
}

fn internal_ip(node: &Value) -> Option<&str> {
    let addresses = object::items(node, "/status/addresses");
    addresses.iter().find(|address| address["type"] == "InternalIP")?["address"].as_str()
}

/// The error and its causes on one line, as an event message shows it.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
