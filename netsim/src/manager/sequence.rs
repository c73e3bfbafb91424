//! One sequence of a data definition: its match entries and actions, typed.
//!
//! Owns which fields and actions exist, which exclude each other, and their values. References to lists are kept
//! as ids. Invariant: a sequence that parses says the same as its text, with nothing left out.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use super::match_field::MatchField;
use super::value::{self, Encapsulation, NameOf, ValueError};

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataSequence {
    pub(super) id: u16,
    pub(super) family: Family,
    pub(super) source: Addresses,
    pub(super) destination: Addresses,
    pub(super) source_ports: Vec<RangeInclusive<u16>>,
    pub(super) destination_ports: Vec<RangeInclusive<u16>>,
    pub(super) protocols: Vec<u8>,
    pub(super) dscp: Vec<u8>,
    pub(super) base_action: BaseAction,
    pub(super) counter: Option<String>,
    pub(super) log: bool,
    pub(super) local_tlocs: Option<LocalTlocList>,
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

/// `baseAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BaseAction {
    /// Forwarded.
    Accept,
    /// Discarded.
    Drop,
}

/// `set local-tloc-list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalTlocList {
    pub(super) colors: Vec<String>,
    /// Empty means any.
    pub(super) encapsulations: Vec<Encapsulation>,
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
    /// A match field used twice, or together with one that excludes it.
    #[error("field {0}: its condition is given twice")]
    Twice(&'static str),
    /// A field of the other address family.
    #[error("field {0} does not go with this sequenceIpType")]
    WrongFamily(&'static str),
    /// A match entry that should have a `value` and nothing else.
    #[error("field {0} takes a value and no ref")]
    NotValue(&'static str),
    /// A match entry that should have a `ref` and nothing else.
    #[error("field {0} takes a ref and no value")]
    NotReference(&'static str),
    /// A `ref` that cannot be an id.
    #[error("field {field}: `{found}` is not a list id")]
    Reference { field: &'static str, found: String },
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
    /// `set` in a sequence that drops.
    #[error("action set does not go with baseAction drop")]
    SetOnDrop,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawSequence {
    #[serde(rename = "sequenceId")]
    _id: u16,
    #[serde(default, rename = "sequenceName")]
    _name: String,
    #[serde(rename = "sequenceType")]
    _kind: SequenceType,
    #[serde(default)]
    sequence_ip_type: Family,
    base_action: BaseAction,
    #[serde(default, rename = "match")]
    matching: RawMatch,
    #[serde(default)]
    actions: Vec<Value>,
}

/// How the product's pages group sequences; it has no effect on the edges.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum SequenceType {
    Data,
    TrafficEngineering,
    Qos,
    ServiceChaining,
    ApplicationFirewall,
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

#[derive(Deserialize)]
#[serde(
    tag = "type",
    content = "parameter",
    rename_all = "camelCase",
    deny_unknown_fields
)]
enum RawAction {
    Set(Vec<RawSet>),
    Count(String),
    Log(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(
    tag = "field",
    content = "value",
    rename_all = "camelCase",
    deny_unknown_fields
)]
enum RawSet {
    LocalTlocList(RawLocalTlocList),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLocalTlocList {
    color: String,
    encap: Option<String>,
    #[serde(default, deserialize_with = "presence")]
    restrict: bool,
}

/// The product looks for the key, not at its value: `"restrict": ""` and even `"restrict": false` switch it on.
fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Parses a sequence whose id is already known to be good.
pub(super) fn parse(id: u16, sequence: &Value) -> Result<DataSequence, SequenceError> {
    let raw = RawSequence::deserialize(sequence).map_err(SequenceError::Shape)?;
    let mut parsed = DataSequence {
        id,
        family: raw.sequence_ip_type,
        source: Addresses::Any,
        destination: Addresses::Any,
        source_ports: Vec::new(),
        destination_ports: Vec::new(),
        protocols: Vec::new(),
        dscp: Vec::new(),
        base_action: raw.base_action,
        counter: None,
        log: false,
        local_tlocs: None,
    };
    for (entry, place) in raw.matching.entries.iter().zip(1..) {
        let entry =
            RawEntry::deserialize(entry).map_err(|problem| SequenceError::Entry { place, problem })?;
        parsed.add_match(entry)?;
    }
    for (action, place) in raw.actions.iter().zip(1..) {
        let action =
            RawAction::deserialize(action).map_err(|problem| SequenceError::Action { place, problem })?;
        parsed.add_action(action)?;
    }
    Ok(parsed)
}

impl DataSequence {
    fn add_match(&mut self, entry: RawEntry) -> Result<(), SequenceError> {
        let field = entry.field;
        if field.family().is_some_and(|family| family != self.family) {
            return Err(SequenceError::WrongFamily(field.as_str()));
        }
        match field {
            MatchField::SourceDataPrefixList | MatchField::SourceDataIpv6PrefixList => {
                set_addresses(&mut self.source, field, entry.list()?)
            }
            MatchField::DestinationDataPrefixList | MatchField::DestinationDataIpv6PrefixList => {
                set_addresses(&mut self.destination, field, entry.list()?)
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
        }
    }

    fn add_action(&mut self, action: RawAction) -> Result<(), SequenceError> {
        match action {
            RawAction::Set(_) if self.base_action == BaseAction::Drop => {
                return Err(SequenceError::SetOnDrop);
            }
            RawAction::Set(fields) => {
                for RawSet::LocalTlocList(raw) in fields {
                    if self.local_tlocs.replace(raw.parse()?).is_some() {
                        return Err(SequenceError::ActionTwice("set localTlocList"));
                    }
                }
            }
            RawAction::Count(name) => {
                value::name(NameOf::Counter, &name).map_err(|problem| SequenceError::Value {
                    field: "count",
                    problem,
                })?;
                if self.counter.replace(name).is_some() {
                    return Err(SequenceError::ActionTwice("count"));
                }
            }
            RawAction::Log(_) => self.log = true,
        }
        Ok(())
    }
}

impl RawEntry {
    fn list(&self) -> Result<Addresses, SequenceError> {
        let field = self.field;
        let (Some(text), None) = (self.reference.as_deref(), &self.value) else {
            return Err(SequenceError::NotReference(field.as_str()));
        };
        let id = Uuid::parse_str(text).map_err(|_| SequenceError::Reference {
            field: field.as_str(),
            found: text.to_owned(),
        })?;
        Ok(Addresses::List { id, field })
    }

    fn prefixes(
        &self,
        parse: impl Fn(&str) -> Result<IpNet, ValueError>,
    ) -> Result<Addresses, SequenceError> {
        self.words(parse).map(Addresses::Prefixes)
    }

    fn words<T>(&self, parse: impl Fn(&str) -> Result<T, ValueError>) -> Result<Vec<T>, SequenceError> {
        let field = self.field.as_str();
        let (Some(text), None) = (self.value.as_deref(), &self.reference) else {
            return Err(SequenceError::NotValue(field));
        };
        value::words(text, "one or more values with spaces between them", parse)
            .map_err(|problem| SequenceError::Value { field, problem })
    }
}

impl RawLocalTlocList {
    fn parse(self) -> Result<LocalTlocList, SequenceError> {
        let value = |problem| SequenceError::Value {
            field: "localTlocList",
            problem,
        };
        let colors = value::words(&self.color, "one or more colors", value::color).map_err(value)?;
        let encapsulations = match &self.encap {
            Some(text) => value::words(text, "ipsec, gre or both", value::encapsulation).map_err(value)?,
            None => Vec::new(),
        };
        Ok(LocalTlocList {
            colors,
            encapsulations,
            restrict: self.restrict,
        })
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
