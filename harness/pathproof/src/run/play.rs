//! Playing a timeline: flows start, events fire, senders stop.
//!
//! Owns the moments. An event's mark is taken before its write is sent, so convergence is never measured too
//! short, and a window that the event ends holds no packet sent after it.

mod backend;
mod faults;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll, select_all};
use kubeapi::{Local, Readiness, WriteEvent};
use netsim::fabric::Host;
use netsim::netns::NetnsError;
use scenario::model::{Event, PodRef, Protocol, ReadinessProbe, Scenario};
use scenario::plan::{Action, Plan, StreamPlan};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use verdict::evidence::{EventMark, PhaseMark, StreamInfo};

use self::backend::object_of;
use self::streams::Running;
use crate::lab::Lab;
use crate::lab::faults::FaultError;
use crate::lab::felt::Unfelt;
use crate::probe::agent::{self, AgentError, Context};
use crate::probe::identity::now_ns;
use crate::probe::ledger::Ledger;
use crate::record::events::EventLog;

/// Why a timeline could not be played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// A Service has no ready endpoint of IPv4 to send to.
    #[error("start flow `{flow}`: `{service}` has no ready IPv4 endpoint for port {port}/{protocol}")]
    NoEndpoint {
        /// The flow.
        flow: String,
        /// The Service.
        service: String,
        /// Its port.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
    },
    /// A pod is not there.
    #[error("start flow `{flow}`: `{pod}` does not run")]
    NoPod {
        /// The flow.
        flow: String,
        /// The pod.
        pod: String,
    },
    /// An agent could not start.
    #[error("start flow `{flow}`")]
    Agent {
        /// The flow.
        flow: String,
        /// The cause.
        #[source]
        source: AgentError,
    },
    /// The Kubernetes API refused an event's write.
    #[error("fire event `{event}`")]
    Event {
        /// The event.
        event: String,
        /// The API's answer.
        #[source]
        source: kubeapi::Status,
    },
    /// A fault did not take, or did not heal.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// Nothing felt a fault of the Manager or of an API.
    #[error(transparent)]
    Unfelt(#[from] Unfelt),
}

/// What a played timeline left; the sockets stay open until it is dropped, so that no connection closes on the
/// wire before the counters are read.
#[derive(Debug)]
pub struct Played {
    /// When the first flow began to start.
    pub started_ns: u64,
    /// When the senders had stopped.
    pub stopped_ns: u64,
    /// Events in the order they fired.
    pub events: Vec<EventMark>,
    /// Phases in the order they began.
    pub phases: Vec<PhaseMark>,
    /// Streams, in the order of the plan.
    pub streams: Vec<StreamInfo>,
    agents: JoinSet<()>,
    /// The pods that take probes.
    receivers: BTreeMap<PodRef, Arc<Host>>,
}

impl Played {
    /// How many datagrams reached the pods and were dropped there, unread.
    ///
    /// # Errors
    /// When a pod's namespace cannot be entered.
    pub fn receiver_drops(&self) -> Result<u64, NetnsError> {
        self.receivers
            .values()
            .map(|pod| agent::dropped_datagrams(pod.netns()))
            .sum()
    }

    /// Ends all agents and closes their sockets.
    pub async fn end(mut self) {
        self.agents.shutdown().await;
    }
}

struct Player<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    lab: &'a mut Lab,
    log: &'a EventLog,
    context: Context,
    servers: BTreeSet<(PodRef, Protocol, u16)>,
    running: Vec<Running>,
    /// Writes to the clusters' APIs that can change who serves whom.
    changes: SelectAll<BoxStream<'static, WriteEvent>>,
    /// The checks of faults that are under way, by transport.
    checks: BTreeMap<usize, JoinHandle<Result<Value, FaultError>>>,
    played: Played,
}

