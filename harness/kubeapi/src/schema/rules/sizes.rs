//! How large the values of a schema can be, as upstream estimates it for the costs of rules.
//!
//! What a schema does not limit is limited by the largest request.

use super::super::{Additional, Position, Schema};
use super::values;

/// As kube-apiserver's `MaxRequestSizeBytes`.
const REQUEST_BYTES: u64 = 3 * 1024 * 1024;

/// A part of a schema that a value of a rule is read from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Of(&'a Schema, Position),
    /// The metadata of an object, of which rules see names alone.
    Metadata,
    /// A name in the metadata, and the like.
    Name,
    /// A key of a map, which upstream takes to be empty.
    Key,
}

impl<'a> Place<'a> {
    /// A field of an object.
    pub(super) fn field(self, field: &str) -> Option<Self> {
        match self {
            Place::Metadata => matches!(field, "name" | "generateName").then_some(Place::Name),
            Place::Of(schema, position) if schema.type_name == "object" => {
                if position.owns(schema, field) {
                    return Some(if field == "metadata" {
                        Place::Metadata
                    } else {
                        Place::Name
                    });
                }
                let mut properties = schema.properties.iter();
                let (_, found) = properties.find(|(name, _)| values::escaped(name) == field)?;
                Some(Place::Of(found, Position::Inside))
            }
            _ => None,
        }
    }

    /// What is in a list or behind the keys of a map.
    pub(super) fn inside(self) -> Option<Self> {
        let Place::Of(schema, _) = self else {
            return None;
        };
        let inner = entries_of(schema).or_else(|| schema.items())?;
        Some(Place::Of(inner, Position::Inside))
    }

    pub(super) fn keys(self) -> Option<Self> {
        match self {
            Place::Of(schema, _) => entries_of(schema).map(|_| Place::Key),
            _ => None,
        }
    }

    /// How many elements or bytes it has at most; none where it has only fields, or is a number.
    pub(super) fn elements_max(self) -> u64 {
        let schema = match self {
            Place::Of(schema, _) => schema,
            Place::Name => return REQUEST_BYTES - 2,
            Place::Metadata | Place::Key => return 0,
        };
        let as_bytes = |length: Option<usize>| length.map(|length| whole(length).saturating_mul(4));
        if schema.is_int_or_string {
            return as_bytes(schema.max_length).unwrap_or(REQUEST_BYTES - 2);
        }
        match schema.type_name.as_str() {
            "array" => schema.max_items.map_or_else(
                || (REQUEST_BYTES - 2) / (schema.items().map_or(0, inner_bytes) + 1),
                whole,
            ),
            "object" => entries_of(schema).map_or(0, |entry| {
                let fitting = || (REQUEST_BYTES - 2) / (inner_bytes(entry) + 6);
                schema.max_properties.map_or_else(fitting, whole)
            }),
            "string" => match schema.format.as_str() {
                "byte" => schema.max_length.map_or(REQUEST_BYTES - 2, whole),
                "duration" | "date-time" => 32,
                "date" => 12,
                _ => as_bytes(schema.max_length)
                    .or_else(|| longest_allowed(schema))
                    .unwrap_or(REQUEST_BYTES - 2),
            },
            _ => 0,
        }
    }
}

/// The least and the most elements, characters or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Size {
    pub(super) const UNKNOWN: Size = Size {
        min: 0,
        max: u64::MAX,
    };

    pub(super) fn exactly(size: u64) -> Self {
        Size { min: size, max: size }
    }

    pub(super) fn at_most(max: u64) -> Self {
        Size { min: 0, max }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Size {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Size {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Size {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }
}

/// How many values of the schema a request can hold.
pub(super) fn values_max(schema: &Schema, position: Position) -> u64 {
    REQUEST_BYTES / (bytes_min(schema, position) + 1)
}

/// How often the parts of a schema come for each of its values; `None` if nothing limits it.
pub(super) fn times_inside(schema: &Schema) -> Option<u64> {
    match schema.type_name.as_str() {
        "object" if schema.additional_properties.is_some() => schema.max_properties.map(whole),
        "array" => schema.max_items.map(whole),
        _ => Some(1),
    }
}

/// The length of the shortest JSON of a value.
fn bytes_min(schema: &Schema, position: Position) -> u64 {
    if schema.is_int_or_string {
        return 1;
    }
    match (schema.type_name.as_str(), schema.format.as_str()) {
        ("object", _) if entries_of(schema).is_none() => {
            let field = |name: &String| {
                let value = match schema.properties.get(name) {
                    _ if position.owns(schema, name) => 2,
                    Some(inner) if inner.default.is_none() => inner_bytes(inner),
                    _ => return 0,
                };
                whole(name.len()) + value + 4
            };
            2 + schema.required.iter().map(field).sum::<u64>()
        }
        ("string", "duration") => 3,
        ("string", "date") => 12,
        ("string", "date-time") => 21,
        ("boolean", _) => 4,
        ("number" | "integer", _) => 1,
        _ => 2,
    }
}

fn inner_bytes(schema: &Schema) -> u64 {
    bytes_min(schema, Position::Inside)
}

fn longest_allowed(schema: &Schema) -> Option<u64> {
    let lengths = schema
        .allowed
        .iter()
        .map(|allowed| allowed.as_str().map_or(0, str::len));
    lengths.max().map(whole)
}

/// The schema of the values of a map.
fn entries_of(schema: &Schema) -> Option<&Schema> {
    match &schema.additional_properties {
        Some(Additional::Of(inner)) => Some(inner),
        Some(Additional::Allowed(_)) | None => None,
    }
}

fn whole(number: usize) -> u64 {
    number as u64
}
