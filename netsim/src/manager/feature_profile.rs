//! Feature profiles and their parcels: configuration as the Manager has it since 20.12 ("UX 2.0").
//!
//! Owns the kinds of profiles and parcels, their bodies, and what a parcel means in classic terms: policy objects become
//! lists, traffic policies become definitions, so that there is one set of rules for both. Keeping them is `catalog`;
//! which devices they reach is `policy_group`. Invariant: a parcel that parses says the same as its JSON; what edges cannot
//! act on is noted in it.

mod actions;
pub(super) mod at;
pub(super) mod catalog;
mod matching;
mod policy_object;
pub(super) mod traffic_policy;
mod variables;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::list::{self, List, ListContent};
use super::objects::Stamp;
use at::{At, PlaceError, ReferenceAt};
use traffic_policy::TrafficPolicy;

/// The kinds of profiles that are emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProfileKind {
    /// `application-priority`.
    ApplicationPriority,
    /// `policy-object`.
    PolicyObject,
}

impl ProfileKind {
    /// As paths and rows spell it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ApplicationPriority => "application-priority",
            Self::PolicyObject => "policy-object",
        }
    }
}

/// The kind of profile that is spelled so.
pub(super) fn profile_kind(path: &str) -> Option<ProfileKind> {
    let kinds = [ProfileKind::ApplicationPriority, ProfileKind::PolicyObject];
    kinds.into_iter().find(|kind| kind.as_str() == path)
}

/// A kind of parcel: one row per kind, everything that differs between them.
pub(super) struct ParcelKind {
    /// The profiles that it belongs to.
    pub(super) profile: ProfileKind,
    /// As paths and rows spell it.
    pub(super) path: &'static str,
    /// The longest name, in characters.
    name_limit: usize,
    read: fn(&At<'_>, &mut References) -> Result<Content, PlaceError>,
}

impl fmt::Debug for ParcelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl PartialEq for ParcelKind {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

static PARCEL_KINDS: [ParcelKind; 10] = [
    ParcelKind {
        profile: ProfileKind::ApplicationPriority,
        path: "traffic-policy",
        name_limit: 128,
        read: |data, uses| traffic_policy::read(data, uses).map(Content::TrafficPolicy),
    },
    policy_object("data-prefix", policy_object::data_prefix),
    policy_object("data-ipv6-prefix", policy_object::data_ipv6_prefix),
    policy_object("sla-class", policy_object::sla_class),
    policy_object("color", policy_object::color),
    policy_object("tloc", policy_object::tloc),
    policy_object("preferred-color-group", policy_object::color_group),
    policy_object("app-probe", policy_object::app_probe),
    policy_object("class", policy_object::class),
    policy_object("policer", policy_object::policer),
];

const fn policy_object(
    path: &'static str,
    read: fn(&At<'_>, &mut References) -> Result<Content, PlaceError>,
) -> ParcelKind {
    ParcelKind {
        profile: ProfileKind::PolicyObject,
        path,
        name_limit: 32,
        read,
    }
}

/// The kind of parcel that profiles of this kind have under this path.
pub(super) fn parcel_kind(profile: ProfileKind, path: &str) -> Option<&'static ParcelKind> {
    PARCEL_KINDS
        .iter()
        .find(|kind| kind.profile == profile && kind.path == path)
}

/// A stored profile.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) id: Uuid,
    pub(super) kind: ProfileKind,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) stamp: Stamp,
}

/// A stored parcel.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) id: Uuid,
    /// The profile that it is part of.
    pub(super) profile: Uuid,
    pub(super) kind: &'static ParcelKind,
    pub(super) name: String,
    /// As the client wrote it: the product gives back what it was given.
    pub(super) payload: Value,
    /// Variables stand for samples in it.
    pub(super) content: Content,
    pub(super) uses: References,
    /// The names of its variables.
    pub(super) variables: BTreeSet<String>,
    /// How often it was replaced.
    pub(super) revision: u64,
    pub(super) stamp: Stamp,
}

