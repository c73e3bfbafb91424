//! From a vSmart policy to what each WAN edge does.
//!
//! Pure: reads objects, gives [`EdgePolicy`] values, changes nothing. Owns where each definition applies; what one
//! sequence becomes is in `data` and `app_route`. Invariant: what is compiled says everything that the policy says; what
//! edges cannot act on is an error, never left out.

mod app_route;
mod data;
mod error;
mod matching;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;

use uuid::Uuid;

use super::definition::{AppRouteDefinition, DataDefinition, Definition, DefinitionBody, DefinitionKind};
use super::list::{List, ListContent};
use super::objects::Objects;
use super::sequence::GroupRef;
use super::vsmart_policy::{Application, Assembly};
use crate::policy::{AppRoutePolicy, ColorGroup, DataPolicy, EdgePolicy, PolicyDirection};
pub(super) use error::{CompileError, Unfit};

/// Where an edge is, as far as policy can tell edges apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Its site.
    pub(super) site_id: u32,
    /// The service VPNs that it has.
    pub(super) service_vpns: &'a [u16],
}

/// What each edge does under these assemblies, which must not collide. A definition is compiled once for each service
/// VPN, however many edges apply it there.
///
/// # Errors
/// When edges cannot act on a sequence, wherever it applies.
pub(super) fn compile(
    assembly: &[Assembly],
    objects: &Objects,
    places: &[Place<'_>],
) -> Result<Vec<EdgePolicy>, Unfit> {
    let unfit = |(definition, problem)| Unfit::new(definition, problem, assembly, objects, places);
    check_emulated(assembly, objects).map_err(unfit)?;
    let mut compiled = Compiled::new(objects);
    let edges = places.iter().map(|place| compiled.edge(assembly, *place));
    edges.collect::<Result<_, _>>().map_err(unfit)
}

/// A definition and why edges cannot follow it.
type Problem<'a> = (&'a Definition, CompileError);

/// What has been compiled so far, by definition and service VPN.
struct Compiled<'a> {
    objects: &'a Objects,
    data: BTreeMap<(Uuid, PolicyDirection, u16), DataPolicy>,
    app_route: BTreeMap<(Uuid, u16), AppRoutePolicy>,
}

impl<'a> Compiled<'a> {
    fn new(objects: &'a Objects) -> Self {
        Self {
            objects,
            data: BTreeMap::new(),
            app_route: BTreeMap::new(),
        }
    }

    fn edge(&mut self, assembly: &[Assembly], place: Place<'_>) -> Result<EdgePolicy, Problem<'a>> {
        let objects = self.objects;
        let mut edge = no_policy(place);
        for (assembly, application) in applications(assembly) {
            let Some(definition) = objects.definition_of(assembly.definition) else {
                continue;
            };
            if !sites(application, objects).any(|range| range.contains(&place.site_id)) {
                continue;
            }
            for &service_vpn in place.service_vpns {
                if service_vpns(application, objects).any(|range| range.contains(&service_vpn)) {
                    self.add(&mut edge, definition, application.direction, service_vpn)
                        .map_err(|problem| (definition, problem))?;
                }
            }
        }
        sort(&mut edge);
        Ok(edge)
    }

    fn add(
        &mut self,
        edge: &mut EdgePolicy,
        definition: &Definition,
        direction: PolicyDirection,
        service_vpn: u16,
    ) -> Result<(), CompileError> {
        match &definition.body {
            DefinitionBody::Data(data) => {
                let policy = match self.data.entry((definition.id, direction, service_vpn)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        new.insert(data_policy(data, direction, service_vpn, self.objects)?)
                    }
                };
                edge.data.push(policy.clone());
            }
            DefinitionBody::AppRoute(app_route) => {
                let policy = match self.app_route.entry((definition.id, service_vpn)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(app_route_policy(app_route, service_vpn, self.objects)?),
                };
                edge.app_route.push(policy.clone());
            }
        }
        Ok(())
    }
}

/// Brings the policies of an edge into their order.
pub(super) fn sort(edge: &mut EdgePolicy) {
    edge.data
        .sort_by_key(|policy| (policy.service_vpn, policy.direction));
    edge.app_route.sort_by_key(|policy| policy.service_vpn);
}

fn data_policy(
    definition: &DataDefinition,
    direction: PolicyDirection,
    service_vpn: u16,
    objects: &Objects,
) -> Result<DataPolicy, CompileError> {
    let sequences = definition.sequences.iter();
    Ok(DataPolicy {
        service_vpn,
        direction,
        default_action: definition.default_action,
        sequences: sequences
            .map(|raw| data::sequence(raw, service_vpn, objects))
            .collect::<Result<_, _>>()?,
    })
}

