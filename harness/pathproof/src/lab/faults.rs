//! Faults of the WAN: transports impaired, cut and healed, and the proof that each fault took.
//!
//! Owns what is wrong with each transport at a time. A change is in force when the call returns; what it must
//! feel like is checked by a [`Check`], which the caller runs before the next change. Invariant: a cut takes the
//! far end of every uplink down, so that the edge sees its carrier go, as with a cable, and has no routes there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::sync::Arc;

use futures::future::try_join_all;
use netsim::fabric::{Edge, Host, HostError};
use netsim::impair::{ImpairError, Impairer, Impairment, Line, Loss, Percent};
use scenario::model;
use scenario::plan::Plan;
use serde_json::{Value, json};

use super::fault_check::{self, Expected, Path};
use super::network;
use super::sabotage::Sabotage;

/// Why a fault is not as asked.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// A line could not be impaired or healed.
    #[error("impair transport `{transport}`")]
    Impair {
        /// The transport.
        transport: String,
        /// The cause.
        #[source]
        source: ImpairError,
    },
    /// A link could not be taken down or brought up.
    #[error("cut or mend transport `{transport}`")]
    Link {
        /// The transport.
        transport: String,
        /// The cause.
        #[source]
        source: HostError,
    },
    /// Probes did not feel it.
    #[error("verify the fault on transport `{transport}` from {from} to {to}: {felt}")]
    NotFelt {
        /// The transport.
        transport: String,
        /// The sender's site.
        from: String,
        /// The receiver's site.
        to: String,
        /// What they felt, in words.
        felt: String,
    },
    /// A check panicked.
    #[error("verify the fault on transport `{transport}`")]
    Check {
        /// The transport.
        transport: String,
        /// The cause.
        #[source]
        source: tokio::task::JoinError,
    },
    /// More was lost than asked for.
    #[error(
        "impair transport `{transport}`: packets came faster than they could be delayed, {overruns} times some were dropped; lower the rates of the flows"
    )]
    Overrun {
        /// The transport.
        transport: String,
        /// How often.
        overruns: u64,
    },
}

/// The transports of a lab and what is wrong with them.
#[derive(Debug)]
pub struct Faults {
    transports: Vec<Transport>,
    edges: Vec<Arc<Edge>>,
    plan: Plan,
    /// Whether faults are only pretended.
    are_dead: bool,
}

#[derive(Debug)]
struct Transport {
    host: Arc<Host>,
    impairer: Impairer,
    state: State,
}

#[derive(Debug, Clone, Default)]
struct State {
    is_cut: bool,
    /// In every direction that is not in `directed`.
    wide: Option<Impairment>,
    /// By positions of the edges, from and to.
    directed: BTreeMap<(usize, usize), Impairment>,
}

impl State {
    /// What packets from one edge to another meet.
    fn between(&self, direction: (usize, usize)) -> Option<Impairment> {
        if self.is_cut {
            return Some(Impairment::black_hole());
        }
        self.directed.get(&direction).copied().or(self.wide)
    }
}

/// A change of a transport's faults.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// An impairment, in both directions between all sites or from one edge to another.
    Impair(Option<(usize, usize)>, Impairment),
    /// Every link is taken down.
    Cut,
    /// Everything is whole.
    Heal,
}

/// What a change must feel like.
#[derive(Debug)]
pub struct Check {
    transport: String,
    paths: Vec<(String, String, Path, Expected)>,
}

impl Faults {
    /// The transports of a lab, nothing wrong with them yet.
    #[must_use]
    pub fn new(plan: &Plan, hosts: &[Arc<Host>], edges: &[Arc<Edge>], sabotage: Option<Sabotage>) -> Self {
        let transports = (0_u64..).zip(hosts);
        let transports = transports.map(|(number, host)| Transport {
            host: Arc::clone(host),
            // Neighbouring seeds are as good as any: each line mixes its own from them.
            impairer: Impairer::new(host.netns(), plan.run_id.wrapping_add(number)),
            state: State::default(),
        });
        Self {
            transports: transports.collect(),
            edges: edges.to_vec(),
            plan: plan.clone(),
            are_dead: sabotage == Some(Sabotage::DeadFaults),
        }
    }