/// What a parcel means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// `traffic-policy`.
    TrafficPolicy(TrafficPolicy),
    /// A policy object that classic policies have as a list of this kind.
    List {
        kind: &'static str,
        content: ListContent,
    },
    /// A policy object that no edge acts on.
    NotEmulated,
}

/// The parcels that a parcel names: of which kind each has to be, and where it is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct References(pub(super) Vec<(&'static str, ReferenceAt)>);

impl References {
    /// Notes that the parcel named here is used, and gives its id.
    pub(super) fn add(&mut self, at: &At<'_>, kind: &'static str) -> Result<Uuid, PlaceError> {
        let reference = at.reference()?;
        let id = reference.id;
        self.0.push((kind, reference));
        Ok(id)
    }
}

/// The name and description of a profile, or of whatever else has both.
pub(super) fn read_names(at: &At<'_>, other_fields: &[&str]) -> Result<(String, String), PlaceError> {
    let known = [&["name", "description"], other_fields].concat();
    let fields = at.fields(&known)?;
    let description = fields.get("description").filter(|at| !at.value.is_null());
    Ok((
        name(&fields.need("name")?, 128)?,
        description
            .map(|at| at.text())
            .transpose()?
            .unwrap_or_default()
            .to_owned(),
    ))
}

/// Parses the body of a POST or PUT into a parcel with this id.
pub(super) fn parse(
    kind: &'static ParcelKind,
    profile: Uuid,
    id: Uuid,
    body: &Value,
    stamp: Stamp,
) -> Result<Parcel, PlaceError> {
    let root = At::root(body);
    // The product's schema allows the last two in a body, though not both.
    let fields = root.fields(&["name", "description", "data", "documentation", "metadata"])?;
    let name = name(&fields.need("name")?, kind.name_limit)?;
    let description = fields.get("description").filter(|at| !at.value.is_null());
    description.map(|at| at.text()).transpose()?;
    let mut uses = References::default();
    let content = (kind.read)(&fields.need("data")?, &mut uses)?;
    Ok(Parcel {
        id,
        profile,
        kind,
        name,
        payload: body.clone(),
        content,
        uses,
        variables: variables::names(body),
        revision: 0,
        stamp,
    })
}

impl Parcel {
    /// What a traffic policy says where its variables have these values.
    pub(super) fn traffic_policy(
        &self,
        values: &Map<String, Value>,
    ) -> Result<Option<TrafficPolicy>, PlaceError> {
        let Content::TrafficPolicy(policy) = &self.content else {
            return Ok(None);
        };
        if self.variables.is_empty() {
            return Ok(Some(policy.clone()));
        }
        let payload = variables::resolved(&self.payload, values);
        let data = At::root(&payload)
            .fields(&["name", "description", "data", "documentation", "metadata"])?
            .need("data")?;
        traffic_policy::read(&data, &mut References::default()).map(Some)
    }

    /// The list that it is in classic terms, if it is one.
    pub(super) fn list(&self) -> Option<List> {
        let Content::List { kind, content } = &self.content else {
            return None;
        };
        Some(List {
            id: self.id,
            kind: list::kind(kind).expect("the kinds that parcels become are lists"),
            name: self.name.clone(),
            description: String::new(),
            entries: Vec::new(),
            content: content.clone(),
            stamp: self.stamp.clone(),
        })
    }
}

/// A name, as the product's schemas have them.
fn name(at: &At<'_>, limit: usize) -> Result<String, PlaceError> {
    let text = at.text()?;
    let excluded = |c: char| "&<>! \"".contains(c) || c.is_control();
    if (1..=limit).contains(&text.chars().count()) && !text.contains(excluded) {
        return Ok(text.to_owned());
    }
    Err(at.refuse(&format!(
        "a name: 1 to {limit} characters, none of them a space or one of & < > ! \""
    )))
}

#[cfg(test)]
pub(super) mod tests;
