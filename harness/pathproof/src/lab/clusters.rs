//! The Kubernetes clusters of a lab: an API of its own for each, its nodes, its pods.
//!
//! Owns how a cluster comes up and what is in it before the operator starts. Clusters share nothing but the WAN, unless
//! they are joined: their pods may have the same names and the same addresses. They are in the order of the plan, so that
//! [`Plan::cluster`] gives their position.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use ipnet::IpNet;
use kubeapi::{Local, Mesh, ObjectRef};
use scenario::model::{PodRef, Scenario};
use scenario::plan::{NodePlan, Plan};
use serde_json::{Value, json};

use super::LabError;
use super::network::{Network, of_v4};
use super::pods::Pods;
use crate::implementation::{Manifests, ServiceAccount};
use crate::probe::identity::unix_ns;
use crate::record::events::EventLog;

/// How long the embedded API may take to run all pods of a scenario.
const PODS_DEADLINE: Duration = Duration::from_secs(10);

/// A cluster that is up.
pub struct Cluster {
    /// Its name in the topology.
    pub name: String,
    /// The service VPN of its pods.
    pub service_vpn: u16,
    /// Its API, from inside.
    pub api: Local,
    /// Its pods.
    pub pods: Arc<Pods>,
    /// Held: it ends when it is dropped.
    server: kubeapi::Server,
}

impl Cluster {
    /// The kubeconfig of its administrator; it holds a token.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.server.kubeconfig()
    }

    /// The kubeconfig of a ServiceAccount; it holds a token.
    ///
    /// # Errors
    /// [`LabError::Token`].
    pub fn kubeconfig_of(&self, account: &ServiceAccount) -> Result<String, LabError> {
        let ServiceAccount { kube_namespace, name } = account;
        let kubeconfig = self.server.kubeconfig_for_service_account(kube_namespace, name);
        kubeconfig.map_err(|source| LabError::Token {
            name: name.clone(),
            source,
        })
    }

    /// What is wrong with its API on purpose.
    #[must_use]
    pub fn faults(&self) -> kubeapi::Faults {
        self.server.faults()
    }
}

/// The cluster that a reference to a pod names, and its pod, if it runs.
#[must_use]
pub fn pod_of(clusters: &[Cluster], plan: &Plan, pod: &PodRef) -> Option<Arc<netsim::fabric::Host>> {
    let cluster = &clusters[plan.cluster(pod.cluster.as_deref())];
    cluster.pods.host(&pod.kube_namespace, &pod.name)
}

/// Starts the clusters of a plan, without objects; their listeners on the host are in the order of the plan.
///
/// # Errors
/// [`LabError::Listener`] and [`LabError::Api`].
pub async fn start(
    plan: &Plan,
    listeners: Vec<TcpListener>,
    network: &Network,
) -> Result<Vec<Cluster>, LabError> {
    let mut clusters = Vec::with_capacity(listeners.len());
    for (position, (spec, host)) in plan.clusters.iter().zip(listeners).enumerate() {
        let hosts = plan.nodes.iter().cloned().zip(network.nodes.iter().cloned());
        let own = hosts.filter(|(node, _)| node.cluster == position);
        let pods = Arc::new(Pods::new(own.collect(), plan.pod_mtu()));
        let inside = twin(&host).map_err(LabError::Listener)?;
        let config = kubeapi::Config {
            cluster: spec.name.clone(),
            listeners: vec![host, inside],
            service_cidr: of_v4(spec.service_cidr),
            service_cidr_v6: spec.service_cidr.v6,
        };
        let kubelet = Arc::clone(&pods) as Arc<dyn kubeapi::Kubelet>;
        let server = kubeapi::Server::start(config, kubelet)
            .await
            .map_err(LabError::Api)?;
        clusters.push(Cluster {
            name: spec.name.clone(),
            service_vpn: spec.service_vpn,
            api: server.local(),
            pods,
            server,
        });
    }
    Ok(clusters)
}

/// Joins the clusters that Cilium Cluster Mesh joins in a plan; `None` when there are none.
#[must_use]
pub fn join(plan: &Plan, clusters: &[Cluster]) -> Option<Mesh> {
    let members = plan.cluster_mesh.iter().map(|position| {
        let cluster = &clusters[*position];
        (cluster.name.as_str(), &cluster.server)
    });
    let members: Vec<_> = members.collect();
    (!members.is_empty()).then(|| Mesh::join(&members))
}

