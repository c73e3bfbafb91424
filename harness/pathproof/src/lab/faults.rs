//! Faults of the WAN: transports impaired, cut and healed, and the proof that each fault took.
//!
//! Owns what is wrong with each transport at a time. A change is in force when the call returns; what it must
//! feel like is checked by a [`Check`], which the caller runs before the next change. Invariant: a cut takes the
//! far end of an uplink down, so that the edge sees its carrier go, as with a cable, and has no routes there.

mod check;
mod error;
mod state;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use netsim::fabric::{Edge, Host};
use netsim::impair::{Impairer, Impairment, Line, Loss, Percent};
use scenario::model::{self, Event};
use scenario::plan::Plan;
use serde_json::Value;

use super::network;
use super::sabotage::Sabotage;
use super::wan::WanOptions;
pub use check::Check;
pub use error::FaultError;
pub use state::Scope;
use state::{Flap, State};

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

/// A change of a transport's faults.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// Packets are impaired.
    Impair(Scope, Impairment),
    /// Links are taken down; of a tunnel or a direction, packets are dropped.
    Cut(Scope),
    /// The same in turns with nothing, for so long each.
    Flap(Scope, Duration, Duration),
    /// Everything in the scope is whole, but for faults of wider ones.
    Heal(Scope),
}

