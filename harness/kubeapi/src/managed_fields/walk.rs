//! Reading the fields of values: all of one, or the difference of two.
//!
//! What merges whole is one field, with nothing below it. A list that the type says has keys, but whose elements
//! lack them or share one, is read like that too.

use serde_json::{Map, Value};

use super::field_set::{FieldSet, Node};
use crate::topology::{Elements, Topology};

/// A list of an applied object whose elements cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListError {
    #[error(
        ".{field}: element {at}: associative list with keys has an element that omits key field \"{key}\" \
         (and doesn't have default value)"
    )]
    MissingKey { field: String, at: usize, key: String },
    #[error(".{field}: duplicate entries for key {key}")]
    Duplicate { field: String, key: String },
}

/// The fields of two objects that differ.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Fields with a new value, or that are new.
    pub(super) changed: FieldSet,
    pub(super) removed: FieldSet,
}

/// A value, by how it merges.
enum Shape<'v> {
    /// Nothing, or a map or a list with nothing in it.
    Blank,
    /// Whole.
    Leaf,
    Fields(&'v Map<String, Value>),
    /// Each with its path element.
    Elements(Vec<(String, &'v Value)>),
}

/// Every field of an object that a client applies.
pub(super) fn fields(at: Topology<'_>, object: &Value) -> Result<FieldSet, ListError> {
    Ok(fields_below(at, "", object)?.unwrap_or_default())
}

/// The fields of `new` that are not as in `old`, and those of `old` that are not in `new`.
pub(super) fn compare(at: Topology<'_>, old: &Value, new: &Value) -> Changes {
    let (changed, removed) = compare_at(at, Some(old), Some(new));
    Changes {
        changed: changed.below,
        removed: removed.below,
    }
}

/// `None` for a field without any below it.
fn fields_below(at: Topology<'_>, name: &str, value: &Value) -> Result<Option<FieldSet>, ListError> {
    let mut set = FieldSet::default();
    match shape(at, name, value)? {
        Shape::Blank | Shape::Leaf => return Ok(None),
        Shape::Fields(fields) => {
            for (key, value) in fields {
                let below = fields_below(at.field(key), key, value)?;
                let belongs = below.is_none() || !at.names(key);
                let below = below.unwrap_or_default();
                set.insert("f:", key, Node { belongs, below });
            }
        }
        Shape::Elements(elements) => {
            for (element, value) in elements {
                let below = fields_below(at.element(), name, value)?.unwrap_or_default();
                let belongs = true;
                set.insert("", &element, Node { belongs, below });
            }
        }
    }
    Ok(Some(set))
}

/// What changed, and what was removed, at and below one field whose values differ.
fn compare_at(at: Topology<'_>, old: Option<&Value>, new: Option<&Value>) -> (Node, Node) {
    let mut changed = Node {
        belongs: old.is_none(),
        below: FieldSet::default(),
    };
    let mut removed = Node {
        belongs: new.is_none(),
        below: FieldSet::default(),
    };
    match (shape_of(at, old), shape_of(at, new)) {
        (Shape::Fields(old), Shape::Fields(new)) => compare_fields(at, old, new, &mut changed, &mut removed),
        (Shape::Fields(old), Shape::Blank) => {
            compare_fields(at, old, &Map::new(), &mut changed, &mut removed);
        }
        (Shape::Blank, Shape::Fields(new)) => {
            compare_fields(at, &Map::new(), new, &mut changed, &mut removed);
        }
        (Shape::Elements(old), Shape::Elements(new)) => {
            compare_elements(at, &old, &new, &mut changed, &mut removed);
        }
        (Shape::Elements(old), Shape::Blank) => compare_elements(at, &old, &[], &mut changed, &mut removed),
        (Shape::Blank, Shape::Elements(new)) => compare_elements(at, &[], &new, &mut changed, &mut removed),
        _ => changed.belongs = new.is_some(),
    }
    (changed, removed)
}

fn compare_fields(
    at: Topology<'_>,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    changed: &mut Node,
    removed: &mut Node,
) {
    let gone = old.iter().filter(|(key, _)| !new.contains_key(*key));
    let pairs = new.iter().map(|(key, value)| (key, old.get(key), Some(value)));
    for (key, old, new) in pairs.chain(gone.map(|(key, value)| (key, Some(value), None))) {
        if old == new {
            continue;
        }
        let (changed_there, removed_there) = compare_at(at.field(key), old, new);
        changed.below.insert("f:", key, changed_there);
        removed.below.insert("f:", key, removed_there);
    }
}

fn compare_elements(
    at: Topology<'_>,
    old: &[(String, &Value)],
    new: &[(String, &Value)],
    changed: &mut Node,
    removed: &mut Node,
) {
    let gone = old.iter().filter(|(element, _)| find(new, element).is_none());
    let pairs = new
        .iter()
        .map(|(element, value)| (element, find(old, element), Some(*value)));
    for (element, old, new) in pairs.chain(gone.map(|(element, value)| (element, Some(*value), None))) {
        if old == new {
            continue;
        }
        let (changed_there, removed_there) = compare_at(at.element(), old, new);
        changed.below.insert("", element, changed_there);
        removed.below.insert("", element, removed_there);
    }
}

/// The element of a list by its path element.
pub(super) fn find<'v>(elements: &[(String, &'v Value)], wanted: &str) -> Option<&'v Value> {
    let found = elements.iter().find(|(element, _)| element == wanted);
    found.map(|(_, value)| *value)
}

