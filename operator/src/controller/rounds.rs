//! Rounds: one after the other, while this replica leads.
//!
//! Owns their order and their times. Invariants: a round is cut at its next wait when the lease is lost; two
//! activations are at least the minimum interval apart.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::FusedFuture;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use super::Settings;
use super::backoff::Backoff;
use super::changes::Changes;
use super::clusters::Clusters;
use super::election::Leadership;
use super::publish::{Bulletin, Programming, Publishers};
use super::reconciler::{Effect, Reconciler};
use super::setbacks::{setbacks, tell_waiting};
use crate::core::{Change, Cluster, Compiled, Compiler, Outcome, TunnelReports};
use crate::manager::{ManagerClient, ManagerError};
use crate::server::{Check, Metrics, RoundOutcome, Telemetry};

/// How long a round in progress may go on after the signal to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long a round may take before the loop counts as stuck: more than all of the Manager's patience together.
const ROUND_MAX: Duration = Duration::from_secs(900);
/// How long after the end of a wait the loop counts as stuck.
const WAKE_GRACE: Duration = Duration::from_secs(30);
/// How often a loop that only waits looks whether its tasks live.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The loop and all that it works with.
pub(super) struct Rounds {
    settings: Settings,
    telemetry: Arc<Telemetry>,
    leadership: Leadership,
    clusters: Clusters,
    changes: Arc<Changes>,
    pub(super) publishers: Publishers,
    /// What was last published.
    bulletin: Bulletin,
    reconciler: Reconciler,
    compiler: Compiler,
    /// When to ask for the next report.
    poll_at: Instant,
    /// When to look at the Manager afresh.
    look_at: Instant,
    /// When the changes arrived that are not on the fabric yet.
    pending: Vec<Instant>,
    /// No round begins before this, so that activations keep their interval.
    not_before: Instant,
    announced: bool,
}

/// Why rounds ended.
enum End {
    Stopped,
    NotLeading,
}

impl Rounds {
    pub(super) fn new(
        clusters: &[(Cluster, kube::Client)],
        manager: ManagerClient,
        settings: Settings,
        telemetry: Arc<Telemetry>,
        leadership: Leadership,
    ) -> Self {
        let changes = Arc::new(Changes::default());
        Self {
            clusters: Clusters::start(clusters, &settings.conventions.annotation_prefix, &changes),
            changes,
            publishers: Publishers::start(clusters, &leadership),
            bulletin: Bulletin::default(),
            reconciler: Reconciler::new(manager, settings.identity.clone(), settings.inspection),
            compiler: Compiler::new(settings.conventions.clone()),
            settings,
            telemetry,
            leadership,
            poll_at: Instant::now(),
            look_at: Instant::now(),
            pending: Vec::new(),
            not_before: Instant::now(),
            announced: false,
        }
    }

    /// Leads whenever it may, until `stop` is done.
    pub(super) async fn run(&mut self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let mut stop = pin!(stop.fuse());
        loop {
            tokio::select! {
                () = stop.as_mut() => return Ok(()),
                () = self.stand_by() => {}
            }
            let end = self.lead(stop.as_mut()).await?;
            self.reconciler.start_over();
            // The lease may be lost in a round that goes on after the signal to stop.
            if matches!(end, End::Stopped) || stop.is_terminated() {
                return Ok(());
            }
            warn!("lease lost, nothing is written any more");
        }
    }

    /// Ends the session on the Manager.
    pub(super) async fn logout(&self) {
        self.reconciler.logout().await;
    }

    /// Waits until this replica leads and knows the cluster.
    async fn stand_by(&mut self) {
        let telemetry = self.telemetry.clone();
        telemetry.lead(self.leadership.is_held());
        let (clusters, reconciler) = (&self.clusters, &mut self.reconciler);
        let patience = self.settings.cluster_patience;
        let mut leadership = self.leadership.clone();
        let seen = async {
            clusters.seen(patience).await;
            clusters.report(&telemetry);
        };
        // Logging in takes longer than listing, and neither needs the other.
        // Without a report, classes with an SLA would be moved to their first tunnels and back.
        let leading = async {
            leadership.gained().await;
            reconciler.warm_up().await
        };
        let report = {
            let mut both = pin!(async { tokio::join!(seen, leading).1 });
            loop {
                look_alive(&telemetry, clusters, Instant::now() + LOOK_INTERVAL);
                if let Ok(report) = timeout(LOOK_INTERVAL, both.as_mut()).await {
                    break report;
                }
            }
        };
        if let Some(tunnels) = report {
            self.learn(tunnels);
            self.poll_at = Instant::now() + self.settings.tunnel_poll;
        }
        telemetry.lead(true);
    }

