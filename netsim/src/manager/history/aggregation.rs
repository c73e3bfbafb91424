//! Aggregations: groups of rows, and figures over each.
//!
//! Owns the parsing of `{aggregation: {field, metrics, histogram}}` and its evaluation, which is pure. Groups are
//! nested in the order of `sequence`; at each level those of most rows come first, or by their value with an `order`, and
//! `size` of them are kept. A histogram divides the innermost groups by time. Metrics with an `order` sort the rows last.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::field::{Datum, Field, Kind, Record, number_json};
use super::query::{self, Order, QueryError, array, form, object, optional_array, parse_field, text};

/// The number of rows of a group, in each row of an answer.
const COUNT: &str = "count";
/// The widest part of a histogram, in its unit.
const INTERVAL_MAX: u64 = 1_000_000;

/// What to make of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct Aggregation {
    groups: Vec<Group>,
    metrics: Vec<Metric>,
    histogram: Option<Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    field: Field,
    size: usize,
    order: Option<Order>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Metric {
    field: Field,
    of: Figure,
    order: Option<Order>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    Average,
    Minimum,
    Maximum,
    Sum,
    /// How many different values.
    Cardinality,
    /// How many rows: what each row of an answer has anyway.
    Count,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Histogram {
    field: Field,
    width_ms: u64,
    order: Order,
}

/// A row of an answer, and what it is sorted by.
struct Made {
    row: Map<String, Value>,
    keys: Vec<(Order, f64)>,
}

impl Aggregation {
    /// That of a body.
    pub(in crate::manager) fn parse(body: &Value) -> Result<Self, QueryError> {
        const PLACE: &str = "aggregation";
        let aggregation = object(body.get(PLACE).unwrap_or(&Value::Null), PLACE)?;
        let groups = optional_array(aggregation.get("field"), "aggregation.field")?.iter();
        let groups = groups.enumerate().map(|(position, group)| {
            let place = format!("aggregation.field[{position}]");
            Ok((sequence(group, position, &place)?, Group::parse(group, &place)?))
        });
        let mut groups: Vec<(u64, Group)> = groups.collect::<Result<_, _>>()?;
        groups.sort_by_key(|(sequence, _)| *sequence);
        let metrics = array(aggregation.get("metrics"), "aggregation.metrics")?.iter();
        let metrics = metrics
            .enumerate()
            .map(|(position, metric)| Metric::parse(metric, &format!("aggregation.metrics[{position}]")));
        let histogram = aggregation
            .get("histogram")
            .filter(|histogram| !histogram.is_null());
        let aggregation = Self {
            groups: groups.into_iter().map(|(_, group)| group).collect(),
            metrics: metrics.collect::<Result<_, _>>()?,
            histogram: histogram.map(Histogram::parse).transpose()?,
        };
        aggregation.check()?;
        Ok(aggregation)
    }

    /// A row cannot have two values in one property.
    fn check(&self) -> Result<(), QueryError> {
        let groups = self.groups.iter().map(|group| ("aggregation.field", group.field));
        let metrics = self.metrics.iter().filter(|metric| metric.of != Figure::Count);
        let metrics = metrics.map(|metric| ("aggregation.metrics", metric.field));
        let histogram = self.histogram.iter();
        let histogram = histogram.map(|histogram| ("aggregation.histogram", histogram.field));
        let mut seen = BTreeSet::new();
        for (place, field) in groups.chain(histogram).chain(metrics) {
            if !seen.insert(field) {
                let place = place.to_owned();
                return Err(QueryError::Twice { place, field });
            }
        }
        Ok(())
    }

    /// The rows of the answer.
    pub(in crate::manager) fn of<R: Record>(&self, records: &[R]) -> Vec<Value> {
        let mut made = Vec::new();
        let records: Vec<&R> = records.iter().collect();
        if !records.is_empty() {
            self.group(&self.groups, &records, &Map::new(), &mut made);
        }
        made.sort_by(|one, other| {
            let mut keys = one.keys.iter().zip(&other.keys);
            let orders = keys.find_map(|((order, one), (_, other))| {
                Some(order.of(one.total_cmp(other))).filter(|order| order.is_ne())
            });
            orders.unwrap_or(Ordering::Equal)
        });
        made.into_iter().map(|made| Value::Object(made.row)).collect()
    }

    fn group<R: Record>(
        &self,
        groups: &[Group],
        records: &[&R],
        row: &Map<String, Value>,
        made: &mut Vec<Made>,
    ) {
        let Some((group, inner)) = groups.split_first() else {
            return self.divide(records, row, made);
        };
        for (value, records) in group.of(records) {
            let mut row = row.clone();
            row.insert(group.field.name().to_owned(), value.json());
            self.group(inner, &records, &row, made);
        }
    }

    fn divide<R: Record>(&self, records: &[&R], row: &Map<String, Value>, made: &mut Vec<Made>) {
        let Some(histogram) = &self.histogram else {
            return made.push(self.measure(records, row.clone()));
        };
        for (start, records) in histogram.of(records) {
            let mut row = row.clone();
            row.insert(histogram.field.name().to_owned(), start.into());
            made.push(self.measure(&records, row));
        }
    }

    fn measure<R: Record>(&self, records: &[&R], mut row: Map<String, Value>) -> Made {
        let mut keys = Vec::new();
        for metric in &self.metrics {
            let figure = metric.figure(records);
            if metric.of != Figure::Count {
                row.insert(metric.field.name().to_owned(), number_json(figure));
            }
            keys.extend(metric.order.map(|order| (order, figure)));
        }
        row.insert(COUNT.to_owned(), records.len().into());
        Made { row, keys }
    }
}

impl Group {
    fn parse(group: &Value, place: &str) -> Result<Self, QueryError> {
        let group = object(group, place)?;
        Ok(Self {
            field: parse_field(group.get("property"), &format!("{place}.property"))?,
            size: query::size(group.get("size"), &format!("{place}.size"))?,
            order: Order::parse(group.get("order"), &format!("{place}.order"))?,
        })
    }

    fn of<'a, R: Record>(&self, records: &[&'a R]) -> Vec<(Datum<'a>, Vec<&'a R>)> {
        let mut by_value: BTreeMap<Datum<'a>, Vec<&'a R>> = BTreeMap::new();
        for record in records {
            by_value.entry(record.datum(self.field)).or_default().push(record);
        }
        let mut groups: Vec<_> = by_value.into_iter().collect();
        match self.order {
            Some(Order::Ascending) => {}
            Some(Order::Descending) => groups.reverse(),
            None => groups.sort_by_key(|(_, records)| std::cmp::Reverse(records.len())),
        }
        groups.truncate(self.size);
        groups
    }
}

