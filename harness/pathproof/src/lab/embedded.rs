//! One lab, from a plan to "ready for traffic".
//!
//! Owns the order in which things come up, and everything that is up. Nothing needs taking down one by one: the
//! lab lives in the private namespaces of its process and ends with it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use ipnet::IpNet;
use kubeapi::{Local, ObjectRef};
use netsim::bfd::{Prober, ProberError, State, Timing};
use netsim::encap::EncapError;
use netsim::fabric::edge::EdgeError;
use netsim::fabric::{Edge, Host, HostError};
use netsim::manager::{Device, Manager, SecretString};
use netsim::netns::{Netns, NetnsError};
use scenario::model::Scenario;
use scenario::plan::{EdgePlan, Plan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::carriage::{Carriage, CarriageError};
use super::edges::LabEdges;
use super::faults::{FaultError, Faults};
use super::network::{Network, of_v4};
use super::operator::{Operator, OperatorConfig, OperatorError};
use super::pods::Pods;
use super::sabotage::Sabotage;
use super::telemetry;
use crate::probe::identity::unix_ns;
use crate::record::events::EventLog;
use crate::record::folder::RunFolder;

/// The Manager's one user.
const MANAGER_USER: &str = "admin";
/// The file of the run folder that [`Lab::admit`] writes.
pub const ACCESS_FILE: &str = "lab.json";
/// What sessions may take to be decided beyond their detection time, on a machine that stands still now and then.
const SETTLE_MARGIN: Duration = Duration::from_secs(5);
/// How long the embedded API may take to run all pods of a scenario.
const PODS_DEADLINE: Duration = Duration::from_secs(10);

/// Sockets on the host's loopback interface, opened before the private namespaces are entered: through them
/// `kubectl` and `curl` on the host reach a lab.
#[derive(Debug)]
pub struct Listeners {
    /// For the Kubernetes API.
    pub api: TcpListener,
    /// For the Manager.
    pub manager: TcpListener,
}

impl Listeners {
    /// Opens both on free ports.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open() -> io::Result<Self> {
        let open = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        Ok(Self {
            api: open()?,
            manager: open()?,
        })
    }
}

/// How to bring a lab up.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// The operator under test.
    pub operator: PathBuf,
    /// What to break, if anything.
    pub sabotage: Option<Sabotage>,
    /// Inode of the network namespace of the host, which the lab must not be in.
    pub host_netns: u64,
}

