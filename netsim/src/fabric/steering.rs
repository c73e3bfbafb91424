//! From an edge's policy to an nftables table.
//!
//! A pure function: each sequence becomes one rule, in order, so the first match wins; the prefixes of a
//! sequence become one set, so no chain grows with the number of endpoints. Packets that come from the site
//! meet the from-service policy, packets that come from a tunnel the from-tunnel policy.
//!
//! # Limits
//! IPv4 only: IPv6 prefixes match nothing. A sequence may name one color.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::nft::{Chain, Elements, Expression, Field, Set, Table, Value};
use crate::policy::{
    Action, DataPath, DataPolicy, DefaultAction, EdgePolicy, LocalTlocs, PolicyDirection, Sequence,
};

/// The table that holds the steering of an edge.
pub const TABLE: &str = "sdwan";
/// NF_IP_PRI_MANGLE: before routing, after connection tracking.
const PRIORITY_MANGLE: i32 = -150;

/// The interfaces of one service VPN on an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnInterfaces {
    /// The service VPN.
    pub service_vpn: u16,
    /// Towards the site.
    pub service: Vec<String>,
    /// Towards the WAN.
    pub tunnel: Vec<String>,
    /// The edge's own addresses on its tunnels. What is sent to them is the edge's own traffic, such as hellos, and
    /// no policy of a service VPN applies to it.
    pub own: Vec<Ipv4Addr>,
}

/// The firewall marks that pin a packet to a tunnel; the routing table of the same number does the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelMark {
    /// The color of the tunnel's local TLOC.
    pub color: String,
    /// Falls back to normal routing when the tunnel is down.
    pub preferred: u32,
    /// Drops when the tunnel is down.
    pub strict: u32,
}

/// Why a policy cannot be put in force on an edge.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteeringError {
    /// The edge has no TLOC of that color.
    #[error("sequence {sequence} names color `{color}`; this edge has {known}")]
    UnknownColor {
        /// The sequence.
        sequence: u16,
        /// The color asked for.
        color: String,
        /// The colors there are.
        known: String,
    },
    /// Sharing load over several colors is not implemented.
    #[error("sequence {sequence} names {count} colors; this fabric takes one")]
    SeveralColors {
        /// The sequence.
        sequence: u16,
        /// How many.
        count: usize,
    },
    /// The edge has no such service VPN.
    #[error("policy for service VPN {asked}; this edge has {known}")]
    UnknownVpn {
        /// The VPN asked for.
        asked: u16,
        /// The VPN there is.
        known: u16,
    },
}

/// The table that puts `policy` in force.
///
/// # Errors
/// [`SteeringError`] when the policy asks for what the edge does not have.
pub fn compile(
    policy: &EdgePolicy,
    interfaces: &VpnInterfaces,
    marks: &[TunnelMark],
) -> Result<Table, SteeringError> {
    let mut table = Table {
        name: TABLE,
        sets: Vec::new(),
        chains: Vec::new(),
    };
    let own = interfaces.own.iter().map(|address| {
        let to_edge = Expression::Is(Field::DestinationAddress, Value::Address(*address));
        vec![to_edge, Expression::Accept]
    });
    let mut dispatch: Vec<_> = own.collect();
    for data in &policy.data {
        if data.service_vpn != interfaces.service_vpn {
            return Err(SteeringError::UnknownVpn {
                asked: data.service_vpn,
                known: interfaces.service_vpn,
            });
        }
        let name = chain_name(data);
        let chain = compile_data(data, &name, marks, &mut table.sets)?;
        table.chains.push(chain);
        let entries: Vec<&String> = match data.direction {
            PolicyDirection::FromService => interfaces.service.iter().collect(),
            PolicyDirection::FromTunnel => interfaces.tunnel.iter().collect(),
            PolicyDirection::All => interfaces.service.iter().chain(&interfaces.tunnel).collect(),
        };
        dispatch.extend(entries.into_iter().map(|interface| {
            vec![
                Expression::Is(Field::InputInterface, Value::Interface(interface.clone())),
                Expression::Jump(name.clone()),
            ]
        }));
    }
    table.chains.push(Chain {
        name: "prerouting".to_owned(),
        prerouting: Some(PRIORITY_MANGLE),
        rules: dispatch,
    });
    Ok(table)
}

