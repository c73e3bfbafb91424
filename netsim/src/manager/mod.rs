//! An emulation of the Catalyst SD-WAN Manager's REST API, as far as centralized policy needs it: classic, and as traffic
//! policies of policy groups ("UX 2.0").
//!
//! Owns sessions, policy objects, activation and tasks, and serves them over HTTPS; the exchanges in
//! `contract/manager` are what it promises. It does not steer packets: activated policy is compiled for each WAN edge
//! and handed to [`Edges`]; what it says of tunnels it asks of [`Telemetry`]. Invariant: the edges follow what was activated last, never what was merely edited.
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
//! # Limits
//! - Data and app-route definitions only. Control, mesh, hub-and-spoke, VPN membership and cflowd definitions are
//!   refused with `POLICY0004`; so are CLI policies, regions, and every match field, action and `set` field but those in
//!   `match_field` and `sequence`. `log` has no effect.
//! - What the emulated edges cannot do is stored, shown in previews, and refused when activated: the task fails its
//!   validation, and names policy, definition, sequence and the sites whose edges would have to follow it. That are the
//!   matches `appList`, `dnsAppList`, `saasAppList`, `dns`, `plp`, `destinationRegion`, `trafficTo`, `icmpMessage`,
//!   `packetLength`, `tcp`, `serviceArea` and `trafficCategory`; the actions `cloudSaas`, `nat`, `cflowd`, `sig`,
//!   `fallbackToRouting`, `lossProtect`, `lossProtectFec`, `lossProtectPktDup`, `redirectDns`, `tcpOptimization`,
//!   `dreOptimization` and `serviceNodeGroup`; of `set` the fields `policer`, `nextHop`, `nextHopIpv6`, `nextHopLoose` and
//!   `serviceChain`; `preferredRemoteColor`; an SLA class with an `appProbeClass`; `service` of any type but
//!   IDS, away from the site, in another service VPN or with `restrict`; `vpn` that is not the service VPN that the
//!   definition is applied to, since policy leaks nothing here; remote TLOCs together with local colors; and TLOCs of
//!   which all are GRE, since the TLOCs of the edges are `ipsec`. In a TLOC list with both, those of GRE are left out, as
//!   TLOCs that no edge has. Remote TLOCs need no `vpn`, though the product's pages and clients ask for one.
//! - `set dscp` is done. `set forwardingClass` is stored, shown and taken when activated, and changes nothing: a class
//!   only chooses a queue, and the edges have no QoS maps.
//! - `sig` and `fallbackToRouting` go together, as the product's clients send them, though both stand in one set of
//!   actions that exclude each other; `protocol` and `destinationPort` go together likewise. `lossProtect` needs the one of
//!   `lossProtectFec` and `lossProtectPktDup` that its parameter is of, with the same parameter.
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
//! - The release is 20.18.1, the first with all three logins. To the API gateway, a client's id and secret are the user's
//!   name and password; `mode` and the like are ignored.
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
//!   The lock outlives the session of its holder, and ends by itself when nobody goes on with the edit for 30 minutes, a
//!   time that public sources do not give; what was stored stays stored, and goes with the next activation.
//! - A push that some edges refuse is not undone on the others: the task fails and says which sites did not take it. A
//!   cancelled one ends the same way; cancelling a push that every edge has taken by then changes nothing.
//! - A Controller that is lost is out of reach of everybody, the edges included, and has the newest policy as soon as it
//!   is back. Edges keep their policy without any Controller for as long as it takes; the product's do for 12 hours.
//!   What waited for a Controller comes without a task of its own; the one that scheduled it stays as it ended.
//! - There is one device template, of all Controllers, which is attached again by `attachfeature`, or `attachcli` if it is
//!   configured to be of commands; its own content cannot be changed. `masterTemplatesAffected` names it. `isEdited` and
//!   `isMasterEdited` of an attach request make no difference: only what has been edited is pushed.
//! - `PUT …/multiple/{id}` takes the body of `…/bulk`, which is a guess, as is that `{id}` is one of the definitions.
//! - The newest 1,000 finished tasks are kept.
//! - Real-time resources of a device are those of `rest`'s `realtime`, of WAN edges only. They call every tunnel `ipsec`,
//!   the encapsulation of its TLOCs in policies, whatever is on the wires; packets and octets are those of the tunnel's
//!   device, which with VXLAN all tunnels of a color share. `app-route/statistics` has one row for each tunnel, over the
//!   last hellos. Tunnels have no FEC, no packet duplication and no keepalives: these resources have no rows, nor has
//!   `tunnel/ipsec_statistics`.
//! - There is no OMP on a wire. A received route is one that the edge was set up with; its `status` is measured: `C` chosen
//!   by the edge's routing, `I` in the kernel, `R` its tunnel is up, `Inv U` nothing of these. It is the route of packets
//!   that no policy steers. `originator` and `site-id` are left out of a route that a hub forwards; `leaked-from-vpn` is no
//!   column of the product. The peers of an edge, and so its control connections, are the Controllers that are online.
//! - Statistics are kept in memory: up to 1,200,000 rows and 24 hours. A row is made each `statistics_interval`, or less
//!   often in labs of more than 2,000 tunnels, and is of the hellos and packets of the time since the row before; without a
//!   settled hello there is none. Means are over hellos, in whole milliseconds. `vqoe_score` is by a formula of ours
//!   (`history::row`). Answers have the latest rows first unless sorted, and at most 10,000.
//! - The query language has the operators and types that public pages and clients show, each for the fields that it makes
//!   sense for; rules do not nest. An aggregation cannot have two metrics of one property, and `fec/aggregation` is
//!   `aggregation`, since nothing is recovered. Groups without an `order` are those of most rows first.
//! - Bulk data has `approutestatsstatistics`, and the states `BFDSessions`, `OMPPeer` and `ControlConnection`. Scrolls end
//!   after 5 min, and when 16 others are open.
//! - `device/tloc`, `policy/vsmart`, `tunnels/health`, `transport/summary`, `query/fields`: their columns are in part
//!   guesses. `health` is `green` from a `vqoe_score` of 8, `yellow` from 5, and `red` below. Colors are compared over half
//!   hours. `tlocInterfaceMap` names interfaces that edges do not have.
//! - Of feature profiles there are `application-priority` with `traffic-policy`, and `policy-object` with `data-prefix`,
//!   `data-ipv6-prefix`, `sla-class`, `color`, `tloc`, `preferred-color-group`, `app-probe`, `class` and `policer`; the rest
//!   does not exist, application lists among it. There may be several policy-object profiles; names of policy objects of one
//!   kind differ in all of them.
//! - A traffic policy is one list: the first sequence that matches decides, whether by SLA or otherwise. On the edges it is an
//!   app-route policy (from the service), a data policy, or both with every sequence in each; public sources do not say how
//!   the product splits it. `dataDefaultAction` is `accept` unless given. Sequences have numbers up to 65534, not 65536.
//! - The service VPN 10 is named `VPN10`, and so on; nothing else is the name of a VPN. `vpnRule` is refused.
//! - Policy objects take no variables. In traffic policies every option may be one but numbers and references; its value has
//!   the type of the option, and is checked when it is deployed. There is no `device/variables/schema`.
//! - Stored, and refused with `POLICY0004` when deployed: of `set` the fields `policer`, `forwardingClass`,
//!   `preferredRemoteColor`, `serviceChain` and `nextHop…`; every action but `slaClass`, `backupSlaPreferredColor`,
//!   `set`, `count` and `log`; match fields that classic definitions do not have; and what is refused of those.
//! - An edge follows the active vSmart policy and the policy group of its device side by side. An activation or deployment
//!   that brings both to one service VPN, kind of policy and direction of a site is refused; neither takes the other away.
//! - A device that leaves its group keeps the policy until that group is deployed to it once more, which takes it away. A
//!   deployment has a row for each edge and none for Controllers, but waits for one as activations do. Nothing of it takes
//!   the edit lock, and one push runs at a time, of whichever kind.
//! - `/pathproof/v1/state` is no resource of the product (see [`state`]).
//! - Statuses and texts that public sources do not show (a missing token, a taken name of a list) are plausible guesses.

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
pub use config::{Config, Device, StartError};
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
