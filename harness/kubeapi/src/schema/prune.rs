//! Removal of the fields a schema does not know.

use serde_json::Value;

use super::{Additional, Position, Schema, child, element};

impl Schema {
    /// Removes what the schema does not specify from a whole object and returns the paths of it, sorted.
    pub(crate) fn prune(&self, object: &mut Value) -> Vec<String> {
        self.prune_at(object, Position::Root)
    }

    /// As [`Self::prune`], of a value that may be inside of an object.
    pub(super) fn prune_at(&self, value: &mut Value, position: Position) -> Vec<String> {
        let mut removed = Vec::new();
        prune(Some(self), value, position, "", &mut removed);
        removed.sort();
        removed
    }
}

/// Without a schema every field goes, and what is no object or list stays.
fn prune(
    schema: Option<&Schema>,
    value: &mut Value,
    position: Position,
    path: &str,
    removed: &mut Vec<String>,
) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let at = child(path, name);
            if schema.is_some_and(|schema| position.owns(schema, name)) {
                return true;
            }
            match schema.map(|schema| known(schema, name)) {
                Some(Known::As(inner)) => prune(inner, value, Position::Inside, &at, removed),
                Some(Known::Kept) => {}
                Some(Known::No) | None => {
                    removed.push(at);
                    return false;
                }
            }
            true
        }),
        Value::Array(elements) => {
            // What is in a list of unknown elements is unknown, unless the list preserves it.
            let items = schema.and_then(Schema::items);
            if items.is_none() && schema.is_some_and(|schema| schema.preserves_unknown()) {
                return;
            }
            for (at, value) in elements.iter_mut().enumerate() {
                prune(items, value, Position::Inside, &element(path, at), removed);
            }
        }
        _ => {}
    }
}

/// What a schema says of a field.
enum Known<'a> {
    /// It is specified; `None` where only its presence is.
    As(Option<&'a Schema>),
    /// It is not, and stays as it is.
    Kept,
    No,
}

fn known<'a>(schema: &'a Schema, field: &str) -> Known<'a> {
    match (schema.properties.get(field), &schema.additional_properties) {
        (Some(property), _) => Known::As(Some(property)),
        (None, Some(Additional::Of(inner))) => Known::As(Some(inner)),
        (None, _) if schema.preserves_unknown() => Known::Kept,
        (None, Some(Additional::Allowed(_))) => Known::As(None),
        (None, None) => Known::No,
    }
}