    async fn lead<S: Future<Output = ()>>(&mut self, mut stop: Pin<&mut S>) -> std::io::Result<End> {
        let mut leadership = self.leadership.clone();
        let mut lost = pin!(leadership.lost());
        let mut backoff = Backoff::default();
        self.look_at = Instant::now() + self.settings.resync;
        loop {
            let outcome = tokio::select! {
                biased;
                () = lost.as_mut() => {
                    self.telemetry.metrics.round(RoundOutcome::Cut);
                    return Ok(End::NotLeading);
                }
                outcome = self.round_unless(stop.as_mut()) => outcome,
            };
            let Some(outcome) = outcome else {
                return Ok(End::Stopped);
            };
            self.note(&outcome);
            let retry_at = match outcome {
                Ok(_) => {
                    backoff.reset();
                    self.announce().await?;
                    self.reconciler.has_more_to_try().then(Instant::now)
                }
                Err(failure) => {
                    let delay = backoff.next_delay();
                    error!(error = &failure as &dyn std::error::Error, retry_in = ?delay, "round failed");
                    Some(Instant::now() + delay)
                }
            };
            tokio::select! {
                () = lost.as_mut() => return Ok(End::NotLeading),
                () = stop.as_mut() => return Ok(End::Stopped),
                () = self.wait(retry_at) => {}
            }
        }
    }

    /// A round, which ends soon after `stop` does: `None` if it was cut short by that.
    async fn round_unless<S: Future<Output = ()>>(
        &mut self,
        stop: Pin<&mut S>,
    ) -> Option<Result<Effect, ManagerError>> {
        let telemetry = self.telemetry.clone();
        let mut round = pin!(self.round());
        tokio::select! {
            outcome = round.as_mut() => return Some(outcome),
            () = stop => {}
        }
        if timeout(STOP_GRACE, round).await.is_err() {
            warn!("round in progress was cut short");
            telemetry.metrics.round(RoundOutcome::Cut);
        }
        None
    }

    async fn round(&mut self) -> Result<Effect, ManagerError> {
        look_alive(&self.telemetry, &self.clusters, Instant::now() + ROUND_MAX);
        self.pending.extend(self.changes.take());
        // Asked first: a cluster that is listed from here on has facts that this round does not know.
        let knowledge = self.clusters.knowledge();
        self.clusters.update(&mut self.compiler);
        let Compiled { policy, outcomes } = self.compiler.compiled();
        count(&self.telemetry.metrics, &outcomes);
        self.bulletin.outcomes = outcomes;
        self.bulletin.programming = Programming::Pending;
        self.publishers.tell(self.bulletin.clone());
        self.reconciler.reconcile_knowing(&policy, knowledge).await
    }

    /// Keeps the books on a round.
    fn note(&mut self, outcome: &Result<Effect, ManagerError>) {
        let now = Instant::now();
        let Telemetry { health, metrics } = &*self.telemetry;
        let said = outcome.as_ref().map(|_| ()).map_err(ToString::to_string);
        health.note(Check::Round, said);
        self.bulletin.programming = match outcome {
            Ok(_) => Programming::Done,
            Err(error) => Programming::Failed {
                reason: camel_case(error.kind()),
                message: error.to_string(),
            },
        };
        if matches!(outcome, Ok(Effect::Activated)) {
            self.bulletin.activations += 1;
        }
        self.bulletin.setbacks = setbacks(self.reconciler.held_back(), &self.compiler);
        metrics.classes_refused(
            self.reconciler
                .held_back()
                .filter(|held| held.words.is_some())
                .count(),
        );
        if outcome.is_ok() {
            let waiting_for = self.reconciler.waiting_for();
            metrics.devices_waiting(waiting_for.len());
            tell_waiting(&self.bulletin.waiting_for, waiting_for);
            self.bulletin.waiting_for = waiting_for.to_vec();
        }
        self.publishers.tell(self.bulletin.clone());
        match outcome {
            Ok(effect) => {
                let arrivals = std::mem::take(&mut self.pending);
                if *effect == Effect::Activated {
                    metrics.activation();
                    arrivals.iter().for_each(|at| metrics.programmed(now - *at));
                    self.not_before = now + self.settings.min_interval;
                }
                metrics.round(match effect {
                    Effect::None => RoundOutcome::Unchanged,
                    Effect::Written | Effect::Activated => RoundOutcome::Programmed,
                });
            }
            Err(error) => {
                metrics.round(RoundOutcome::Failed);
                metrics.error(error.kind());
                // It may have activated before it failed.
                self.not_before = now + self.settings.min_interval;
            }
        }
    }

