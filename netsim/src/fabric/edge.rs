//! A WAN edge: its tunnels, its routing tables, and the policy in force.
//!
//! Owns the way from a policy and the health of tunnels to what the kernel does. Each service VPN has a routing
//! table of its own, and so has each way of choosing among tunnels that the policy asks for ([`super::choices`]);
//! what they hold is computed as a whole ([`super::routing`]) and the kernel is told the difference. Invariants:
//! one rule for each table, however many endpoints a policy names; a policy changes in one nftables transaction,
//! before which all tables that it needs are there and after which those are gone that it does not need.

mod counts;
mod devices;
mod spec;
mod surroundings;
mod told;
mod under_way;

use std::collections::BTreeSet;
use std::time::Instant;

use tokio::sync::Mutex;

use super::choices::{Choices, PRIORITY_OUTPUT, VPNS_MAX, vpn_rule};
use super::host::routes::MarkRule;
use super::host::{Host, HostError};
use super::nft::diff::Update;
use super::nft::{NftError, Socket, Table};
use super::routing::{self, Destinations, NoGateway, Routes};
use super::steering::{self, Surroundings};
use crate::bfd::{State as SessionState, Totals};
use crate::encap::EncapError;
use crate::policy::{ApplyError, EdgePolicy};
use crate::sla::{Health, PollingError, SlaBoard, SlaChange, TunnelKey};

pub use counts::{Counted, SequenceCount};
pub use spec::{
    DeviceSpec, EdgeSpec, Framing, InspectionSpec, RemotePrefix, RemoteSpec, RemoteVpn, SiteRoute,
    TunnelSpec, VpnSpec,
};
pub use told::{OriginatedRoute, ReceivedRoute, VpnRoutes};
use under_way::UnderWay;

/// A WAN edge in operation.
#[derive(Debug)]
pub struct Edge {
    host: Host,
    spec: EdgeSpec,
    surroundings: Surroundings,
    destinations: Vec<Destinations>,
    state: Mutex<State>,
}

/// What changes while an edge is in operation.
#[derive(Debug)]
struct State {
    nft: Socket,
    /// The policy in force.
    policy: EdgePolicy,
    /// The tables in the kernel, one for each address family.
    tables: Vec<Table>,
    /// Packets that met the tables before these.
    under_way: UnderWay,
    /// What the policy in force chooses by.
    choices: Choices,
    /// How the tunnels stand.
    board: SlaBoard,
    /// What the kernel's routing tables hold.
    routes: Routes,
    /// What leads to them.
    rules: BTreeSet<MarkRule>,
    /// Whether both are all that the choices and the health of the tunnels asked for last.
    is_routed: bool,
}

