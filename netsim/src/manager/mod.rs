//! An emulation of the Catalyst SD-WAN Manager's REST API, as far as classic centralized policy needs it.
//!
//! Owns sessions, policy objects, activation and tasks, and serves them over HTTPS; the exchanges in
//! `contract/manager` are what it promises. It does not steer packets: activated policy is compiled for each WAN edge
//! and handed to [`Edges`]; what it says of tunnels it asks of [`Telemetry`]. Invariant: the edges follow what was activated last, never what was merely edited.
//!
//! A request goes from `serve` (TLS, HTTP) past the `gateway` (faults of requests, limits, sessions, tenants) to `rest`
//! (paths, JSON), which parses bodies with `list`, `definition` (its sequences with `sequence`) and `vsmart_policy`, and
//! changes the `store` (rules of editing and activating) of `objects` (references, names). An accepted activation has
//! been through `compile`, and goes on in `push`.
//!
//! # Limits
//! - Data and app-route definitions only. Control, mesh, hub-and-spoke, VPN membership and cflowd definitions are
//!   refused with `POLICY0004`; so are CLI policies, regions, and every match field, action and `set` field but those in
//!   `match_field` and `sequence`. `log` has no effect.
//! - What the emulated edges cannot do is stored, shown in previews, and refused with `POLICY0004` when activated: the
//!   matches `appList`, `dnsAppList`, `saasAppList`, `dns`, `plp`, `destinationRegion`, `trafficTo` and `icmpMessage`;
//!   the actions `cloudSaas` and `preferredRemoteColor`; an SLA class with an `appProbeClass`; `service` of any type but
//!   IDS, away from the site, in another service VPN or with `restrict`; remote TLOCs together with local colors; and
//!   TLOCs of which all are GRE, since the TLOCs of the edges are `ipsec`. In a TLOC list with both, those of GRE are left
//!   out, as TLOCs that no edge has.
//! - `service` IDS, local, gives the inspection service a copy and forwards the packet. The product redirects the packet
//!   through the service; nothing here waits for what the service says.
//! - Loss is in whole percent, and latency, jitter and variances are in whole milliseconds, as the API has them; they
//!   reach the edges unrounded, as millionths and durations.
//! - `fallbackToBestPath` with an SLA class that has no `fallbackBestTunnel` is refused when activated: public sources do
//!   not say by what the product would choose. `slaClass` needs its `name`. `backupSlaPreferredColor` goes with neither
//!   `strict` nor `fallbackToBestPath`, as on the product's pages.
//! - `backupSlaPreferredColor` without `slaClass` prefers its colors while they have a tunnel, whatever its quality, and
//!   takes any other tunnel then.
//! - A sequence of `sequenceIpType all` takes conditions of neither address family.
//! - `colorRestrict` is a flag: `false` leaves it off, unlike `restrict` of `localTlocList`, whose presence counts.
//! - The number of SLA classes is not limited. Definitions of different types may have one name.
//! - All logins are there at once, though the product has that of the API gateway since 20.15 and that for tokens since
//!   20.18.1. To the API gateway, a client's id and secret are the user's name and password; `mode` and the like are ignored.
//! - What the product does at its limits is not documented as a whole. Here the limits of requests are for all clients of
//!   the Manager together, with bursts of as many at once, and what is refused does not count. A session too many of one user
//!   ends the one used least recently; one too many in all is refused with status 503. Two bulk requests at a time
//!   is no limit here.
//! - A token that is not good gets status 401, in whatever way cookies show that they have expired. A refresh token works
//!   once, for twice as long as the access token that came with it; the access token before stays good. The claims besides
//!   `sub`, `iss`, `exp` and `iat` are our own.
//! - The one user is the provider of a Manager with tenants; tenants have no users. A tenant's service VPNs are its own on
//!   all edges, and all tenants see all edges and tunnels. What is called `DefaultTenant` elsewhere is called so for all.
//! - A body that is said to be something else than JSON gets status 415, and `OPTIONS` gets 405.
//! - Edits by the session that holds the lock join its edit. The product is stricter in places that are not documented.
//! - A push that some edges refuse is not undone on the others: the task fails and says which sites did not take it.
//! - Of the resources of devices there are `bfd/sessions`, `bfd/summary`, `app-route/statistics` (one row for each tunnel,
//!   over the last hellos, with the `sla-class-index` of all tunnels), `app-route/sla-class`, `tunnel/statistics`,
//!   `policy/approutepolicyfilter` and `policy/datapolicyfilter`. They call every tunnel `ipsec`, the encapsulation of its TLOCs in
//!   policies, whatever is on the wires; packets and octets are those of the tunnel's device.
//! - `/pathproof/v1/state` is no resource of the product (see [`state`]).
//! - Statuses and texts that public sources do not show (a missing token, a taken name of a list) are plausible guesses.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod activity;
mod app;
mod body;
mod caller;
mod compile;
mod definition;
pub mod faults;
#[cfg(test)]
mod fixture;
mod gateway;
pub mod limits;
mod list;
mod match_field;
mod objects;
mod preview;
mod push;
mod rest;
mod sequence;
mod serve;
mod session;
pub mod state;
mod store;
mod task;
mod tenants;
mod tls;
mod value;
mod vsmart_policy;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

