//! What is wrong with one field of an object, in upstream's words.
//!
//! Owns the wording alone; a [`crate::status::Status`] collects what a whole object breaks.

use std::borrow::Cow;

use serde_json::Value;

/// One broken field of a `422`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) rule: FieldRule,
}

/// The rule a field breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldRule {
    Required,
    RequiredFor {
        what: &'static str,
    },
    RequiredBecause {
        why: String,
    },
    Invalid {
        value: String,
        expected: Cow<'static, str>,
    },
    /// As `Invalid`, of a value that is shown as JSON.
    Limit {
        value: Value,
        expected: String,
    },
    /// As `Invalid`, of a value that is shown as it is.
    Printed {
        value: String,
        expected: String,
    },
    Type {
        value: String,
        expected: String,
    },
    Unsupported {
        value: Value,
        supported: Vec<String>,
    },
    Duplicate {
        value: Value,
    },
    TooLong {
        bytes_max: usize,
    },
    TooMany {
        found: usize,
        max: usize,
    },
    Immutable {
        value: String,
    },
    Forbidden {
        why: &'static str,
    },
    ForbiddenBecause {
        why: String,
    },
}

impl FieldRule {
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            FieldRule::Required | FieldRule::RequiredFor { .. } | FieldRule::RequiredBecause { .. } => {
                "FieldValueRequired"
            }
            FieldRule::Invalid { .. }
            | FieldRule::Limit { .. }
            | FieldRule::Printed { .. }
            | FieldRule::Immutable { .. } => "FieldValueInvalid",
            FieldRule::Type { .. } => "FieldValueTypeInvalid",
            FieldRule::Unsupported { .. } => "FieldValueNotSupported",
            FieldRule::Duplicate { .. } => "FieldValueDuplicate",
            FieldRule::TooLong { .. } => "FieldValueTooLong",
            FieldRule::TooMany { .. } => "FieldValueTooMany",
            FieldRule::Forbidden { .. } | FieldRule::ForbiddenBecause { .. } => "FieldValueForbidden",
        }
    }
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, rule: FieldRule) -> Self {
        FieldError {
            field: field.into(),
            rule,
        }
    }

    pub(crate) fn required(field: impl Into<String>) -> Self {
        FieldError::new(field, FieldRule::Required)
    }

    pub(crate) fn required_because(field: impl Into<String>, why: impl Into<String>) -> Self {
        FieldError::new(field, FieldRule::RequiredBecause { why: why.into() })
    }

    pub(crate) fn invalid(
        field: impl Into<String>,
        value: impl ToString,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        FieldError::new(
            field,
            FieldRule::Invalid {
                value: value.to_string(),
                expected: expected.into(),
            },
        )
    }

    /// An invalid value that is shown as JSON.
    pub(crate) fn limit(field: impl Into<String>, value: Value, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        FieldError::new(field, FieldRule::Limit { value, expected })
    }

    pub(crate) fn message(&self) -> String {
        match &self.rule {
            FieldRule::Required => "Required value".to_owned(),
            FieldRule::RequiredFor { what } => format!("Required value: is required for {what}"),
            FieldRule::RequiredBecause { why } => format!("Required value: {why}"),
            FieldRule::Invalid { value, expected } => format!("Invalid value: \"{value}\": {expected}"),
            FieldRule::Limit { value, expected } => format!("Invalid value: {value}: {expected}"),
            FieldRule::Printed { value, expected } => format!("Invalid value: {value}: {expected}"),
            FieldRule::Type { value, expected } => format!("Invalid value: {value:?}: {expected}"),
            FieldRule::Unsupported { value, supported } => {
                let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
                format!(
                    "Unsupported value: {value}: supported values: {}",
                    supported.join(", ")
                )
            }
            FieldRule::Duplicate { value } => format!("Duplicate value: {value}"),
            FieldRule::TooLong { bytes_max: 1 } => "Too long: may not be more than 1 byte".to_owned(),
            FieldRule::TooLong { bytes_max } => format!("Too long: may not be more than {bytes_max} bytes"),
            FieldRule::TooMany { found, max: 1 } => format!("Too many: {found}: must have at most 1 item"),
            FieldRule::TooMany { found, max } => format!("Too many: {found}: must have at most {max} items"),
            FieldRule::Immutable { value } => format!("Invalid value: \"{value}\": field is immutable"),
            FieldRule::Forbidden { why } => format!("Forbidden: {why}"),
            FieldRule::ForbiddenBecause { why } => format!("Forbidden: {why}"),
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}