/// The same port that a listener has on the host, on the loopback interface of the lab: one kubeconfig serves both.
///
/// # Errors
/// The kernel's answer.
pub(super) fn twin(listener: &TcpListener) -> io::Result<TcpListener> {
    let port = listener.local_addr()?.port();
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Copies what happens at a cluster's API to the event log until it ends.
pub fn follow(cluster: &Cluster, log: &Arc<EventLog>) {
    let (name, log) = (cluster.name.clone(), Arc::clone(log));
    tokio::spawn(cluster.api.events().for_each(move |write| {
        let what = format!("{:?} {}", write.kind, write.resource).to_lowercase();
        let detail = json!({
            "cluster": name,
            "namespace": write.namespace,
            "name": write.name,
            "resourceVersion": write.resource_version,
            "annotations": write.object.pointer("/metadata/annotations"),
        });
        log.note_at(unix_ns(write.time), "kubernetes", &what, detail);
        std::future::ready(())
    }));
}

/// Notes what was asked of the APIs, and what of it was refused. The administrator is not in it.
pub fn note_accesses(clusters: &[Cluster], log: &EventLog) {
    for cluster in clusters {
        for access in cluster.server.accesses() {
            let what = if access.is_allowed { "access" } else { "refusal" };
            let detail = json!({
                "cluster": cluster.name,
                "user": access.user,
                "verb": access.verb,
                "group": access.group,
                "resource": access.resource,
            });
            log.note("kubernetes", what, detail);
        }
    }
}

/// Creates in each cluster what the operator needs there.
///
/// # Errors
/// [`LabError::Manifest`].
pub fn install(clusters: &[Cluster], manifests: &Manifests) -> Result<(), LabError> {
    let apis = clusters.iter().map(|cluster| &cluster.api);
    apis.flat_map(|api| manifests.objects.iter().map(move |object| (api, object)))
        .try_for_each(|(api, object)| create(api, object))
}

/// Creates the nodes of all clusters and the objects of the scenario, and waits until its pods are ready.
///
/// # Errors
/// [`LabError::Manifest`] and [`LabError::Pod`].
pub async fn populate(clusters: &[Cluster], scenario: &Scenario, plan: &Plan) -> Result<(), LabError> {
    for node in &plan.nodes {
        create(&clusters[node.cluster].api, &node_object(plan, node))?;
    }
    let objects = || {
        let manifests = scenario.manifests.iter();
        manifests.map(|manifest| {
            let cluster = plan.cluster(manifest.cluster.as_deref());
            (&clusters[cluster].api, &manifest.object)
        })
    };
    for (api, object) in objects() {
        create(api, object)?;
    }
    let deadline = tokio::time::Instant::now() + PODS_DEADLINE;
    for (api, pod) in objects().filter(|(_, object)| object["kind"] == "Pod") {
        api.wait_for(&ObjectRef::of(pod), deadline, is_ready)
            .await
            .map_err(LabError::Pod)?;
    }
    Ok(())
}

fn node_object(plan: &Plan, node: &NodePlan) -> Value {
    let pod_cidrs: Vec<IpNet> = node.pod_cidr.iter().collect();
    // One site is one zone: a manifest can ask for a site without the name of a node.
    let labels = json!({
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": plan.edges[node.edge].site,
    });
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node.name, "labels": labels },
        "spec": { "podCIDR": pod_cidrs[0], "podCIDRs": pod_cidrs },
        "status": {
            "addresses": [
                { "type": "InternalIP", "address": of_v4(node.address).addr() },
                { "type": "Hostname", "address": node.name },
            ],
            "conditions": [{ "type": "Ready", "status": "True", "reason": "LabNodeUp" }],
        },
    })
}

fn create(api: &Local, object: &Value) -> Result<(), LabError> {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    api.create(object).map(drop).map_err(|source| LabError::Manifest {
        kind: text(&object["kind"]),
        name: text(&object["metadata"]["name"]),
        source,
    })
}

fn is_ready(object: Option<&Value>) -> bool {
    let conditions = object
        .and_then(|object| object.pointer("/status/conditions"))
        .and_then(Value::as_array);
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    })
}
