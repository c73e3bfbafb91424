//! vSmart (centralized) policies: which definition applies at which sites, in which service VPNs, which way.
//!
//! Owns the parsing of `template/policy/vsmart` bodies. That the objects referred to exist, and that no two
//! applications collide, is checked by `objects`. Invariant: every application names at least one site list and, of a data
//! or app-route definition, one VPN list.

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::body::{BodyError, ObjectBody};
use super::definition::{self, Applied, DefinitionKind};
use super::objects::Stamp;
use super::shape::{self, ShapeError};
use super::value::{self, NameOf, ValueError};
use crate::policy::PolicyDirection;

/// A stored vSmart policy.
#[derive(Debug, Clone)]
pub(super) struct VsmartPolicy {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) description: String,
    /// `policyDefinition` as the client wrote it.
    pub(super) as_written: Map<String, Value>,
    pub(super) assembly: Vec<Assembly>,
    pub(super) stamp: Stamp,
}

/// One definition and where it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assembly {
    pub(super) kind: DefinitionKind,
    pub(super) definition: Uuid,
    pub(super) applications: Vec<Application>,
}

/// Where and how a definition applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Application {
    /// `All` of a definition that edges do not carry out.
    pub(super) direction: PolicyDirection,
    pub(super) site_lists: Vec<Uuid>,
    pub(super) vpn_lists: Vec<Uuid>,
}

