//! The WAN of a lab: the wires of a plan, the faults of its topology, probing, and the Manager that programs it.
//!
//! Owns the order in which they come up, and holds them. It has no Kubernetes: what stands on the WAN is
//! [`super::embedded`]'s, or nobody's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use netsim::bfd::{Prober, ProberError, State, Timing};
use netsim::fabric::{Edge, Host};
use netsim::impair::Backend;
use netsim::manager::{Config, Device, Manager};
use netsim::netns::Netns;
use scenario::plan::{EdgePlan, Plan};
use serde_json::json;

use super::carriage::Carriage;
use super::edges::LabEdges;
use super::embedded::{LabError, netns_inode};
use super::faults::Faults;
use super::network::Network;
use super::sabotage::Sabotage;
use super::telemetry;
use crate::record::events::EventLog;

/// What sessions may take to be decided beyond their detection time, on a machine that stands still now and then.
const SETTLE_MARGIN: Duration = Duration::from_secs(5);

/// How to bring a WAN up.
#[derive(Debug, Clone)]
pub struct WanOptions {
    /// What to break, if anything.
    pub sabotage: Option<Sabotage>,
    /// Who impairs packets.
    pub impairments: Backend,
    /// Inode of the network namespace of the host, which the lab must not be in.
    pub host_netns: u64,
}

/// A WAN that is up.
pub struct Wan {
    /// What is wrong with the transports.
    pub faults: Faults,
    /// The sessions of all tunnels.
    pub prober: Arc<Prober>,
    /// What programs the edges.
    pub manager: Manager,
    /// Its hosts, which go after what works on them.
    pub network: Network,
    /// How the tunnels over each transport carry packets, in words.
    pub encapsulations: BTreeMap<String, String>,
    /// The loopback interface of the private namespace, held.
    pub management: Host,
}

impl Wan {
    /// Brings a WAN up, with a Manager that is configured for its devices. Sessions may not be decided yet.
    ///
    /// # Errors
    /// [`LabError`].
    pub async fn up(
        plan: &Plan,
        options: &WanOptions,
        log: &Arc<EventLog>,
        configure: impl FnOnce(Vec<Device>) -> Result<Config, LabError>,
    ) -> Result<Self, LabError> {
        if netns_inode("/proc/self/ns/net").is_ok_and(|inode| inode == options.host_netns) {
            return Err(LabError::NotIsolated);
        }
        // The management network: the loopback interface of the private namespace.
        let management = Host::adopt(Netns::current()?).await?;
        let carriage = Carriage::of(plan).await?;
        let encapsulations = carriage.words();
        log.note("lab", "encapsulations", json!(encapsulations));
        let network = Network::build(plan, &carriage, options.sabotage)
            .await
            .map_err(LabError::Fabric)?;
        let mut faults = Faults::new(plan, &network.transports, &network.edges, options);
        for report in faults.begin().await? {
            log.note("fault", "verified", report);
        }
        let prober = Arc::new(start_prober(plan, &network.edges, log)?);
        let edges = LabEdges::new(&network, Arc::clone(&prober), Arc::clone(log), options.sabotage)
            .map_err(LabError::Sabotage)?;
        let manager = Manager::start(configure(devices(plan))?, Arc::new(edges))
            .await
            .map_err(LabError::Manager)?;
        follow(&manager, log);
        Ok(Self {
            faults,
            prober,
            manager,
            network,
            encapsulations,
            management,
        })
    }

    /// Waits until it is known of every tunnel whether it is up.
    ///
    /// # Errors
    /// [`LabError::Undecided`].
    pub async fn settle(&self, plan: &Plan) -> Result<(), LabError> {
        let waited = timing(plan).detection_max() + SETTLE_MARGIN;
        let settled = tokio::time::timeout(waited, self.prober.settled()).await;
        settled.map_err(|_| LabError::Undecided { waited })
    }
}

/// How many sessions are up, and how many there are.
#[must_use]
pub fn sessions_up(prober: &Prober) -> (usize, usize) {
    let sessions = prober.sessions();
    let up = sessions.iter().filter(|view| view.session.state() == State::Up);
    (up.count(), sessions.len())
}

fn timing(plan: &Plan) -> Timing {
    Timing {
        hello: Duration::from_micros(plan.bfd.hello_us),
        multiplier: plan.bfd.multiplier,
    }
}

fn start_prober(plan: &Plan, edges: &[Arc<Edge>], log: &Arc<EventLog>) -> Result<Prober, ProberError> {
    let (log, told) = (Arc::clone(log), edges.to_vec());
    Prober::start(edges, timing(plan), move |change| {
        telemetry::record(&log, &told, &change);
    })
}

fn devices(plan: &Plan) -> Vec<Device> {
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
    plan.edges.iter().map(device).collect()
}

/// Copies what happens at the Manager to the event log until it ends.
fn follow(manager: &Manager, log: &Arc<EventLog>) {
    let (mut activities, log) = (manager.activity(), Arc::clone(log));
    tokio::spawn(async move {
        while let Some(activity) = activities.next().await {
            log.note_at(activity.unix_ns(), "manager", "activity", json!(activity.event));
        }
    });
}
