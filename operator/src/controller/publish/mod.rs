//! What users see of their intents and of the tunnels: Events, SteeringPolicies and WanTunnels.
//!
//! Owns one task for each cluster, which is told after each round and writes on its own time. Invariants: steering
//! never waits for it; it writes only while this replica leads; what is as it should be is not written again.
//!
//! There are no finalizers. The rules of an object that goes are removed because it is no longer in the view, in the
//! next round or, after a crash, in the first round of the next start. A finalizer would add nothing but a namespace
//! that cannot be deleted while the operator is away.

mod events;
mod policies;
mod status;
mod tunnels;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

use self::events::EventReporter;
use self::policies::Policies;
use self::tunnels::Tunnels;
use super::backoff::Backoff;
use super::election::Leadership;
use crate::core::{Cluster, Outcome, ServiceRef, Subject, TunnelReports};

/// News are gathered for this long before anything is written.
const BATCH: Duration = Duration::from_millis(200);
/// How long the last news may take when the operator stops.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Requests at a time.
const PARALLEL_WRITES: usize = 8;
/// Requests that are made ready at a time: each takes some kilobytes until it is done.
const BATCH_WRITES: usize = 16 * PARALLEL_WRITES;
/// How long one request may take.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// The news of a round.
#[derive(Debug, Clone, Default)]
pub(super) struct Bulletin {
    /// What became of each intent.
    pub(super) outcomes: Vec<Arc<Outcome>>,
    /// How far the fabric is.
    pub(super) programming: Programming,
    /// How often the policy was activated since the start; a number, because bulletins may be skipped.
    pub(super) activations: u64,
    /// The last report of the tunnels.
    pub(super) tunnels: TunnelReports,
}

/// How far the fabric is with the outcomes of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Programming {
    /// The round goes on.
    #[default]
    Pending,
    /// The fabric does what is asked.
    Done,
    /// The round failed.
    Failed {
        /// Why, in one word.
        reason: String,
        /// Why.
        message: String,
    },
}

/// Which intent an outcome is about.
type Key = (ServiceRef, Option<String>);

fn key(outcome: &Outcome) -> Key {
    let policy = match &outcome.subject {
        Subject::Annotations { .. } => None,
        Subject::Policy { name, .. } => Some(name.clone()),
    };
    (outcome.service.clone(), policy)
}

/// The tasks of all clusters.
pub(super) struct Publishers {
    news: watch::Sender<Bulletin>,
    tasks: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Publishers {
    /// Starts a task for each cluster; the first one shows the tunnels.
    pub(super) fn start(clusters: &[(Cluster, kube::Client)], leadership: &Leadership) -> Self {
        let news = watch::Sender::new(Bulletin::default());
        let tasks = clusters.iter().enumerate().map(|(index, (cluster, kubernetes))| {
            let publisher = Publisher::new(cluster.clone(), kubernetes, index == 0);
            let (stop, stopped) = oneshot::channel();
            let stopped = async {
                stopped.await.ok();
            };
            let run = publisher.run(news.subscribe(), leadership.clone(), stopped);
            (stop, tokio::spawn(run))
        });
        Self {
            tasks: tasks.collect(),
            news,
        }
    }

    /// Has the news published at the next occasion, in place of older ones.
    pub(super) fn tell(&self, bulletin: Bulletin) {
        self.news.send_replace(bulletin);
    }

    /// Publishes the last news and ends.
    pub(super) async fn stop(self) {
        for (stop, task) in self.tasks {
            stop.send(()).ok();
            task.await.ok();
        }
    }
}

/// What is shown in one cluster.
struct Publisher {
    cluster: Cluster,
    changed: Arc<Notify>,
    events: EventReporter,
    policies: Policies,
    tunnels: Option<Tunnels>,
    /// What is shown, if all could be written and nobody has changed it since.
    shown: Option<(Vec<Arc<Outcome>>, Programming)>,
    /// What the fabric was last known to do.
    known: HashMap<Key, Arc<Outcome>>,
    /// The activations up to then.
    activations: u64,
}

impl Publisher {
    fn new(cluster: Cluster, kubernetes: &kube::Client, shows_tunnels: bool) -> Self {
        let changed = Arc::new(Notify::new());
        Self {
            cluster,
            events: EventReporter::new(kubernetes.clone()),
            policies: Policies::start(kubernetes, &changed),
            tunnels: shows_tunnels.then(|| Tunnels::start(kubernetes, &changed)),
            changed,
            shown: None,
            known: HashMap::new(),
            activations: 0,
        }
    }

