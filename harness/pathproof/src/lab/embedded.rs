//! One lab, from a plan to "ready for traffic".
//!
//! Owns the order in which things come up, and everything that is up. Nothing needs taking down one by one: the
//! lab lives in the private namespaces of its process and ends with it.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kubeapi::Mesh;
use netsim::bfd::ProberError;
use netsim::encap::EncapError;
use netsim::fabric::HostError;
use netsim::fabric::edge::EdgeError;
use netsim::manager::{Config, Device, SecretString};
use netsim::netns::NetnsError;
use scenario::model::Scenario;
use scenario::plan::Plan;
use serde::{Deserialize, Serialize};

use super::api_faults::ApiFaults;
use super::carriage::CarriageError;
use super::clusters::{self, Cluster, twin};
use super::faults::FaultError;
use super::kubeconfigs;
use super::manager_faults::ManagerFaults;
use super::operator::{Operator, OperatorCluster, OperatorConfig, OperatorError};
use super::sabotage::Sabotage;
use super::wan::{Wan, WanOptions};
use crate::implementation::Implementation;
use crate::record::events::EventLog;
use crate::record::folder::RunFolder;

/// The Manager's one user.
const MANAGER_USER: &str = "admin";
/// The file of the run folder that [`ManagerAccess::admit`] writes.
pub const ACCESS_FILE: &str = "lab.json";

/// Sockets on the host's loopback interface, opened before the private namespaces are entered: through them
/// `kubectl` and `curl` on the host reach a lab.
#[derive(Debug)]
pub struct Listeners {
    /// For the Kubernetes APIs, one for each cluster.
    pub apis: Vec<TcpListener>,
    /// For the Manager.
    pub manager: TcpListener,
}

impl Listeners {
    /// Opens them on free ports, for a lab of so many clusters.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open(clusters: usize) -> io::Result<Self> {
        let open = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        Ok(Self {
            apis: (0..clusters).map(|_| open()).collect::<io::Result<_>>()?,
            manager: open()?,
        })
    }
}

/// How to bring a lab up.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// The operator under test.
    pub operator: Implementation,
    /// How its WAN is to be.
    pub wan: WanOptions,
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
    /// The operator's ServiceAccount got no token.
    #[error("make a kubeconfig of ServiceAccount `{name}`")]
    Token {
        /// Its name.
        name: String,
        /// The API's answer.
        #[source]
        source: kubeapi::Status,
    },
    /// An object of the lab, the operator or the scenario was refused.
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
    /// What is wrong with the Manager.
    pub manager_faults: ManagerFaults,
    /// What is wrong with the Kubernetes APIs.
    pub api_faults: ApiFaults,
    /// What shows the clusters of a mesh each other's endpoints.
    pub mesh: Option<Mesh>,
    /// Kubernetes clusters, in the order of the plan.
    pub clusters: Vec<Cluster>,
    /// The operator, unless sabotage keeps it from starting.
    pub operator: Option<Operator>,
    /// Where the Manager listens and how to log in there.
    pub access: ManagerAccess,
    /// What all of them stand on, which goes after them.
    pub wan: Wan,
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
    /// Brings a lab up: fabric, APIs, what the operator needs there, nodes, the scenario's objects and pods, then the
    /// operator.
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
        let password = uuid::Uuid::new_v4().simple().to_string();
        let config = |devices| manager_config(listeners.manager, &password, devices);
        let wan = Wan::up(plan, &options.wan, log, config).await?;
        let clusters = clusters::start(plan, listeners.apis, &wan.network).await?;
        let access = ManagerAccess {
            url: format!("https://{}", wan.manager.address()),
            ca: write(folder, "manager-ca.pem", wan.manager.ca_pem())?,
            username: MANAGER_USER.to_owned(),
            password,
        };
        kubeconfigs::for_people(folder, &clusters)?;
        for cluster in &clusters {
            clusters::follow(cluster, log);
        }
        let mesh = match options.wan.sabotage {
            Some(Sabotage::NoSliceSync) => None,
            _ => clusters::join(plan, &clusters),
        };
        let manifests = options.operator.manifests.as_ref();
        if let Some(manifests) = manifests {
            clusters::install(&clusters, manifests)?;
        }
        clusters::populate(&clusters, scenario, plan).await?;
        let operator = match options.wan.sabotage {
            Some(Sabotage::NoOperator) => None,
            _ => {
                let account = manifests.map(|manifests| &manifests.service_account);
                let given = kubeconfigs::for_operator(folder, &clusters, account)?;
                let config = operator_config(options, folder, given, &access);
                Some(Operator::start(&config).await?)
            }
        };
        wan.settle(plan).await?;
        Ok(Self {
            manager_faults: ManagerFaults::new(&wan.manager, plan, options),
            api_faults: ApiFaults::new(&clusters, options),
            mesh,
            clusters,
            operator,
            access,
            wan,
        })
    }
}

impl ManagerAccess {
    /// Leaves in the run folder what `pathproof lab show` needs to get in; only its owner can read it.
    ///
    /// # Errors
    /// [`LabError::File`].
    ///
    /// # Panics
    /// Never: texts and paths made of texts are JSON.
    pub fn admit(&self, folder: &RunFolder) -> Result<(), LabError> {
        let text = serde_json::to_string_pretty(self).expect("texts are JSON");
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

/// The Manager of a lab listens inside it, too.
fn manager_config(host: TcpListener, password: &str, devices: Vec<Device>) -> Result<Config, LabError> {
    let inside = twin(&host).map_err(LabError::Listener)?;
    Ok(Config::new(
        vec![host, inside],
        MANAGER_USER.to_owned(),
        SecretString::from(password),
        devices,
    ))
}

fn operator_config(
    options: &LabOptions,
    folder: &RunFolder,
    clusters: Vec<OperatorCluster>,
    access: &ManagerAccess,
) -> OperatorConfig {
    OperatorConfig {
        binary: options.operator.binary.clone(),
        folder: folder.path().to_owned(),
        clusters,
        manager_url: access.url.clone(),
        manager_ca: access.ca.clone(),
        username: access.username.clone(),
        password: access.password.clone(),
    }
}

/// Writes a file of the run folder and returns its absolute path.
///
/// # Errors
/// [`LabError::File`].
pub(crate) fn write(folder: &RunFolder, name: &str, text: &str) -> Result<PathBuf, LabError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(name);
    // Some hold a token or a password: for the user's eyes only.
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