fn shape_of<'v>(at: Topology<'_>, value: Option<&'v Value>) -> Shape<'v> {
    value.map_or(Shape::Blank, |value| shape(at, "", value).unwrap_or(Shape::Leaf))
}

fn shape<'v>(at: Topology<'_>, name: &str, value: &'v Value) -> Result<Shape<'v>, ListError> {
    Ok(match value {
        Value::Null => Shape::Blank,
        Value::Object(fields) if fields.is_empty() => Shape::Blank,
        Value::Array(elements) if elements.is_empty() => Shape::Blank,
        Value::Object(fields) if !at.is_atomic_map() => Shape::Fields(fields),
        Value::Array(list) => match elements(at, name, list)? {
            Some(elements) => Shape::Elements(elements),
            None => Shape::Leaf,
        },
        _ => Shape::Leaf,
    })
}

/// The elements of a list with their path elements, unless it merges whole.
pub(super) fn elements<'v>(
    at: Topology<'_>,
    name: &str,
    list: &'v [Value],
) -> Result<Option<Vec<(String, &'v Value)>>, ListError> {
    let how = at.elements();
    let mut elements: Vec<(String, &Value)> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let element = match &how {
            Elements::Atomic => return Ok(None),
            Elements::Set => format!("v:{value}"),
            Elements::Keyed(keys) => keyed(at, keys, value).map_err(|key| ListError::MissingKey {
                field: name.to_owned(),
                at: index,
                key,
            })?,
        };
        if find(&elements, &element).is_some() {
            return Err(ListError::Duplicate {
                field: name.to_owned(),
                key: element,
            });
        }
        elements.push((element, value));
    }
    Ok(Some(elements))
}

/// The path element of a list element with keys, or the key it lacks.
fn keyed(at: Topology<'_>, keys: &[&str], value: &Value) -> Result<String, String> {
    let key = |key: &&str| {
        let given = value.get(*key).filter(|given| !given.is_null()).cloned();
        let found = given.or_else(|| at.default_of_key(key));
        found
            .map(|found| ((*key).to_owned(), found))
            .ok_or_else(|| (*key).to_owned())
    };
    let keys: Map<String, Value> = keys.iter().map(key).collect::<Result<_, _>>()?;
    Ok(format!("k:{}", Value::Object(keys)))
}
