//! Holding an object against its schema.
//!
//! Owns the words: they are those of kube-apiserver, since people and tests read them. What is as it was before an
//! update may break the schema, since it may have learned rules in between.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{ListType, Position, Schema, child, element, formats};
use crate::status::{FieldError, FieldRule};

/// Where a value is, and what was there before.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    position: Position,
    old: Option<&'a Value>,
}

impl<'a> Place<'a> {
    fn inside(path: &'a str, old: Option<&'a Value>) -> Self {
        let position = Position::Inside;
        Place { path, position, old }
    }
}

impl Schema {
    /// Every rule of the schema that a whole object breaks, which is to follow `current`.
    pub(crate) fn validate(&self, current: Option<&Value>, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let place = Place {
            path: "",
            position: Position::Root,
            old: current,
        };
        self.check(object, place, &mut errors);
        errors
    }

    /// Every rule that a value inside of an object breaks.
    pub(super) fn validate_value(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.check(value, Place::inside("", None), &mut errors);
        errors
    }

    fn check(&self, value: &Value, place: Place<'_>, errors: &mut Vec<FieldError>) {
        if (value.is_null() && self.nullable) || place.old == Some(value) {
            return;
        }
        let path = place.path;
        errors.extend(self.wrong_type(value, path));
        match value {
            Value::String(text) => self.check_string(text, path, errors),
            Value::Number(number) => self.check_number(number.as_f64().unwrap_or(0.0), value, path, errors),
            Value::Array(elements) => self.check_list(elements, place, errors),
            Value::Object(fields) => self.check_object(fields, place, errors),
            Value::Null | Value::Bool(_) => {}
        }
        if !self.allowed.is_empty() && !self.allowed.contains(value) {
            let supported = self.allowed.iter().map(plain).collect();
            let value = value.clone();
            errors.push(FieldError::new(path, FieldRule::Unsupported { value, supported }));
        }
        self.check_combinations(value, place, errors);
    }

    fn wrong_type(&self, value: &Value, path: &str) -> Option<FieldError> {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let expected = match self.type_name.as_str() {
            "" if self.is_int_or_string => "integer,string",
            expected => expected,
        };
        let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
        let fits = expected.is_empty()
            || expected.split(',').any(|expected| {
                expected == found
                    || (expected == "number" && found == "integer")
                    || (expected == "integer" && found == "number" && is_whole)
            });
        (!fits).then(|| {
            let message = format!("{path} in body must be of type {expected}: {found:?}");
            wrong_type(path, found, message)
        })
    }

    fn check_string(&self, text: &str, path: &str, errors: &mut Vec<FieldError>) {
        let invalid = |expected: String| FieldError::new(path, limit(text, path, &expected));
        let length = text.chars().count();
        if let Some(max) = self.max_length
            && length > max
        {
            errors.push(FieldError::new(path, FieldRule::TooLong { bytes_max: max }));
        } else if let Some(min) = self.min_length
            && length < min
        {
            errors.push(invalid(format!("should be at least {min} chars long")));
        } else if let Some(pattern) = &self.pattern
            && let Ok(compiled) = &pattern.compiled
            && !compiled.is_match(text)
        {
            errors.push(invalid(format!("should match '{}'", pattern.text)));
        }
        if !formats::has(&self.format, text) {
            let message = format!("{path} in body must be of type {}: {text:?}", self.format);
            errors.push(wrong_type(path, text, message));
        }
    }

    fn check_number(&self, number: f64, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let mut refuse = |broken: bool, expected: String| {
            if broken {
                errors.push(FieldError::new(path, limit(value.clone(), path, &expected)));
            }
        };
        match (self.maximum, self.exclusive_maximum) {
            (Some(max), true) => refuse(number >= max, format!("should be less than {max}")),
            (Some(max), false) => refuse(number > max, format!("should be less than or equal to {max}")),
            (None, _) => {}
        }
        match (self.minimum, self.exclusive_minimum) {
            (Some(min), true) => refuse(number <= min, format!("should be greater than {min}")),
            (Some(min), false) => refuse(number < min, format!("should be greater than or equal to {min}")),
            (None, _) => {}
        }
        if let Some(step) = self.multiple_of {
            refuse(
                (number / step).fract() != 0.0,
                format!("should be a multiple of {step}"),
            );
        }
    }