    /// The position of a transport of the plan, by name.
    ///
    /// # Panics
    /// When there is none of that name, which the reader of scenarios rules out.
    #[must_use]
    pub fn transport(&self, name: &str) -> usize {
        let mut transports = self.plan.transports.iter();
        transports
            .position(|transport| transport.name == name)
            .expect("the reader has checked that the transport exists")
    }

    /// The positions of the edges of two sites, by name.
    ///
    /// # Panics
    /// When there is none of such a name, which the reader of scenarios rules out.
    #[must_use]
    pub fn direction(&self, from: &str, to: &str) -> (usize, usize) {
        let edge = |name: &str| self.plan.edges.iter().position(|edge| edge.site == name);
        let edge = |name| edge(name).expect("the reader has checked that the site exists");
        (edge(from), edge(to))
    }

    /// Puts the impairments of the topology in place and checks them.
    ///
    /// # Errors
    /// [`FaultError`].
    pub async fn begin(&mut self) -> Result<Vec<Value>, FaultError> {
        let mut reports = Vec::new();
        for transport in 0..self.transports.len() {
            if let Some(impairment) = &self.plan.transports[transport].impair {
                let change = Change::Impair(None, convert(impairment));
                reports.push(self.change(transport, change).await?.run().await?);
            }
        }
        Ok(reports)
    }

    /// Changes what is wrong with a transport; in force on return.
    ///
    /// # Errors
    /// [`FaultError`].
    pub async fn change(&mut self, transport: usize, change: Change) -> Result<Check, FaultError> {
        let before = self.transports[transport].state.clone();
        let state = match change {
            Change::Heal => State::default(),
            Change::Cut => State {
                is_cut: true,
                ..before.clone()
            },
            Change::Impair(direction, impairment) => {
                let mut state = before.clone();
                match direction {
                    Some(direction) => drop(state.directed.insert(direction, impairment)),
                    None => state.wide = Some(impairment),
                }
                state
            }
        };
        if !self.are_dead {
            self.put(transport, &before, &state).await?;
        }
        self.transports[transport].state = state.clone();
        Ok(self.check(transport, &before, &state))
    }