/// Why an edge could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Links, addresses, routes or rules.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A GRE device.
    #[error(transparent)]
    Encap(#[from] EncapError),
    /// nftables.
    #[error("open nftables of the edge of site {site_id}")]
    Nft {
        /// The site.
        site_id: u32,
        /// The kernel's answer.
        #[source]
        source: NftError,
    },
    /// A prefix of a family that the tunnels do not carry.
    #[error(transparent)]
    NoGateway(#[from] NoGateway),
    /// Tunnels cannot be judged so.
    #[error(transparent)]
    Polling(#[from] PollingError),
}

impl Edge {
    /// Makes an edge of a host that has its uplinks and service interfaces already. Every tunnel is taken to be up.
    ///
    /// # Errors
    /// [`EdgeError`].
    ///
    /// # Panics
    /// When there are more than 255 service VPNs, or a remote edge has none.
    pub async fn create(host: Host, spec: EdgeSpec) -> Result<Self, EdgeError> {
        assert!(spec.vpns.len() <= VPNS_MAX, "an edge of too many service VPNs");
        spec.polling.validate()?;
        let destinations = routing::destinations(&spec)?;
        host.add_output_rule(PRIORITY_OUTPUT).await?;
        for tunnel in &spec.tunnels {
            devices::add_devices(&host, tunnel).await?;
        }
        let surroundings = surroundings::of(&host, &spec)?;
        let nft_refused = |source| EdgeError::Nft {
            site_id: spec.site_id,
            source,
        };
        let policy = EdgePolicy::none(spec.site_id);
        let choices = Choices::default();
        let mut nft = Socket::open(host.netns()).map_err(nft_refused)?;
        let tables = steering::compile(&policy, &surroundings, &choices)
            .expect("an empty policy asks for nothing that an edge could lack");
        nft.replace_tables(&tables).map_err(nft_refused)?;
        let tunnels = spec.tunnels.iter().enumerate();
        let tunnels =
            tunnels.flat_map(|(tunnel, of)| (0..of.remotes.len()).map(move |remote| (tunnel, remote)));
        let board = SlaBoard::new(spec.polling, tunnels);
        let state = State {
            nft,
            policy,
            tables,
            under_way: UnderWay::default(),
            choices,
            board,
            routes: Routes::new(),
            rules: BTreeSet::new(),
            is_routed: false,
        };
        let edge = Self {
            host,
            spec,
            surroundings,
            destinations,
            state: Mutex::new(state),
        };
        edge.route(&mut *edge.state.lock().await).await?;
        Ok(edge)
    }

    /// What it is made of.
    #[must_use]
    pub fn spec(&self) -> &EdgeSpec {
        &self.spec
    }

    /// Its tunnels, in the order of the specification.
    #[must_use]
    pub fn tunnels(&self) -> &[TunnelSpec] {
        &self.spec.tunnels
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The site it stands at.
    #[must_use]
    pub fn site_id(&self) -> u32 {
        self.spec.site_id
    }

    /// The session of a tunnel changed its state: it is down, and carries nothing, or up again. Returns the classes
    /// that it meets now or no longer meets, and whether the kernel's routes are those that follow.
    ///
    /// After a [`HostError`] the next change or poll, or calling again, goes on where it failed.
    pub async fn turn(
        &self,
        tunnel: TunnelKey,
        session: SessionState,
    ) -> (Vec<SlaChange>, Result<(), HostError>) {
        let mut state = self.state.lock().await;
        let changes = state.board.turn(tunnel, session);
        (changes, self.route(&mut state).await)
    }

    /// A poll interval of the sessions has ended at `now` with these totals. Returns as [`Self::turn`]; where nothing
    /// changed that packets are routed by, the kernel is told nothing.
    pub async fn poll(
        &self,
        totals: impl IntoIterator<Item = (TunnelKey, Totals)>,
        now: Instant,
    ) -> (Vec<SlaChange>, Result<(), HostError>) {
        let mut state = self.state.lock().await;
        let changes = state.board.poll(totals, now);
        let is_current = changes.is_empty() && state.is_routed && !state.choices.use_figures();
        let routed = if is_current {
            Ok(())
        } else {
            self.route(&mut state).await
        };
        (changes, routed)
    }

    /// Replaces the policy in force in one nftables transaction: each packet meets the old or the new one.
    ///
    /// Where only one set of prefixes or ports differs, only its elements are sent to the kernel, and the counters of
    /// the sequences go on. Returns as soon as every packet to come meets the new policy, unless choices go: what they
    /// lead by is taken away once no packet is on its way that met the old policy.
    ///
    /// # Errors
    /// [`ApplyError`]; the old policy is then still in force.
    pub async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        let failed = |error: &dyn std::error::Error| ApplyError {
            site_id: self.spec.site_id,
            reason: error.to_string(),
        };
        let position = |service_vpn| self.surroundings.position(service_vpn);
        let mut state = self.state.lock().await;
        let both = state
            .choices
            .with(policy, position)
            .map_err(|error| failed(&error))?;
        let tables = steering::compile(policy, &self.surroundings, &both).map_err(|error| failed(&error))?;
        let before = state.choices.clone();
        let chosen = both.only(policy, position);
        if both != before
            && let Err(error) = self.choose_by(&mut state, both).await
        {
            self.withdraw(&mut state, before).await;
            return Err(failed(&error));
        }
        if let Err(error) = state.put_in_force(tables).await {
            self.withdraw(&mut state, before).await;
            return Err(failed(&error));
        }
        state.policy = policy.clone();
        if chosen != state.choices {
            state.under_way.are_through().await;
            self.withdraw(&mut state, chosen).await;
        }
        Ok(())
    }

    /// Judges by the classes of `choices`, and routes by them.
    async fn choose_by(&self, state: &mut State, choices: Choices) -> Result<(), HostError> {
        let classes = choices.classes().cloned().collect();
        state.board.set_classes(&classes);
        state.choices = choices;
        self.route(state).await
    }

    /// Takes away what only other choices than these need. No packet has a mark for it any more, so it is of no harm
    /// if it cannot be removed now; the next change or poll tries again.
    async fn withdraw(&self, state: &mut State, choices: Choices) {
        if let Err(error) = self.choose_by(state, choices).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                site = self.spec.site_id,
                error,
                "routes of a policy not in force stay"
            );
        }
    }

    /// Makes the kernel's routes and rules those of the choices and the health of the tunnels.
    async fn route(&self, state: &mut State) -> Result<(), HostError> {
        state.is_routed = false;
        let families = self.host.families();
        let health: Vec<Vec<Health>> = self
            .spec
            .tunnels
            .iter()
            .enumerate()
            .map(|(tunnel, of)| {
                let remotes = 0..of.remotes.len();
                remotes
                    .map(|remote| state.board.health((tunnel, remote)))
                    .collect()
            })
            .collect();
        let wanted = routing::routes(&self.spec, families, &self.destinations, &state.choices, &health);
        let vpns = 0..self.spec.vpns.len();
        let rules: BTreeSet<MarkRule> = state
            .choices
            .rules()
            .into_iter()
            .chain(vpns.map(vpn_rule))
            .collect();
        // The most specific first: it is there before a less specific one could catch its packets.
        for (key, target) in wanted.iter().rev() {
            if state.routes.get(key) != Some(target) {
                self.host
                    .set_route(key.table, key.destination, key.metric, target)
                    .await?;
                state.routes.insert(*key, target.clone());
            }
        }
        // A rule leads to a table that is complete.
        for rule in &rules {
            if !state.rules.contains(rule) {
                self.host.add_mark_rule(*rule).await?;
                state.rules.insert(*rule);
            }
        }
        let gone: Vec<_> = state.rules.difference(&rules).copied().collect();
        for rule in gone {
            self.host.remove_mark_rule(rule).await?;
            state.rules.remove(&rule);
        }
        let gone: Vec<_> = state
            .routes
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .copied()
            .collect();
        for key in gone {
            self.host
                .remove_route_of(key.table, key.destination, Some(key.metric))
                .await?;
            state.routes.remove(&key);
        }
        state.is_routed = true;
        Ok(())
    }
}

impl State {
    async fn put_in_force(&mut self, tables: Vec<Table>) -> Result<(), NftError> {
        let update = Update::between(&self.tables, &tables);
        if update.replaces_rules() {
            self.under_way.are_through().await;
        }
        // The transaction takes about a microsecond for each entry: short enough for a tokio worker.
        match self.nft.update(&update) {
            // A change that does not fit what is in the kernel heals when the tables are written anew.
            Err(NftError::Refused { reply, .. }) => {
                tracing::warn!(reply, "change of steering refused, replacing the tables");
                self.nft.replace_tables(&tables)?;
            }
            other => other?,
        }
        self.under_way = UnderWay::begin();
        self.tables = tables;
        Ok(())
    }
}
