//! Places in the body of a parcel, and the options at them.
//!
//! Owns JSON pointers and the form `{"optionType": …, "value": …}`; what stands where is in the other modules. Invariant: whatever is refused is refused with its pointer, the value found and the form accepted, and a
//! field that is not known is refused, as by the product's JSON schemas.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::variables;
use crate::manager::shape;
use crate::manager::value::ValueError;

/// A value and the way to it from the root of the body.
#[derive(Debug, Clone)]
pub(in crate::manager) struct At<'a> {
    pub(in crate::manager) pointer: String,
    pub(in crate::manager) value: &'a Value,
}

/// The fields of an object.
#[derive(Debug)]
pub(in crate::manager) struct Fields<'a> {
    pointer: String,
    fields: &'a Map<String, Value>,
}

/// Why a body was refused.
#[derive(Debug, thiserror::Error)]
pub(in crate::manager) enum PlaceError {
    /// Something else than what belongs there.
    #[error("{pointer}: `{found}` is not {accepted}")]
    Value {
        pointer: String,
        found: String,
        accepted: String,
    },
    /// A field that does not exist there.
    #[error("{pointer}: there is no such field; the fields here are {known}")]
    Unknown { pointer: String, known: String },
    /// A field that has to be there.
    #[error("{pointer}: field {field} is missing")]
    Missing { pointer: String, field: &'static str },
    /// Fields that do not go together, or a rule between several.
    #[error("{pointer}: {problem}")]
    Rule { pointer: String, problem: String },
}

impl<'a> At<'a> {
    /// The root of a body.
    pub(in crate::manager) fn root(value: &'a Value) -> Self {
        Self {
            pointer: String::new(),
            value,
        }
    }

