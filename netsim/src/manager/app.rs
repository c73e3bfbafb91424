//! What all requests share that speak for one tenant, or for the provider.
//!
//! Owns the locks around the state and the wall clock; the rules are in `store`. Invariant: no lock is held across an
//! await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::activity::{Event, Log};
use super::compile::Place;
use super::controllers::Controllers;
use super::faults::Faults;
use super::gateway::{Gateway, unix_ms};
use super::history::History;
use super::push;
use super::push_delay::PushDelay;
use super::store::{Accepted, Store};
use super::template::TemplateKind;
use super::tenants::{self, Tenant};
use super::{Config, Device};
use crate::policy::Edges;
use crate::telemetry::{PolicyReport, RoutingReport, Telemetry, TelemetryError, TunnelReport};

/// What all requests share that speak for one tenant, or for the provider.
pub(super) struct App {
    pub(super) gateway: Arc<Gateway>,
    /// None: the provider, or the only tenant.
    pub(super) tenant: Option<Tenant>,
    pub(super) devices: Vec<Device>,
    pub(super) controllers: Controllers,
    pub(super) template: TemplateKind,
    pub(super) push_delay: PushDelay,
    /// Held by whoever programs the edge of a site.
    pub(super) edge_turns: BTreeMap<u32, tokio::sync::Mutex<()>>,
    /// Notified when a push has ended.
    pub(super) push_ended: Notify,
    pub(super) edges: Arc<dyn Edges>,
    telemetry: Arc<dyn Telemetry>,
    pub(super) activity: Arc<Log>,
    pub(super) faults: Faults,
    pub(super) history: Arc<History>,
    /// For so long an edge is asked.
    pub(super) edge_patience: Duration,
    /// When this Manager came up, in milliseconds since the Unix epoch.
    pub(super) started_ms: u64,
    store: Mutex<Store>,
    pushes: Mutex<JoinSet<()>>,
}

impl App {
    /// A Manager without objects: a tenant's, or the provider's; it serves nothing.
    pub(super) fn new<E: Edges + Telemetry>(
        gateway: &Arc<Gateway>,
        tenant: Option<Tenant>,
        config: &Config,
        edges: &Arc<E>,
        history: &Arc<History>,
    ) -> Self {
        let faults = gateway.faults.clone();
        let sites = config.devices.iter().map(|device| device.site_id);
        Self {
            devices: tenants::devices_of(tenant.as_ref(), &config.tenants, &config.devices),
            tenant,
            controllers: Controllers::new(config.controllers.clone(), faults.clone()),
            template: config.controller_template,
            push_delay: config.push_delay,
            edge_turns: sites.map(|site| (site, tokio::sync::Mutex::default())).collect(),
            push_ended: Notify::new(),
            edges: edges.clone(),
            telemetry: edges.clone(),
            activity: gateway.activity.clone(),
            store: Mutex::new(Store::new(faults.clone())),
            faults,
            history: history.clone(),
            edge_patience: config.edge_patience,
            gateway: gateway.clone(),
            started_ms: unix_ms(),
            pushes: Mutex::default(),
        }
    }

    /// The state.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        // Every change of the store is complete before anything in it could panic.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, as the product's timestamps are.
    pub(super) fn now_ms(&self) -> u64 {
        unix_ms()
    }

    /// The tunnels of an edge.
    pub(super) async fn tunnels(&self, device: &Device) -> Result<Vec<TunnelReport>, TelemetryError> {
        self.patiently(device, self.telemetry.tunnels(device.site_id))
            .await
    }

    /// The policy in force on an edge.
    pub(super) async fn policy(&self, device: &Device) -> Result<PolicyReport, TelemetryError> {
        self.patiently(device, self.telemetry.policy(device.site_id))
            .await
    }

    /// The TLOCs and routes of an edge.
    pub(super) async fn routing(&self, device: &Device) -> Result<RoutingReport, TelemetryError> {
        self.patiently(device, self.telemetry.routing(device.site_id))
            .await
    }

    /// The system IP of the edge of a site.
    pub(super) fn system_ip(&self, site_id: u32) -> Option<String> {
        let device = self.devices.iter().find(|device| device.site_id == site_id);
        device.map(|device| device.system_ip.to_string())
    }

    async fn patiently<T>(
        &self,
        device: &Device,
        asked: impl Future<Output = Result<T, TelemetryError>>,
    ) -> Result<T, TelemetryError> {
        let answered = tokio::time::timeout(self.edge_patience, asked).await;
        answered.unwrap_or_else(|_| {
            Err(TelemetryError {
                site_id: device.site_id,
                reason: format!("no answer within {:?}", self.edge_patience),
            })
        })
    }

    /// For how long this Manager has been up.
    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.started_ms))
    }

    /// Where the edges are.
    pub(super) fn places(&self) -> Vec<Place<'_>> {
        let devices = self.devices.iter();
        devices
            .map(|device| Place {
                site_id: device.site_id,
                service_vpns: &device.service_vpns,
            })
            .collect()
    }

    /// Starts the push of an accepted activation, if it has one, and gives its task.
    pub(super) fn start_push(self: &Arc<Self>, accepted: Accepted) -> String {
        let Accepted { task, push } = accepted;
        let push = match push {
            Ok(push) => push,
            Err(reason) => {
                self.activity.record(Event::TaskFailed {
                    task: task.clone(),
                    reason,
                });
                return task;
            }
        };
        self.activity.record(Event::PushStarted {
            task: task.clone(),
            policy: push.policy_name.clone(),
            change: push.change,
        });
        let mut pushes = self.pushes();
        while pushes.try_join_next().is_some() {}
        pushes.spawn(push::run(self.clone(), push));
        task
    }

    /// Starts bringing edges what has waited for a Controller.
    pub(super) fn start_deliveries(self: &Arc<Self>) {
        self.pushes().spawn(push::deliver_scheduled(self.clone()));
    }

    /// Stops every push under way.
    pub(super) fn abort_pushes(&self) {
        self.pushes().abort_all();
    }

    /// Stops every push under way and waits until none touches an edge any more.
    pub(super) async fn stop_pushes(&self) {
        let mut pushes = std::mem::take(&mut *self.pushes());
        pushes.shutdown().await;
    }

    fn pushes(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
