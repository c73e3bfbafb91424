//! JSON in the types of CEL, as a schema says them.
//!
//! Owns the names by which rules see fields: those that are no identifiers, or words of CEL, are escaped.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::extractors::This;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, ResolveResult, Value as CelValue};
use serde_json::{Number, Value};

use super::{Parsed, Position, Schema, parse};

/// The value that a rule sees.
pub(super) fn of(schema: &Schema, position: Position, value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(truth) => CelValue::Bool(*truth),
        Value::Number(number) => self::number(schema, number),
        Value::String(text) => self::text(schema, text),
        Value::Array(elements) => {
            let elements = elements.iter().map(|value| match schema.items() {
                Some(items) => of(items, Position::Inside, value),
                None => untyped(value),
            });
            CelValue::List(Arc::new(elements.collect()))
        }
        Value::Object(fields) => {
            let is_map = schema.additional_properties.is_some();
            let fields = fields.iter().map(|(name, value)| {
                let value = match schema.field(name) {
                    Some(inner) if !position.owns(schema, name) => of(inner, Position::Inside, value),
                    _ => untyped(value),
                };
                (if is_map { name.clone() } else { escaped(name) }, value)
            });
            map(fields)
        }
    }
}

fn map(fields: impl Iterator<Item = (String, CelValue)>) -> CelValue {
    let entries = fields.map(|(name, value)| (Key::String(Arc::new(name)), value));
    let map: HashMap<Key, CelValue> = entries.collect();
    CelValue::Map(Map { map: Arc::new(map) })
}

/// The value of a field that the schema says nothing of.
fn untyped(value: &Value) -> CelValue {
    of(&Schema::default(), Position::Inside, value)
}

fn number(schema: &Schema, number: &Number) -> CelValue {
    match number.as_i64() {
        Some(whole) if schema.type_name != "number" => CelValue::Int(whole),
        _ => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// A text of a format that CEL has a type for; one that has not its format stays a text.
fn text(schema: &Schema, text: &str) -> CelValue {
    let plain = |text: &str| CelValue::String(Arc::new(text.to_owned()));
    let read = match schema.format.as_str() {
        "date-time" | "datetime" => made_by(&TIMESTAMP, plain(text)),
        "date" => made_by(&TIMESTAMP, plain(&format!("{text}T00:00:00Z"))),
        "duration" => made_by(&DURATION, plain(text)),
        "byte" => STANDARD
            .decode(text)
            .ok()
            .map(|bytes| CelValue::Bytes(Arc::new(bytes))),
        _ => None,
    };
    read.unwrap_or_else(|| plain(text))
}

static TIMESTAMP: LazyLock<Option<Parsed>> = LazyLock::new(|| parse("timestamp(text)").ok());
static DURATION: LazyLock<Option<Parsed>> = LazyLock::new(|| parse("duration(text)").ok());

/// What CEL's own function makes of a text.
fn made_by(function: &Option<Parsed>, text: CelValue) -> Option<CelValue> {
    let mut context = Context::default();
    context.add_variable_from_value("text", text);
    function.as_ref()?.run(&context).ok()
}

/// The words that no field can be called by.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name of a field in a rule.
pub(super) fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let name = name.replace("__", "__underscores__");
    name.replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

/// The types of CEL, which `type(…)` compares with.
pub(super) const TYPES: [&str; 9] = [
    "int",
    "uint",
    "double",
    "bool",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
];

/// Adds `type` and the names of types, which are texts here.
pub(super) fn add_types(context: &mut Context<'_>) {
    for name in TYPES {
        context.add_variable_from_value(name, CelValue::String(Arc::new(type_name(name))));
    }
    context.add_function("type", |This(value): This<CelValue>| -> ResolveResult {
        let name = match value {
            CelValue::Int(_) => "int",
            CelValue::UInt(_) => "uint",
            CelValue::Float(_) => "double",
            CelValue::Bool(_) => "bool",
            CelValue::String(_) => "string",
            CelValue::Bytes(_) => "bytes",
            CelValue::List(_) => "list",
            CelValue::Map(_) => "map",
            CelValue::Null => "null_type",
            _ => "dyn",
        };
        Ok(CelValue::String(Arc::new(type_name(name))))
    });
}

/// A text that no field can hold by chance.
fn type_name(name: &str) -> String {
    format!("\0type {name}")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_field_has_a_name_that_a_rule_can_say() {
        for (name, expected) in [
            ("plain", "plain"),
            ("snake_case", "snake_case"),
            ("namespace", "__namespace__"),
            ("a-b.c/d", "a__dash__b__dot__c__slash__d"),
            ("a__b", "a__underscores__b"),
        ] {
            assert_eq!(escaped(name), expected, "{name}");
        }
    }
}
