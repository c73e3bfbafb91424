//! vSmart (centralized) policies: which definition applies at which sites, in which service VPNs, which way.
//!
//! Owns the parsing of `template/policy/vsmart` bodies. That the objects referred to exist, and that no two
//! applications collide, is checked by `objects`. Invariant: every application names at least one site list and one
//! VPN list.

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::body::{BodyError, ObjectBody};
use super::definition::DefinitionKind;
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
    /// An assembly of a type that the emulation does not have.
    #[error("{place}.type: `{found}` is not `data` or `appRoute`, which alone are emulated")]
    AssemblyType { place: String, found: String },
    /// An application of a data definition without its direction.
    #[error("{place}: key direction is missing")]
    NoDirection { place: String },
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
    entries: Vec<RawApplication>,
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
        let kinds = [DefinitionKind::Data, DefinitionKind::AppRoute];
        let found = self.type_name;
        let Some(kind) = kinds.into_iter().find(|kind| kind.type_name() == found) else {
            return Err(PolicyError::AssemblyType { place, found });
        };
        if self.entries.is_empty() {
            return Err(PolicyError::NoApplication { place });
        }
        let applications = self.entries.into_iter().enumerate();
        let applications = applications
            .map(|(index, raw)| raw.parse(kind, format!("{place}.entries[{index}]")))
            .collect::<Result<_, _>>()?;
        Ok(Assembly {
            kind,
            definition: id(&self.definition_id, || format!("{place}.definitionId"))?,
            applications,
        })
    }
}

impl RawApplication {
    fn parse(self, kind: DefinitionKind, place: String) -> Result<Application, PolicyError> {
        let site_lists = ids(&self.site_lists, &place, "siteLists")?;
        let vpn_lists = ids(&self.vpn_lists, &place, "vpnLists")?;
        let direction = match (kind, self.direction) {
            (DefinitionKind::Data, None) => return Err(PolicyError::NoDirection { place }),
            (DefinitionKind::AppRoute, None) | (_, Some(RawDirection::Service)) => {
                PolicyDirection::FromService
            }
            (DefinitionKind::AppRoute, Some(_)) => return Err(PolicyError::Direction { place }),
            (DefinitionKind::Data, Some(RawDirection::Tunnel)) => PolicyDirection::FromTunnel,
            (DefinitionKind::Data, Some(RawDirection::All)) => PolicyDirection::All,
        };
        Ok(Application {
            direction,
            site_lists,
            vpn_lists,
        })
    }
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
