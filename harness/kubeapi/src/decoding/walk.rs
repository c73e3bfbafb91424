//! One walk over an object, as it is read, along its type.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{Words, scalar};
use crate::types::{Shape, Struct};

/// As upstream, which stops counting there.
const STRICT_MAX: usize = 100;

/// What a walk has found, and where it is.
#[derive(Debug)]
pub(super) struct Report {
    words: Words,
    /// `spec.ports[0].name`
    path: String,
    /// The same as upstream's decoder tells it: `spec.ports.name`, of fields alone.
    stack: String,
    owner: Option<&'static Struct>,
    /// The first value that is not of its type.
    pub(super) problem: Option<String>,
    pub(super) strict: Vec<String>,
}

/// A place to return to.
#[derive(Clone, Copy)]
struct Mark {
    path: usize,
    stack: usize,
    owner: Option<&'static Struct>,
}

impl Report {
    pub(super) fn new(words: Words) -> Self {
        Report {
            words,
            path: String::new(),
            stack: String::new(),
            owner: None,
            problem: None,
            strict: Vec::new(),
        }
    }

    /// Reads a whole object.
    pub(super) fn read<'de, D: Deserializer<'de>>(
        &mut self,
        deserializer: D,
        shape: &Shape,
    ) -> Result<Value, D::Error> {
        Seed { shape, report: self }.deserialize(deserializer)
    }

    /// Reads a part of an object on its own, as upstream reads the metadata of custom resources.
    pub(super) fn read_below(&mut self, field: &str, value: &Value, shape: &Shape) -> Result<Value, String> {
        let mark = self.mark();
        self.path.push_str(field);
        let read = self.read(value, shape).map_err(|error| error.to_string());
        self.leave(mark);
        read
    }

    fn mark(&self) -> Mark {
        Mark {
            path: self.path.len(),
            stack: self.stack.len(),
            owner: self.owner,
        }
    }

    fn leave(&mut self, mark: Mark) {
        self.path.truncate(mark.path);
        self.stack.truncate(mark.stack);
        self.owner = mark.owner;
    }

    fn enter_key(&mut self, key: &str) {
        push(&mut self.path, key);
    }

    fn enter_field(&mut self, owner: &'static Struct, field: &str) {
        push(&mut self.path, field);
        push(&mut self.stack, field);
        self.owner = Some(owner);
    }

    /// Tells of a field here that is unknown or comes twice.
    fn tell(&mut self, what: &str, field: &str) {
        let mark = self.mark();
        push(&mut self.path, field);
        let told = format!("{what} field \"{}\"", self.path);
        self.leave(mark);
        if self.strict.len() < STRICT_MAX && !self.strict.contains(&told) {
            self.strict.push(told);
        }
    }

    fn fail(&mut self, problem: String) -> Value {
        self.problem.get_or_insert(problem);
        Value::Null
    }

    /// A value of another type: `found` in the words of JSON, `literal` where it is a number.
    fn mismatch(&mut self, shape: &Shape, found: scalar::Found) -> Value {
        let problem = match (self.words, self.owner) {
            (Words::Maps, _) => scalar::unconvertible(shape, &found),
            (Words::Json, Some(owner)) => format!(
                "json: cannot unmarshal {} into Go struct field {}.{} of type {}",
                found.told(shape),
                owner.name,
                self.stack,
                shape.name()
            ),
            (Words::Json, None) => format!(
                "json: cannot unmarshal {} into Go value of type {}",
                found.told(shape),
                shape.name()
            ),
        };
        self.fail(problem)
    }

    fn scalar(&mut self, shape: &Shape, value: Value) -> Value {
        match scalar::read(shape, value) {
            Ok(value) => value,
            Err(scalar::Unread::Type(found)) => self.mismatch(shape, found),
            Err(scalar::Unread::Text(problem)) => self.fail(problem),
        }
    }
}

fn push(path: &mut String, field: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(field);
}

/// A value that is about to be read.
struct Seed<'s, 'r> {
    shape: &'s Shape,
    report: &'r mut Report,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.shape {
            Shape::Raw => Value::deserialize(deserializer),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(self.report.scalar(self.shape, json!(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.report.scalar(self.shape, json!(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.report.scalar(self.shape, json!(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(self.report.scalar(self.shape, json!(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(self.report.scalar(self.shape, json!(value)))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(self.report.scalar(self.shape, Value::String(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let shape = match self.shape {
            Shape::Either(_, other) => other,
            shape => shape,
        };
        let inner = match shape {
            Shape::List(inner) => inner,
            Shape::Any => &Shape::Any,
            other => {
                IgnoredAny::deserialize(SeqAccessDeserializer::new(elements))?;
                return Ok(self.report.mismatch(other, scalar::Found::Array));
            }
        };
        let mut list = Vec::new();
        let mark = self.report.mark();
        loop {
            self.report.path.push_str(&format!("[{}]", list.len()));
            let seed = Seed {
                shape: inner,
                report: &mut *self.report,
            };
            let next = elements.next_element_seed(seed)?;
            self.report.leave(mark);
            match next {
                Some(value) => list.push(or_zero(value, inner)),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Value, A::Error> {
        match self.shape {
            Shape::Any | Shape::Map(_) | Shape::Struct(_) => self.fields(fields),
            Shape::Either(object, _) => {
                let report = self.report;
                Seed {
                    shape: object,
                    report,
                }
                .fields(fields)
            }
            other => {
                IgnoredAny::deserialize(MapAccessDeserializer::new(fields))?;
                Ok(self.report.mismatch(other, scalar::Found::Object))
            }
        }
    }
}

impl Seed<'_, '_> {
    fn fields<'de, A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let Seed { shape, report } = self;
        let mut object = Map::new();
        let mark = report.mark();
        while let Some(name) = fields.next_key::<String>()? {
            if object.contains_key(&name) {
                report.tell("duplicate", &name);
            }
            let inner = match shape {
                Shape::Struct(id) => {
                    let owner = id.get();
                    let Some(field) = owner.fields.get(&name) else {
                        report.tell("unknown", &name);
                        fields.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    report.enter_field(owner, &name);
                    &field.shape
                }
                Shape::Map(inner) => {
                    report.enter_key(&name);
                    inner
                }
                _ => {
                    report.enter_key(&name);
                    &Shape::Any
                }
            };
            let seed = Seed {
                shape: inner,
                report: &mut *report,
            };
            let value = fields.next_value_seed(seed)?;
            report.leave(mark);
            match shape {
                // A null leaves the field as it is in an empty object.
                Shape::Struct(_) if value.is_null() => {}
                _ => {
                    object.insert(name, or_zero(value, inner));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

/// What upstream makes of a null among the values of a map or a list.
fn or_zero(value: Value, shape: &Shape) -> Value {
    match value {
        Value::Null => shape.zero(),
        value => value,
    }
}
