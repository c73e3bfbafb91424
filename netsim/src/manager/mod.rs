//! An emulation of the Catalyst SD-WAN Manager's REST API, as far as centralized policy needs it: classic, and as traffic
//! policies of policy groups ("UX 2.0").
//!
//! Owns sessions, policy objects, activation and tasks, and serves them over HTTPS; the exchanges in
//! `contract/manager` are what it promises. It does not steer packets: activated policy is compiled for each WAN edge
//! and handed to [`Edges`]; what it says of tunnels it asks of [`Telemetry`]. Invariant: the edges follow what was
//! activated last, never what was merely edited.
//!
//! A request goes from `serve` (TLS, HTTP) past the `gateway` (faults of requests, limits, sessions, tenants) to `rest`
//! (paths, JSON), which parses bodies with `list`, `definition` (its sequences with `sequence`) and `vsmart_policy`, and
//! changes the `store` (rules of editing and activating) of `objects` (references, names). An accepted activation has
//! been through `compile`, and goes on in `push`, past the `controllers` to the edges; clients follow it by its `task`.
//! What tunnels were like is in `history`. For clients that need no packets, [`dry`] has edges that only remember.
//!
//! Feature profiles go their own way as far as storing (`feature_profile`, `policy_group`); to deploy a group is to
//! translate it, for each device, into classic objects, and from there on everything is the same.
//!
#![doc = include_str!("LIMITS.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod activity;
mod app;
mod body;
mod caller;
mod compile;
mod config;
mod controllers;
mod definition;
pub mod dry;
pub mod faults;
mod feature_profile;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fuzz;
mod gateway;
mod history;
pub mod limits;
mod list;
mod match_field;
mod objects;
mod policy_group;
mod preview;
mod push;
mod push_delay;
mod rest;
mod sequence;
mod serve;
mod session;
mod shape;
mod sla_classes;
pub mod state;
mod store;
mod task;
mod task_list;
mod template;
mod tenants;
mod tls;
mod value;
mod vsmart_policy;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::task::JoinSet;

pub use activity::{Activities, Activity, Change, Event, ObjectKind};
pub use config::{Config, Device, StartError, is_user_name};
pub use controllers::Controller;
pub use push_delay::{Distribution, PushDelay, PushDelayError};
pub use secrecy::SecretString;
pub use template::TemplateKind;
pub use tenants::{Tenant, TenantError, check_tenants};
pub use tls::TlsError;

use crate::policy::Edges;
use crate::telemetry::Telemetry;
use app::App;
use faults::Faults;
use gateway::Gateway;
use history::History;
use tenants::{Part, Shares};

/// A running Manager; dropping it ends it, its connections and its pushes.
pub struct Manager {
    /// The provider's, and those of the tenants.
    apps: Vec<Arc<App>>,
    gateway: Arc<Gateway>,
    address: SocketAddr,
    ca_pem: String,
    #[cfg(test)]
    router: axum::Router,
    /// The recorder of statistics, and what accepts connections.
    tasks: JoinSet<()>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Manager {
    /// Starts serving, with no policy and no session. The edges are not touched before the first activation.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or a listener or a certificate cannot be had.
    pub async fn start<E: Edges + Telemetry>(mut config: Config, edges: Arc<E>) -> Result<Self, StartError> {
        config.check()?;
        let mut listeners = Vec::with_capacity(config.listeners.len());
        for listener in std::mem::take(&mut config.listeners) {
            listener.set_nonblocking(true).map_err(StartError::Listener)?;
            listeners.push(tokio::net::TcpListener::from_std(listener).map_err(StartError::Listener)?);
        }
        let local = listeners
            .iter()
            .map(tokio::net::TcpListener::local_addr)
            .collect::<Result<Vec<_>, _>>();
        let local = local.map_err(StartError::Listener)?;
        let address = *local.first().ok_or(StartError::NoListener)?;
        let addresses: Vec<IpAddr> = local.iter().map(SocketAddr::ip).collect();
        let identity = tls::identity(&addresses)?;

        let gateway = Arc::new(Gateway::new(&config));
        let apps = apps(&gateway, &config, &edges);
        apps.iter().for_each(App::start_deliveries);
        let router = rest::router(&apps[0], &apps[1..]);
        let mut tasks = JoinSet::new();
        let recorder = history::recorder::run(apps[0].clone(), config.statistics_interval);
        tasks.spawn(recorder);
        for listener in listeners {
            tasks.spawn(serve::serve(
                listener,
                identity.server.clone().into(),
                router.clone(),
            ));
        }
        Ok(Self {
            apps,
            gateway,
            address,
            ca_pem: identity.ca_pem,
            #[cfg(test)]
            router,
            tasks,
        })
    }

    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate authority that clients have to trust; made for this run.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> &Faults {
        &self.gateway.faults
    }

    /// What happens from now on.
    pub fn activity(&self) -> Activities {
        self.gateway.activity.listen()
    }

    /// Ends the Manager and waits until its connections are closed and its pushes have stopped.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        for app in &self.apps {
            app.stop_pushes().await;
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        for app in &self.apps {
            app.abort_pushes();
        }
    }
}

/// The provider's Manager, and then one for each tenant.
fn apps<E: Edges + Telemetry>(gateway: &Arc<Gateway>, config: &Config, edges: &Arc<E>) -> Vec<Arc<App>> {
    let history = Arc::new(History::default());
    if config.tenants.is_empty() {
        return vec![Arc::new(App::new(gateway, None, config, edges, &history))];
    }
    let shares = Arc::new(Shares::new(&config.devices));
    let whose = std::iter::once(None).chain(config.tenants.iter().cloned().map(Some));
    let app = |tenant: Option<Tenant>| {
        let part = Arc::new(Part {
            edges: edges.clone(),
            shares: shares.clone(),
            tenant: tenant.clone(),
        });
        Arc::new(App::new(gateway, tenant, config, &part, &history))
    };
    whose.map(app).collect()
}