    fn check_list(&self, elements: &[Value], place: Place<'_>, errors: &mut Vec<FieldError>) {
        let (path, count) = (place.path, elements.len());
        if let Some(items) = self.items() {
            for (at, value) in elements.iter().enumerate() {
                let old = self.old_element(place.old, value);
                items.check(value, Place::inside(&element(path, at), old), errors);
            }
        }
        if let Some(max) = self.max_items
            && count > max
        {
            errors.push(FieldError::new(path, FieldRule::TooMany { found: count, max }));
        }
        if let Some(min) = self.min_items
            && count < min
        {
            let expected = format!("should have at least {min} items");
            errors.push(FieldError::new(path, limit(count, path, &expected)));
        }
        self.check_uniqueness(elements, path, errors);
    }

    fn check_uniqueness(&self, elements: &[Value], path: &str, errors: &mut Vec<FieldError>) {
        let mut seen = HashSet::new();
        for (at, value) in elements.iter().enumerate() {
            let key = match self.list_type() {
                ListType::Atomic => return,
                ListType::Set => value.clone(),
                ListType::Map => self.key_of(value),
            };
            if !seen.insert(key.clone()) {
                errors.push(FieldError::new(
                    element(path, at),
                    FieldRule::Duplicate { value: key },
                ));
            }
        }
    }

    fn check_object(&self, fields: &Map<String, Value>, place: Place<'_>, errors: &mut Vec<FieldError>) {
        let path = place.path;
        if let Some(max) = self.max_properties
            && fields.len() > max
        {
            let found = fields.len();
            errors.push(FieldError::new(path, FieldRule::TooMany { found, max }));
        }
        if let Some(min) = self.min_properties
            && fields.len() < min
        {
            let expected = format!("should have at least {min} properties");
            errors.push(FieldError::new(path, limit(fields.len(), path, &expected)));
        }
        let missing = self.required.iter().filter(|name| !fields.contains_key(*name));
        errors.extend(missing.map(|name| FieldError::required(child(path, name))));
        if self.is_embedded_resource && place.position == Position::Inside {
            let is_there = |field: &&str| fields.get(*field).is_some_and(|value| value != "");
            let missing = ["apiVersion", "kind"]
                .into_iter()
                .filter(|field| !is_there(field));
            errors.extend(missing.map(|field| FieldError::required(child(path, field))));
        }
        for (name, value) in fields {
            if let Some(inner) = self.field(name) {
                let old = self.old_field(place.old, name);
                inner.check(value, Place::inside(&child(path, name), old), errors);
            }
        }
    }

    fn check_combinations(&self, value: &Value, place: Place<'_>, errors: &mut Vec<FieldError>) {
        // A branch speaks of the whole value, part of which has changed.
        let place = Place { old: None, ..place };
        let broken = |schema: &Schema| {
            let mut errors = Vec::new();
            schema.check(value, place, &mut errors);
            errors
        };
        let refuse = |errors: &mut Vec<FieldError>, expected: &str, why: Vec<FieldError>| {
            // Upstream names no field here, and prints that as Go prints nothing.
            let (value, expected) = (json!(""), format!("{:?} must {expected}", place.path));
            errors.push(FieldError::new("<nil>", FieldRule::Limit { value, expected }));
            errors.extend(why);
        };
        let nearest = |outcomes: Vec<Vec<FieldError>>| outcomes.into_iter().min_by_key(Vec::len);
        if !self.any_of.is_empty() {
            let outcomes: Vec<_> = self.any_of.iter().map(broken).collect();
            if outcomes.iter().all(|errors| !errors.is_empty()) {
                let why = nearest(outcomes).unwrap_or_default();
                refuse(errors, "validate at least one schema (anyOf)", why);
            }
        }
        if !self.one_of.is_empty() {
            let outcomes: Vec<_> = self.one_of.iter().map(broken).collect();
            match outcomes.iter().filter(|errors| errors.is_empty()).count() {
                1 => {}
                0 => refuse(
                    errors,
                    "validate one and only one schema (oneOf). Found none valid",
                    nearest(outcomes).unwrap_or_default(),
                ),
                count => refuse(
                    errors,
                    &format!("validate one and only one schema (oneOf). Found {count} valid alternatives"),
                    Vec::new(),
                ),
            }
        }
        let why: Vec<FieldError> = self.all_of.iter().flat_map(broken).collect();
        if !why.is_empty() {
            errors.extend(why);
            refuse(errors, "validate all the schemas (allOf)", Vec::new());
        }
        if let Some(not) = &self.not
            && broken(not).is_empty()
        {
            refuse(errors, "not validate the schema (not)", Vec::new());
        }
    }
}

fn limit(value: impl Into<Value>, path: &str, expected: &str) -> FieldRule {
    FieldRule::Limit {
        value: value.into(),
        expected: format!("{path} in body {expected}"),
    }
}

fn wrong_type(path: &str, value: &str, expected: String) -> FieldError {
    let value = value.to_owned();
    FieldError::new(path, FieldRule::Type { value, expected })
}

/// A string as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
