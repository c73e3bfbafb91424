//! Data definitions: sequences of match and action, typed.
//!
//! Owns the parsing of `template/policy/definition/data` bodies. That the lists referred to exist is checked by
//! `objects`; what an edge does with a sequence is `compile`. Invariant: every field of an accepted body is in the
//! typed form; a field that has no place there is refused by sequence and name.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::body::{BodyError, ObjectBody};
use super::objects::Stamp;
use super::sequence::{self, DataSequence, SequenceError};
use super::value::{self, NameOf, ValueError};
use crate::policy::DefaultAction;

/// The last path segment of the collections of definitions that the product has and the emulation refuses.
const NOT_EMULATED: [&str; 6] = [
    "approute",
    "control",
    "mesh",
    "hubandspoke",
    "vpnmembershipgroup",
    "cflowd",
];

/// A kind of definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefinitionKind {
    /// `data`.
    Data,
    /// One that the product has and the emulation does not.
    NotEmulated,
}

/// The kind whose collection has this last path segment.
pub(super) fn kind(path: &str) -> Option<DefinitionKind> {
    match path {
        "data" => Some(DefinitionKind::Data),
        _ => NOT_EMULATED
            .contains(&path)
            .then_some(DefinitionKind::NotEmulated),
    }
}

/// A stored definition.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) id: Uuid,
    pub(super) name: String,
    /// As the client wrote it: the product gives back what it was given.
    pub(super) as_written: Map<String, Value>,
    pub(super) data: DataDefinition,
    pub(super) stamp: Stamp,
}

/// A data definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataDefinition {
    pub(super) default_action: DefaultAction,
    /// Ascending ids.
    pub(super) sequences: Vec<DataSequence>,
}

/// Why a definition was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum DefinitionError {
    /// The body as a whole.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The name.
    #[error(transparent)]
    Name(#[from] ValueError),
    /// `type` is not that of the collection.
    #[error("type `{0}` in a collection of type `data`")]
    Type(String),
    /// A sequence without a usable id, by its place.
    #[error("sequence {place}: sequenceId is not a number from 1 to 65534")]
    SequenceId { place: usize },
    /// An id used twice.
    #[error("SeqID {0}: sequenceId is used twice")]
    SequenceTwice(u16),
    /// A sequence.
    #[error("SeqID {id}: {problem}")]
    Sequence { id: u16, problem: SequenceError },
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
    default_action: Option<RawDefaultAction>,
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

/// Parses the body of a POST or PUT into a definition with this id.
pub(super) fn parse(id: Uuid, body: &ObjectBody, stamp: Stamp) -> Result<Definition, DefinitionError> {
    let raw: RawDefinition = body.parse()?;
    value::name(NameOf::Definition, &raw.name)?;
    if raw.type_name != "data" {
        return Err(DefinitionError::Type(raw.type_name));
    }
    let default_action = match raw.default_action {
        Some(RawDefaultAction {
            action: RawAction::Accept,
        }) => DefaultAction::Accept,
        // A data policy ends in a drop unless it says otherwise.
        Some(RawDefaultAction {
            action: RawAction::Drop,
        })
        | None => DefaultAction::Drop,
    };
    let data = DataDefinition {
        default_action,
        sequences: sequences(&raw.sequences)?,
    };
    Ok(Definition {
        id,
        name: raw.name,
        as_written: body.as_written().clone(),
        data,
        stamp,
    })
}

fn sequences(raw: &[Value]) -> Result<Vec<DataSequence>, DefinitionError> {
    let mut ids = BTreeSet::new();
    let mut sequences = Vec::with_capacity(raw.len());
    for (sequence, place) in raw.iter().zip(1..) {
        let id = sequence_id(sequence).ok_or(DefinitionError::SequenceId { place })?;
        if !ids.insert(id) {
            return Err(DefinitionError::SequenceTwice(id));
        }
        let parsed = sequence::parse(id, sequence);
        sequences.push(parsed.map_err(|problem| DefinitionError::Sequence { id, problem })?);
    }
    sequences.sort_by_key(|sequence| sequence.id);
    Ok(sequences)
}

fn sequence_id(sequence: &Value) -> Option<u16> {
    let id = u16::try_from(sequence.get("sequenceId")?.as_u64()?).ok()?;
    (1..=65534).contains(&id).then_some(id)
}

#[cfg(test)]
mod tests;
