//! Why a policy cannot be compiled, and what is said of it.

use uuid::Uuid;

use super::{Application, Assembly, Definition, Objects, Place, applications, service_vpns, sites};
use crate::manager::definition::{Applied, DefinitionKind, StoredDefinition};
use crate::manager::vsmart_policy::VsmartPolicy;
use crate::policy::PolicyDirection;

/// Why a policy cannot be compiled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
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
    /// A definition that edges cannot follow, and why.
    #[error("definition {name}: {problem}")]
    Definition {
        id: Uuid,
        name: String,
        problem: Box<CompileError>,
    },
}

impl CompileError {
    /// That edges do not carry out such a definition.
    pub(super) fn not_carried_out(definition: &StoredDefinition) -> Self {
        Self::KindNotEmulated(DefinitionKind::Stored(definition.kind).type_name())
    }

    /// The same error as one of a definition.
    pub(super) fn of(definition: &Definition) -> impl Fn(Self) -> Self + '_ {
        |problem| Self::Definition {
            id: definition.id,
            name: definition.name.clone(),
            problem: Box::new(problem),
        }
    }
}

/// Why edges cannot follow a policy, and at which sites they would have to.
pub(in crate::manager) fn unfit(
    policy: &VsmartPolicy,
    problem: &CompileError,
    objects: &Objects,
    places: &[Place<'_>],
) -> String {
    let mut reason = format!("policy {}: {problem}", policy.name);
    if let CompileError::Definition { id, .. } = problem {
        let sites = sites_of(&policy.assembly, objects, places, *id);
        let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
        reason += &format!("; WAN edges of sites: {}", sites.join(", "));
    }
    reason
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
