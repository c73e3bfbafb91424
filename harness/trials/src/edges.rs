//! Edges in memory that remember all that they were told, and whose tunnels are as a trial wants them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use netsim::bfd::{State, Totals};
use netsim::manager::Device;
use netsim::manager::dry::{DryEdges, LATENCY};
use netsim::policy::{ApplyError, EdgePolicy, Edges};
use netsim::telemetry::{PolicyReport, RoutingReport, Telemetry, TelemetryError, TunnelReport};

/// A policy that an edge was told.
#[derive(Debug, Clone)]
pub struct Applied {
    /// When.
    pub at: Instant,
    /// What, for which site.
    pub policy: EdgePolicy,
}

/// What a tunnel is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// The color of its TLOCs.
    pub color: String,
    /// Whether it is up.
    pub up: bool,
    /// One way.
    pub latency: Duration,
}

/// The edges of a trial.
#[derive(Debug)]
pub struct WatchedEdges {
    dry: DryEdges,
    devices: Vec<Device>,
    state: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    applied: Vec<Applied>,
    /// TLOCs that are down: site and color.
    down: BTreeSet<(u32, String)>,
    /// One way latency of the tunnels of a color that are not like the others.
    latency: BTreeMap<String, Duration>,
    /// What was counted of each tunnel: by its near and its far site, and its color.
    counted: BTreeMap<(u32, u32, String), Totals>,
}

impl WatchedEdges {
    pub(crate) fn new(devices: &[Device]) -> Self {
        Self {
            dry: DryEdges::new(devices),
            devices: devices.to_vec(),
            state: Mutex::default(),
        }
    }

    /// The edges as the Manager knows them.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// What the edge of a site was told last; no policy if it was told nothing.
    pub fn policy_of(&self, site_id: u32) -> EdgePolicy {
        let told = self.dry.in_force().get(&site_id).cloned();
        told.unwrap_or_else(|| EdgePolicy::none(site_id))
    }

    /// How often edges were told a policy.
    pub fn count(&self) -> usize {
        self.lock().applied.len()
    }

    /// What edges were told, in order, but for the first `skip`.
    pub fn applied_since(&self, skip: usize) -> Vec<Applied> {
        self.lock().applied[skip..].to_vec()
    }

    /// Takes the TLOC of a color at a site down, or up again, and with it its tunnels to all other sites.
    pub fn set_up(&self, site_id: u32, color: &str, up: bool) {
        let tloc = (site_id, color.to_owned());
        let mut state = self.lock();
        if up {
            state.down.remove(&tloc);
        } else {
            state.down.insert(tloc);
        }
    }

    /// Whether the tunnel of a color between two sites is up.
    pub fn is_up(&self, sites: (u32, u32), color: &str) -> bool {
        let state = self.lock();
        [sites.0, sites.1]
            .iter()
            .all(|site| !state.down.contains(&(*site, color.to_owned())))
    }

    /// The tunnels between two sites as they are.
    pub fn tunnels_between(&self, sites: (u32, u32)) -> Vec<Tunnel> {
        let device = self.devices.iter().find(|device| device.site_id == sites.0);
        let colors = device.map_or(&[][..], |device| &device.colors);
        let latency = self.lock().latency.clone();
        let tunnel = |color: &String| Tunnel {
            color: color.clone(),
            up: self.is_up(sites, color),
            latency: latency.get(color).copied().unwrap_or(LATENCY),
        };
        colors.iter().map(tunnel).collect()
    }

    /// Sets the latency of all tunnels of a color.
    pub fn set_latency(&self, color: &str, latency: Duration) {
        self.lock().latency.insert(color.to_owned(), latency);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Counts one more hello that was answered after this time; the answer is what was counted so far.
    fn count(&mut self, tunnel: (u32, u32, String), latency: Duration) -> Totals {
        let totals = self.counted.entry(tunnel).or_default();
        totals.answered += 1;
        totals.pairs += 1;
        totals.latency += latency;
        *totals
    }
}

#[async_trait]
impl Edges for WatchedEdges {
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        // Under the lock, so that the order noted is the order of force.
        let mut state = self.lock();
        let site_id = policy.site_id;
        if !self.devices.iter().any(|device| device.site_id == site_id) {
            let reason = "no edge stands there".to_owned();
            return Err(ApplyError { site_id, reason });
        }
        self.dry.in_force().insert(site_id, policy.clone());
        state.applied.push(Applied {
            at: Instant::now(),
            policy: policy.clone(),
        });
        Ok(())
    }
}

#[async_trait]
impl Telemetry for WatchedEdges {
    async fn tunnels(&self, site_id: u32) -> Result<Vec<TunnelReport>, TelemetryError> {
        let mut reports = self.dry.tunnels(site_id).await?;
        for report in &mut reports {
            if !self.is_up((site_id, report.remote_site_id), &report.color) {
                report.state = State::Down;
                report.met.clear();
            }
            let mut state = self.lock();
            let latency = state.latency.get(&report.color).copied().unwrap_or(LATENCY);
            report.statistics.latency = Some(latency);
            report.statistics.latency_p50 = Some(latency);
            report.statistics.latency_p99 = Some(latency);
            let tunnel = (site_id, report.remote_site_id, report.color.clone());
            report.totals = state.count(tunnel, latency);
        }
        Ok(reports)
    }

    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError> {
        self.dry.policy(site_id).await
    }

    async fn routing(&self, site_id: u32) -> Result<RoutingReport, TelemetryError> {
        self.dry.routing(site_id).await
    }
}