/// Why a vSmart policy was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum PolicyError {
    /// The body as a whole.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The name.
    #[error("policyName: {0}")]
    Name(#[from] ValueError),
    /// `policyType` is one that the emulation does not have.
    #[error("policyType: `{0}` is not `feature`, which alone is emulated")]
    Kind(String),
    /// `policyDefinition` has a key missing, unknown or of another type.
    #[error(transparent)]
    Shape(ShapeError),
    /// `regionRoleAssembly` is not empty.
    #[error("policyDefinition.regionRoleAssembly: regions are not emulated")]
    Regions,
    /// An assembly of a type that is not one of centralized policies.
    #[error(
        "{place}.type: `{found}` is not a type of centralized policy: {}",
        centralized()
    )]
    AssemblyType { place: String, found: String },
    /// A key that definitions of this type need.
    #[error("{place}: key {key} is missing")]
    NoKey { place: String, key: &'static str },
    /// Applications of a definition that says itself where it applies.
    #[error("{place}.entries: a definition of type {type_name} says itself where it applies")]
    AppliesItself { place: String, type_name: &'static str },
    /// An application of an app-route definition with a direction that these do not have.
    #[error("{place}.direction: appRoute applies to traffic from the service only")]
    Direction { place: String },
    /// An assembly without an application.
    #[error("{place}.entries: at least one is needed")]
    NoApplication { place: String },
    /// An application without a site list or without a VPN list.
    #[error("{place}.{field}: at least one is needed")]
    NoLists { place: String, field: &'static str },
    /// Something that should be an id.
    #[error("{place}: `{found}` is not an id")]
    Id { place: String, found: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawPolicy {
    policy_name: String,
    #[serde(default)]
    policy_description: String,
    policy_type: String,
    policy_definition: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawPolicyDefinition {
    assembly: Vec<RawAssembly>,
    #[serde(default)]
    region_role_assembly: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawAssembly {
    definition_id: String,
    #[serde(rename = "type")]
    type_name: String,
    entries: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawApplication {
    direction: Option<RawDirection>,
    site_lists: Vec<String>,
    vpn_lists: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDirection {
    Service,
    Tunnel,
    All,
}

/// Where a `cflowd` definition applies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawSites {
    site_lists: Vec<String>,
}

/// Where a `control` definition applies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawSitesEachWay {
    #[serde(rename = "direction")]
    _way: RawWay,
    site_lists: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawWay {
    In,
    Out,
}

/// Parses the body of a POST or PUT into a policy with this id.
pub(super) fn parse(id: Uuid, body: &ObjectBody, stamp: Stamp) -> Result<VsmartPolicy, PolicyError> {
    let raw: RawPolicy = body.parse()?;
    value::name(NameOf::Policy, &raw.policy_name)?;
    if raw.policy_type != "feature" {
        return Err(PolicyError::Kind(raw.policy_type));
    }
    let definition = shape::read_object::<RawPolicyDefinition>(&raw.policy_definition)
        .map_err(|error| PolicyError::Shape(error.under("policyDefinition")))?;
    if !definition.region_role_assembly.is_empty() {
        return Err(PolicyError::Regions);
    }
    let assembly = definition.assembly.into_iter().enumerate();
    let assembly = assembly
        .map(|(index, raw)| raw.parse(format!("policyDefinition.assembly[{index}]")))
        .collect::<Result<_, _>>()?;
    Ok(VsmartPolicy {
        id,
        name: raw.policy_name,
        description: raw.policy_description,
        as_written: raw.policy_definition,
        assembly,
        stamp,
    })
}

impl RawAssembly {
    fn parse(self, place: String) -> Result<Assembly, PolicyError> {
        let found = self.type_name;
        let mut kinds = definition::kinds().filter(|kind| kind.is_centralized());
        let Some(kind) = kinds.find(|kind| kind.type_name() == found) else {
            return Err(PolicyError::AssemblyType { place, found });
        };
        let definition = id(&self.definition_id, || format!("{place}.definitionId"))?;
        let applications = match kind {
            DefinitionKind::Stored(row) if row.applied == Applied::Itself => match self.entries.as_deref() {
                None | Some([]) => Vec::new(),
                Some(_) => {
                    let type_name = kind.type_name();
                    return Err(PolicyError::AppliesItself { place, type_name });
                }
            },
            _ => applications(kind, self.entries, &place)?,
        };
        Ok(Assembly {
            kind,
            definition,
            applications,
        })
    }
}

fn applications(
    kind: DefinitionKind,
    entries: Option<Vec<Value>>,
    place: &str,
) -> Result<Vec<Application>, PolicyError> {
    let place = || place.to_owned();
    let entries = entries.ok_or_else(|| PolicyError::NoKey {
        place: place(),
        key: "entries",
    })?;
    if entries.is_empty() {
        return Err(PolicyError::NoApplication { place: place() });
    }
    let entries = entries.iter().enumerate();
    let parsed = entries.map(|(index, entry)| {
        let place = format!("{}.entries[{index}]", place());
        let misfit = |error: ShapeError| PolicyError::Shape(error.under(&place));
        let DefinitionKind::Stored(row) = kind else {
            let raw: RawApplication = shape::read(entry).map_err(misfit)?;
            return raw.parse(kind, place);
        };
        let site_lists = match row.applied {
            Applied::SitesEachWay => shape::read(entry).map(|raw: RawSitesEachWay| raw.site_lists),
            _ => shape::read(entry).map(|raw: RawSites| raw.site_lists),
        };
        Ok(Application {
            direction: PolicyDirection::All,
            site_lists: ids(&site_lists.map_err(misfit)?, &place, "siteLists")?,
            vpn_lists: Vec::new(),
        })
    });
    parsed.collect()
}

impl RawApplication {
    fn parse(self, kind: DefinitionKind, place: String) -> Result<Application, PolicyError> {
        let site_lists = ids(&self.site_lists, &place, "siteLists")?;
        let vpn_lists = ids(&self.vpn_lists, &place, "vpnLists")?;
        let direction = match (kind, self.direction) {
            (DefinitionKind::Data, None) => {
                let key = "direction";
                return Err(PolicyError::NoKey { place, key });
            }
            (DefinitionKind::Data, Some(RawDirection::Tunnel)) => PolicyDirection::FromTunnel,
            (DefinitionKind::Data, Some(RawDirection::All)) => PolicyDirection::All,
            (_, None | Some(RawDirection::Service)) => PolicyDirection::FromService,
            (_, Some(_)) => return Err(PolicyError::Direction { place }),
        };
        Ok(Application {
            direction,
            site_lists,
            vpn_lists,
        })
    }
}

/// The types of centralized policies.
fn centralized() -> String {
    let kinds = definition::kinds().filter(|kind| kind.is_centralized());
    kinds
        .map(DefinitionKind::type_name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn ids(texts: &[String], place: &str, field: &'static str) -> Result<Vec<Uuid>, PolicyError> {
    if texts.is_empty() {
        let place = place.to_owned();
        return Err(PolicyError::NoLists { place, field });
    }
    let texts = texts.iter().enumerate();
    texts
        .map(|(index, text)| id(text, || format!("{place}.{field}[{index}]")))
        .collect()
}

fn id(text: &str, place: impl Fn() -> String) -> Result<Uuid, PolicyError> {
    Uuid::parse_str(text).map_err(|_| PolicyError::Id {
        place: place(),
        found: text.to_owned(),
    })
}

#[cfg(test)]
mod tests;
