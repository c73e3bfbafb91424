//! Definitions: data and app-route definitions as sequences of match and action, typed, and all others as they are written.
//!
//! Owns the parsing of `template/policy/definition/{kind}` bodies; the kinds are in `kinds`, those that edges do not carry
//! out in `stored`. That what is referred to exists is checked by `objects`; what an edge does with a sequence is `compile`.
//! Invariant: every field of an accepted data or app-route definition is in the typed form; a field that has no place there
//! is refused by sequence and name.

mod kinds;
mod stored;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::body::{BodyError, ObjectBody};
use super::objects::{Stamp, Use};
use super::sequence::SequenceError;
use super::sequence::app_route::{self, AppRouteSequence};
use super::sequence::data::{self, DataSequence};
use super::shape::{self, ShapeError, shown};
use super::value::{self, NameOf, ValueError};
use crate::policy::DefaultAction;
pub(super) use kinds::{Applied, DefinitionKind, kind, kinds};
use stored::RawStored;
pub(super) use stored::StoredDefinition;

/// A stored definition.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) id: Uuid,
    pub(super) name: String,
    /// As the client wrote it: the product gives back what it was given.
    pub(super) as_written: Map<String, Value>,
    pub(super) body: DefinitionBody,
    pub(super) stamp: Stamp,
}

/// What a definition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DefinitionBody {
    /// `data`.
    Data(DataDefinition),
    /// `approute`.
    AppRoute(AppRouteDefinition),
    /// Every other kind.
    Stored(StoredDefinition),
}

/// A data definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataDefinition {
    pub(super) default_action: DefaultAction,
    /// Ascending ids.
    pub(super) sequences: Vec<DataSequence>,
}

/// An app-route definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppRouteDefinition {
    /// The `sla` list of the default action, if there is one.
    pub(super) default_class: Option<Uuid>,
    /// Ascending ids.
    pub(super) sequences: Vec<AppRouteSequence>,
}

/// Where a definition names something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsePlace<'a> {
    /// In a sequence.
    Sequence(u16),
    /// In the default action.
    DefaultAction,
    /// There, from the root of the body.
    Body(&'a str),
}

impl Definition {
    /// Its kind.
    pub(super) fn kind(&self) -> DefinitionKind {
        match self.body {
            DefinitionBody::Data(_) => DefinitionKind::Data,
            DefinitionBody::AppRoute(_) => DefinitionKind::AppRoute,
            DefinitionBody::Stored(ref stored) => DefinitionKind::Stored(stored.kind),
        }
    }

