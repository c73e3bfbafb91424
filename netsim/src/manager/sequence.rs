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

use super::definition::DefinitionKind;
use super::match_field::MatchField;
use super::objects::Use;
use super::shape::{self, ShapeError};
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
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A field used twice.
    #[error("field {0}: its condition is given twice")]
    Twice(&'static str),
    /// Two fields of which a sequence takes one.
    #[error("fields {0} and {1} exclude each other")]
    ExclusiveFields(&'static str, &'static str),
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
    /// An action on packets that go on, in a sequence that drops.
    #[error("action {0} does not go with baseAction drop")]
    OnDrop(&'static str),
    /// Two actions that come as a pair and do not say the same.
    #[error("action {0}: its parameter has to be that of action {1}")]
    Unlike(&'static str, &'static str),
    /// `baseAction drop` in an app-route definition.
    #[error("baseAction drop does not go with this type of definition")]
    DropInAppRoute,
}

/// A sequence of either type of definition, which has its own `sequenceType`s and its own say on whether there has to
/// be a `baseAction`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawSequence<Kind, Base, Action> {
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
    #[serde(default = "Vec::new")]
    actions: Vec<RawAction<Action>>,
}

/// An action of either type of definition, which has its own actions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAction<Action> {
    #[serde(rename = "type")]
    action: Action,
    parameter: Option<Value>,
    /// Only one action has it.
    value: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMatch {
    entries: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    field: MatchField,
    value: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// The applications that clients took a protocol or port from.
    app: Option<String>,
}

impl Conditions {
    fn parse(of: DefinitionKind, family: Family, matching: &RawMatch) -> Result<Self, SequenceError> {
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
        for (index, entry) in matching.entries.iter().enumerate() {
            let field = entry.field;
            for earlier in matching.entries[..index].iter().map(|entry| entry.field) {
                if earlier == field {
                    return Err(SequenceError::Twice(field.as_str()));
                }
                if earlier.excludes(field) {
                    return Err(SequenceError::ExclusiveFields(earlier.as_str(), field.as_str()));
                }
            }
            if field.definition().is_some_and(|only| only != of) {
                return Err(SequenceError::WrongDefinition(field.as_str()));
            }
            parsed.add(entry)?;
        }
        Ok(parsed)
    }

    /// The lists that the conditions name.
    pub(super) fn uses(&self) -> impl Iterator<Item = Use> + '_ {
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
            Some(Use {
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
        if entry.app.is_some() && !matches!(field, MatchField::Protocol | MatchField::DestinationPort) {
            return Err(SequenceError::Without("app", "protocol or destinationPort"));
        }
        match field {
            MatchField::SourceDataPrefixList | MatchField::SourceDataIpv6PrefixList => {
                self.source = entry.listed()?;
            }
            MatchField::DestinationDataPrefixList | MatchField::DestinationDataIpv6PrefixList => {
                self.destination = entry.listed()?;
            }
            MatchField::SourceIp => self.source = entry.prefixes(value::ipv4_prefix)?,
            MatchField::SourceIpv6 => self.source = entry.prefixes(value::ipv6_prefix)?,
            MatchField::DestinationIp => self.destination = entry.prefixes(value::ipv4_prefix)?,
            MatchField::DestinationIpv6 => self.destination = entry.prefixes(value::ipv6_prefix)?,
            MatchField::SourcePort => self.source_ports = entry.words(value::ports)?,
            MatchField::DestinationPort => self.destination_ports = entry.words(value::ports)?,
            MatchField::Protocol => self.protocols = entry.words(value::protocol)?,
            MatchField::Dscp => self.dscp = entry.words(value::dscp)?,
            MatchField::AppList | MatchField::DnsAppList | MatchField::SaasAppList => {
                self.others.push((field, Other::List(entry.list()?)));
            }
            MatchField::Dns
            | MatchField::Plp
            | MatchField::DestinationRegion
            | MatchField::TrafficTo
            | MatchField::IcmpMessage
            | MatchField::PacketLength
            | MatchField::Tcp
            | MatchField::ServiceArea
            | MatchField::TrafficCategory => {
                self.others.push((field, Other::Words(entry.fixed_words()?)));
            }
        }
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

    /// A field with a few words takes one of them, most others as many as there are.
    fn fixed_words(&self) -> Result<Vec<String>, SequenceError> {
        if let Some((accepted, form)) = self.field.words() {
            return self.one(|text| value::one_of(text, accepted, form));
        }
        match self.field {
            MatchField::PacketLength => self.one(|text| value::packet_lengths(text).map(|_| text.to_owned())),
            MatchField::ServiceArea => self.words(value::service_area),
            _ => self.words(value::word),
        }
    }

    fn one(&self, parse: impl Fn(&str) -> Result<String, ValueError>) -> Result<Vec<String>, SequenceError> {
        let word = parse(self.text()?).map_err(in_field(self.field.as_str()))?;
        Ok(vec![word])
    }

    fn words<T>(&self, parse: impl Fn(&str) -> Result<T, ValueError>) -> Result<Vec<T>, SequenceError> {
        let field = self.field.as_str();
        value::words(self.text()?, "one or more values with spaces between them", parse)
            .map_err(in_field(field))
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
        (Some(text), false) => value::list_id(text).map_err(in_field(field)),
        _ => Err(SequenceError::NotReference(field)),
    }
}

impl<Action> RawAction<Action> {
    /// What the action is done with, read as a type; `index` is its place among the actions.
    fn parameter<'a, T: Deserialize<'a>>(&'a self, index: usize) -> Result<T, SequenceError> {
        let parameter = self.parameter.as_ref().unwrap_or(&Value::Null);
        let read = shape::read(parameter).map_err(|error| error.under("parameter").within("actions", index));
        Ok(read?)
    }
}

/// An action that the emulated edges do not do: kept, shown, and refused when it is activated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undone {
    /// As the API spells it.
    pub(super) name: &'static str,
    /// As the command language has it.
    pub(super) lines: Vec<String>,
}

fn in_field(field: &'static str) -> impl Fn(ValueError) -> SequenceError + Copy {
    move |problem| SequenceError::Value { field, problem }
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
    value::name(NameOf::Counter, &name).map_err(in_field("count"))?;
    Ok(name)
}