fn app_route_policy(
    definition: &AppRouteDefinition,
    service_vpn: u16,
    objects: &Objects,
) -> Result<AppRoutePolicy, CompileError> {
    let sequences = definition.sequences.iter();
    let default_class = definition.default_class;
    Ok(AppRoutePolicy {
        service_vpn,
        sequences: sequences
            .map(|raw| app_route::sequence(raw, objects))
            .collect::<Result<_, _>>()?,
        default_class: default_class
            .map(|id| app_route::class(id, objects))
            .transpose()?,
    })
}

/// What an edge does when no policy is active.
pub(super) fn no_policy(place: Place<'_>) -> EdgePolicy {
    EdgePolicy::none(place.site_id)
}

/// Checks that at most one application of each kind wants each site, service VPN and direction.
pub(super) fn check_collisions(assembly: &[Assembly], objects: &Objects) -> Result<(), CompileError> {
    let all: Vec<_> = applications(assembly).collect();
    for (index, (first, left)) in all.iter().enumerate() {
        for (second, right) in &all[index + 1..] {
            if first.kind != second.kind || !same_traffic(left.direction, right.direction) {
                continue;
            }
            let site = common(sites(left, objects), || sites(right, objects));
            let service_vpn = common(service_vpns(left, objects), || service_vpns(right, objects));
            if let (Some(site), Some(service_vpn)) = (site, service_vpn) {
                let name = |assembly: &Assembly| {
                    let found = objects.definition_of(assembly.definition);
                    found.map_or_else(String::new, |found| found.name.clone())
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

/// The definition of a kind that applies at `place`, which has one service VPN, and the list that names that VPN.
pub(super) fn applied<'a>(
    assembly: &'a [Assembly],
    objects: &'a Objects,
    kind: DefinitionKind,
    direction: PolicyDirection,
    place: Place<'_>,
) -> Option<(&'a Definition, &'a List)> {
    let mut there = applications(assembly).filter(|(assembly, application)| {
        assembly.kind == kind
            && application.direction == direction
            && sites(application, objects).any(|range| range.contains(&place.site_id))
    });
    there.find_map(|(assembly, application)| {
        let lists = application.vpn_lists.iter().filter_map(|&id| objects.list_of(id));
        let names_it = |list: &&List| match &list.content {
            ListContent::ServiceVpns(ranges) => ranges.iter().any(|range| {
                place
                    .service_vpns
                    .iter()
                    .any(|service_vpn| range.contains(service_vpn))
            }),
            _ => false,
        };
        Some((
            objects.definition_of(assembly.definition)?,
            lists.into_iter().find(names_it)?,
        ))
    })
}

/// Checks that edges can act on every sequence, wherever it applies.
fn check_emulated<'a>(assembly: &[Assembly], objects: &'a Objects) -> Result<(), Problem<'a>> {
    let definitions = assembly
        .iter()
        .filter_map(|assembly| objects.definition_of(assembly.definition));
    for definition in definitions {
        let checked = match &definition.body {
            DefinitionBody::Data(data) => {
                (data.sequences.iter()).try_for_each(|raw| data::emulated(raw, objects))
            }
            // Nothing in it depends on where it applies.
            DefinitionBody::AppRoute(app_route) => app_route_policy(app_route, 0, objects).map(drop),
        };
        checked.map_err(|problem| (definition, problem))?;
    }
    Ok(())
}

fn applications(assembly: &[Assembly]) -> impl Iterator<Item = (&Assembly, &Application)> {
    assembly.iter().flat_map(|assembly| {
        assembly
            .applications
            .iter()
            .map(move |application| (assembly, application))
    })
}

/// Whether data policies of these directions meet some packet both.
pub(super) fn same_traffic(left: PolicyDirection, right: PolicyDirection) -> bool {
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

/// The content of a list that a definition names.
fn content(id: Uuid, objects: &Objects) -> &ListContent {
    let list = objects.list_of(id);
    &list.expect("what is referred to is not deleted").content
}

fn color_group(group: GroupRef, objects: &Objects) -> ColorGroup {
    let list = objects
        .list_of(group.list)
        .expect("what is referred to is not deleted");
    let ListContent::ColorGroup(tiers) = &list.content else {
        unreachable!("references lead to lists of their kind");
    };
    ColorGroup {
        name: list.name.clone(),
        tiers: tiers.clone(),
        restrict: group.restrict,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