    /// What it names, each with its place.
    pub(super) fn uses(&self) -> Box<dyn Iterator<Item = (UsePlace<'_>, Use)> + '_> {
        let within = UsePlace::Sequence;
        match &self.body {
            DefinitionBody::Data(data) => Box::new(
                (data.sequences.iter())
                    .flat_map(move |sequence| sequence.uses().map(move |list| (within(sequence.id), list))),
            ),
            DefinitionBody::AppRoute(app_route) => {
                let default = app_route.default_class.map(|id| Use {
                    id,
                    kind: "sla",
                    field: "defaultAction",
                });
                let sequences = (app_route.sequences.iter())
                    .flat_map(move |sequence| sequence.uses().map(move |list| (within(sequence.id), list)));
                Box::new(sequences.chain(default.map(|list| (UsePlace::DefaultAction, list))))
            }
            DefinitionBody::Stored(stored) => {
                Box::new((stored.uses.iter()).map(|(place, named)| (UsePlace::Body(place), *named)))
            }
        }
    }
}

/// Why a definition was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum DefinitionError {
    /// The body as a whole.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The name.
    #[error("name: {0}")]
    Name(#[from] ValueError),
    /// `type` is not that of the collection.
    #[error("type: `{found}` is not `{expected}`, the type of this collection")]
    Type { found: String, expected: &'static str },
    /// The default action has a key missing, unknown or of another type.
    #[error(transparent)]
    DefaultAction(ShapeError),
    /// The class of the default action is not an id.
    #[error("defaultAction.ref: {0}")]
    DefaultClass(ValueError),
    /// A sequence without a usable id, by its place.
    #[error("sequences[{index}].sequenceId: `{found}` is not a whole number from 1 to 65534")]
    SequenceId { index: usize, found: String },
    /// An id used twice.
    #[error("SeqID {0}: sequenceId is used twice")]
    SequenceTwice(u16),
    /// A sequence.
    #[error("SeqID {id}: {problem}")]
    Sequence { id: u16, problem: SequenceError },
    /// A key that definitions of another kind have.
    #[error("{0}: definitions of this type have no such key")]
    NoKey(&'static str),
    /// A key that has to be there.
    #[error("key {0} is missing")]
    MissingKey(&'static str),
    /// A `ref` where nothing is known to be referred to.
    #[error("{place}: field {field} refers to nothing that is emulated")]
    NoReference { place: String, field: String },
    /// Something that should be an id.
    #[error("{place}: `{found}` is not an id")]
    Id { place: String, found: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawDefinition {
    name: String,
    // Read through `as_written`.
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(rename = "type")]
    type_name: String,
    default_action: Option<Value>,
    #[serde(default)]
    sequences: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefaultAction {
    #[serde(rename = "type")]
    action: RawAction,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawAction {
    Accept,
    Drop,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefaultClass {
    #[serde(rename = "type")]
    _action: ClassAction,
    #[serde(rename = "ref")]
    reference: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ClassAction {
    SlaClass,
}

/// Parses the body of a POST or PUT into a definition with this id.
pub(super) fn parse(
    kind: DefinitionKind,
    id: Uuid,
    body: &ObjectBody,
    stamp: Stamp,
) -> Result<Definition, DefinitionError> {
    let (name, content) = match kind {
        DefinitionKind::Data => {
            let raw = typed(kind, body)?;
            let content = DefinitionBody::Data(DataDefinition {
                default_action: default_action(raw.default_action.as_ref())?,
                sequences: sequences(&raw.sequences, data::parse)?,
            });
            (raw.name, content)
        }
        DefinitionKind::AppRoute => {
            let raw = typed(kind, body)?;
            let content = DefinitionBody::AppRoute(AppRouteDefinition {
                default_class: raw.default_action.as_ref().map(default_class).transpose()?,
                sequences: sequences(&raw.sequences, app_route::parse)?,
            });
            (raw.name, content)
        }
        DefinitionKind::Stored(row) => {
            let raw: RawStored = body.parse()?;
            check_head(kind, &raw.name, &raw.type_name)?;
            let content = stored::parse(row, &raw, body.as_written())?;
            (raw.name, DefinitionBody::Stored(content))
        }
    };
    Ok(Definition {
        id,
        name,
        as_written: body.as_written().clone(),
        body: content,
        stamp,
    })
}

fn typed(kind: DefinitionKind, body: &ObjectBody) -> Result<RawDefinition, DefinitionError> {
    let raw: RawDefinition = body.parse()?;
    check_head(kind, &raw.name, &raw.type_name)?;
    Ok(raw)
}

fn check_head(kind: DefinitionKind, name: &str, type_name: &str) -> Result<(), DefinitionError> {
    value::name(NameOf::Definition, name)?;
    if type_name == kind.type_name() {
        return Ok(());
    }
    Err(DefinitionError::Type {
        found: type_name.to_owned(),
        expected: kind.type_name(),
    })
}

fn default_action(raw: Option<&Value>) -> Result<DefaultAction, DefinitionError> {
    let raw = raw.map(shape::read).transpose();
    Ok(match raw.map_err(in_default_action)? {
        Some(RawDefaultAction {
            action: RawAction::Accept,
        }) => DefaultAction::Accept,
        // A data policy ends in a drop unless it says otherwise.
        Some(RawDefaultAction {
            action: RawAction::Drop,
        })
        | None => DefaultAction::Drop,
    })
}

fn default_class(raw: &Value) -> Result<Uuid, DefinitionError> {
    let raw: RawDefaultClass = shape::read(raw).map_err(in_default_action)?;
    value::list_id(&raw.reference).map_err(DefinitionError::DefaultClass)
}

fn in_default_action(error: ShapeError) -> DefinitionError {
    DefinitionError::DefaultAction(error.under("defaultAction"))
}

/// The sequences in the order of their ids.
fn sequences<T>(
    raw: &[Value],
    parse: impl Fn(u16, &Value) -> Result<T, SequenceError>,
) -> Result<Vec<T>, DefinitionError> {
    let mut sequences = BTreeMap::new();
    for (index, sequence) in raw.iter().enumerate() {
        let id = sequence_id(sequence).ok_or_else(|| DefinitionError::SequenceId {
            index,
            found: shown(sequence.get("sequenceId").unwrap_or(&Value::Null)),
        })?;
        let parsed = parse(id, sequence).map_err(|problem| DefinitionError::Sequence { id, problem })?;
        if sequences.insert(id, parsed).is_some() {
            return Err(DefinitionError::SequenceTwice(id));
        }
    }
    Ok(sequences.into_values().collect())
}

fn sequence_id(sequence: &Value) -> Option<u16> {
    let id = u16::try_from(sequence.get("sequenceId")?.as_u64()?).ok()?;
    (1..=65534).contains(&id).then_some(id)
}

#[cfg(test)]
mod tests;
