//! What all requests share.
//!
//! Owns the locks around the state and the wall clock; the rules are in `store` and `session`. Invariant: no lock is
//! held across an await.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::activity::{Event, Log};
use super::caller::Caller;
use super::compile::Place;
use super::controllers::Controllers;
use super::faults::Faults;
use super::history::History;
use super::push;
use super::push_delay::PushDelay;
use super::session::{Session, SessionId, Sessions};
use super::store::{Accepted, Store};
use super::template::TemplateKind;
use super::{Config, Device};
use crate::policy::Edges;
use crate::telemetry::{PolicyReport, RoutingReport, Telemetry, TelemetryError, TunnelReport};

/// What all requests share.
pub(super) struct App {
    pub(super) username: String,
    pub(super) password: SecretString,
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
    pub(super) history: History,
    /// For so long an edge is asked.
    pub(super) edge_patience: Duration,
    /// When this Manager came up, in milliseconds since the Unix epoch.
    pub(super) started_ms: u64,
    store: Mutex<Store>,
    sessions: Mutex<Sessions>,
    pushes: Mutex<JoinSet<()>>,
}

impl App {
    /// A Manager without objects or sessions; it serves nothing.
    pub(super) fn new<E: Edges + Telemetry>(config: Config, edges: &Arc<E>) -> Self {
        let activity = Arc::new(Log::default());
        let faults = Faults::new(activity.clone());
        let sites = config.devices.iter().map(|device| device.site_id);
        Self {
            username: config.username,
            password: config.password,
            controllers: Controllers::new(config.controllers, faults.clone()),
            template: config.controller_template,
            push_delay: config.push_delay,
            edge_turns: sites.map(|site| (site, tokio::sync::Mutex::default())).collect(),
            push_ended: Notify::new(),
            devices: config.devices,
            edges: edges.clone(),
            telemetry: edges.clone(),
            store: Mutex::new(Store::new(faults.clone())),
            faults,
            history: History::default(),
            edge_patience: config.edge_patience,
            activity,
            started_ms: unix_ms(),
            sessions: Mutex::default(),
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

    /// Opens a session, if name and password are right.
    pub(super) fn log_in(&self, user: &str, password: &str) -> Option<SessionId> {
        if user != self.username || password != self.password.expose_secret() {
            self.activity.record(Event::LoginRefused {
                user: user.to_owned(),
            });
            return None;
        }
        let id = self.sessions().open(user, Instant::now());
        self.activity.record(Event::LoggedIn {
            user: user.to_owned(),
        });
        Some(id)
    }

    /// The session behind a cookie and its caller.
    pub(super) fn resume(&self, id: SessionId, address: IpAddr) -> Option<(Session, Caller)> {
        let session = self.sessions().resume(&id, Instant::now())?;
        let caller = Caller {
            session: id,
            user: session.user.clone(),
            address,
            at_ms: self.now_ms(),
        };
        Some((session, caller))
    }

    /// Ends a session.
    pub(super) fn log_out(&self, id: &SessionId) {
        self.sessions().close(id);
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

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pushes(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
