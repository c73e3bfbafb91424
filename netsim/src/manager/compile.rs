//! From a vSmart policy to what each WAN edge does.
//!
//! Pure: reads objects, gives [`EdgePolicy`] values, changes nothing. Invariant: what is compiled says everything
//! that the policy says; a condition that edges cannot act on is an error, never left out.

use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use uuid::Uuid;

use super::list::ListContent;
use super::objects::Objects;
use super::sequence::{Addresses, BaseAction, DataSequence, Family, LocalTlocList};
use super::value::Encapsulation;
use super::vsmart_policy::{Application, Assembly};
use crate::policy::{Action, DataPath, DataPolicy, EdgePolicy, LocalTlocs, Match, PolicyDirection, Sequence};

/// Why a policy cannot be compiled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum CompileError {
    /// Two applications want the same site, service VPN and direction.
    #[error("definitions {first} and {second} both apply to site {site}, VPN {service_vpn} in one direction")]
    Collision {
        first: String,
        second: String,
        site: u32,
        service_vpn: u16,
    },
    /// A sequence has a field that the emulated edges do not act on.
    #[error("SeqID {sequence}: field {field} is not emulated by the edges")]
    NotEmulated { sequence: u16, field: &'static str },
}

/// Where an edge is, as far as policy can tell edges apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Its site.
    pub(super) site_id: u32,
    /// The service VPNs that it has.
    pub(super) service_vpns: &'a [u16],
}

/// What the edge at `place` does under these assemblies, which must not collide.
pub(super) fn compile(
    assembly: &[Assembly],
    objects: &Objects,
    place: Place<'_>,
) -> Result<EdgePolicy, CompileError> {
    let mut data = Vec::new();
    for (definition, application) in applications(assembly) {
        let Some(definition) = objects.definition_of(definition) else {
            continue;
        };
        if !sites(application, objects).any(|range| range.contains(&place.site_id)) {
            continue;
        }
        for &service_vpn in place.service_vpns {
            if !service_vpns(application, objects).any(|range| range.contains(&service_vpn)) {
                continue;
            }
            let sequences = definition.data.sequences.iter();
            data.push(DataPolicy {
                service_vpn,
                direction: application.direction,
                default_action: definition.data.default_action,
                sequences: sequences
                    .map(|raw| sequence(raw, objects))
                    .collect::<Result<_, _>>()?,
            });
        }
    }
    data.sort_by_key(|policy| (policy.service_vpn, policy.direction));
    Ok(EdgePolicy {
        site_id: place.site_id,
        app_route: Vec::new(),
        data,
    })
}

/// What an edge does when no policy is active.
pub(super) fn no_policy(place: Place<'_>) -> EdgePolicy {
    EdgePolicy::none(place.site_id)
}

/// Checks that at most one application wants each site, service VPN and direction.
pub(super) fn check_collisions(assembly: &[Assembly], objects: &Objects) -> Result<(), CompileError> {
    let all: Vec<_> = applications(assembly).collect();
    for (index, (first, left)) in all.iter().enumerate() {
        for (second, right) in &all[index + 1..] {
            if !same_traffic(left.direction, right.direction) {
                continue;
            }
            let site = common(sites(left, objects), || sites(right, objects));
            let service_vpn = common(service_vpns(left, objects), || service_vpns(right, objects));
            if let (Some(site), Some(service_vpn)) = (site, service_vpn) {
                let name = |id: &Uuid| {
                    objects
                        .definition_of(*id)
                        .map_or_else(String::new, |found| found.name.clone())
                };
                return Err(CompileError::Collision {
                    first: name(first),
                    second: name(second),
                    site,
                    service_vpn,
                });
            }
        }
    }
    Ok(())
}

/// Checks that edges can act on every sequence, wherever it applies.
pub(super) fn check_emulated(assembly: &[Assembly], objects: &Objects) -> Result<(), CompileError> {
    let definitions = assembly
        .iter()
        .filter_map(|assembly| objects.definition_of(assembly.definition));
    definitions
        .flat_map(|definition| &definition.data.sequences)
        .try_for_each(emulated)
}

fn applications(assembly: &[Assembly]) -> impl Iterator<Item = (Uuid, &Application)> {
    assembly.iter().flat_map(|assembly| {
        assembly
            .applications
            .iter()
            .map(|application| (assembly.definition, application))
    })
}

