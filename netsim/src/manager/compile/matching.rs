//! What the conditions of a sequence become.

use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::CompileError;
use crate::manager::list::ListContent;
use crate::manager::objects::Objects;
use crate::manager::sequence::{Addresses, Conditions, Family};
use crate::policy::Match;

/// Checks that edges act on every condition of this sequence.
pub(super) fn emulated(sequence: u16, conditions: &Conditions) -> Result<(), CompileError> {
    match conditions.others.first() {
        Some((field, _)) => Err(CompileError::NotEmulated {
            sequence,
            field: field.as_str(),
        }),
        None => Ok(()),
    }
}

/// The conditions with their lists spelled out.
pub(super) fn matching(conditions: &Conditions, objects: &Objects) -> Match {
    let mut matching = Match {
        source_prefixes: prefixes(&conditions.source, objects),
        destination_prefixes: prefixes(&conditions.destination, objects),
        source_ports: conditions.source_ports.clone(),
        destination_ports: conditions.destination_ports.clone(),
        protocols: conditions.protocols.clone(),
        dscp: conditions.dscp.clone(),
    };
    // Without a prefix nothing else would keep the sequence to its address family.
    if matching.source_prefixes.is_none() && matching.destination_prefixes.is_none() {
        matching.source_prefixes = any_address(conditions.family);
    }
    matching
}

fn prefixes(side: &Addresses, objects: &Objects) -> Option<Arc<[IpNet]>> {
    match side {
        Addresses::Any => None,
        Addresses::Prefixes(prefixes) => {
            let mut prefixes = prefixes.clone();
            prefixes.sort_unstable();
            prefixes.dedup();
            Some(prefixes.into())
        }
        Addresses::List { id, .. } => match super::content(*id, objects) {
            ListContent::Prefixes(prefixes) => Some(prefixes.clone()),
            _ => unreachable!("references lead to lists of their kind"),
        },
    }
}

fn any_address(family: Family) -> Option<Arc<[IpNet]>> {
    match family {
        Family::Ipv4 => Some([IpNet::V4(Ipv4Net::default())].into()),
        Family::Ipv6 => Some([IpNet::V6(Ipv6Net::default())].into()),
        Family::All => None,
    }
}
