//! What a sequence matches, as conditions of rules.
//!
//! Owns which values become sets, and the rules that a sequence needs.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Compiler, NOTHING};
use crate::fabric::nft::{Elements, Expression, Family, Field, Value};
use crate::policy::Match;

impl Compiler<'_> {
    /// The rules of a sequence: one, but a rule compares the protocol with one value, so a sequence of several
    /// protocols is several rules.
    pub(super) fn rules(
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

/// Those prefixes that are of the family, as ranges.
pub(super) fn address_ranges(prefixes: &[IpNet], family: Family) -> Elements {
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
