//! One rule of a query: a field, an operator, and what it compares with.
//!
//! Owns which operators a field has. They are those that public pages and clients show.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{QueryError, object, parse_field, text};
use crate::manager::history::field::{Datum, Field, Kind, Record};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Which rows one rule takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    field: Field,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Not older than so many milliseconds, and not in the future.
    Within(u64),
    /// From one to the other, both included.
    Between(f64, f64),
    Compare(Comparison, Operand),
    OneOf(Vec<Operand>),
    NoneOf(Vec<Operand>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Text(String),
    Number(f64),
}

impl Operand {
    fn datum(&self) -> Datum<'_> {
        match self {
            Self::Text(text) => Datum::Text(text),
            Self::Number(number) => Datum::Number(*number),
        }
    }
}

/// The operators of a kind of field.
pub(super) fn operators(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Text => &["equal", "not_equal", "in", "not_in"],
        Kind::Number => &[
            "equal",
            "not_equal",
            "in",
            "not_in",
            "less",
            "less_or_equal",
            "greater",
            "greater_or_equal",
            "between",
        ],
        Kind::Date => &[
            "last_n_hours",
            "last_n_days",
            "last_n_weeks",
            "between",
            "equal",
            "not_equal",
            "less",
            "less_or_equal",
            "greater",
            "greater_or_equal",
        ],
    }
}

impl Rule {
    pub(super) fn between(start_ms: u64, end_ms: u64) -> Self {
        Self {
            field: Field::EntryTime,
            test: Test::Between(start_ms as f64, end_ms as f64),
        }
    }

    pub(super) fn parse(rule: &Value, place: &str) -> Result<Self, QueryError> {
        let rule = object(rule, place)?;
        let field = parse_field(rule.get("field"), &format!("{place}.field"))?;
        if let Some(found) = rule.get("type") {
            let place = format!("{place}.type");
            let found = text(found, &place)?;
            if !fits(found, field.kind()) {
                let found = found.to_owned();
                return Err(QueryError::Type { place, found, field });
            }
        }
        let operator_place = format!("{place}.operator");
        let operator = text(rule.get("operator").unwrap_or(&Value::Null), &operator_place)?;
        if !operators(field.kind()).contains(&operator) {
            return Err(QueryError::Operator {
                place: operator_place,
                found: operator.to_owned(),
                field,
            });
        }
        let operands = Operands {
            field,
            operator,
            place: format!("{place}.value"),
            // One value may stand for a list of one.
            values: match rule.get("value") {
                Some(Value::Array(values)) => values,
                Some(value) => std::slice::from_ref(value),
                None => &[],
            },
        };
        let test = operands.test()?;
        Ok(Self { field, test })
    }

    pub(super) fn takes(&self, record: &impl Record, now_ms: u64) -> bool {
        let found = record.datum(self.field);
        match &self.test {
            Test::Within(span_ms) => {
                let span = now_ms.saturating_sub(*span_ms) as f64..=now_ms as f64;
                matches!(found, Datum::Number(at) if span.contains(&at))
            }
            Test::Between(low, high) => matches!(found, Datum::Number(at) if (*low..=*high).contains(&at)),
            Test::Compare(comparison, operand) => {
                let order = found.cmp(&operand.datum());
                match comparison {
                    Comparison::Equal => order.is_eq(),
                    Comparison::NotEqual => order.is_ne(),
                    Comparison::Less => order.is_lt(),
                    Comparison::LessOrEqual => order.is_le(),
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                }
            }
            Test::OneOf(operands) => operands.iter().any(|operand| operand.datum() == found),
            Test::NoneOf(operands) => operands.iter().all(|operand| operand.datum() != found),
        }
    }
}

/// Whether a type that clients say is that of a field; numbers go by several names.
fn fits(said: &str, kind: Kind) -> bool {
    match kind {
        Kind::Text => said == "string",
        Kind::Number => matches!(said, "number" | "integer" | "long" | "double" | "float"),
        Kind::Date => said == "date" || said == "number",
    }
}

/// What a rule compares with, as it was written.
struct Operands<'a> {
    field: Field,
    operator: &'a str,
    place: String,
    values: &'a [Value],
}