pub use activity::{Activities, Activity, Change, Event, ObjectKind};
pub use secrecy::SecretString;
pub use tenants::{Tenant, TenantError};
pub use tls::TlsError;

use crate::policy::Edges;
use crate::telemetry::Telemetry;
use app::App;
use faults::{ExpiryShape, Faults};
use gateway::Gateway;
use limits::Limits;
use tenants::{Part, Shares};

/// What a Manager is started with.
#[derive(Debug)]
pub struct Config {
    /// Where it serves, at least one; already bound, so they may belong to another network namespace.
    pub listeners: Vec<TcpListener>,
    /// The one user.
    pub username: String,
    /// Their password; never logged.
    pub password: SecretString,
    /// The WAN edges, one for each site.
    pub devices: Vec<Device>,
    /// From the acceptance of an activation to the programming of the edges.
    pub push_delay: Duration,
    /// What it takes before it refuses.
    pub limits: Limits,
    /// How clients with a cookie find out that their session has expired.
    pub expiry: ExpiryShape,
    /// From the start until `/client/server/ready` says so. Requests are answered all the same.
    pub ready_after: Duration,
    /// Who shares the edges; the Manager is of a single tenant if there are none.
    pub tenants: Vec<Tenant>,
}

impl Config {
    /// One user and no tenants, edges that are programmed at once, and the product's limits.
    #[must_use]
    pub fn new(
        listeners: Vec<TcpListener>,
        username: String,
        password: SecretString,
        devices: Vec<Device>,
    ) -> Self {
        Self {
            listeners,
            username,
            password,
            devices,
            push_delay: Duration::ZERO,
            limits: Limits::PRODUCT,
            expiry: ExpiryShape::default(),
            ready_after: Duration::ZERO,
            tenants: Vec::new(),
        }
    }
}

/// A WAN edge that the Manager manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub host_name: String,
    /// The address that identifies it.
    pub system_ip: Ipv4Addr,
    /// Its site.
    pub site_id: u32,
    /// The service VPNs that it has.
    pub service_vpns: Vec<u16>,
    /// The colors of its TLOCs.
    pub colors: Vec<String>,
}

/// Why a Manager did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nowhere to serve.
    #[error("serve the Manager without a listener")]
    NoListener,
    /// Two devices have one site; policy could not tell them apart.
    #[error("manage two WAN edges of site {0}")]
    SiteTwice(u32),
    /// A TLOC has a color that does not exist.
    #[error("manage WAN edge `{host_name}` with color `{color}`, which is not one of the 22 colors")]
    Color {
        /// The device.
        host_name: String,
        /// The color.
        color: String,
    },
    /// Tenants cannot be told apart.
    #[error(transparent)]
    Tenants(#[from] TenantError),
    /// A listener cannot be used.
    #[error("use a listener of the Manager")]
    Listener(#[source] std::io::Error),
    /// There is no certificate.
    #[error("prepare TLS for the Manager")]
    Tls(#[from] TlsError),
}

/// A running Manager; dropping it ends it, its connections and its pushes.
pub struct Manager {
    /// The provider's, and those of the tenants.
    apps: Vec<Arc<App>>,
    gateway: Arc<Gateway>,
    address: SocketAddr,
    ca_pem: String,
    accept_loops: JoinSet<()>,
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
        check(&config.devices)?;
        tenants::check(&config.tenants)?;
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
        let router = rest::router(&apps[0], &apps[1..]);
        let mut accept_loops = JoinSet::new();
        for listener in listeners {
            accept_loops.spawn(serve::serve(
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
            accept_loops,
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
        self.accept_loops.shutdown().await;
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
    if config.tenants.is_empty() {
        return vec![Arc::new(App::new(gateway, None, config, edges))];
    }
    let shares = Arc::new(Shares::new(&config.devices));
    let whose = std::iter::once(None).chain(config.tenants.iter().cloned().map(Some));
    let app = |tenant: Option<Tenant>| {
        let part = Arc::new(Part {
            edges: edges.clone(),
            shares: shares.clone(),
            tenant: tenant.clone(),
        });
        Arc::new(App::new(gateway, tenant, config, &part))
    };
    whose.map(app).collect()
}

fn check(devices: &[Device]) -> Result<(), StartError> {
    let mut sites = BTreeSet::new();
    for device in devices {
        if !sites.insert(device.site_id) {
            return Err(StartError::SiteTwice(device.site_id));
        }
        if let Some(color) = device.colors.iter().find(|color| value::color(color).is_err()) {
            return Err(StartError::Color {
                host_name: device.host_name.clone(),
                color: color.clone(),
            });
        }
    }
    Ok(())
}
