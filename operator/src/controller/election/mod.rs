//! Leader election: of several replicas, only the one that holds a Lease writes.
//!
//! Owns taking, renewing and giving back one Lease object, and telling the loop. Invariant: [`Leadership::lost`] is
//! done before another replica may take the Lease, also when the API server cannot be reached.
//!
//! # Limits
//!
//! A request that was sent before the lease was lost may still be carried out after it. The Manager's own edit lock
//! keeps such a straggler apart from the successor's edit.

mod lease;

use std::convert::Infallible;
use std::future::Future;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use self::lease::Candidate;
pub use self::lease::{Timing, UnacceptableTiming};

/// Which Lease is contended for, and as whom.
#[derive(Debug, Clone)]
pub struct Contest {
    /// The Lease's Kubernetes namespace.
    pub kube_namespace: String,
    /// The Lease's name.
    pub name: String,
    /// This replica; no two that run may have the same.
    pub identity: String,
    /// How long things take.
    pub timing: Timing,
}

/// Whether this replica leads.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Until when, if it does; `None` where nobody else contends.
    until: Option<watch::Receiver<Option<Instant>>>,
}

/// A contender for the Lease.
pub(super) struct Election {
    leases: Api<Lease>,
    contest: Contest,
    candidate: Candidate,
    until: watch::Sender<Option<Instant>>,
}

/// What an attempt led to.
enum Attempt {
    Leads,
    Follows { holder: String },
}

impl Leadership {
    /// Of a replica that is the only one.
    pub(super) fn unopposed() -> Self {
        Self { until: None }
    }

    /// Whether this replica leads at this moment.
    pub(super) fn is_held(&self) -> bool {
        let Some(until) = &self.until else { return true };
        until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this replica leads.
    pub(super) async fn gained(&mut self) {
        while !self.is_held() {
            let Some(until) = &mut self.until else { return };
            if until.changed().await.is_err() {
                // The election has ended; nobody will ever say that this replica leads.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this replica does not lead.
    pub(super) async fn lost(&mut self) {
        let Some(until) = &mut self.until else {
            return std::future::pending().await;
        };
        loop {
            let Some(end) = *until.borrow_and_update() else {
                return;
            };
            tokio::select! {
                () = sleep_until(end) => if *until.borrow() == Some(end) { return },
                changed = until.changed() => if changed.is_err() {
                    return sleep_until(end).await;
                },
            }
        }
    }
}

impl Election {
    pub(super) fn new(kubernetes: kube::Client, contest: Contest) -> Self {
        Self {
            leases: Api::namespaced(kubernetes, &contest.kube_namespace),
            candidate: Candidate::new(contest.identity.clone(), contest.timing),
            contest,
            until: watch::Sender::new(None),
        }
    }

    pub(super) fn leadership(&self) -> Leadership {
        Leadership {
            until: Some(self.until.subscribe()),
        }
    }

    /// Contends for the Lease until `stop` is done, and then gives it back.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            never = self.contend() => match never {},
            () = stop => self.release().await,
        }
    }

    async fn contend(&mut self) -> Infallible {
        let mut holder = None;
        loop {
            let started = Instant::now();
            match timeout(self.contest.timing.attempt(), self.attempt()).await {
                Ok(Ok(Attempt::Leads)) => {
                    let until = self.contest.timing.leads_until(started);
                    if !self.leadership().is_held() {
                        info!(identity = self.contest.identity, "leading");
                    }
                    self.until.send_replace(Some(until));
                    holder = None;
                }
                Ok(Ok(Attempt::Follows { holder: other })) => {
                    self.until.send_replace(None);
                    if holder.as_ref() != Some(&other) {
                        info!(leader = other, "standing by");
                        holder = Some(other);
                    }
                }
                Ok(Err(error)) => self.missed(&error),
                Err(elapsed) => self.missed(&elapsed),
            }
            sleep(self.contest.timing.retry()).await;
        }
    }

    /// Gives the Lease back, so that a successor does not have to wait.
    async fn release(&mut self) {
        self.until.send_replace(None);
        match timeout(self.contest.timing.attempt(), self.try_release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(error = &error as &dyn std::error::Error, "lease not released"),
            Err(_) => debug!("lease not released in time"),
        }
    }

    fn missed(&self, error: &(dyn std::error::Error + 'static)) {
        let leading = self.leadership().is_held();
        warn!(lease = self.contest.name, leading, error, "lease not renewed");
    }

    async fn attempt(&mut self) -> kube::Result<Attempt> {
        let current = self.leases.get_opt(&self.contest.name).await?;
        let spec = current.as_ref().and_then(|lease| lease.spec.as_ref());
        let Some(claim) = self.candidate.claim(spec, Instant::now(), Timestamp::now()) else {
            let holder = spec.and_then(|spec| spec.holder_identity.clone());
            return Ok(Attempt::Follows {
                holder: holder.unwrap_or_default(),
            });
        };
        self.write(current, claim).await?;
        Ok(Attempt::Leads)
    }

    async fn try_release(&mut self) -> kube::Result<()> {
        let Some(current) = self.leases.get_opt(&self.contest.name).await? else {
            return Ok(());
        };
        let spec = current.spec.clone().unwrap_or_default();
        match self.candidate.release(&spec, Timestamp::now()) {
            Some(released) => self.write(Some(current), released).await,
            None => Ok(()),
        }
    }

    /// Writes the Lease if it still is as it was read: the resource version goes along.
    async fn write(&self, current: Option<Lease>, spec: LeaseSpec) -> kube::Result<()> {
        let options = PostParams::default();
        match current {
            Some(current) => {
                let lease = Lease {
                    spec: Some(spec),
                    ..current
                };
                self.leases.replace(&self.contest.name, &options, &lease).await?;
            }
            None => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(self.contest.name.clone()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(spec),
                };
                self.leases.create(&options, &lease).await?;
            }
        }
        Ok(())
    }
}
