//! The loop: watch Kubernetes, keep the fabric as the annotations say.
//!
//! Owns when to act: after a burst of changes, at the resync interval, and again after a failure. What to do is
//! [`crate::core`]'s, how to write it [`crate::manager`]'s.
//!
//! Invariants: level-triggered (each round looks at all facts as they are by then, no event is ever replayed); no round
//! before the initial lists are complete; one round at a time; an error never ends the loop.

mod backoff;
mod events;
mod facts;
mod reconciler;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use self::backoff::Backoff;
use self::events::EventReporter;
pub use self::reconciler::Reconciler;
use self::watch::Watches;
use crate::core::{Cluster, Compiler, Conventions, ServiceType};
use crate::manager::{Identity, ManagerClient, ManagerError, Plan};

/// A burst of changes has ended when nothing came for this long …
const QUIET: Duration = Duration::from_millis(5);
/// … and is acted upon after this long, even if it goes on.
const BURST_MAX: Duration = Duration::from_millis(50);
/// How long a round in progress may go on after the signal to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
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
    /// A file to write when the watches are complete and the first round has succeeded.
    pub ready_file: Option<PathBuf>,
}

/// Runs the loop until `stop` is done.
///
/// # Errors
/// Only if the ready file cannot be written; everything else is logged and retried.
pub async fn run(
    kubernetes: kube::Client,
    manager: ManagerClient,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let mut stop = pin!(stop);
    let conventions = &settings.conventions;
    let watches = Watches::start(&kubernetes, &Cluster::default(), &conventions.annotation_prefix);
    let mut rounds = Rounds {
        events: EventReporter::new(kubernetes),
        reconciler: Reconciler::new(manager, settings.identity.clone(), settings.inspection),
        compiler: Compiler::new(conventions.clone()),
        settings,
        watches,
    };
    // Logging in takes longer than listing, and neither needs the other.
    let first = async { tokio::join!(rounds.watches.complete(), rounds.reconciler.warm_up()) };
    let outcome = tokio::select! {
        _ = first => rounds.run(stop.as_mut()).await,
        () = stop.as_mut() => Ok(()),
    };
    if timeout(LOGOUT_PATIENCE, rounds.reconciler.logout())
        .await
        .is_err()
    {
        debug!("no answer to the logout");
    }
    info!("stopped");
    outcome
}

/// What the first round would write, given the clusters and the Manager as they are; writes nothing.
///
/// # Errors
/// [`ManagerError`] if the Manager cannot be read, or would refuse what the round writes.
pub async fn dry_run(
    kubernetes: &kube::Client,
    manager: ManagerClient,
    settings: &Settings,
) -> Result<Plan, ManagerError> {
    let conventions = &settings.conventions;
    let watches = Watches::start(kubernetes, &Cluster::default(), &conventions.annotation_prefix);
    let reconciler = Reconciler::new(manager, settings.identity.clone(), settings.inspection);
    watches.complete().await;
    let mut compiler = Compiler::new(conventions.clone());
    watches.update(&mut compiler);
    let compiled = compiler.compiled();
    let plan = reconciler.plan(&compiled.policy).await;
    reconciler.logout().await;
    plan
}

struct Rounds {
    settings: Settings,
    watches: Watches,
    compiler: Compiler,
    events: EventReporter,
    reconciler: Reconciler,
}

impl Rounds {
    async fn run(&mut self, mut stop: std::pin::Pin<&mut impl Future<Output = ()>>) -> std::io::Result<()> {
        let mut backoff = Backoff::default();
        let mut ready = false;
        let mut observe_afresh_at = Instant::now() + self.settings.resync;
        loop {
            let outcome = {
                let mut round = pin!(self.round());
                tokio::select! {
                    outcome = round.as_mut() => outcome,
                    () = stop.as_mut() => {
                        if timeout(STOP_GRACE, round).await.is_err() {
                            warn!("round in progress was cut short");
                        }
                        return Ok(());
                    }
                }
            };
            let retry_at = match outcome {
                Ok(()) => {
                    backoff.reset();
                    if !std::mem::replace(&mut ready, true) {
                        self.announce().await?;
                    }
                    None
                }
                Err(failure) => {
                    let delay = backoff.next_delay();
                    error!(error = &failure as &dyn std::error::Error, retry_in = ?delay, "round failed");
                    Some(Instant::now() + delay)
                }
            };
            tokio::select! {
                () = stop.as_mut() => return Ok(()),
                () = sleep_until(retry_at.unwrap_or(observe_afresh_at)) => {}
                () = self.watches.settled(), if retry_at.is_none() => {}
            }
            if Instant::now() >= observe_afresh_at {
                self.reconciler.forget();
                observe_afresh_at = Instant::now() + self.settings.resync;
            }
        }
    }

    async fn round(&mut self) -> Result<(), ManagerError> {
        self.watches.update(&mut self.compiler);
        let compiled = self.compiler.compiled();
        let (outcome, ()) = tokio::join!(
            self.reconciler.reconcile(&compiled.policy),
            self.events.report(&compiled.outcomes)
        );
        outcome
    }

    async fn announce(&self) -> std::io::Result<()> {
        info!("ready");
        let Some(path) = &self.settings.ready_file else {
            return Ok(());
        };
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".tmp");
        tokio::fs::write(&unfinished, "ready\n").await?;
        tokio::fs::rename(&unfinished, path).await
    }
}
