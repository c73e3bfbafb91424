//! From an edge's policy to nftables.
//!
//! A pure function: each sequence becomes one rule, in order, so the first match wins; the prefixes of a
//! sequence become one set, so no chain grows with the number of endpoints; a single port needs none, for the kernel
//! looks sets up by name, one after the other. Every packet of a service VPN is
//! marked as one of it. What comes from the site then meets the app-route policy and the from-service policy,
//! what comes from a tunnel the from-tunnel policy; a policy for all meets both. A sequence that chooses among
//! tunnels sets its bits of the mark ([`super::choices`]), and routing does the rest.
//!
//! There is a table for each address family, with as many rules: that of a sequence whose prefixes are all of the
//! other family matches nothing.
//!
//! # Limits
//! - What app-route drops is dropped by routing, thus after the data policy: that counts it, and copies it if it
//!   inspects.
//! - Only the first of a packet's fragments has ports; the others match no sequence that asks for some.
//! - The edge's addresses on its transports are out of reach for service VPNs; those towards its sites and services
//!   answer to every VPN.

mod matching;
mod surroundings;

use std::net::IpAddr;

use ipnet::IpNet;

use super::choices::{Choice, Choices, MarkBits, TooManyChoices, vpn_bits};
use super::nft::{Chain, Elements, Expression, Family, Field, Set, Table};
use crate::policy::{
    Action, AppRoute, AppRoutePolicy, DataPolicy, DefaultAction, EdgePolicy, Match, PolicyDirection,
};

pub use surroundings::{Inspection, Surroundings, VpnInterfaces};

/// The tables that hold the steering of an edge, one in each address family.
pub const TABLE: &str = "sdwan";
/// The set of the edge's own addresses on its tunnels.
const OWN: &str = "own";
/// The set of the edge's addresses on its transports.
const TRANSPORT: &str = "transport";
/// A set of no addresses.
const NOTHING: &str = "nothing";
/// NF_IP_PRI_MANGLE: before routing, after connection tracking.
const PRIORITY_MANGLE: i32 = -150;

/// Why a policy cannot be put in force on an edge.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteeringError {
    /// The edge has no such service VPN.
    #[error("policy for service VPN {asked}; this edge has {known}")]
    UnknownVpn {
        /// The VPN asked for.
        asked: u16,
        /// The VPNs there are.
        known: String,
    },
    /// A sequence inspects at a site without inspection.
    #[error("sequence {sequence} inspects packets; this site has no inspection service")]
    NoInspection {
        /// The sequence.
        sequence: u16,
    },
    /// Too many different choices.
    #[error(transparent)]
    TooManyChoices(#[from] TooManyChoices),
}

/// The tables that put `policy` in force, in the order of the families.
///
/// # Errors
/// [`SteeringError`] when the policy asks for what the edge does not have.
///
/// # Panics
/// When `choices` lacks one of the policy's.
pub fn compile(
    policy: &EdgePolicy,
    edge: &Surroundings,
    choices: &Choices,
) -> Result<Vec<Table>, SteeringError> {
    let tables = edge.families.iter().map(|family| {
        let mut compiler = Compiler {
            edge,
            choices,
            table: Table {
                family: *family,
                name: TABLE,
                sets: Vec::new(),
                chains: Vec::new(),
            },
        };
        compiler.policy(policy)?;
        Ok(compiler.table)
    });
    tables.collect()
}

/// What each rule of a chain belongs to, in the order of [`compile`]; `None` is the default action.
pub(super) fn rules_of<'a>(
    sequences: impl Iterator<Item = (u16, &'a Match)>,
) -> impl Iterator<Item = Option<u16>> {
    let sequences = sequences.flat_map(|(id, matching)| {
        let rules = matching.protocols.len().max(1);
        std::iter::repeat_n(Some(id), rules)
    });
    sequences.chain([None])
}

/// The name of a data policy's chain: by what it is, not by where it stands, so that the same policy keeps its name
/// beside any other.
pub(super) fn data_chain(data: &DataPolicy) -> String {
    let direction = match data.direction {
        PolicyDirection::FromService => "from-service",
        PolicyDirection::FromTunnel => "from-tunnel",
        PolicyDirection::All => "all",
    };
    format!("vpn{}-{direction}", data.service_vpn)
}

/// The name of an app-route policy's chain.
pub(super) fn app_route_chain(policy: &AppRoutePolicy) -> String {
    format!("vpn{}-app-route", policy.service_vpn)
}

struct Compiler<'a> {
    edge: &'a Surroundings,
    choices: &'a Choices,
    table: Table,
}