/// Plays the timeline of a plan to its end, then waits until what is in flight has arrived.
///
/// # Errors
/// [`PlayError`].
pub async fn play(
    scenario: &Scenario,
    plan: &Plan,
    lab: &mut Lab,
    log: &EventLog,
    ledger: &Arc<Ledger>,
) -> Result<Played, PlayError> {
    let (stop, stopped) = watch::channel(false);
    let context = Context {
        run: plan.run_id,
        ledger: Arc::clone(ledger),
        stop: stopped,
        ports: Arc::default(),
    };
    let streams = plan.streams.iter().map(unresolved).collect();
    let played = Played {
        started_ns: now_ns(),
        stopped_ns: 0,
        events: Vec::new(),
        phases: Vec::new(),
        streams,
        agents: JoinSet::new(),
        receivers: BTreeMap::new(),
    };
    let changes = lab.clusters.iter().map(|cluster| {
        let writes = cluster.api.events();
        writes
            .filter(|write| std::future::ready(streams::concerns_backends(write)))
            .boxed()
    });
    let changes = select_all(changes);
    let mut player = Player {
        scenario,
        plan,
        lab,
        log,
        context,
        servers: BTreeSet::new(),
        running: Vec::new(),
        changes,
        checks: BTreeMap::new(),
        played,
    };
    for (transport, change) in player.lab.wan.faults.flaps() {
        player.checked(transport).await?;
        player.inject(transport, change, "topology").await?;
    }
    let start = tokio::time::Instant::now();
    for step in &plan.steps {
        let moment = tokio::time::sleep_until(start + Duration::from_millis(step.at_ms));
        player.meanwhile(moment).await?;
        match &step.action {
            Action::Start(flows) => player.start(flows).await?,
            Action::Fire(event) => player.fire(event).await?,
            Action::Phase(phase) => player.begin(phase),
            Action::Stop => player.log_step("stop", &Value::Null),
        }
    }
    // The receivers live in the agents of `player`.
    stop.send(true).ok();
    player.meanwhile(drain(ledger, plan.drain)).await?;
    while let Some(transport) = player.checks.keys().next().copied() {
        player.checked(transport).await?;
    }
    player.lab.wan.faults.end()?;
    player.end_trouble()?;
    let mut played = player.played;
    played.stopped_ns = now_ns();
    Ok(played)
}

/// Waits until everything sent has arrived, or for `limit`.
async fn drain(ledger: &Ledger, limit: Duration) {
    let deadline = Instant::now() + limit;
    // Senders notice the stop within a tick; a reply follows its request within the round trip.
    let mut quiet_since = Instant::now();
    let mut last = ledger.counts();
    while Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let now = ledger.counts();
        if now != last {
            (last, quiet_since) = (now, Instant::now());
        }
        let (sent, received) = now;
        if sent == received && quiet_since.elapsed() > Duration::from_millis(20) {
            return;
        }
    }
}

fn unresolved(stream: &StreamPlan) -> StreamInfo {
    StreamInfo {
        flow: stream.flow.clone(),
        protocol: stream.protocol,
        client: stream.from.name.clone(),
        server: stream.to.name.clone(),
    }
}

impl Player<'_> {
    fn log_step(&self, what: &str, detail: &Value) {
        self.log.note("timeline", what, detail.clone());
    }

    /// Waits for something, while what flaps goes on flapping and streams follow their Services.
    async fn meanwhile<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, PlayError> {
        let mut wait = std::pin::pin!(wait);
        loop {
            let turn = self.lab.wan.faults.next_turn();
            let turn = async {
                match turn {
                    Some(turn) => tokio::time::sleep_until(turn.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = &mut wait => return Ok(done),
                () = turn => self.lab.wan.faults.turn().await?,
                Some(_) = self.changes.next() => self.rebalance()?,
            }
        }
    }

    /// The API of a cluster.
    fn api(&self, cluster: Option<&str>) -> &Local {
        &self.lab.clusters[self.plan.cluster(cluster)].api
    }

    fn begin(&mut self, phase: &str) {
        let from_ns = self.log.note("timeline", "phase", json!(phase));
        self.played.phases.push(PhaseMark {
            name: phase.to_owned(),
            from_ns,
        });
    }

    async fn fire(&mut self, name: &str) -> Result<(), PlayError> {
        let event = &self.scenario.events[name];
        let fault = self.lab.wan.faults.change_of(event);
        if let Some((transport, _)) = fault {
            // A check that is under way must not meet the next fault: the event waits, and is marked later.
            self.checked(transport).await?;
        }
        let at_ns = self.log.note("timeline", "fire", json!(name));
        self.played.events.push(EventMark {
            name: name.to_owned(),
            at_ns,
        });
        let written = match event {
            Event::Annotate { service, annotations } => {
                let patch = json!({ "metadata": { "annotations": annotations } });
                self.api(service.cluster.as_deref())
                    .merge_patch(&object_of(service), patch)
                    .map(drop)
            }
            Event::DeleteService { service } => {
                let api = self.api(service.cluster.as_deref());
                api.delete(&object_of(service)).map(drop)
            }
            Event::Readiness { pod, probe } => {
                let readiness = match probe {
                    ReadinessProbe::Passes => Readiness::Ready,
                    ReadinessProbe::Fails => Readiness::NotReady,
                };
                let api = self.api(pod.cluster.as_deref());
                api.report_readiness(&pod.kube_namespace, &pod.name, readiness)
                    .map(drop)
            }
            Event::Fault { .. } | Event::Heal { .. } => Ok(()),
            Event::ManagerFault { .. }
            | Event::HealManager
            | Event::ApiFault { .. }
            | Event::HealApi { .. } => {
                self.trouble(name, event)?;
                Ok(())
            }
        };
        if let Some((transport, change)) = fault {
            self.inject(transport, change, name).await?;
        }
        written.map_err(|source| PlayError::Event {
            event: name.to_owned(),
            source,
        })
    }
}
