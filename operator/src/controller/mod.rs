//! The loop: watch Kubernetes, keep the fabric as the annotations say.
//!
//! Owns when to act: as the leader only, after a burst of changes, at the resync interval, and again after a failure.
//! What to do is [`crate::core`]'s, how to write it [`crate::manager`]'s.
//!
//! Invariants: level-triggered (each round looks at all facts as they are by then, no event is ever replayed); no round
//! before the initial lists of a cluster are complete; one round at a time, none without the lease; an error never ends
//! the loop.

mod backoff;
mod changes;
mod clusters;
mod custom;
mod election;
mod facts;
mod failures;
mod publish;
mod reconciler;
mod rounds;
mod setbacks;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info};

use self::clusters::Clusters;
use self::election::Election;
pub use self::election::{Contest, Leadership, Timing, UnacceptableTiming};
pub use self::reconciler::{Effect, Knowledge, Reconciler};
use self::rounds::Rounds;
use crate::core::{Cluster, Compiler, Conventions, ServiceType};
use crate::manager::{Identity, ManagerClient, ManagerError, Plan};
use crate::server::Telemetry;

const LOGOUT_PATIENCE: Duration = Duration::from_secs(1);

/// What the loop needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How intents are to be understood.
    pub conventions: Conventions,
    /// The service of a site that inspects traffic.
    pub inspection: ServiceType,
    /// Whose objects are managed.
    pub identity: Identity,
    /// How often the Manager is observed afresh, to repair what others changed.
    pub resync: Duration,
    /// The least time between two activations.
    pub min_interval: Duration,
    /// How often the Manager is asked how the tunnels are.
    pub tunnel_poll: Duration,
    /// How long to wait at the start for clusters that cannot be listed, after one was.
    pub cluster_patience: Duration,
    /// The Lease to lead by, if there are several replicas.
    pub contest: Option<Contest>,
    /// A file to write when the watches are complete and the first round has succeeded.
    pub ready_file: Option<PathBuf>,
}

/// Runs the loop until `stop` is done.
///
/// The first of the clusters, which all need a name of their own, has the Lease and shows the tunnels.
///
/// # Errors
/// Only if the ready file cannot be written; everything else is logged and retried.
pub async fn run(
    clusters: Vec<(Cluster, kube::Client)>,
    manager: ManagerClient,
    settings: Settings,
    telemetry: Arc<Telemetry>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let home = clusters.first().map(|(_, kubernetes)| kubernetes.clone());
    let contender = home
        .zip(settings.contest.clone())
        .map(|(kubernetes, contest)| Contender::start(Election::new(kubernetes, contest)));
    let leadership = match &contender {
        Some(contender) => contender.leadership.clone(),
        None => Leadership::unopposed(),
    };
    let mut rounds = Rounds::new(&clusters, manager, settings, telemetry, leadership);
    let outcome = rounds.run(stop).await;
    if timeout(LOGOUT_PATIENCE, rounds.logout()).await.is_err() {
        debug!("no answer to the logout");
    }
    rounds.publishers.stop().await;
    if let Some(contender) = contender {
        contender.retire().await;
    }
    info!("stopped");
    outcome
}

/// What the first round would write, given the clusters and the Manager as they are; writes nothing.
///
/// # Errors
/// [`ManagerError`] if the Manager cannot be read, or what the round would write is somebody else's.
pub async fn dry_run(
    clusters: &[(Cluster, kube::Client)],
    manager: ManagerClient,
    settings: &Settings,
) -> Result<Plan, ManagerError> {
    let conventions = &settings.conventions;
    let clusters = Clusters::start(clusters, &conventions.annotation_prefix, &Arc::default());
    let reconciler = Reconciler::new(manager, settings.identity.clone(), settings.inspection);
    clusters.seen(settings.cluster_patience).await;
    let mut compiler = Compiler::new(conventions.clone());
    clusters.update(&mut compiler);
    let compiled = compiler.compiled();
    let plan = reconciler
        .plan_knowing(&compiled.policy, clusters.knowledge())
        .await;
    reconciler.logout().await;
    plan
}

/// An election that goes on beside the loop, so that work there delays no renewal.
struct Contender {
    leadership: Leadership,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Contender {
    fn start(election: Election) -> Self {
        let leadership = election.leadership();
        let (stop, stopped) = oneshot::channel();
        Self {
            leadership,
            stop,
            task: tokio::spawn(election.run(async {
                stopped.await.ok();
            })),
        }
    }

    /// Gives the lease back.
    async fn retire(self) {
        // If the election has ended by itself there is nothing to give back.
        self.stop.send(()).ok();
        self.task.await.ok();
    }
}