fn compile_data(
    data: &DataPolicy,
    name: &str,
    marks: &[TunnelMark],
    sets: &mut Vec<Set>,
) -> Result<Chain, SteeringError> {
    let mut rules = Vec::new();
    for sequence in &data.sequences {
        // A rule compares the protocol with one value, so a sequence of several protocols becomes several rules.
        let protocols: Vec<Option<u8>> = if sequence.matching.protocols.is_empty() {
            vec![None]
        } else {
            sequence.matching.protocols.iter().copied().map(Some).collect()
        };
        let conditions = conditions(sequence, name, sets);
        let action = action(sequence, marks)?;
        for protocol in protocols {
            let mut rule: Vec<Expression> = protocol
                .map(|protocol| Expression::Is(Field::Protocol, Value::Protocol(protocol)))
                .into_iter()
                .collect();
            rule.extend(conditions.iter().chain(&action).cloned());
            rules.push(rule);
        }
    }
    rules.push(vec![
        Expression::Count,
        match data.default_action {
            DefaultAction::Accept => Expression::Accept,
            DefaultAction::Drop => Expression::Drop,
        },
    ]);
    Ok(Chain {
        name: name.to_owned(),
        prerouting: None,
        rules,
    })
}

/// What each rule of a data policy's chain belongs to, in the order of [`compile`]; `None` is the default action.
pub(super) fn rules_of(data: &DataPolicy) -> impl Iterator<Item = Option<u16>> {
    let sequences = data.sequences.iter().flat_map(|sequence| {
        let rules = sequence.matching.protocols.len().max(1);
        std::iter::repeat_n(Some(sequence.id), rules)
    });
    sequences.chain([None])
}

/// The name of a data policy's chain: by what it is, not by where it stands, so that the same policy keeps its name
/// beside any other.
pub(super) fn chain_name(data: &DataPolicy) -> String {
    let direction = match data.direction {
        PolicyDirection::FromService => "from-service",
        PolicyDirection::FromTunnel => "from-tunnel",
        PolicyDirection::All => "all",
    };
    format!("vpn{}-{direction}", data.service_vpn)
}

fn conditions(sequence: &Sequence, chain: &str, sets: &mut Vec<Set>) -> Vec<Expression> {
    let matching = &sequence.matching;
    let mut conditions = Vec::new();
    let mut add = |field, suffix: &str, elements| {
        let name = format!("{chain}-{}-{suffix}", sequence.id);
        conditions.push(Expression::In(field, name.clone()));
        sets.push(Set { name, elements });
    };
    if let Some(prefixes) = &matching.source_prefixes {
        add(
            Field::SourceAddress,
            "src",
            Elements::Addresses(address_ranges(prefixes)),
        );
    }
    if let Some(prefixes) = &matching.destination_prefixes {
        add(
            Field::DestinationAddress,
            "dst",
            Elements::Addresses(address_ranges(prefixes)),
        );
    }
    if !matching.source_ports.is_empty() {
        add(
            Field::SourcePort,
            "sport",
            Elements::Ports(merge(matching.source_ports.clone())),
        );
    }
    if !matching.destination_ports.is_empty() {
        add(
            Field::DestinationPort,
            "dport",
            Elements::Ports(merge(matching.destination_ports.clone())),
        );
    }
    conditions
}

fn action(sequence: &Sequence, marks: &[TunnelMark]) -> Result<Vec<Expression>, SteeringError> {
    let mut expressions = vec![Expression::Count];
    match &sequence.action {
        Action::Drop => expressions.push(Expression::Drop),
        Action::Accept { path, .. } => {
            if let Some(DataPath::Local(tlocs)) = path {
                expressions.push(Expression::SetMark(mark(sequence.id, tlocs, marks)?));
            }
            expressions.push(Expression::Accept);
        }
    }
    Ok(expressions)
}

fn mark(sequence: u16, tlocs: &LocalTlocs, marks: &[TunnelMark]) -> Result<u32, SteeringError> {
    let [color] = tlocs.colors.as_slice() else {
        return Err(SteeringError::SeveralColors {
            sequence,
            count: tlocs.colors.len(),
        });
    };
    let found = marks.iter().find(|mark| mark.color == *color).ok_or_else(|| {
        let known: Vec<_> = marks.iter().map(|mark| mark.color.as_str()).collect();
        SteeringError::UnknownColor {
            sequence,
            color: color.clone(),
            known: known.join(", "),
        }
    })?;
    Ok(if tlocs.restrict {
        found.strict
    } else {
        found.preferred
    })
}

fn address_ranges(prefixes: &[IpNet]) -> Vec<RangeInclusive<u32>> {
    let ranges = prefixes.iter().filter_map(|prefix| match prefix {
        IpNet::V4(prefix) => Some(u32::from(prefix.network())..=u32::from(prefix.broadcast())),
        IpNet::V6(_) => None,
    });
    merge(ranges.collect())
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