impl Operands<'_> {
    fn test(&self) -> Result<Test, QueryError> {
        let compare = |comparison| Ok(Test::Compare(comparison, self.one()?));
        match self.operator {
            "last_n_hours" => self.within(HOUR_MS),
            "last_n_days" => self.within(24 * HOUR_MS),
            "last_n_weeks" => self.within(7 * 24 * HOUR_MS),
            "between" => match self.values {
                [low, high] => Ok(Test::Between(self.number(low)?, self.number(high)?)),
                _ => Err(self.refused("two values")),
            },
            "in" => Ok(Test::OneOf(self.all()?)),
            "not_in" => Ok(Test::NoneOf(self.all()?)),
            "not_equal" => compare(Comparison::NotEqual),
            "less" => compare(Comparison::Less),
            "less_or_equal" => compare(Comparison::LessOrEqual),
            "greater" => compare(Comparison::Greater),
            "greater_or_equal" => compare(Comparison::GreaterOrEqual),
            // The others are refused before.
            _ => compare(Comparison::Equal),
        }
    }

    fn within(&self, unit_ms: u64) -> Result<Test, QueryError> {
        let count = match self.values {
            [Value::String(text)] => text.trim().parse().ok(),
            [value] => value.as_u64(),
            _ => None,
        };
        let count = count.filter(|count| *count > 0);
        let count = count.ok_or_else(|| self.refused("one whole number above zero"))?;
        Ok(Test::Within(count.saturating_mul(unit_ms)))
    }

    fn one(&self) -> Result<Operand, QueryError> {
        match self.values {
            [value] => self.operand(value),
            _ => Err(self.refused("one value")),
        }
    }

    fn all(&self) -> Result<Vec<Operand>, QueryError> {
        if self.values.is_empty() {
            return Err(self.refused("at least one value"));
        }
        self.values.iter().map(|value| self.operand(value)).collect()
    }

    fn operand(&self, value: &Value) -> Result<Operand, QueryError> {
        match (self.field.kind(), value) {
            (Kind::Text, Value::String(text)) => Ok(Operand::Text(text.clone())),
            // Numbers of sites and the like are texts in some clients, and numbers in others.
            (Kind::Text, Value::Number(number)) => Ok(Operand::Text(number.to_string())),
            (Kind::Text, _) => Err(self.refused("strings")),
            _ => self.number(value).map(Operand::Number),
        }
    }

    fn number(&self, value: &Value) -> Result<f64, QueryError> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => match (text.trim().parse().ok(), self.field.kind()) {
                (None, Kind::Date) => parse_time(text, &TimeZone::UTC).map(|at| at as f64),
                (number, _) => number,
            },
            _ => None,
        };
        let number = number.filter(|number| number.is_finite());
        number.ok_or_else(|| {
            self.refused(match self.field.kind() {
                Kind::Date => "times, as milliseconds since 1970 or as 2026-01-31T09:30:00 in UTC",
                _ => "numbers",
            })
        })
    }

    fn refused(&self, form: &'static str) -> QueryError {
        let written: Value = self.values.into();
        let QueryError::Form { found, .. } = super::form("", &written, "") else {
            unreachable!("it makes no other")
        };
        QueryError::Operand {
            place: self.place.clone(),
            found,
            operator: self.operator.to_owned(),
            field: self.field,
            form,
        }
    }
}

/// A time as the product's pages write it, `2026-01-31T09:30:00` with or without a zone after it, in milliseconds since
/// the Unix epoch; `zone` is that of a time without one.
pub(in crate::manager) fn parse_time(text: &str, zone: &TimeZone) -> Option<u64> {
    let text = text.trim();
    let (time, zone) = match text.strip_suffix("UTC").or_else(|| text.strip_suffix("GMT")) {
        Some(time) => (time.trim_end(), &TimeZone::UTC),
        None => match text.strip_suffix('Z') {
            Some(time) => (time, &TimeZone::UTC),
            None => (text, zone),
        },
    };
    let time: DateTime = time.parse().ok()?;
    let at = zone.to_timestamp(time).ok()?;
    u64::try_from(at.as_millisecond()).ok()
}
