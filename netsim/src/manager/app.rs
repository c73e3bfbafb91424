//! What all requests share that speak for one tenant, or for the provider.
//!
//! Owns the locks around the state and the wall clock; the rules are in `store`. Invariant: no lock is held across an
//! await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::activity::{Event, Log};
use super::compile::Place;
use super::faults::Faults;
use super::gateway::{Gateway, unix_ms};
use super::push;
use super::store::{Accepted, Store};
use super::tenants::{self, Tenant};
use super::{Config, Device};
use crate::policy::Edges;
use crate::telemetry::Telemetry;

/// What all requests share that speak for one tenant, or for the provider.
pub(super) struct App {
    pub(super) gateway: Arc<Gateway>,
    /// None: the provider, or the only tenant.
    pub(super) tenant: Option<Tenant>,
    pub(super) devices: Vec<Device>,
    pub(super) push_delay: Duration,
    pub(super) edges: Arc<dyn Edges>,
    pub(super) telemetry: Arc<dyn Telemetry>,
    pub(super) activity: Arc<Log>,
    pub(super) faults: Faults,
    /// When this Manager came up, in milliseconds since the Unix epoch.
    pub(super) started_ms: u64,
    store: Mutex<Store>,
    pushes: Mutex<JoinSet<()>>,
}

impl App {
    /// A Manager without objects: a tenant's, or the provider's.
    pub(super) fn new<E: Edges + Telemetry>(
        gateway: &Arc<Gateway>,
        tenant: Option<Tenant>,
        config: &Config,
        edges: &Arc<E>,
    ) -> Self {
        Self {
            devices: tenants::devices_of(tenant.as_ref(), &config.tenants, &config.devices),
            tenant,
            push_delay: config.push_delay,
            edges: edges.clone(),
            telemetry: edges.clone(),
            activity: gateway.activity.clone(),
            faults: gateway.faults.clone(),
            gateway: gateway.clone(),
            started_ms: unix_ms(),
            store: Mutex::default(),
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
        let Some(push) = push else {
            let reason = "another operation is in progress".to_owned();
            self.activity.record(Event::TaskFailed {
                task: task.clone(),
                reason,
            });
            return task;
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
