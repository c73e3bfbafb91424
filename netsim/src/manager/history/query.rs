//! The query language of statistics: which rows, in which order, with which fields.
//!
//! Owns the parsing of a body `{query, fields, size, sort}` and the choice of rows. Pure: time and rows are passed in.
//! Invariant: a query that was parsed can be put to any rows; what it says wrong is said by place, value and accepted
//! form.

mod rule;

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::field::{Field, Record};
use rule::Rule;
pub(in crate::manager) use rule::parse_time;

/// As many rows are answered unless the query says otherwise, and never more at once; the rest is for pages.
pub(in crate::manager) const SIZE_MAX: usize = 10_000;

/// Why a query was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::manager) enum QueryError {
    /// Something is of another JSON type, or missing.
    #[error("{place} is {found}, not {form}")]
    Form {
        /// Where, such as `query.rules[0].value`.
        place: String,
        /// What is there.
        found: String,
        /// What could be.
        form: &'static str,
    },
    /// A field that rows do not have.
    #[error(
        "{place} is `{name}`, which is no field of these statistics; fields are {}",
        field_names()
    )]
    Field {
        /// Where.
        place: String,
        /// The name.
        name: String,
    },
    /// Not what the field holds.
    #[error("{place} is `{found}`, but field {} is of type {}", field.name(), field.kind().name())]
    Type {
        /// Where.
        place: String,
        /// The type that was given.
        found: String,
        /// The field.
        field: Field,
    },
    /// An operator that the field does not have.
    #[error("{place} is `{found}`; field {} takes {}", field.name(), rule::operators(field.kind()).join(", "))]
    Operator {
        /// Where.
        place: String,
        /// The operator.
        found: String,
        /// The field.
        field: Field,
    },
    /// A value that the operator cannot use.
    #[error("{place} is {found}; {operator} of field {} takes {form}", field.name())]
    Operand {
        /// Where.
        place: String,
        /// What is there.
        found: String,
        /// The operator.
        operator: String,
        /// The field.
        field: Field,
        /// What could be there.
        form: &'static str,
    },
    /// One property for two things of an answer's row.
    #[error("{place} is `{}` once more; a row has it once", field.name())]
    Twice {
        /// Where.
        place: String,
        /// The property.
        field: Field,
    },
}

fn field_names() -> String {
    let names: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
    names.join(", ")
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::manager) struct Filter {
    any: bool,
    rules: Vec<Rule>,
}

