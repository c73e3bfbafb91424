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

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::choices::{Choice, Choices, MarkBits, TooManyChoices, vpn_bits};
use super::nft::{Chain, Elements, Expression, Family, Field, Set, Table, Value};
use crate::policy::{
    Action, AppRoute, AppRoutePolicy, DataPolicy, DefaultAction, EdgePolicy, Match, PolicyDirection,
};

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

/// What steering has to know of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Its address families.
    pub families: Vec<Family>,
    /// Its service VPNs.
    pub vpns: Vec<VpnInterfaces>,
    /// The edge's own addresses on its tunnels. What is sent to them is the edge's own traffic, such as hellos, and
    /// no policy of a service VPN applies to it.
    pub own: Vec<IpAddr>,
    /// The edge's addresses on its transports, which no packet of a service VPN gets to.
    pub transport: Vec<IpAddr>,
    /// Where copies of inspected packets go, if the site has such a service.
    pub inspection: Option<Inspection>,
}

/// The interfaces of one service VPN on an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnInterfaces {
    /// The service VPN.
    pub service_vpn: u16,
    /// Towards the site.
    pub service: Vec<String>,
    /// Towards the WAN.
    pub tunnel: Vec<String>,
}

/// The site's inspection service, which gets copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The index of the edge's interface towards it.
    pub interface: u32,
    /// Its addresses on that link.
    pub addresses: Vec<IpAddr>,
}

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

impl Surroundings {
    /// Where a service VPN is among the edge's.
    #[must_use]
    pub fn position(&self, service_vpn: u16) -> Option<usize> {
        self.vpns.iter().position(|vpn| vpn.service_vpn == service_vpn)
    }
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
        address_ranges(&single, self.table.family)
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
        for sequence in &policy.sequences {
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
        for sequence in &policy.sequences {
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

    /// The rules of a sequence: one, but a rule compares the protocol with one value, so a sequence of several
    /// protocols is several rules.
    fn rules(
        &mut self,
        chain: &str,
        id: u16,
        matching: &Match,
        action: Vec<Expression>,
    ) -> Vec<Vec<Expression>> {
        let protocols: Vec<Option<u8>> = if matching.protocols.is_empty() {
            vec![None]
        } else {
            matching.protocols.iter().copied().map(Some).collect()
        };
        let conditions = self.conditions(chain, id, matching);
        let rules = protocols.into_iter().map(|protocol| {
            let protocol =
                protocol.map(|protocol| Expression::Is(Field::Protocol, Value::Protocol(protocol)));
            let rest = conditions.iter().chain(&action).cloned();
            protocol.into_iter().chain(rest).collect()
        });
        rules.collect()
    }

    fn conditions(&mut self, chain: &str, id: u16, matching: &Match) -> Vec<Expression> {
        let family = self.table.family;
        let prefixes = [
            (Field::SourceAddress, "src", &matching.source_prefixes),
            (Field::DestinationAddress, "dst", &matching.destination_prefixes),
        ];
        let mut sets = Vec::new();
        for (field, suffix, prefixes) in prefixes {
            if let Some(prefixes) = prefixes {
                let ranges = address_ranges(prefixes, family);
                if ranges.is_empty() {
                    return vec![Expression::In(field, NOTHING.to_owned())];
                }
                sets.push((field, suffix, ranges));
            }
        }
        let mut conditions = Vec::new();
        let ports = [
            (Field::SourcePort, "sport", &matching.source_ports),
            (Field::DestinationPort, "dport", &matching.destination_ports),
        ];
        for (field, suffix, ranges) in ports {
            match merge(ranges.clone()).as_slice() {
                [] => {}
                [one] if one.start() == one.end() => {
                    conditions.push(Expression::Is(field, Value::Port(*one.start())));
                }
                several => sets.push((field, suffix, Elements::Ports(several.to_vec()))),
            }
        }
        if !matching.dscp.is_empty() {
            let mut codes = matching.dscp.clone();
            codes.sort_unstable();
            codes.dedup();
            sets.push((Field::Dscp, "dscp", Elements::Dscp(codes)));
        }
        for (field, suffix, elements) in sets {
            let name = format!("{chain}-{id}-{suffix}");
            self.add_set(&name, elements);
            conditions.push(Expression::In(field, name));
        }
        conditions
    }
}

fn set_mark(MarkBits { mask, value }: MarkBits) -> Expression {
    Expression::SetMark { mask, value }
}

/// Those prefixes that are of the family, as ranges.
fn address_ranges(prefixes: &[IpNet], family: Family) -> Elements {
    match family {
        Family::Ipv4 => Elements::Addresses(merge(
            prefixes
                .iter()
                .filter_map(|prefix| match prefix {
                    IpNet::V4(prefix) => Some(prefix.network().into()..=prefix.broadcast().into()),
                    IpNet::V6(_) => None,
                })
                .collect(),
        )),
        Family::Ipv6 => Elements::Addresses6(merge(
            prefixes
                .iter()
                .filter_map(|prefix| match prefix {
                    IpNet::V4(_) => None,
                    IpNet::V6(prefix) => Some(prefix.network().into()..=prefix.broadcast().into()),
                })
                .collect(),
        )),
    }
}

/// Sorts ranges and joins those that overlap, which the kernel refuses. Neighbours stay apart: a set of single
/// addresses is a hash table, a set with any range is a tree.
fn merge<T: Copy + Ord>(mut ranges: Vec<RangeInclusive<T>>) -> Vec<RangeInclusive<T>> {
    ranges.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<T>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start() <= last.end() => {
                *last = *last.start()..=(*last.end()).max(*range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}
