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
    #[error(transparent)]
    Name(#[from] ValueError),
    /// `policyType` is one that the emulation does not have.
    #[error("policyType `{0}`: only `feature` is emulated")]
    Kind(String),
    /// `policyDefinition` has a key missing, unknown or of another type.
    #[error("policyDefinition: {0}")]
    Shape(serde_json::Error),
    /// `regionRoleAssembly` is not empty.
    #[error("regionRoleAssembly: regions are not emulated")]
    Regions,
    /// An assembly of a type that the emulation does not have.
    #[error("assembly {place}: type `{found}`: only `data` and `appRoute` are emulated")]
    AssemblyType { place: usize, found: String },
    /// An application of a data definition without its direction.
    #[error("assembly {place}: direction is missing")]
    NoDirection { place: usize },
    /// An application of an app-route definition with a direction that these do not have.
    #[error("assembly {place}: direction: appRoute applies to traffic from the service only")]
    Direction { place: usize },
    /// An assembly without an application.
    #[error("assembly {place}: entries: at least one is needed")]
    NoApplication { place: usize },
    /// An application without a site list or without a VPN list.
    #[error("assembly {place}: {field}: at least one is needed")]
    NoLists { place: usize, field: &'static str },
    /// Something that should be an id.
    #[error("assembly {place}: `{found}` is not an id")]
    Id { place: usize, found: String },
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
    let definition = RawPolicyDefinition::deserialize(&raw.policy_definition).map_err(PolicyError::Shape)?;
    if !definition.region_role_assembly.is_empty() {
        return Err(PolicyError::Regions);
    }
    let numbered = definition.assembly.into_iter().zip(1..);
    let assembly = numbered
        .map(|(raw, place)| raw.parse(place))
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
    fn parse(self, place: usize) -> Result<Assembly, PolicyError> {
        let kinds = [DefinitionKind::Data, DefinitionKind::AppRoute];
        let kind = kinds.into_iter().find(|kind| kind.type_name() == self.type_name);
        let kind = kind.ok_or(PolicyError::AssemblyType {
            place,
            found: self.type_name,
        })?;
        if self.entries.is_empty() {
            return Err(PolicyError::NoApplication { place });
        }
        let applications = self
            .entries
            .into_iter()
            .map(|raw| raw.parse(kind, place))
            .collect::<Result<_, _>>()?;
        Ok(Assembly {
            kind,
            definition: id(&self.definition_id, place)?,
            applications,
        })
    }
}

impl RawApplication {
    fn parse(self, kind: DefinitionKind, place: usize) -> Result<Application, PolicyError> {
        let direction = match (kind, self.direction) {
            (DefinitionKind::Data, None) => return Err(PolicyError::NoDirection { place }),
            (DefinitionKind::AppRoute, None) | (_, Some(RawDirection::Service)) => {
                PolicyDirection::FromService
            }
            (DefinitionKind::AppRoute, Some(_)) => return Err(PolicyError::Direction { place }),
            (DefinitionKind::Data, Some(RawDirection::Tunnel)) => PolicyDirection::FromTunnel,
            (DefinitionKind::Data, Some(RawDirection::All)) => PolicyDirection::All,
        };
        let site_lists = ids(&self.site_lists, place, "siteLists")?;
        let vpn_lists = ids(&self.vpn_lists, place, "vpnLists")?;
        Ok(Application {
            direction,
            site_lists,
            vpn_lists,
        })
    }
}

fn ids(texts: &[String], place: usize, field: &'static str) -> Result<Vec<Uuid>, PolicyError> {
    if texts.is_empty() {
        return Err(PolicyError::NoLists { place, field });
    }
    texts.iter().map(|text| id(text, place)).collect()
}

fn id(text: &str, place: usize) -> Result<Uuid, PolicyError> {
    Uuid::parse_str(text).map_err(|_| PolicyError::Id {
        place,
        found: text.to_owned(),
    })
}

#[cfg(test)]
mod tests;