impl Filter {
    /// The filter of a body's `query`; without one all rows are taken.
    pub(in crate::manager) fn parse(body: &Value) -> Result<Self, QueryError> {
        let body = object(body, "the body")?;
        let Some(query) = body.get("query").filter(|query| !query.is_null()) else {
            return Ok(Self::default());
        };
        let query = object(query, "query")?;
        let any = match query
            .get("condition")
            .map(|condition| text(condition, "query.condition"))
        {
            None => false,
            Some(Ok(condition)) if condition.eq_ignore_ascii_case("AND") => false,
            Some(Ok(condition)) if condition.eq_ignore_ascii_case("OR") => true,
            Some(other) => return Err(form("query.condition", &other?.into(), "AND or OR")),
        };
        let rules = array(query.get("rules"), "query.rules")?.iter().enumerate();
        let rules = rules.map(|(position, rule)| Rule::parse(rule, &format!("query.rules[{position}]")));
        Ok(Self {
            any,
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// The rows from `start` to `end`, both included, in milliseconds since the Unix epoch.
    pub(in crate::manager) fn between(start_ms: u64, end_ms: u64) -> Self {
        Self {
            any: false,
            rules: vec![Rule::between(start_ms, end_ms)],
        }
    }

    /// Whether it takes a row, `now_ms` being milliseconds since the Unix epoch. Without a rule it takes every row.
    pub(in crate::manager) fn takes(&self, record: &impl Record, now_ms: u64) -> bool {
        let mut rules = self.rules.iter();
        if self.any && !self.rules.is_empty() {
            return rules.any(|rule| rule.takes(record, now_ms));
        }
        rules.all(|rule| rule.takes(record, now_ms))
    }
}

/// In which direction values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::manager) enum Order {
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

impl Order {
    /// `asc` or `desc`, if there is any.
    pub(in crate::manager) fn parse(value: Option<&Value>, place: &str) -> Result<Option<Self>, QueryError> {
        let Some(value) = value else { return Ok(None) };
        match text(value, place)? {
            order if order.eq_ignore_ascii_case("asc") => Ok(Some(Self::Ascending)),
            order if order.eq_ignore_ascii_case("desc") => Ok(Some(Self::Descending)),
            other => Err(form(place, &other.into(), "asc or desc")),
        }
    }

    /// An ordering in this direction.
    pub(in crate::manager) fn of(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

/// How chosen rows are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct View {
    /// As many rows at most.
    pub(in crate::manager) size: usize,
    sort: Vec<(Field, Order)>,
    fields: Vec<Field>,
}

impl Default for View {
    fn default() -> Self {
        Self::of_size(SIZE_MAX)
    }
}

impl View {
    /// So many whole rows, as they come.
    pub(in crate::manager) fn of_size(size: usize) -> Self {
        Self {
            size,
            sort: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// That of a body's `size`, `sort` and `fields`.
    pub(in crate::manager) fn parse(body: &Value) -> Result<Self, QueryError> {
        let sort = optional_array(body.get("sort"), "sort")?.iter().enumerate();
        let sort = sort.map(|(position, sort)| {
            let place = format!("sort[{position}]");
            let sort = object(sort, &place)?;
            let field = parse_field(sort.get("field"), &format!("{place}.field"))?;
            let order = Order::parse(sort.get("order"), &format!("{place}.order"))?;
            Ok((field, order.unwrap_or(Order::Ascending)))
        });
        let fields = optional_array(body.get("fields"), "fields")?.iter().enumerate();
        let fields = fields.map(|(position, field)| parse_field(Some(field), &format!("fields[{position}]")));
        Ok(Self {
            size: size(body.get("size"), "size")?,
            sort: sort.collect::<Result<_, _>>()?,
            fields: fields.collect::<Result<_, _>>()?,
        })
    }

    /// Brings rows into its order; what it does not tell apart stays as it was.
    pub(in crate::manager) fn sort(&self, records: &mut [impl Record]) {
        if self.sort.is_empty() {
            return;
        }
        records.sort_by(|one, other| {
            let mut orders = self.sort.iter();
            let of = |(field, order): &(Field, Order)| order.of(one.datum(*field).cmp(&other.datum(*field)));
            orders
                .find_map(|key| Some(of(key)).filter(|order| order.is_ne()))
                .unwrap_or(Ordering::Equal)
        });
    }

    /// A row with its fields; with all if it names none.
    pub(in crate::manager) fn row(&self, record: &impl Record) -> Value {
        let fields = if self.fields.is_empty() {
            Field::ALL
        } else {
            &self.fields
        };
        let pairs = fields.iter();
        pairs
            .map(|field| (field.name().to_owned(), record.datum(*field).json()))
            .collect()
    }
}

/// A number of rows: at most [`SIZE_MAX`], which it is by default.
pub(in crate::manager) fn size(value: Option<&Value>, place: &str) -> Result<usize, QueryError> {
    let Some(value) = value else { return Ok(SIZE_MAX) };
    let size = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let size = size.ok_or_else(|| form(place, value, "a whole number, 0 or more"))?;
    Ok(usize::try_from(size).unwrap_or(SIZE_MAX).min(SIZE_MAX))
}

pub(super) fn parse_field(value: Option<&Value>, place: &str) -> Result<Field, QueryError> {
    let name = text(value.unwrap_or(&Value::Null), place)?;
    Field::of(name).ok_or_else(|| QueryError::Field {
        place: place.to_owned(),
        name: name.to_owned(),
    })
}

pub(super) fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, QueryError> {
    value.as_object().ok_or_else(|| form(place, value, "an object"))
}

pub(super) fn text<'a>(value: &'a Value, place: &str) -> Result<&'a str, QueryError> {
    value.as_str().ok_or_else(|| form(place, value, "a string"))
}

pub(super) fn array<'a>(value: Option<&'a Value>, place: &str) -> Result<&'a [Value], QueryError> {
    let value = value.unwrap_or(&Value::Null);
    let array = value.as_array().ok_or_else(|| form(place, value, "an array"))?;
    Ok(array)
}

pub(super) fn optional_array<'a>(value: Option<&'a Value>, place: &str) -> Result<&'a [Value], QueryError> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        some => array(some, place),
    }
}

pub(super) fn form(place: &str, found: &Value, form: &'static str) -> QueryError {
    /// Longer values are cut: an error is for people.
    const SHOWN_MAX: usize = 100;
    let mut shown = if found.is_null() {
        "missing".to_owned()
    } else {
        found.to_string()
    };
    if let Some((end, _)) = shown.char_indices().nth(SHOWN_MAX) {
        shown.truncate(end);
        shown.push('…');
    }
    QueryError::Form {
        place: place.to_owned(),
        found: shown,
        form,
    }
}

#[cfg(test)]
mod tests;