fn same_traffic(left: PolicyDirection, right: PolicyDirection) -> bool {
    left == right || left == PolicyDirection::All || right == PolicyDirection::All
}

fn common<T, R>(left: impl Iterator<Item = RangeInclusive<T>>, right: impl Fn() -> R) -> Option<T>
where
    T: Ord + Copy,
    R: Iterator<Item = RangeInclusive<T>>,
{
    for left in left {
        for right in right() {
            let first = *left.start().max(right.start());
            if first <= *left.end().min(right.end()) {
                return Some(first);
            }
        }
    }
    None
}

fn sites<'a>(
    application: &'a Application,
    objects: &'a Objects,
) -> impl Iterator<Item = RangeInclusive<u32>> + use<'a> {
    let lists = application
        .site_lists
        .iter()
        .filter_map(|&id| objects.list_of(id));
    lists.flat_map(|list| match &list.content {
        ListContent::Sites(ranges) => ranges.clone(),
        _ => Vec::new(),
    })
}

fn service_vpns<'a>(
    application: &'a Application,
    objects: &'a Objects,
) -> impl Iterator<Item = RangeInclusive<u16>> + use<'a> {
    let lists = application.vpn_lists.iter().filter_map(|&id| objects.list_of(id));
    lists.flat_map(|list| match &list.content {
        ListContent::ServiceVpns(ranges) => ranges.clone(),
        _ => Vec::new(),
    })
}

fn sequence(raw: &DataSequence, objects: &Objects) -> Result<Sequence, CompileError> {
    emulated(raw)?;
    let mut matching = Match {
        source_prefixes: prefixes(&raw.source, objects),
        destination_prefixes: prefixes(&raw.destination, objects),
        source_ports: raw.source_ports.clone(),
        destination_ports: raw.destination_ports.clone(),
        protocols: raw.protocols.clone(),
        dscp: raw.dscp.clone(),
    };
    // Without a prefix nothing else would keep the sequence to its address family.
    if matching.source_prefixes.is_none() && matching.destination_prefixes.is_none() {
        matching.source_prefixes = any_address(raw.family);
    }
    let action = match raw.base_action {
        BaseAction::Drop => Action::Drop,
        BaseAction::Accept => Action::Accept {
            path: raw.local_tlocs.as_ref().map(local_tlocs).map(DataPath::Local),
            inspect: false,
        },
    };
    Ok(Sequence {
        id: raw.id,
        matching,
        action,
        counter: raw.counter.clone(),
    })
}

fn emulated(raw: &DataSequence) -> Result<(), CompileError> {
    let refuse = |field| {
        Err(CompileError::NotEmulated {
            sequence: raw.id,
            field,
        })
    };
    if !raw.dscp.is_empty() {
        return refuse("dscp");
    }
    let encapsulations = raw.local_tlocs.iter().map(|tlocs| &tlocs.encapsulations);
    if encapsulations
        .into_iter()
        .any(|list| !list.is_empty() && !list.contains(&Encapsulation::Ipsec))
    {
        return refuse("encap gre");
    }
    Ok(())
}

fn prefixes(side: &Addresses, objects: &Objects) -> Option<Vec<IpNet>> {
    let mut prefixes = match side {
        Addresses::Any => return None,
        Addresses::Prefixes(prefixes) => prefixes.clone(),
        Addresses::List { id, .. } => match objects.list_of(*id).map(|list| &list.content) {
            Some(ListContent::Prefixes(prefixes)) => prefixes.clone(),
            _ => Vec::new(),
        },
    };
    prefixes.sort_unstable();
    prefixes.dedup();
    Some(prefixes)
}

fn any_address(family: Family) -> Option<Vec<IpNet>> {
    match family {
        Family::Ipv4 => Some(vec![IpNet::V4(Ipv4Net::default())]),
        Family::Ipv6 => Some(vec![IpNet::V6(Ipv6Net::default())]),
        Family::All => None,
    }
}

fn local_tlocs(list: &LocalTlocList) -> LocalTlocs {
    LocalTlocs {
        colors: list.colors.clone(),
        restrict: list.restrict,
    }
}

#[cfg(test)]
mod tests;
