//! Values without fields, and the words of upstream for those that are not of their type.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::quantity;
use crate::types::Shape;

/// A value of another type than is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    Array,
    Object,
    Scalar(Value),
}

/// Why a value is not read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unread {
    /// It is of another type.
    Type(Found),
    /// It is text that does not say what it should; what upstream says of it.
    Text(String),
}

impl Found {
    /// As the JSON decoder tells it.
    pub(super) fn told(&self, shape: &Shape) -> String {
        match self {
            Found::Array => "array".to_owned(),
            Found::Object => "object".to_owned(),
            Found::Scalar(Value::Bool(_)) => "bool".to_owned(),
            Found::Scalar(Value::Number(number)) => match shape {
                Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => format!("number {number}"),
                _ => "number".to_owned(),
            },
            Found::Scalar(_) => "string".to_owned(),
        }
    }

    /// The type it has among unstructured values.
    fn type_name(&self) -> &'static str {
        match self {
            Found::Array => "slice",
            Found::Object => "map",
            Found::Scalar(Value::Bool(_)) => "bool",
            Found::Scalar(Value::Number(number)) if number.is_f64() => "float64",
            Found::Scalar(Value::Number(_)) => "int64",
            Found::Scalar(_) => "string",
        }
    }
}

/// What upstream says of an unstructured value that it cannot make a typed one of.
pub(super) fn unconvertible(shape: &Shape, found: &Found) -> String {
    let (from, to) = (found.type_name(), shape.name());
    match shape {
        Shape::Map(_) => format!("cannot restore map from {from}"),
        Shape::List(_) | Shape::Bytes => format!("cannot restore slice from {from}"),
        Shape::Struct(_) => format!("cannot restore struct from: {from}"),
        Shape::IntOrString | Shape::Time | Shape::MicroTime => {
            format!(
                "json: cannot unmarshal {} into Go value of type {to}",
                found.told(shape)
            )
        }
        Shape::Text(_) if from == "int64" => format!("cannot convert {from} to {to}"),
        Shape::Int32 | Shape::Int64 if from == "float64" => format!("cannot convert {from} to {to}"),
        _ => format!("unrecognized type: {to}"),
    }
}

/// The value as a typed field holds it.
pub(super) fn read(shape: &Shape, value: Value) -> Result<Value, Unread> {
    let is_read = match shape {
        Shape::Raw | Shape::Any => true,
        Shape::Text(_) => value.is_string(),
        Shape::Bool => value.is_boolean(),
        Shape::Float => value.is_number(),
        Shape::Int64 => value.is_i64(),
        Shape::Int32 => is_int32(&value),
        Shape::IntOrString => value.is_string() || is_int32(&value),
        Shape::Quantity => return quantity(value),
        Shape::Bytes | Shape::Time | Shape::MicroTime => match value.as_str() {
            Some(text) => return self::text(shape, text),
            None => false,
        },
        Shape::Either(_, other) => return read(other, value),
        Shape::Map(_) | Shape::List(_) | Shape::Struct(_) => false,
    };
    if is_read {
        Ok(value)
    } else {
        Err(Unread::Type(Found::Scalar(value)))
    }
}

fn is_int32(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}

fn text(shape: &Shape, text: &str) -> Result<Value, Unread> {
    let (form, layout) = match shape {
        Shape::Time => ("%Y-%m-%dT%H:%M:%SZ", "2006-01-02T15:04:05Z07:00"),
        Shape::MicroTime => ("%Y-%m-%dT%H:%M:%S%.6fZ", "2006-01-02T15:04:05.000000Z07:00"),
        _ => return base64_text(text),
    };
    let time: Timestamp = text.parse().map_err(|_| {
        Unread::Text(format!(
            "parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""
        ))
    })?;
    Ok(Value::String(time.strftime(form).to_string()))
}

fn base64_text(text: &str) -> Result<Value, Unread> {
    match STANDARD.decode(text) {
        Ok(_) => Ok(Value::String(text.to_owned())),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len(),
            };
            Err(Unread::Text(format!("illegal base64 data at input byte {at}")))
        }
    }
}

/// A quantity may be written as a number, and is kept as text.
fn quantity(value: Value) -> Result<Value, Unread> {
    let text = match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match quantity::canonical(&text) {
        Ok(canonical) => Ok(Value::String(canonical)),
        Err(why) => Err(Unread::Text(why.to_owned())),
    }
}