    async fn run(
        mut self,
        mut news: watch::Receiver<Bulletin>,
        leadership: Leadership,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = std::pin::pin!(stop);
        let mut backoff = Backoff::default();
        let mut retry = false;
        loop {
            tokio::select! {
                () = stop.as_mut() => break,
                changed = news.changed() => if changed.is_err() { return },
                () = self.changed.notified() => self.shown = None,
                () = sleep(backoff.next_delay()), if retry => {}
            }
            tokio::select! {
                () = stop.as_mut() => break,
                () = sleep(BATCH) => {}
            }
            let bulletin = news.borrow_and_update().clone();
            let mut term = leadership.clone();
            let done = tokio::select! {
                biased;
                () = term.lost() => true,
                done = self.publish(&bulletin) => done,
            };
            retry = !done;
            if done {
                backoff.reset();
            }
        }
        let last = news.borrow().clone();
        if leadership.is_held() && timeout(STOP_GRACE, self.publish(&last)).await.is_err() {
            debug!("last news not written in time");
        }
    }

    /// Writes what differs from the news; whether all could be written.
    async fn publish(&mut self, bulletin: &Bulletin) -> bool {
        let now = Timestamp::now();
        let own: Vec<_> = bulletin
            .outcomes
            .iter()
            .filter(|outcome| outcome.service.cluster == self.cluster)
            .cloned()
            .collect();
        if self.shows(&own, &bulletin.programming) {
            return self.show_tunnels(&bulletin.tunnels, now).await;
        }
        self.shown = None;
        let mut due = events::refusals(&own);
        if bulletin.programming == Programming::Done {
            let may_be_new = bulletin.activations > self.activations;
            let already = may_be_new.then(|| self.policies.say_programmed());
            due.extend(events::turns(&own, &self.known, already.as_ref()));
        }
        let told = self.events.report(due).await;
        let known = &self.known;
        let programming = |outcome: &Outcome| match &bulletin.programming {
            // What the fabric did before, a failed round does not undo.
            Programming::Failed { .. }
                if known.get(&key(outcome)).is_some_and(|known| **known == *outcome) =>
            {
                Programming::Done
            }
            programming => programming.clone(),
        };
        let shown = match bulletin.programming {
            // Before the first round nothing is known, and nothing is to be deleted.
            Programming::Pending if own.is_empty() => true,
            _ => self.policies.show(&own, programming, now).await,
        };
        let tunnels = self.show_tunnels(&bulletin.tunnels, now).await;
        if bulletin.programming == Programming::Done {
            self.activations = bulletin.activations;
            self.known = own
                .iter()
                .map(|outcome| (key(outcome), outcome.clone()))
                .collect();
        }
        if told && shown {
            self.shown = Some((own, bulletin.programming.clone()));
        }
        told && shown && tunnels
    }

    async fn show_tunnels(&mut self, tunnels: &TunnelReports, now: Timestamp) -> bool {
        match &mut self.tunnels {
            Some(own) => own.show(tunnels, now).await,
            None => true,
        }
    }

    /// Whether the very same is shown already; outcomes that are equal to those before are shared with them.
    fn shows(&self, own: &[Arc<Outcome>], programming: &Programming) -> bool {
        self.shown.as_ref().is_some_and(|(outcomes, shown)| {
            let mut pairs = outcomes.iter().zip(own);
            shown == programming
                && outcomes.len() == own.len()
                && pairs.all(|(shown, own)| Arc::ptr_eq(shown, own))
        })
    }
}
