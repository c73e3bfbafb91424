//! What sequences of data and app-route definitions have in common: their conditions, and why they are refused.
//!
//! Owns which match fields a sequence takes, which exclude each other, and their values; the actions of each kind are in
//! [`data`] and [`app_route`]. References to lists are kept as ids. Invariant: a sequence that parses says the same as
//! its text, with nothing left out.

pub(super) mod app_route;
pub(super) mod data;

use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::match_field::MatchField;
use super::objects::ListUse;
use super::value::{self, NameOf, ValueError};

/// The conditions of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) family: Family,
    pub(super) source: Addresses,
    pub(super) destination: Addresses,
    pub(super) source_ports: Vec<RangeInclusive<u16>>,
    pub(super) destination_ports: Vec<RangeInclusive<u16>>,
    pub(super) protocols: Vec<u8>,
    pub(super) dscp: Vec<u8>,
    /// Those that the emulated edges do not act on.
    pub(super) others: Vec<(MatchField, Other)>,
}

/// `sequenceIpType`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Family {
    /// The default.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Both.
    All,
}

/// One side's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Addresses {
    /// No condition.
    Any,
    /// Written in the sequence.
    Prefixes(Vec<IpNet>),
    /// A data prefix list, by the match field that names it.
    List { id: Uuid, field: MatchField },
}

/// A condition that the emulated edges do not act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Other {
    /// By a list.
    List(Uuid),
    /// By words.
    Words(Vec<String>),
}

/// `baseAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BaseAction {
    /// Forwarded.
    Accept,
    /// Discarded.
    Drop,
}

/// A color group as an action names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupRef {
    /// A `preferredcolorgroup` list.
    pub(super) list: Uuid,
    /// `colorRestrict`.
    pub(super) restrict: bool,
}

