//! The cluster: the embedded Kubernetes API with many annotated Services, and what changes in it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use kubeapi::{Collection, Config, Local, ObjectRef, Server};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::process::Process;
use crate::api::NoPods;

/// Services of ten endpoints each.
const SERVICES: u32 = 10_000;
const ENDPOINTS_EACH: u32 = 10;
/// One more Service, of ten EndpointSlices with as many endpoints as Kubernetes puts into one.
const LARGE: u32 = 1_000;
const LARGE_SLICE: u32 = 100;
/// All endpoints; none is twice.
pub(super) const ENDPOINTS: usize = (SERVICES * ENDPOINTS_EACH + LARGE) as usize;
/// The tunnels that Services ask for, in turn.
pub(super) const COLORS: [&str; 4] = ["biz-internet", "mpls", "lte", "default"];
/// The ports that endpoints have, in turn.
const PORTS: u32 = 10;
const NAMESPACES: u32 = 1_000;
/// The longest wait for all policies to show what was done.
const DEADLINE: Duration = Duration::from_secs(300);

/// A running API server; it ends with this.
pub(super) struct Cluster {
    server: Server,
    api: Local,
    /// Endpoints that have taken the place of another one.
    replaced: AtomicU32,
}

impl Cluster {
    /// Starts the API and fills it.
    pub(super) async fn start() -> Result<Self> {
        let config = Config {
            cluster: "bench".to_owned(),
            listeners: vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?],
            service_cidr: "10.96.0.0/12".parse()?,
            service_cidr_v6: None,
        };
        let server = Server::start(config, Arc::new(NoPods)).await?;
        let cluster = Self {
            api: server.local(),
            server,
            replaced: AtomicU32::new(0),
        };
        for definition in definitions()? {
            cluster.create(&definition)?;
        }
        for number in 0..NAMESPACES {
            let name = kube_namespace(number);
            cluster.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))?;
        }
        for number in 0..SERVICES {
            let first = number * ENDPOINTS_EACH;
            cluster.create(&service(number))?;
            cluster.create(&slice(number, 0, first..first + ENDPOINTS_EACH))?;
        }
        cluster.create(&service(SERVICES))?;
        for part in 0..LARGE / LARGE_SLICE {
            let first = SERVICES * ENDPOINTS_EACH + part * LARGE_SLICE;
            cluster.create(&slice(SERVICES, part, first..first + LARGE_SLICE))?;
        }
        Ok(cluster)
    }

    /// A kubeconfig that leads to it.
    pub(super) fn kubeconfig(&self) -> String {
        self.server.kubeconfig()
    }

    /// Waits until every Service has a SteeringPolicy that says that the fabric steers it.
    pub(super) async fn shown(&self, operator: &mut Process) -> Result<SystemTime> {
        let policies = Collection::all("sdwan.pathproof.dev/v1alpha1", "SteeringPolicy");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let shown = self.api.list(&policies)?;
            if shown.iter().filter(|policy| is_programmed(policy)).count() == SERVICES as usize + 1 {
                return Ok(SystemTime::now());
            }
            operator.check()?;
            ensure!(Instant::now() < deadline, "not all policies were shown in time");
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Replaces one endpoint of one of the small Services.
    pub(super) fn replace_one(&self, turn: usize) -> Result<()> {
        let number = u32::try_from(turn)? * 37 % SERVICES;
        self.replace(number, 0, 0..1)
    }

    /// Replaces one endpoint of the large Service, another one each turn.
    pub(super) fn replace_of_large(&self, turn: usize) -> Result<()> {
        let turn = u32::try_from(turn)? % LARGE;
        let position = turn % LARGE_SLICE;
        self.replace(SERVICES, turn / LARGE_SLICE, position..position + 1)
    }

    /// Replaces all endpoints of the large Service.
    pub(super) fn replace_large(&self) -> Result<()> {
        (0..LARGE / LARGE_SLICE).try_for_each(|part| self.replace(SERVICES, part, 0..LARGE_SLICE))
    }

    fn replace(&self, number: u32, part: u32, positions: std::ops::Range<u32>) -> Result<()> {
        let (kube_namespace, name) = (kube_namespace(number), slice_name(number, part));
        let slice = ObjectRef::namespaced("discovery.k8s.io/v1", "EndpointSlice", &kube_namespace, &name);
        let mut endpoints = self.api.get(&slice)?["endpoints"].clone();
        for position in positions {
            let replaced = self.replaced.fetch_add(1, Ordering::Relaxed);
            let address = Ipv4Addr::from(0x0b00_0000 + replaced);
            endpoints[position as usize]["addresses"] = json!([address]);
        }
        self.api.merge_patch(&slice, json!({ "endpoints": endpoints }))?;
        Ok(())
    }

    fn create(&self, object: &Value) -> Result<()> {
        let created = self.api.create(object);
        created.with_context(|| format!("create {} {}", object["kind"], object["metadata"]["name"]))?;
        Ok(())
    }
}

/// The operator's own resources, as it prints them.
fn definitions() -> Result<Vec<Value>> {
    let printed = Command::new(Process::binary()?).arg("crds").output()?;
    ensure!(
        printed.status.success(),
        "the operator does not print its resources"
    );
    Ok(serde_saphyr::from_multiple(&String::from_utf8(printed.stdout)?)?)
}

fn is_programmed(policy: &Value) -> bool {
    let conditions = policy.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|conditions| {
        let mut conditions = conditions.iter();
        conditions.any(|condition| condition["type"] == "Programmed" && condition["status"] == "True")
    })
}

fn kube_namespace(number: u32) -> String {
    format!("team-{}", number % NAMESPACES)
}

fn slice_name(number: u32, part: u32) -> String {
    format!("service-{number}-{part}")
}

/// Nobody but the bench writes its EndpointSlices, since it selects no pods.
fn service(number: u32) -> Value {
    let color = COLORS[(number / PORTS) as usize % COLORS.len()];
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": format!("service-{number}"),
            "namespace": kube_namespace(number),
            "annotations": { "policy.sdwan.cisco.com/tunnel": color },
        },
        "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": port(number) }] },
    })
}

fn slice(number: u32, part: u32, endpoints: std::ops::Range<u32>) -> Value {
    let endpoint = |endpoint| {
        let address = Ipv4Addr::from(0x0a00_0000 + endpoint);
        json!({
            "addresses": [address],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "nodeName": format!("node-{}", endpoint % 50),
            "targetRef": { "kind": "Pod", "name": format!("pod-{endpoint}"), "namespace": kube_namespace(number) },
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(number, part),
            "namespace": kube_namespace(number),
            "labels": { "kubernetes.io/service-name": format!("service-{number}") },
        },
        "addressType": "IPv4",
        "endpoints": endpoints.map(endpoint).collect::<Vec<_>>(),
        "ports": [{ "name": "http", "protocol": "TCP", "port": port(number) }],
    })
}

fn port(number: u32) -> u32 {
    8000 + number % PORTS
}
