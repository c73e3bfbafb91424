//! A tree as JSON, for Kubernetes objects.

use serde_json::{Map, Number};

use super::scalar::Meaning;
use super::{Node, Notes, Value};

/// The node as JSON. Scalars that `kubectl` would read differently are noted and become null.
pub(crate) fn to_json(node: &Node, notes: &mut Notes<'_>) -> serde_json::Value {
    match &node.value {
        Value::Sequence(items) => items.iter().map(|item| to_json(item, notes)).collect(),
        Value::Mapping(entries) => {
            let fields: Map<_, _> = entries
                .iter()
                .map(|entry| (entry.key.text.clone(), to_json(&entry.value, notes)))
                .collect();
            fields.into()
        }
        Value::Scalar(scalar) => match scalar.meaning {
            Meaning::String => scalar.text.clone().into(),
            Meaning::Null => serde_json::Value::Null,
            Meaning::Boolean(value) => value.into(),
            Meaning::Integer(value) => value.into(),
            Meaning::Float(value) => Number::from_f64(value).map_or(serde_json::Value::Null, Into::into),
            Meaning::Ambiguous(spelling) => {
                notes.error(
                    node.span,
                    format!(
                        "expected a word that YAML 1.1 and YAML 1.2 read alike, found `{}`",
                        scalar.text
                    ),
                    format!(
                        "write {spelling}, or quote it to get the string: \"{}\"",
                        scalar.text
                    ),
                );
                serde_json::Value::Null
            }
        },
    }
}