    async fn put(&mut self, transport: usize, before: &State, state: &State) -> Result<(), FaultError> {
        let name = &self.plan.transports[transport].name;
        let lines = self.lines(transport, state);
        let host = Arc::clone(&self.transports[transport].host);
        let impairer = &mut self.transports[transport].impairer;
        // Waits for the impairment thread, some microseconds.
        let set = tokio::task::block_in_place(|| impairer.set(&lines));
        set.map_err(|source| FaultError::Impair {
            transport: name.clone(),
            source,
        })?;
        if before.is_cut != state.is_cut {
            let links = (0..self.plan.edges.len()).map(|edge| {
                let host_of_edge = self.edges[edge].host();
                network::set_link(&self.plan, (edge, host_of_edge), (transport, &host), state.is_cut)
            });
            let set = try_join_all(links).await;
            set.map_err(|source| FaultError::Link {
                transport: name.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn lines(&self, transport: usize, state: &State) -> BTreeMap<Line, Impairment> {
        let edges = &self.plan.edges;
        let to = |edge: usize| uplink(&self.plan, edge, transport);
        let wide = state.wide.into_iter().flat_map(|impairment| {
            let line = move |edge| Line {
                to: to(edge),
                from: None,
            };
            (0..edges.len()).map(move |edge| (line(edge), impairment))
        });
        let directed = state.directed.iter().map(|((from, edge), impairment)| {
            let from = Some(network::router_interface(*from));
            (Line { to: to(*edge), from }, *impairment)
        });
        wide.chain(directed).collect()
    }

    fn check(&self, transport: usize, before: &State, state: &State) -> Check {
        let count = self.plan.edges.len();
        let end = |edge: usize| {
            let address = uplink(&self.plan, edge, transport);
            (self.edges[edge].host().netns().clone(), address)
        };
        // Every edge with the next one, both ways: then every line has been sent over.
        let ring = (0..count).map(|edge| (edge, (edge + 1) % count));
        let mut directions: Vec<(usize, usize)> = ring.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        directions.extend(before.directed.keys().chain(state.directed.keys()));
        directions.sort_unstable();
        directions.dedup();
        let paths = directions
            .into_iter()
            .filter(|(from, to)| from != to)
            .filter_map(|direction| {
                let expected = match (before.between(direction), state.between(direction)) {
                    (_, Some(asked)) => Expected::Impaired(asked),
                    (Some(before), None) => Expected::Healed(before),
                    (None, None) => return None,
                };
                let (from, to) = direction;
                let path = Path {
                    from: end(from),
                    to: end(to),
                };
                let site = |edge: usize| self.plan.edges[edge].site.clone();
                Some((site(from), site(to), path, expected))
            });
        Check {
            transport: self.plan.transports[transport].name.clone(),
            paths: paths.collect(),
        }
    }

    /// Whether every packet was handled as asked.
    ///
    /// # Errors
    /// [`FaultError::Overrun`].
    pub fn end(&self) -> Result<(), FaultError> {
        for (spec, transport) in self.plan.transports.iter().zip(&self.transports) {
            let overruns = transport.impairer.overruns();
            if overruns > 0 {
                let transport = spec.name.clone();
                return Err(FaultError::Overrun { transport, overruns });
            }
        }
        Ok(())
    }
}

impl Check {
    /// Runs the check; says what it covered.
    ///
    /// # Errors
    /// [`FaultError::NotFelt`].
    pub async fn run(self) -> Result<Value, FaultError> {
        let transport = self.transport.clone();
        let checked = tokio::task::spawn_blocking(move || self.run_blocking()).await;
        checked.map_err(|source| FaultError::Check { transport, source })?
    }

    fn run_blocking(self) -> Result<Value, FaultError> {
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .paths
                .iter()
                .map(|(_, _, path, expected)| scope.spawn(|| fault_check::check(path, *expected)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|result| result.unwrap_or_else(|_| Err("the check panicked".to_owned())))
                .collect()
        });
        let mut left_out = Vec::new();
        for ((from, to, _, _), result) in self.paths.iter().zip(results) {
            left_out.extend(result.map_err(|felt| FaultError::NotFelt {
                transport: self.transport.clone(),
                from: from.clone(),
                to: to.clone(),
                felt,
            })?);
        }
        left_out.dedup();
        Ok(json!({ "transport": self.transport, "paths": self.paths.len(), "not checked": left_out }))
    }
}

/// An impairment of a scenario as netsim has it.
#[must_use]
pub fn convert(impairment: &model::Impairment) -> Impairment {
    let percent = |share: model::Share| Percent::from_millionths(share.0).unwrap_or(Percent::ALL);
    Impairment {
        delay: impairment.delay,
        jitter: impairment.jitter,
        loss: match impairment.loss {
            model::Loss::None => Loss::None,
            model::Loss::Random(share) => Loss::Random(percent(share)),
            model::Loss::Burst { enter, leave } => Loss::Burst {
                enter: percent(enter),
                leave: percent(leave),
            },
            model::Loss::All => Loss::All,
        },
        rate: impairment.rate_bps.and_then(NonZeroU64::new),
        reorder: percent(impairment.reorder),
        duplicate: percent(impairment.duplicate),
        corrupt: Percent::ZERO,
    }
}

/// The outer address of an edge on a transport.
fn uplink(plan: &Plan, edge: usize, transport: usize) -> Ipv4Addr {
    match plan.tloc(edge, transport).map(|tloc| tloc.uplink_address.addr()) {
        Some(IpAddr::V4(address)) => address,
        other => unreachable!("the limits of the lab are checked: {other:?}"),
    }
}