impl Compiler<'_> {
    fn policy(&mut self, policy: &EdgePolicy) -> Result<(), SteeringError> {
        let mut jumps: Vec<(Vec<String>, Vec<String>)> = vec![Default::default(); self.edge.vpns.len()];
        for app_route in &policy.app_route {
            let vpn = self.position(app_route.service_vpn)?;
            jumps[vpn].0.push(self.app_route(app_route, vpn));
        }
        for data in &policy.data {
            let vpn = self.position(data.service_vpn)?;
            let chain = self.data(data, vpn)?;
            let (from_service, from_tunnel) = &mut jumps[vpn];
            if data.direction != PolicyDirection::FromTunnel {
                from_service.push(chain.clone());
            }
            if data.direction != PolicyDirection::FromService {
                from_tunnel.push(chain);
            }
        }
        let to_edge = vec![
            Expression::In(Field::DestinationAddress, OWN.to_owned()),
            Expression::Accept,
        ];
        // A map from interfaces to chains would be one look-up for all VPNs, but the kernel empties the map of a table
        // that is replaced for packets that are on their way through it.
        let mut dispatch = vec![to_edge];
        // The kernel's table of its own addresses is asked before any other.
        let to_transport = vec![
            Expression::In(Field::DestinationAddress, TRANSPORT.to_owned()),
            Expression::Drop,
        ];
        for (position, (from_service, from_tunnel)) in jumps.into_iter().enumerate() {
            let vpn = &self.edge.vpns[position];
            let number = vpn.service_vpn;
            let sides = [
                ("service", &vpn.service, from_service),
                ("tunnel", &vpn.tunnel, from_tunnel),
            ];
            for (side, interfaces, chains) in sides {
                let name = format!("vpn{number}-{side}");
                let jumps = chains.into_iter().map(|chain| vec![Expression::Jump(chain)]);
                let marked = [vec![set_mark(vpn_bits(position))], to_transport.clone()];
                self.add_chain(&name, marked.into_iter().chain(jumps).collect());
                self.add_set(&name, Elements::Interfaces(interfaces.clone()));
                let entered = Expression::In(Field::InputInterface, name.clone());
                dispatch.push(vec![entered, Expression::Goto(name)]);
            }
        }
        self.add_set(OWN, self.addresses(&self.edge.own));
        self.add_set(TRANSPORT, self.addresses(&self.edge.transport));
        self.add_set(NOTHING, self.addresses(&[]));
        self.table.chains.push(Chain {
            name: "prerouting".to_owned(),
            prerouting: Some(PRIORITY_MANGLE),
            rules: dispatch,
        });
        Ok(())
    }

    fn position(&self, service_vpn: u16) -> Result<usize, SteeringError> {
        self.edge.position(service_vpn).ok_or_else(|| {
            let known: Vec<_> = self
                .edge
                .vpns
                .iter()
                .map(|vpn| vpn.service_vpn.to_string())
                .collect();
            SteeringError::UnknownVpn {
                asked: service_vpn,
                known: known.join(", "),
            }
        })
    }

    /// Those addresses that are of the table's family, as the elements of a set.
    fn addresses(&self, addresses: &[IpAddr]) -> Elements {
        let single: Vec<IpNet> = addresses.iter().map(|address| IpNet::from(*address)).collect();
        matching::address_ranges(&single, self.table.family)
    }

    fn app_route(&mut self, policy: &AppRoutePolicy, vpn: usize) -> String {
        let name = app_route_chain(policy);
        let chosen = |choices: &Choices, choice: Option<AppRoute>| {
            let mark = choice.map(|choice| set_mark(choices.bits(vpn, Choice::AppRoute(choice))));
            std::iter::once(Expression::Count)
                .chain(mark)
                // The data policy comes next.
                .chain([Expression::Return])
                .collect()
        };
        let mut rules = Vec::new();
        for sequence in policy.sequences.iter() {
            let action = chosen(self.choices, sequence.choice.clone());
            rules.extend(self.rules(&name, sequence.id, &sequence.matching, action));
        }
        rules.push(chosen(
            self.choices,
            policy.default_class.clone().map(AppRoute::of_class),
        ));
        self.add_chain(&name, rules);
        name
    }

    fn data(&mut self, policy: &DataPolicy, vpn: usize) -> Result<String, SteeringError> {
        let name = data_chain(policy);
        let mut rules = Vec::new();
        for sequence in policy.sequences.iter() {
            let mut action = vec![Expression::Count];
            match &sequence.action {
                Action::Drop => action.push(Expression::Drop),
                Action::Accept { path, inspect, dscp } => {
                    if *inspect {
                        action.extend(self.copy(sequence.id)?);
                    }
                    action.extend(dscp.map(Expression::SetDscp));
                    let path = path.clone().map(Choice::Data);
                    action.extend(path.map(|path| set_mark(self.choices.bits(vpn, path))));
                    action.push(Expression::Accept);
                }
            }
            rules.extend(self.rules(&name, sequence.id, &sequence.matching, action));
        }
        rules.push(vec![
            Expression::Count,
            match policy.default_action {
                DefaultAction::Accept => Expression::Accept,
                DefaultAction::Drop => Expression::Drop,
            },
        ]);
        self.add_chain(&name, rules);
        Ok(name)
    }

    /// The copy that inspection takes; none when the service has no address of the table's family.
    fn copy(&self, sequence: u16) -> Result<Option<Expression>, SteeringError> {
        let service = self.edge.inspection.as_ref();
        let service = service.ok_or(SteeringError::NoInspection { sequence })?;
        let is_ipv4 = self.table.family == Family::Ipv4;
        let mut addresses = service.addresses.iter().copied();
        let to = addresses.find(|address| address.is_ipv4() == is_ipv4);
        Ok(to.map(|to| Expression::Duplicate {
            to,
            interface: service.interface,
        }))
    }

    fn add_set(&mut self, name: &str, elements: Elements) {
        self.table.sets.push(Set {
            name: name.to_owned(),
            elements,
        });
    }

    fn add_chain(&mut self, name: &str, rules: Vec<Vec<Expression>>) {
        self.table.chains.push(Chain {
            name: name.to_owned(),
            prerouting: None,
            rules,
        });
    }
}

fn set_mark(MarkBits { mask, value }: MarkBits) -> Expression {
    Expression::SetMark { mask, value }
}
