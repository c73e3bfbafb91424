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

use std::collections::{BTreeMap, HashMap};
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
    /// How far it is with Services of which it was not asked all.
    pub(super) setbacks: BTreeMap<ServiceRef, Programming>,
    /// The devices that are offline, and get what was written when they are back.
    pub(super) waiting_for: Vec<String>,
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
    /// The Manager has it, and these devices get it when they are back.
    Waiting(Vec<String>),
    /// The round failed, or the Manager refuses what is asked.
    Failed {
        /// Why, in one word.
        reason: String,
        /// Why.
        message: String,
    },
}

/// How far the fabric is with everything: as a whole, with what was not asked of it, and where it waits.
type Progress = (Programming, BTreeMap<ServiceRef, Programming>, Vec<String>);

impl Bulletin {
    fn progress(&self) -> Progress {
        (
            self.programming.clone(),
            self.setbacks.clone(),
            self.waiting_for.clone(),
        )
    }

    /// How far the fabric is with an intent, given whether it was known to be in force before.
    fn programming(&self, outcome: &Outcome, was_in_force: bool) -> Programming {
        let setback = self.setbacks.get(&outcome.service);
        match (&self.programming, setback) {
            (Programming::Done | Programming::Failed { .. }, Some(setback)) => setback.clone(),
            (Programming::Done, None) if !self.waiting_for.is_empty() => {
                Programming::Waiting(self.waiting_for.clone())
            }
            // What the fabric did before, a failed round does not undo.
            (Programming::Failed { .. }, None) if was_in_force => Programming::Done,
            (programming, _) => programming.clone(),
        }
    }

    /// Whether an intent was asked of the fabric, as far as there is something to ask.
    fn was_asked(&self, outcome: &Outcome) -> bool {
        !self.setbacks.contains_key(&outcome.service)
    }
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
    shown: Option<(Vec<Arc<Outcome>>, Progress)>,
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
        let progress = bulletin.progress();
        if self.shows(&own, &progress) {
            return self.show_tunnels(&bulletin.tunnels, now).await;
        }
        self.shown = None;
        let mut asked = own.clone();
        asked.retain(|outcome| bulletin.was_asked(outcome));
        let mut turns = Vec::new();
        if bulletin.programming == Programming::Done {
            let may_be_new = bulletin.activations > self.activations;
            let already = may_be_new.then(|| self.policies.say_programmed());
            turns = events::turns(&asked, &self.known, already.as_ref(), &bulletin.waiting_for);
        }
        let refusals = events::refusals(&own, &bulletin.setbacks);
        let told = self.events.report(refusals, turns).await;
        let known = &self.known;
        let programming = |outcome: &Outcome| {
            let was_in_force = known.get(&key(outcome)).is_some_and(|known| **known == *outcome);
            bulletin.programming(outcome, was_in_force)
        };
        let shown = match bulletin.programming {
            // Before the first round nothing is known, and nothing is to be deleted.
            Programming::Pending if own.is_empty() => true,
            _ => self.policies.show(&own, programming, now).await,
        };
        let tunnels = self.show_tunnels(&bulletin.tunnels, now).await;
        if bulletin.programming == Programming::Done {
            self.activations = bulletin.activations;
            // What is refused comes into force for the first time when it is not any more.
            self.known = asked
                .into_iter()
                .map(|outcome| (key(&outcome), outcome))
                .collect();
        }
        if told && shown {
            self.shown = Some((own, progress));
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
    fn shows(&self, own: &[Arc<Outcome>], progress: &Progress) -> bool {
        self.shown.as_ref().is_some_and(|(outcomes, shown)| {
            let mut pairs = outcomes.iter().zip(own);
            shown == progress
                && outcomes.len() == own.len()
                && pairs.all(|(shown, own)| Arc::ptr_eq(shown, own))
        })
    }
}