/// Why a lab did not come up.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The lab's process is still in the host's network namespace.
    #[error("isolate the lab: it is in the host's network namespace")]
    NotIsolated,
    /// The private network namespace could not be used.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The management network could not be set up.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The tunnels of a transport cannot carry packets as it asks.
    #[error(transparent)]
    Carriage(#[from] CarriageError),
    /// The fabric could not be built.
    #[error("build the fabric")]
    Fabric(#[source] EdgeError),
    /// The tunnels could not be probed.
    #[error("probe the tunnels")]
    Prober(#[from] ProberError),
    /// Neither up nor down, long after every hello had its time.
    #[error("probe the tunnels: not every session is up or down after {waited:?}")]
    Undecided {
        /// How long it was waited.
        waited: Duration,
    },
    /// Sabotage could not be put in place.
    #[error("sabotage the fabric")]
    Sabotage(#[source] netsim::fabric::nft::NftError),
    /// A transport could not be impaired as the topology asks.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A listener inside the lab could not be opened.
    #[error("open a listener on the lab's management network")]
    Listener(#[source] io::Error),
    /// The Kubernetes API did not start.
    #[error("start the embedded Kubernetes API")]
    Api(#[source] kubeapi::StartError),
    /// The Manager did not start.
    #[error("start the Manager emulation")]
    Manager(#[source] netsim::manager::StartError),
    /// An object of the lab or the scenario was refused.
    #[error("create {kind} `{name}`")]
    Manifest {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The API's answer.
        #[source]
        source: kubeapi::Status,
    },
    /// A pod did not become ready in time.
    #[error("run the pods of the scenario")]
    Pod(#[source] kubeapi::WaitError),
    /// A file of the run folder could not be written.
    #[error("write `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The file system's answer.
        #[source]
        source: io::Error,
    },
    /// The operator does not run.
    #[error(transparent)]
    Operator(#[from] OperatorError),
}

impl LabError {
    /// Whether this machine lacks what the topology asks for, and nothing else went wrong.
    #[must_use]
    pub fn is_lacking(&self) -> bool {
        match self {
            Self::Carriage(error) => error.is_lacking(),
            Self::Fabric(EdgeError::Encap(error)) => matches!(error, EncapError::Unsupported { .. }),
            _ => false,
        }
    }
}

/// A lab that is up.
pub struct Lab {
    /// WAN edges, in the order of the plan.
    pub edges: Vec<Arc<Edge>>,
    /// What is wrong with the transports.
    pub faults: Faults,
    /// Pods.
    pub pods: Arc<Pods>,
    /// The Kubernetes API, from inside.
    pub api: Local,
    /// The operator, unless sabotage keeps it from starting.
    pub operator: Option<Operator>,
    /// The sessions of all tunnels.
    pub prober: Arc<Prober>,
    /// Where the Manager listens and how to log in there.
    pub access: ManagerAccess,
    /// How the tunnels over each transport carry packets, in words.
    pub encapsulations: BTreeMap<String, String>,
    /// Held: each ends what it runs when it is dropped.
    _held: (kubeapi::Server, Manager, Network, Host),
}

/// Where the Manager listens and how to log in there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManagerAccess {
    /// `https://address:port`, the same on the host and in the lab.
    pub url: String,
    /// Its certificate authority, PEM.
    pub ca: PathBuf,
    /// The user.
    pub username: String,
    /// Their password, made for this run.
    pub password: String,
}

impl Lab {
    /// Brings a lab up: fabric, APIs, nodes, the scenario's objects and pods, then the operator.
    ///
    /// # Errors
    /// [`LabError`].
    pub async fn up(
        scenario: &Scenario,
        plan: &Plan,
        listeners: Listeners,
        folder: &RunFolder,
        options: &LabOptions,
        log: &Arc<EventLog>,
    ) -> Result<Self, LabError> {
        if netns_inode("/proc/self/ns/net").is_ok_and(|inode| inode == options.host_netns) {
            return Err(LabError::NotIsolated);
        }
        // Inside, the APIs listen on the management network: the loopback interface of the private namespace.
        let management = Host::adopt(Netns::current()?).await?;
        let carriage = Carriage::of(plan).await?;
        let encapsulations = carriage.words();
        log.note("lab", "encapsulations", json!(encapsulations));
        let network = Network::build(plan, &carriage, options.sabotage)
            .await
            .map_err(LabError::Fabric)?;
        let mut faults = Faults::new(plan, &network.transports, &network.edges, options.sabotage);
        for report in faults.begin().await? {
            log.note("fault", "verified", report);
        }
        let prober = Arc::new(start_prober(plan, &network, log)?);
        let nodes = plan
            .nodes
            .iter()
            .cloned()
            .zip(network.nodes.iter().cloned())
            .collect();
        let pods = Arc::new(Pods::new(nodes, plan.pod_mtu()));
        let server = start_api(plan, listeners.api, &pods).await?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let edges = LabEdges::new(&network, Arc::clone(&prober), Arc::clone(log), options.sabotage)
            .map_err(LabError::Sabotage)?;
        let manager = start_manager(plan, listeners.manager, &password, edges).await?;
        let access = ManagerAccess {
            url: format!("https://{}", manager.address()),
            ca: write(folder, "manager-ca.pem", manager.ca_pem())?,
            username: MANAGER_USER.to_owned(),
            password,
        };
        let kubeconfig = write(folder, "kubeconfig", &server.kubeconfig())?;
        let api = server.local();
        follow(&api, &manager, log);
        populate(&api, scenario, plan).await?;
        let operator = match options.sabotage {
            Some(Sabotage::NoOperator) => None,
            _ => {
                let config = operator_config(options, folder, kubeconfig, &access, plan);
                Some(Operator::start(&config).await?)
            }
        };
        settle(&prober, plan).await?;
        let edges = network.edges.clone();
        Ok(Self {
            edges,
            faults,
            pods,
            api,
            operator,
            prober,
            access,
            encapsulations,
            _held: (server, manager, network, management),
        })
    }
}

impl Lab {
    /// How many sessions are up, and how many there are.
    #[must_use]
    pub fn sessions_up(&self) -> (usize, usize) {
        let sessions = self.prober.sessions();
        let up = sessions.iter().filter(|view| view.session.state() == State::Up);
        (up.count(), sessions.len())
    }

    /// Leaves in the run folder what `pathproof lab show` needs to get in; only its owner can read it.
    ///
    /// # Errors
    /// [`LabError::File`].
    ///
    /// # Panics
    /// Never: texts and paths made of texts are JSON.
    pub fn admit(&self, folder: &RunFolder) -> Result<(), LabError> {
        let text = serde_json::to_string_pretty(&self.access).expect("texts are JSON");
        write(folder, ACCESS_FILE, &text).map(drop)
    }
}

/// The inode that identifies a network namespace.
///
/// # Errors
/// When /proc is not mounted.
pub fn netns_inode(path: &str) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(path)?.ino())
}

/// The same port that a listener has on the host, on the loopback interface of the lab: one kubeconfig serves both.
fn twin(listener: &TcpListener) -> io::Result<TcpListener> {
    let port = listener.local_addr()?.port();
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

async fn start_api(plan: &Plan, host: TcpListener, pods: &Arc<Pods>) -> Result<kubeapi::Server, LabError> {
    let inside = twin(&host).map_err(LabError::Listener)?;
    let config = kubeapi::Config {
        cluster: plan.clusters[0].name.clone(),
        listeners: vec![host, inside],
        service_cidr: of_v4(plan.clusters[0].service_cidr),
    };
    kubeapi::Server::start(config, Arc::clone(pods) as Arc<dyn kubeapi::Kubelet>)
        .await
        .map_err(LabError::Api)
}

fn timing(plan: &Plan) -> Timing {
    Timing {
        hello: Duration::from_micros(plan.bfd.hello_us),
        multiplier: plan.bfd.multiplier,
    }
}

fn start_prober(plan: &Plan, network: &Network, log: &Arc<EventLog>) -> Result<Prober, ProberError> {
    let (log, edges) = (Arc::clone(log), network.edges.clone());
    Prober::start(&network.edges, timing(plan), move |change| {
        telemetry::record(&log, &edges, &change);
    })
}

/// Waits until it is known of every tunnel whether it is up.
async fn settle(prober: &Prober, plan: &Plan) -> Result<(), LabError> {
    let waited = timing(plan).detection_max() + SETTLE_MARGIN;
    let settled = tokio::time::timeout(waited, prober.settled()).await;
    settled.map_err(|_| LabError::Undecided { waited })
}

async fn start_manager(
    plan: &Plan,
    host: TcpListener,
    password: &str,
    edges: LabEdges,
) -> Result<Manager, LabError> {
    let inside = twin(&host).map_err(LabError::Listener)?;
    let device = |edge: &EdgePlan| Device {
        host_name: format!("edge-{}", edge.site),
        system_ip: edge.system_ip,
        site_id: edge.site_id,
        service_vpns: edge.service_vpns.clone(),
        colors: edge
            .tlocs
            .iter()
            .map(|tloc| plan.transports[tloc.transport].color.clone())
            .collect(),
    };
    let config = netsim::manager::Config {
        listeners: vec![host, inside],
        username: MANAGER_USER.to_owned(),
        password: SecretString::from(password),
        devices: plan.edges.iter().map(device).collect(),
        push_delay: Duration::ZERO,
    };
    Manager::start(config, Arc::new(edges))
        .await
        .map_err(LabError::Manager)
}

fn operator_config(
    options: &LabOptions,
    folder: &RunFolder,
    kubeconfig: PathBuf,
    access: &ManagerAccess,
    plan: &Plan,
) -> OperatorConfig {
    OperatorConfig {
        binary: options.operator.clone(),
        folder: folder.path().to_owned(),
        kubeconfig,
        manager_url: access.url.clone(),
        manager_ca: access.ca.clone(),
        username: access.username.clone(),
        password: access.password.clone(),
        service_vpn: plan.service_vpns[0],
    }
}

/// Copies what happens at the Kubernetes API and at the Manager to the event log until both end.
fn follow(api: &Local, manager: &Manager, log: &Arc<EventLog>) {
    let kube_log = Arc::clone(log);
    tokio::spawn(api.events().for_each(move |write| {
        let what = format!("{:?} {}", write.kind, write.resource).to_lowercase();
        let detail = json!({
            "namespace": write.namespace,
            "name": write.name,
            "resourceVersion": write.resource_version,
            "annotations": write.object.pointer("/metadata/annotations"),
        });
        kube_log.note_at(unix_ns(write.time), "kubernetes", &what, detail);
        std::future::ready(())
    }));
    let (mut activities, manager_log) = (manager.activity(), Arc::clone(log));
    tokio::spawn(async move {
        while let Some(activity) = activities.next().await {
            manager_log.note_at(activity.unix_ns(), "manager", "activity", json!(activity.event));
        }
    });
}

async fn populate(api: &Local, scenario: &Scenario, plan: &Plan) -> Result<(), LabError> {
    for node in &plan.nodes {
        create(api, &node_object(node))?;
    }
    for manifest in &scenario.manifests {
        create(api, manifest)?;
    }
    let deadline = tokio::time::Instant::now() + PODS_DEADLINE;
    for manifest in scenario
        .manifests
        .iter()
        .filter(|manifest| manifest["kind"] == "Pod")
    {
        api.wait_for(&ObjectRef::of(manifest), deadline, is_ready)
            .await
            .map_err(LabError::Pod)?;
    }
    Ok(())
}

fn node_object(node: &scenario::plan::NodePlan) -> Value {
    let pod_cidrs: Vec<IpNet> = node.pod_cidr.iter().collect();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node.name, "labels": { "kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux" } },
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

fn write(folder: &RunFolder, name: &str, text: &str) -> Result<PathBuf, LabError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(name);
    // The kubeconfig holds a token: for the user's eyes only.
    let mut options = std::fs::OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    let written = opened.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|source| LabError::File {
        path: path.clone(),
        source,
    })?;
    // The operator does not run in the folder that the path may be relative to.
    std::path::absolute(&path).map_err(|source| LabError::File { path, source })
}