    /// The object here, which has no other fields than `known`.
    pub(in crate::manager) fn fields(&self, known: &[&str]) -> Result<Fields<'a>, PlaceError> {
        let fields = self.value.as_object().ok_or_else(|| self.refuse("an object"))?;
        if let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(PlaceError::Unknown {
                pointer: format!("{}/{}", self.pointer, escaped(unknown)),
                known: known.join(", "),
            });
        }
        Ok(Fields {
            pointer: self.pointer.clone(),
            fields,
        })
    }

    /// The one field of the object here.
    pub(in crate::manager) fn only_field(
        &self,
        known: &[&'static str],
    ) -> Result<(&'static str, At<'a>), PlaceError> {
        let fields = self.fields(known)?;
        let given: Vec<&'static str> = known
            .iter()
            .copied()
            .filter(|key| fields.fields.contains_key(*key))
            .collect();
        match (given.as_slice(), fields.fields.len()) {
            ([key], 1) => Ok((key, fields.need(key)?)),
            _ => Err(self.refuse("an object of exactly one field")),
        }
    }

    /// The elements of the array here.
    pub(in crate::manager) fn items(&self) -> Result<Vec<At<'a>>, PlaceError> {
        let items = self.value.as_array().ok_or_else(|| self.refuse("an array"))?;
        let at = |(index, value)| At {
            pointer: format!("{}/{index}", self.pointer),
            value,
        };
        Ok(items.iter().enumerate().map(at).collect())
    }

    /// The elements of the array here, of which there is at least one.
    pub(in crate::manager) fn some_items(&self) -> Result<Vec<At<'a>>, PlaceError> {
        let items = self.items()?;
        match items.is_empty() {
            true => Err(self.refuse("an array of at least one element")),
            false => Ok(items),
        }
    }

    /// The text here.
    pub(in crate::manager) fn text(&self) -> Result<&'a str, PlaceError> {
        self.value.as_str().ok_or_else(|| self.refuse("a text"))
    }

    /// The boolean here.
    pub(in crate::manager) fn boolean(&self) -> Result<bool, PlaceError> {
        self.value.as_bool().ok_or_else(|| self.refuse("true or false"))
    }

    /// The whole number here.
    pub(in crate::manager) fn number(&self, limits: RangeInclusive<u64>) -> Result<u64, PlaceError> {
        let found = self.value.as_u64().filter(|number| limits.contains(number));
        found.ok_or_else(|| {
            self.refuse(&format!(
                "a whole number from {} to {}",
                limits.start(),
                limits.end()
            ))
        })
    }

    /// The word here, which is one of `accepted`.
    pub(in crate::manager) fn word(&self, accepted: &[&'static str]) -> Result<&'static str, PlaceError> {
        let found = accepted.iter().find(|word| self.value == **word);
        found
            .copied()
            .ok_or_else(|| self.refuse(&format!("one of {}", accepted.join(", "))))
    }

    /// The text here, as `parse` has it.
    pub(in crate::manager) fn parsed<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<T, PlaceError> {
        parse(self.text()?).map_err(|problem| self.rule(&problem))
    }

    /// The texts of the array here, each of which `parse` takes, with spaces between them.
    pub(in crate::manager) fn words<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<String, PlaceError> {
        let items = self.some_items()?;
        let texts = items.iter().map(|item| {
            item.parsed(&parse)?;
            item.text()
        });
        Ok(texts.collect::<Result<Vec<_>, _>>()?.join(" "))
    }

    /// The value of the option here, which is global.
    pub(in crate::manager) fn global<T>(
        &self,
        parse: impl FnOnce(At<'a>) -> Result<T, PlaceError>,
    ) -> Result<T, PlaceError> {
        let fields = self.fields(&["optionType", "value"])?;
        fields.need("optionType")?.word(&["global"])?;
        parse(fields.need("value")?)
    }

    /// The value of the option here; `sample` as long as it is a variable.
    pub(in crate::manager) fn option<T>(
        &self,
        sample: T,
        parse: impl FnOnce(At<'a>) -> Result<T, PlaceError>,
    ) -> Result<T, PlaceError> {
        let fields = self.fields(&["optionType", "value"])?;
        let value = fields.need("value")?;
        match fields.need("optionType")?.word(&["global", "variable"])? {
            "variable" => variables::check(&value).map(|()| sample),
            _ => parse(value),
        }
    }

    /// The same, for an option that has a default.
    pub(in crate::manager) fn option_or<T: PartialEq>(
        &self,
        default: T,
        shown: &str,
        parse: impl FnOnce(At<'a>) -> Result<T, PlaceError>,
    ) -> Result<T, PlaceError> {
        let fields = self.fields(&["optionType", "value"])?;
        if fields.need("optionType")?.value != "default" {
            return self.option(default, parse);
        }
        let Some(value) = fields.get("value") else {
            return Ok(default);
        };
        match parse(value.clone())? == default {
            true => Ok(default),
            false => Err(value.refuse(&format!("the default, {shown}"))),
        }
    }

    /// The switch here, which is off by default.
    pub(in crate::manager) fn switch(&self) -> Result<bool, PlaceError> {
        self.option_or(false, "false", |value| {
            // Schemas of the product nest some of these twice; its clients do not.
            match value.value.is_object() {
                true => value.global(|inner| inner.boolean()),
                false => value.boolean(),
            }
        })
    }

    /// The id of the parcel that is named here, as `{"refId": option}`.
    pub(in crate::manager) fn reference(&self) -> Result<ReferenceAt, PlaceError> {
        let refer = self.fields(&["refId"])?.need("refId")?;
        refer.global(|value| {
            let id = Uuid::parse_str(value.text()?).map_err(|_| value.refuse("the id of a parcel"))?;
            Ok(ReferenceAt {
                pointer: value.pointer,
                id,
            })
        })
    }

    /// Refuses the value here.
    pub(in crate::manager) fn refuse(&self, accepted: &str) -> PlaceError {
        PlaceError::Value {
            pointer: self.shown(),
            found: shape::shown(self.value),
            accepted: accepted.to_owned(),
        }
    }

    /// Refuses what is here by a rule.
    pub(in crate::manager) fn rule(&self, problem: &dyn std::fmt::Display) -> PlaceError {
        PlaceError::Rule {
            pointer: self.shown(),
            problem: problem.to_string(),
        }
    }

    fn shown(&self) -> String {
        match self.pointer.is_empty() {
            true => "/".to_owned(),
            false => self.pointer.clone(),
        }
    }
}

/// A parcel that is named somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct ReferenceAt {
    pub(in crate::manager) pointer: String,
    pub(in crate::manager) id: Uuid,
}

impl<'a> Fields<'a> {
    /// The value of a field, if it is there.
    pub(in crate::manager) fn get(&self, field: &str) -> Option<At<'a>> {
        self.fields.get(field).map(|value| At {
            pointer: format!("{}/{}", self.pointer, escaped(field)),
            value,
        })
    }

    /// The value of a field that has to be there.
    pub(in crate::manager) fn need(&self, field: &'static str) -> Result<At<'a>, PlaceError> {
        self.get(field).ok_or_else(|| PlaceError::Missing {
            pointer: if self.pointer.is_empty() {
                "/".to_owned()
            } else {
                self.pointer.clone()
            },
            field,
        })
    }
}

/// A key as JSON pointers spell it (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