impl Faults {
    /// The transports of a lab, nothing wrong with them yet.
    #[must_use]
    pub fn new(plan: &Plan, hosts: &[Arc<Host>], edges: &[Arc<Edge>], options: &WanOptions) -> Self {
        let transports = (0_u64..).zip(hosts);
        let transports = transports.map(|(number, host)| {
            // Neighbouring seeds are as good as any: each line mixes its own from them.
            let seed = plan.run_id.wrapping_add(number);
            Transport {
                host: Arc::clone(host),
                impairer: Impairer::with_backend(host.netns(), seed, Some(options.impairments)),
                state: State::default(),
            }
        });
        Self {
            transports: transports.collect(),
            edges: edges.to_vec(),
            plan: plan.clone(),
            are_dead: options.sabotage == Some(Sabotage::DeadFaults),
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

    /// What an event does to which transport, if it does that.
    ///
    /// # Panics
    /// When there is no transport or site of such a name, which the reader of scenarios rules out.
    #[must_use]
    pub fn change_of(&self, event: &Event) -> Option<(usize, Change)> {
        match event {
            Event::Fault { transport, fault } => Some((self.transport(transport), self.injects(fault))),
            Event::Heal { transport, scope } => {
                Some((self.transport(transport), Change::Heal(self.scope(scope))))
            }
            Event::Annotate { .. }
            | Event::DeleteService { .. }
            | Event::Readiness { .. }
            | Event::ManagerFault { .. }
            | Event::HealManager
            | Event::ApiFault { .. }
            | Event::HealApi { .. } => None,
        }
    }

    /// The flaps of the topology, which begin with the timeline.
    #[must_use]
    pub fn flaps(&self) -> Vec<(usize, Change)> {
        let transports = self.plan.transports.iter().enumerate();
        let faults =
            transports.flat_map(|(transport, spec)| spec.faults.iter().map(move |fault| (transport, fault)));
        let changes = faults.map(|(transport, fault)| (transport, self.injects(fault)));
        changes
            .filter(|(_, change)| matches!(change, Change::Flap(..)))
            .collect()
    }

    fn injects(&self, fault: &model::Fault) -> Change {
        match fault {
            model::Fault::Impair { scope, impairment } => {
                Change::Impair(self.scope(scope), convert(impairment))
            }
            model::Fault::Cut { scope } => Change::Cut(self.scope(scope)),
            model::Fault::Flap { scope, down, up } => Change::Flap(self.scope(scope), *down, *up),
        }
    }

    fn scope(&self, scope: &model::Scope) -> Scope {
        let edge = |name: &str| self.plan.edges.iter().position(|edge| edge.site == name);
        let edge = |name| edge(name).expect("the reader has checked that the site exists");
        match scope {
            model::Scope::Whole => Scope::Whole,
            model::Scope::Site(site) => Scope::Site(edge(site)),
            model::Scope::Tunnel(a, b) => {
                let (a, b) = (edge(a), edge(b));
                Scope::Tunnel(a.min(b), a.max(b))
            }
            model::Scope::Direction { from, to } => Scope::Direction(edge(from), edge(to)),
        }
    }

    /// Puts the faults of the topology in place, but for its flaps, and checks them.
    ///
    /// # Errors
    /// [`FaultError`].
    pub async fn begin(&mut self) -> Result<Vec<Value>, FaultError> {
        let mut reports = Vec::new();
        for transport in 0..self.transports.len() {
            let faults = &self.plan.transports[transport].faults;
            let changes: Vec<Change> = faults.iter().map(|fault| self.injects(fault)).collect();
            for change in changes {
                if !matches!(change, Change::Flap(..)) {
                    reports.push(self.change(transport, change).await?.run().await?);
                }
            }
        }
        Ok(reports)
    }

    /// When the next phase of a flap ends, if anything flaps.
    #[must_use]
    pub fn next_turn(&self) -> Option<Instant> {
        let flaps = self
            .transports
            .iter()
            .flat_map(|transport| transport.state.flaps.values());
        flaps.map(|flap| flap.turns_at).min()
    }

    /// Turns every flap whose phase has ended.
    ///
    /// # Errors
    /// [`FaultError`].
    pub async fn turn(&mut self) -> Result<(), FaultError> {
        for transport in 0..self.transports.len() {
            let before = self.transports[transport].state.clone();
            let mut state = before.clone();
            let now = Instant::now();
            state.flaps.values_mut().for_each(|flap| flap.turn(now));
            if state != before {
                self.put(transport, &before, &state).await?;
                self.transports[transport].state = state;
            }
        }
        Ok(())
    }

    /// Changes what is wrong with a transport; in force on return.
    ///
    /// # Errors
    /// [`FaultError`].
    pub async fn change(&mut self, transport: usize, change: Change) -> Result<Check, FaultError> {
        let before = self.transports[transport].state.clone();
        let mut state = before.clone();
        match change {
            Change::Impair(scope, impairment) => drop(state.impaired.insert(scope, impairment)),
            Change::Cut(scope) => drop(state.cut.insert(scope)),
            Change::Flap(scope, down, up) => {
                let turns_at = Instant::now() + down;
                let flap = Flap {
                    down,
                    up,
                    is_down: true,
                    turns_at,
                };
                state.flaps.insert(scope, flap);
            }
            Change::Heal(scope) => state.heal(scope),
        }
        self.put(transport, &before, &state).await?;
        let check = self.check(transport, change, &before, &state);
        self.transports[transport].state = state;
        Ok(check)
    }

    async fn put(&mut self, transport: usize, before: &State, state: &State) -> Result<(), FaultError> {
        if self.are_dead {
            return Ok(());
        }
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
        let links = (0..self.plan.edges.len()).filter_map(|edge| {
            let is_down = state.is_link_down(edge);
            let end = (edge, self.edges[edge].host());
            let router = (transport, &*host);
            (before.is_link_down(edge) != is_down)
                .then(|| network::set_link(&self.plan, end, router, is_down))
        });
        let set = try_join_all(links).await;
        set.map(drop).map_err(|source| FaultError::Link {
            transport: name.clone(),
            source,
        })
    }

    fn lines(&self, transport: usize, state: &State) -> BTreeMap<Line, Impairment> {
        let lines = state.lines(self.plan.edges.len()).into_iter();
        let lines = lines.filter_map(|((from, to), impairment)| {
            let line = Line {
                to: self.uplink(to, transport)?,
                from: from.map(network::router_interface),
            };
            Some((line, impairment))
        });
        lines.collect()
    }

    /// The outer address of an edge on a transport, if it is attached to it.
    fn uplink(&self, edge: usize, transport: usize) -> Option<IpAddr> {
        let tloc = self.plan.tloc(edge, transport)?;
        Some(tloc.uplink_address.addr())
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
        corrupt: percent(impairment.corrupt),
        mtu: impairment.mtu,
    }
}