/// Why a sequence was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum SequenceError {
    /// A key is missing, unknown or of another type.
    #[error("{0}")]
    Shape(serde_json::Error),
    /// A match entry with a key missing, unknown or of another type.
    #[error("match entry {place}: {problem}")]
    Entry {
        place: usize,
        problem: serde_json::Error,
    },
    /// A field used twice, or together with one that excludes it.
    #[error("field {0}: its condition is given twice")]
    Twice(&'static str),
    /// A field of the other address family.
    #[error("field {0} does not go with this sequenceIpType")]
    WrongFamily(&'static str),
    /// A field that definitions of this type do not have.
    #[error("field {0} does not go with this type of definition")]
    WrongDefinition(&'static str),
    /// An entry that should have a `value` and nothing else.
    #[error("field {0} takes a value and no ref")]
    NotValue(&'static str),
    /// An entry that should have a `ref` and nothing else.
    #[error("field {0} takes a ref and no value")]
    NotReference(&'static str),
    /// An entry that should have neither.
    #[error("field {0} takes neither a value nor a ref")]
    NotAlone(&'static str),
    /// A value outside its grammar.
    #[error("field {field}: {problem}")]
    Value {
        field: &'static str,
        problem: ValueError,
    },
    /// An action with a key missing, unknown or of another type.
    #[error("action {place}: {problem}")]
    Action {
        place: usize,
        problem: serde_json::Error,
    },
    /// An action used twice.
    #[error("action {0} is given twice")]
    ActionTwice(&'static str),
    /// Two actions of which a sequence takes one.
    #[error("actions {0} and {1} exclude each other")]
    Exclusive(&'static str, &'static str),
    /// `slaClass` without its class.
    #[error("action slaClass: field name is missing")]
    NoClass,
    /// A flag of an action without what it qualifies.
    #[error("field {0} needs {1}")]
    Without(&'static str, &'static str),
    /// `set` in a sequence that drops.
    #[error("action set does not go with baseAction drop")]
    SetOnDrop,
    /// `baseAction drop` in an app-route definition.
    #[error("baseAction drop does not go with this type of definition")]
    DropInAppRoute,
}

/// A sequence of either type of definition, which has its own `sequenceType`s and its own say on whether there has to
/// be a `baseAction`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawSequence<Kind, Base> {
    #[serde(rename = "sequenceId")]
    _id: u16,
    #[serde(default, rename = "sequenceName")]
    _name: String,
    #[serde(rename = "sequenceType")]
    _kind: Kind,
    #[serde(default)]
    sequence_ip_type: Family,
    base_action: Base,
    #[serde(default, rename = "match")]
    matching: RawMatch,
    #[serde(default)]
    actions: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMatch {
    entries: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    field: MatchField,
    value: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

impl Conditions {
    fn parse(family: Family, matching: &RawMatch) -> Result<Self, SequenceError> {
        let mut parsed = Self {
            family,
            source: Addresses::Any,
            destination: Addresses::Any,
            source_ports: Vec::new(),
            destination_ports: Vec::new(),
            protocols: Vec::new(),
            dscp: Vec::new(),
            others: Vec::new(),
        };
        for (entry, place) in matching.entries.iter().zip(1..) {
            let entry =
                RawEntry::deserialize(entry).map_err(|problem| SequenceError::Entry { place, problem })?;
            parsed.add(&entry)?;
        }
        Ok(parsed)
    }

    /// The lists that the conditions name.
    pub(super) fn uses(&self) -> impl Iterator<Item = ListUse> + '_ {
        let sides = [&self.source, &self.destination];
        let prefixes = sides.into_iter().filter_map(|side| match side {
            Addresses::List { id, field } => Some((*field, *id)),
            Addresses::Any | Addresses::Prefixes(_) => None,
        });
        let others = self.others.iter().filter_map(|(field, other)| match other {
            Other::List(id) => Some((*field, *id)),
            Other::Words(_) => None,
        });
        prefixes.chain(others).filter_map(|(field, id)| {
            Some(ListUse {
                id,
                kind: field.list_kind()?,
                field: field.as_str(),
            })
        })
    }

    fn add(&mut self, entry: &RawEntry) -> Result<(), SequenceError> {
        let field = entry.field;
        if field.family().is_some_and(|family| family != self.family) {
            return Err(SequenceError::WrongFamily(field.as_str()));
        }
        match field {
            MatchField::SourceDataPrefixList | MatchField::SourceDataIpv6PrefixList => {
                set_addresses(&mut self.source, field, entry.listed()?)
            }
            MatchField::DestinationDataPrefixList | MatchField::DestinationDataIpv6PrefixList => {
                set_addresses(&mut self.destination, field, entry.listed()?)
            }
            MatchField::SourceIp => {
                set_addresses(&mut self.source, field, entry.prefixes(value::ipv4_prefix)?)
            }
            MatchField::SourceIpv6 => {
                set_addresses(&mut self.source, field, entry.prefixes(value::ipv6_prefix)?)
            }
            MatchField::DestinationIp => {
                set_addresses(&mut self.destination, field, entry.prefixes(value::ipv4_prefix)?)
            }
            MatchField::DestinationIpv6 => {
                set_addresses(&mut self.destination, field, entry.prefixes(value::ipv6_prefix)?)
            }
            MatchField::SourcePort => set_values(&mut self.source_ports, field, entry.words(value::ports)?),
            MatchField::DestinationPort => {
                set_values(&mut self.destination_ports, field, entry.words(value::ports)?)
            }
            MatchField::Protocol => set_values(&mut self.protocols, field, entry.words(value::protocol)?),
            MatchField::Dscp => set_values(&mut self.dscp, field, entry.words(value::dscp)?),
            MatchField::AppList | MatchField::DnsAppList | MatchField::SaasAppList => {
                self.add_other(field, Other::List(entry.list()?))
            }
            MatchField::Dns
            | MatchField::Plp
            | MatchField::DestinationRegion
            | MatchField::TrafficTo
            | MatchField::IcmpMessage => self.add_other(field, Other::Words(entry.fixed_words()?)),
        }
    }

    fn add_other(&mut self, field: MatchField, other: Other) -> Result<(), SequenceError> {
        if self.others.iter().any(|(known, _)| *known == field) {
            return Err(SequenceError::Twice(field.as_str()));
        }
        self.others.push((field, other));
        Ok(())
    }
}

impl RawEntry {
    fn list(&self) -> Result<Uuid, SequenceError> {
        list_id(
            self.field.as_str(),
            self.reference.as_deref(),
            self.value.is_some(),
        )
    }

    fn listed(&self) -> Result<Addresses, SequenceError> {
        let (id, field) = (self.list()?, self.field);
        Ok(Addresses::List { id, field })
    }

    fn prefixes(
        &self,
        parse: impl Fn(&str) -> Result<IpNet, ValueError>,
    ) -> Result<Addresses, SequenceError> {
        self.words(parse).map(Addresses::Prefixes)
    }

    /// A field with a few words takes one of them, any other as many as there are.
    fn fixed_words(&self) -> Result<Vec<String>, SequenceError> {
        let Some((accepted, form)) = self.field.words() else {
            return self.words(value::word);
        };
        let field = self.field.as_str();
        let word = value::one_of(self.text()?, accepted, form);
        Ok(vec![
            word.map_err(|problem| SequenceError::Value { field, problem })?,
        ])
    }

    fn words<T>(&self, parse: impl Fn(&str) -> Result<T, ValueError>) -> Result<Vec<T>, SequenceError> {
        let field = self.field.as_str();
        value::words(self.text()?, "one or more values with spaces between them", parse)
            .map_err(|problem| SequenceError::Value { field, problem })
    }

    fn text(&self) -> Result<&str, SequenceError> {
        match (self.value.as_deref(), &self.reference) {
            (Some(text), None) => Ok(text),
            _ => Err(SequenceError::NotValue(self.field.as_str())),
        }
    }
}

/// The `ref` of an entry that has to have one, and no value.
fn list_id(field: &'static str, reference: Option<&str>, has_value: bool) -> Result<Uuid, SequenceError> {
    match (reference, has_value) {
        (Some(text), false) => {
            value::list_id(text).map_err(|problem| SequenceError::Value { field, problem })
        }
        _ => Err(SequenceError::NotReference(field)),
    }
}

fn set_addresses(side: &mut Addresses, field: MatchField, to: Addresses) -> Result<(), SequenceError> {
    if *side != Addresses::Any {
        return Err(SequenceError::Twice(field.as_str()));
    }
    *side = to;
    Ok(())
}

fn set_values<T>(values: &mut Vec<T>, field: MatchField, to: Vec<T>) -> Result<(), SequenceError> {
    if !values.is_empty() {
        return Err(SequenceError::Twice(field.as_str()));
    }
    *values = to;
    Ok(())
}

/// Sets an action that a sequence takes once.
fn set_once<T>(action: &mut Option<T>, name: &'static str, to: T) -> Result<(), SequenceError> {
    match action.replace(to) {
        Some(_) => Err(SequenceError::ActionTwice(name)),
        None => Ok(()),
    }
}

/// A counter, as `count` names it.
fn counter(name: String) -> Result<String, SequenceError> {
    let checked = value::name(NameOf::Counter, &name);
    checked.map_err(|problem| SequenceError::Value {
        field: "count",
        problem,
    })?;
    Ok(name)
}
