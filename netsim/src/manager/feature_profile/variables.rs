//! Variables: options whose value each device has of its own.
//!
//! Owns how they are written, `{"optionType": "variable", "value": "{{name}}"}`, and their replacement by values.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::at::{At, PlaceError};

/// The variables of a body, by name.
pub(super) fn names(body: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(body, &mut names);
    names
}

/// The body with the variables that `values` has replaced by them.
pub(super) fn resolved(body: &Value, values: &Map<String, Value>) -> Value {
    if let Some(value) = named_variable(body).and_then(|name| values.get(name)) {
        return json!({ "optionType": "global", "value": value });
    }
    match body {
        Value::Array(items) => items.iter().map(|item| resolved(item, values)).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (key.clone(), resolved(value, values)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// Checks that the value of an option that is a variable names one.
pub(super) fn check(value: &At<'_>) -> Result<(), PlaceError> {
    match value.value.as_str().and_then(name_in_braces) {
        Some(_) => Ok(()),
        None => Err(value.refuse("a variable such as {{name}}, of letters, digits, `_`, `-` and `.`")),
    }
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    names.extend(named_variable(value).map(str::to_owned));
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, names)),
        _ => {}
    }
}

/// The name of the variable that an option is.
fn named_variable(option: &Value) -> Option<&str> {
    let fields = option.as_object()?;
    let is_variable = fields.get("optionType")? == "variable";
    fields
        .get("value")?
        .as_str()
        .filter(|_| is_variable)
        .and_then(name_in_braces)
}

fn name_in_braces(text: &str) -> Option<&str> {
    let name = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (!name.is_empty() && name.bytes().all(allowed)).then_some(name)
}
