//! Why a policy cannot be compiled, and what is said of it.

use uuid::Uuid;

use super::{Application, Assembly, Definition, Objects, Place, applications, service_vpns, sites};
use crate::manager::definition::{Applied, DefinitionKind, StoredDefinition};
use crate::policy::PolicyDirection;

/// Why a policy cannot be compiled.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub(in crate::manager) enum CompileError {
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
    /// A sequence has an action that the emulated edges do not do.
    #[error("SeqID {sequence}: action {action} is not emulated by the edges")]
    NotDone { sequence: u16, action: &'static str },
    /// A sequence takes packets from the service VPN that it applies to into another VPN.
    #[error(
        "SeqID {sequence}: field vpn: from service VPN {service_vpn}, where it is applied, into VPN {vpn} is not \
         emulated by the edges"
    )]
    Leaks {
        sequence: u16,
        service_vpn: u16,
        vpn: u16,
    },
    /// An SLA class asks for what the emulated edges do not measure.
    #[error("sla class {class}: field appProbeClass is not emulated by the edges")]
    AppProbe { class: String },
    /// `fallbackToBestPath` with a class that does not say what the best path is.
    #[error("SeqID {sequence}: fallbackToBestPath: sla class {class} has no fallbackBestTunnel")]
    NoBestTunnel { sequence: u16, class: String },
    /// A definition of a kind that the emulated edges do not carry out.
    #[error("definitions of type {0} are not emulated by the edges")]
    KindNotEmulated(&'static str),
}

impl CompileError {
    /// That edges do not carry out such a definition.
    pub(super) fn not_carried_out(definition: &StoredDefinition) -> Self {
        Self::KindNotEmulated(DefinitionKind::Stored(definition.kind).type_name())
    }
}

/// What edges cannot follow, why, and which of them would have to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{place}: {problem}; WAN edges of sites: {}", listed(sites))]
pub(in crate::manager) struct Unfit {
    /// The definition.
    pub(in crate::manager) definition: Uuid,
    /// Where clients find it.
    pub(in crate::manager) place: String,
    problem: Box<CompileError>,
    sites: Vec<u32>,
}

impl Unfit {
    /// The problem of a definition, which is one of `assembly`.
    pub(in crate::manager) fn new(
        definition: &Definition,
        problem: CompileError,
        assembly: &[Assembly],
        objects: &Objects,
        places: &[Place<'_>],
    ) -> Self {
        Self {
            definition: definition.id,
            place: format!("definition {}", definition.name),
            problem: Box::new(problem),
            sites: sites_of(assembly, objects, places, definition.id),
        }
    }

    /// Adds this to others, or only its sites to the same problem in the same place.
    pub(in crate::manager) fn add_to(self, others: &mut Vec<Self>) {
        let same = |other: &&mut Self| other.place == self.place && other.problem == self.problem;
        match others.iter_mut().find(same) {
            Some(other) => other.sites.extend(self.sites),
            None => others.push(self),
        }
    }
}

fn listed(sites: &[u32]) -> String {
    if sites.is_empty() {
        return "none".to_owned();
    }
    let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
    sites.join(", ")
}

/// The sites whose edges would have to follow a definition.
fn sites_of(assembly: &[Assembly], objects: &Objects, places: &[Place<'_>], definition: Uuid) -> Vec<u32> {
    let has_place = |application: &Application, place: &&Place<'_>| {
        sites(application, objects).any(|range| range.contains(&place.site_id))
            && (application.vpn_lists.is_empty()
                || service_vpns(application, objects)
                    .any(|range| place.service_vpns.iter().any(|vpn| range.contains(vpn))))
    };
    let own = objects.definition_of(definition).and_then(own_application);
    let applied = applications(assembly).filter(|(assembly, _)| assembly.definition == definition);
    let applied: Vec<_> = applied.map(|(_, application)| application).chain(&own).collect();
    let followers = places
        .iter()
        .filter(|place| applied.iter().any(|application| has_place(application, place)));
    followers.map(|place| place.site_id).collect()
}

/// Where a definition applies that says so itself: at all sites that it names.
fn own_application(definition: &Definition) -> Option<Application> {
    match definition.kind() {
        DefinitionKind::Stored(row) if row.applied == Applied::Itself => {
            let site_lists = definition.uses().filter(|(_, named)| named.kind == "site");
            Some(Application {
                direction: PolicyDirection::All,
                site_lists: site_lists.map(|(_, named)| named.id).collect(),
                vpn_lists: Vec::new(),
            })
        }
        _ => None,
    }
}