    /// Waits for what [`idle`](Self::idle) waits for, for a look at the Manager, or for a report of the tunnels that
    /// asks for a round. A failed round is only waited for until its retry.
    async fn wait(&mut self, retry_at: Option<Instant>) {
        // Changes do not wait for a look, unless they have put it off for a whole interval.
        let overdue_at = self.look_at + self.settings.resync;
        let wake = retry_at.unwrap_or(overdue_at);
        loop {
            let report = async {
                sleep_until(self.poll_at).await;
                self.reconciler.tunnels().await
            };
            let look = async {
                sleep_until(self.look_at).await;
                self.reconciler.look().await
            };
            let report = tokio::select! {
                () = self.idle(wake, retry_at.is_none()) => break,
                look = look, if retry_at.is_none() => {
                    self.look_at = Instant::now() + self.settings.resync;
                    match look {
                        Ok(observed) => self.reconciler.learn(observed),
                        // Left for the round to meet.
                        Err(_) => self.reconciler.forget(),
                    }
                    return sleep_until(self.not_before).await;
                }
                report = report => report,
            };
            self.poll_at = Instant::now() + self.settings.tunnel_poll;
            match report {
                Ok(tunnels) => {
                    if self.learn(tunnels) {
                        return sleep_until(self.not_before).await;
                    }
                }
                Err(error) => {
                    self.telemetry.metrics.error(error.kind());
                    warn!(error = &error as &dyn std::error::Error, "tunnels not read");
                }
            }
        }
        if Instant::now() >= overdue_at {
            self.reconciler.forget();
            self.look_at = Instant::now() + self.settings.resync;
        }
    }

    /// Takes a report of the tunnels in; whether something may follow for steering.
    fn learn(&mut self, tunnels: TunnelReports) -> bool {
        self.telemetry.metrics.tunnels(&tunnels);
        let known = |tunnels: &TunnelReports| -> Vec<_> {
            let known = tunnels.iter();
            known
                .map(|(color, report)| (*color, report.encapsulations.clone()))
                .collect()
        };
        let is_judged = |outcome: &Arc<Outcome>| {
            let accepted = outcome.verdict.as_ref().ok();
            accepted.is_some_and(|accepted| accepted.compliance.is_some())
        };
        let matters =
            known(&tunnels) != known(&self.bulletin.tunnels) || self.bulletin.outcomes.iter().any(is_judged);
        self.compiler.apply(Change::Tunnels(tunnels.clone()));
        self.bulletin.tunnels = tunnels;
        self.publishers.tell(self.bulletin.clone());
        matters
    }

    /// Waits until `wake`, or for a change if that matters, and at least as long as the interval asks.
    async fn idle(&self, wake: Instant, changes_matter: bool) {
        let mut settled = pin!(self.changes.settled());
        loop {
            let look = Instant::now() + LOOK_INTERVAL;
            look_alive(&self.telemetry, &self.clusters, look);
            tokio::select! {
                () = sleep_until(wake.min(look)) => if Instant::now() >= wake { break },
                () = settled.as_mut(), if changes_matter => break,
            }
        }
        sleep_until(self.not_before).await;
    }

    async fn announce(&mut self) -> std::io::Result<()> {
        if std::mem::replace(&mut self.announced, true) {
            return Ok(());
        }
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

/// Says that the loop will be heard of again by then, and how the watches are.
fn look_alive(telemetry: &Telemetry, clusters: &Clusters, back_by: Instant) {
    telemetry.health.promise(back_by + WAKE_GRACE);
    clusters.report(telemetry);
}

fn count(metrics: &Metrics, outcomes: &[Arc<Outcome>]) {
    let accepted = outcomes
        .iter()
        .filter_map(|outcome| outcome.verdict.as_ref().ok());
    let steered = accepted.clone().count();
    let endpoints = accepted.map(|accepted| accepted.endpoints).sum();
    metrics.subjects(steered, outcomes.len() - steered, endpoints);
}

/// The word as conditions have their reasons: `task_failed` is `TaskFailed`.
fn camel_case(word: &str) -> String {
    let capitalized = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    word.split('_')
        .filter(|part| !part.is_empty())
        .map(capitalized)
        .collect()
}
