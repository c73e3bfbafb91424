//! JSON values as types, with errors for people.
//!
//! Owns what is said of a value that does not fit the type that it is read as: its place, what is there and what is
//! accepted. Knows none of the types. Invariant: no error is in the words of the language that the types are written in.

use std::fmt::{self, Display};
use std::iter::Enumerate;
use std::slice;

use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Map, Value, map};

/// No value is shown longer, in characters.
const SHOWN: usize = 80;

/// Reads a value as a type.
pub(super) fn read<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, ShapeError> {
    T::deserialize(Json(value))
}

/// Reads an object as a type.
pub(super) fn read_object<'de, T: Deserialize<'de>>(
    object: &'de Map<String, Value>,
) -> Result<T, ShapeError> {
    T::deserialize(Object(object))
}

/// A value as errors show it.
pub(super) fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Why a value does not fit.
#[derive(Debug)]
pub(super) struct ShapeError {
    /// The way to it: `entries[2].latency`; empty where it is the value that was read.
    place: String,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    /// Something else than what belongs there; the value is known once the error has left the type.
    Value { found: Option<String>, accepted: String },
    /// A key that does not exist there.
    Unknown(&'static [&'static str]),
    /// A key that has to be there.
    Missing(&'static str),
    /// What the type itself says.
    Rule(String),
}

impl ShapeError {
    /// The same error, seen from the object in which the value is at `key`.
    pub(super) fn under(mut self, key: &str) -> Self {
        let joint = if self.place.is_empty() || self.place.starts_with('[') {
            ""
        } else {
            "."
        };
        self.place = format!("{key}{joint}{}", self.place);
        self
    }

    /// The same error, seen from the array at `key` in which the value is at `index`.
    pub(super) fn within(self, key: &str, index: usize) -> Self {
        self.under(&format!("{key}[{index}]"))
    }

    fn refused(accepted: String) -> Self {
        let found = None;
        Self::of(Problem::Value { found, accepted })
    }

    fn of(problem: Problem) -> Self {
        Self {
            place: String::new(),
            problem,
        }
    }

    /// Adds the value that was refused, unless the error is of a value within it.
    fn of_value(mut self, value: &Value) -> Self {
        if let Problem::Value {
            found: found @ None, ..
        } = &mut self.problem
        {
            *found = Some(shown(value));
        }
        self
    }
}

impl Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        match &self.problem {
            Problem::Value { found, accepted } => {
                write!(f, "`{}` is not {accepted}", found.as_deref().unwrap_or_default())
            }
            Problem::Unknown(known) => {
                write!(f, "there is no such key; the keys here are {}", known.join(", "))
            }
            Problem::Missing(key) => write!(f, "key {key} is missing"),
            Problem::Rule(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ShapeError {}

impl de::Error for ShapeError {
    fn custom<T: Display>(text: T) -> Self {
        Self::of(Problem::Rule(text.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::refused(accepted(expected))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::refused(accepted(expected))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::refused(one_of(expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::of(Problem::Unknown(expected)).under(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(Problem::Missing(field))
    }
}

/// What a type expects, in the words of JSON.
fn accepted(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "a string" | "a borrowed string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "an object".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" => "a whole number from 0 on".to_owned(),
        other => other.to_owned(),
    }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [only] => format!("`{only}`"),
        words => format!("one of {}", words.join(", ")),
    }
}

#[derive(Clone, Copy)]
struct Json<'de>(&'de Value);

impl<'de> Deserializer<'de> for Json<'de> {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let read = match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(found) => visitor.visit_bool(*found),
            Value::Number(found) => match (found.as_u64(), found.as_i64()) {
                (Some(found), _) => visitor.visit_u64(found),
                (None, Some(found)) => visitor.visit_i64(found),
                (None, None) => visitor.visit_f64(found.as_f64().unwrap_or(f64::INFINITY)),
            },
            Value::String(found) => visitor.visit_borrowed_str(found),
            Value::Array(found) => visitor.visit_seq(Items(found.iter().enumerate())),
            Value::Object(found) => visitor.visit_map(Members::of(found)),
        };
        read.map_err(|error| error.of_value(self.0))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        visitor.visit_newtype_struct(self)
    }

    // A type with named keys would also take an array of their values.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            other => {
                let accepted = format!("an object of {}", keys.join(", "));
                Err(ShapeError::refused(accepted).of_value(other))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let read = match self.0.as_str() {
            Some(word) => visitor.visit_enum(word.into_deserializer()),
            None => Err(ShapeError::refused(one_of(words))),
        };
        read.map_err(|error| error.of_value(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Object<'de>(&'de Map<String, Value>);

impl<'de> Deserializer<'de> for Object<'de> {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_map(Members::of(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any option newtype_struct struct enum
    }
}

struct Items<'de>(Enumerate<slice::Iter<'de, Value>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ShapeError> {
        let next = self.0.next().map(|(index, value)| {
            let read = seed.deserialize(Json(value));
            read.map_err(|error| error.within("", index))
        });
        next.transpose()
    }
}