impl Metric {
    fn parse(metric: &Value, place: &str) -> Result<Self, QueryError> {
        let metric = object(metric, place)?;
        let field = parse_field(metric.get("property"), &format!("{place}.property"))?;
        let type_place = format!("{place}.type");
        let found = text(metric.get("type").unwrap_or(&Value::Null), &type_place)?;
        let of = match found {
            "avg" => Figure::Average,
            "min" => Figure::Minimum,
            "max" => Figure::Maximum,
            "sum" => Figure::Sum,
            "cardinality" => Figure::Cardinality,
            "count" => Figure::Count,
            other => {
                return Err(form(
                    &type_place,
                    &other.into(),
                    "avg, min, max, sum, cardinality or count",
                ));
            }
        };
        if field.kind() == Kind::Text && !matches!(of, Figure::Cardinality | Figure::Count) {
            let (place, found) = (type_place, found.to_owned());
            return Err(QueryError::Type { place, found, field });
        }
        let order = Order::parse(metric.get("order"), &format!("{place}.order"))?;
        Ok(Self { field, of, order })
    }

    fn figure<R: Record>(&self, records: &[&R]) -> f64 {
        let numbers = || {
            records
                .iter()
                .filter_map(|record| match record.datum(self.field) {
                    Datum::Number(number) => Some(number),
                    Datum::Text(_) => None,
                })
        };
        match self.of {
            Figure::Average => numbers().sum::<f64>() / records.len() as f64,
            Figure::Minimum => numbers().fold(f64::INFINITY, f64::min),
            Figure::Maximum => numbers().fold(f64::NEG_INFINITY, f64::max),
            Figure::Sum => numbers().sum(),
            Figure::Cardinality => {
                let values: BTreeSet<_> = records.iter().map(|record| record.datum(self.field)).collect();
                values.len() as f64
            }
            Figure::Count => records.len() as f64,
        }
    }
}

impl Histogram {
    fn parse(histogram: &Value) -> Result<Self, QueryError> {
        const PLACE: &str = "aggregation.histogram";
        let histogram = object(histogram, PLACE)?;
        let field = parse_field(histogram.get("property"), "aggregation.histogram.property")?;
        let unit = text(
            histogram.get("type").unwrap_or(&Value::Null),
            "aggregation.histogram.type",
        )?;
        if field.kind() != Kind::Date {
            return Err(QueryError::Type {
                place: PLACE.to_owned(),
                found: unit.to_owned(),
                field,
            });
        }
        let unit_ms: u64 = match unit {
            "second" => 1000,
            "minute" => 60 * 1000,
            "hour" => 60 * 60 * 1000,
            "day" => 24 * 60 * 60 * 1000,
            other => {
                return Err(form(
                    "aggregation.histogram.type",
                    &other.into(),
                    "second, minute, hour or day",
                ));
            }
        };
        let place = "aggregation.histogram.interval";
        let interval = histogram.get("interval").unwrap_or(&Value::Null);
        let count = match interval {
            Value::Null => Some(1),
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        let count = count.filter(|count| (1..=INTERVAL_MAX).contains(count));
        let count = count.ok_or_else(|| form(place, interval, "a whole number from 1 to 1000000"))?;
        Ok(Self {
            field,
            width_ms: unit_ms * count,
            order: Order::parse(histogram.get("order"), "aggregation.histogram.order")?
                .unwrap_or(Order::Ascending),
        })
    }

    /// The rows by the beginning of their part of time, in milliseconds since the Unix epoch.
    fn of<'a, R: Record>(&self, records: &[&'a R]) -> Vec<(u64, Vec<&'a R>)> {
        let mut by_start: BTreeMap<u64, Vec<&'a R>> = BTreeMap::new();
        for record in records {
            if let Datum::Number(at) = record.datum(self.field) {
                // Times are whole and not negative.
                let at = at as u64;
                by_start.entry(at - at % self.width_ms).or_default().push(record);
            }
        }
        let mut parts: Vec<_> = by_start.into_iter().collect();
        if self.order == Order::Descending {
            parts.reverse();
        }
        parts
    }
}

/// Where a group stands among the others: as it says, or as it is written.
fn sequence(group: &Value, position: usize, place: &str) -> Result<u64, QueryError> {
    match group.get("sequence") {
        None => Ok(u64::try_from(position).unwrap_or(u64::MAX)),
        Some(sequence) => {
            let number = sequence.as_u64();
            number.ok_or_else(|| {
                form(
                    &format!("{place}.sequence"),
                    sequence,
                    "a whole number, 0 or more",
                )
            })
        }
    }
}

#[cfg(test)]
mod tests;