struct Members<'de> {
    rest: map::Iter<'de>,
    /// The one whose key has been read.
    member: Option<(&'de str, &'de Value)>,
}

impl<'de> Members<'de> {
    fn of(object: &'de Map<String, Value>) -> Self {
        Self {
            rest: object.iter(),
            member: None,
        }
    }
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = ShapeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ShapeError> {
        self.member = self.rest.next().map(|(key, value)| (key.as_str(), value));
        let key = self
            .member
            .map(|(key, _)| seed.deserialize(key.into_deserializer()));
        key.transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ShapeError> {
        let (key, value) = self.member.take().expect("a value comes after its key");
        seed.deserialize(Json(value)).map_err(|error| error.under(key))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Outer {
        entries: Vec<Inner>,
        #[serde(default)]
        _whatever: Option<Value>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        latency: Option<String>,
        kind: Kind,
        #[serde(default)]
        places: Vec<u16>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Near,
        Far,
    }

    #[test]
    fn what_fits_is_read() {
        let value = json!({"entries": [{"latency": null, "kind": "far", "places": [7]}], "whatever": {"a": [1.5, -2]}});
        let outer: Outer = read(&value).unwrap();
        assert_eq!(
            (outer.entries[0].latency.as_deref(), outer.entries[0].places[0]),
            (None, 7)
        );
        assert_eq!(outer.entries[0].kind, Kind::Far);
        assert_eq!(outer._whatever, Some(value["whatever"].clone()));
    }

    #[rstest]
    #[case::root(json!(null), "`null` is not an object of entries, whatever")]
    #[case::missing(json!({}), "key entries is missing")]
    #[case::array(json!({"entries": "x"}), "entries: `x` is not an array")]
    #[case::object(json!({"entries": [7]}), "entries[0]: `7` is not an object of latency, kind, places")]
    #[case::object_by_position(json!({"entries": [[null, "far"]]}), "entries[0]: `[null,\"far\"]` is not an object of latency, kind, places")]
    #[case::text(
        json!({"entries": [{"kind": "far"}, {"latency": 5, "kind": "far"}]}),
        "entries[1].latency: `5` is not a text"
    )]
    #[case::missing_below(json!({"entries": [{"latency": "5"}]}), "entries[0]: key kind is missing")]
    #[case::word(json!({"entries": [{"kind": "x"}]}), "entries[0].kind: `x` is not one of near, far")]
    #[case::word_of_another_type(json!({"entries": [{"kind": {"far": 1}}]}), "entries[0].kind: `{\"far\":1}` is not one of near, far")]
    #[case::number(
        json!({"entries": [{"kind": "far", "places": [1, 65536]}]}),
        "entries[0].places[1]: `65536` is not a whole number from 0 to 65535"
    )]
    #[case::unknown(
        json!({"entries": [{"kind": "far", "extra": 1}]}),
        "entries[0].extra: there is no such key; the keys here are latency, kind, places"
    )]
    fn what_does_not_fit_is_named(#[case] value: Value, #[case] text: &str) {
        assert_eq!(read::<Outer>(&value).unwrap_err().to_string(), text);
    }

    #[test]
    fn a_long_value_is_cut() {
        let error = read::<Vec<u16>>(&json!("a".repeat(SHOWN + 1))).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{}…` is not an array", "a".repeat(SHOWN))
        );
    }
}
