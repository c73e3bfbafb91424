//! Queries and aggregations against naive ones, which share no code with them but the names of fields.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::aggregation::Aggregation;
use super::field::{Datum, Field, Record};
use super::query::{Filter, View};

const NOW: u64 = 3_000_000_000;

/// A row as JSON has it.
#[derive(Debug, Clone)]
struct Flat {
    at: u64,
    color: &'static str,
    name: &'static str,
    loss: u32,
    latency: u32,
}

impl Record for Flat {
    fn datum(&self, field: Field) -> Datum<'_> {
        match field {
            Field::EntryTime => Datum::Number(self.at as f64),
            Field::LocalColor => Datum::Text(self.color),
            Field::Name => Datum::Text(self.name),
            Field::Loss => Datum::Number(self.loss.into()),
            Field::Latency => Datum::Number(self.latency.into()),
            _ => Datum::Text(""),
        }
    }
}

fn flat() -> impl Strategy<Value = Flat> {
    let colors = prop::sample::select(vec!["mpls", "lte", "biz-internet"]);
    let names = prop::sample::select(vec!["a", "b"]);
    (NOW - 200_000_000..NOW + 1000, colors, names, 0..4_u32, 0..50_u32).prop_map(
        |(at, color, name, loss, latency)| Flat {
            at,
            color,
            name,
            loss,
            latency,
        },
    )
}

/// A rule, and whether a row fits it, said a second time.
#[derive(Debug, Clone)]
enum Said {
    Hours(u64),
    Days(u64),
    Between(u64, u64),
    Colors(Vec<&'static str>, bool),
    Loss(&'static str, u32),
}

fn said() -> impl Strategy<Value = Said> {
    let colors = prop::sample::subsequence(vec!["mpls", "lte", "3g"], 1..3);
    // On purpose not the list of `rule`: a word that it lost would be lost here, too.
    let comparisons = prop::sample::select(vec![
        "equal",
        "not_equal",
        "less",
        "less_or_equal",
        "greater",
        "greater_or_equal",
    ]);
    prop_oneof![
        (1..60_u64).prop_map(Said::Hours),
        (1..3_u64).prop_map(Said::Days),
        (NOW - 200_000_000..NOW, 0..100_000_000_u64).prop_map(|(low, span)| Said::Between(low, low + span)),
        (colors, any::<bool>()).prop_map(|(colors, is_in)| Said::Colors(colors, is_in)),
        (comparisons, 0..4_u32).prop_map(|(comparison, loss)| Said::Loss(comparison, loss)),
    ]
}

impl Said {
    fn json(&self) -> Value {
        let (field, kind, operator, value) = match self {
            Self::Hours(hours) => ("entry_time", "date", "last_n_hours", json!([hours.to_string()])),
            Self::Days(days) => ("entry_time", "date", "last_n_days", json!([days])),
            Self::Between(low, high) => ("entry_time", "date", "between", json!([low, high.to_string()])),
            Self::Colors(colors, true) => ("local_color", "string", "in", json!(colors)),
            Self::Colors(colors, false) => ("local_color", "string", "not_in", json!(colors)),
            Self::Loss(comparison, loss) => ("loss", "number", *comparison, json!([loss])),
        };
        json!({ "field": field, "type": kind, "operator": operator, "value": value })
    }

    fn fits(&self, row: &Flat) -> bool {
        let ago = |seconds: u64| row.at <= NOW && NOW - row.at <= seconds * 1000;
        match self {
            Self::Hours(hours) => ago(hours * 3600),
            Self::Days(days) => ago(days * 86_400),
            Self::Between(low, high) => !(row.at < *low || row.at > *high),
            Self::Colors(colors, is_in) => colors.contains(&row.color) == *is_in,
            Self::Loss("equal", loss) => row.loss == *loss,
            Self::Loss("not_equal", loss) => row.loss != *loss,
            Self::Loss("less", loss) => row.loss < *loss,
            Self::Loss("less_or_equal", loss) => row.loss <= *loss,
            Self::Loss("greater", loss) => row.loss > *loss,
            Self::Loss(_, loss) => row.loss >= *loss,
        }
    }
}

proptest! {
    #[test]
    fn a_query_takes_the_rows_that_a_naive_one_takes(
        rows in prop::collection::vec(flat(), 0..40),
        rules in prop::collection::vec(said(), 0..4),
        any in any::<bool>(),
    ) {
        let condition = if any { "OR" } else { "AND" };
        let written: Vec<Value> = rules.iter().map(Said::json).collect();
        let filter = Filter::parse(&json!({ "query": { "condition": condition, "rules": written } })).unwrap();
        for row in &rows {
            let fitting = rules.iter().filter(|rule| rule.fits(row)).count();
            let expected = if any && !rules.is_empty() { fitting > 0 } else { fitting == rules.len() };
            prop_assert_eq!(filter.takes(row, NOW), expected, "{:?}", row);
        }
    }

    #[test]
    fn sorting_keeps_all_rows_and_orders_them(
        mut rows in prop::collection::vec(flat(), 0..40),
        descending in any::<bool>(),
    ) {
        let order = if descending { "desc" } else { "asc" };
        let view = View::parse(&json!({ "sort": [{ "field": "loss", "order": order }, { "field": "name" }] })).unwrap();
        let mut expected: Vec<_> = rows.iter().map(|row| (row.loss, row.name)).collect();
        view.sort(&mut rows);
        expected.sort_by_key(|(loss, name)| (if descending { 10 - loss } else { *loss }, *name));
        prop_assert_eq!(rows.iter().map(|row| (row.loss, row.name)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_aggregation_is_what_a_naive_one_is(
        rows in prop::collection::vec(flat(), 0..60),
        minutes in 1..200_u64,
        size in 1..4_usize,
    ) {
        let aggregation = Aggregation::parse(&json!({ "aggregation": {
            "field": [
                { "property": "name", "sequence": 2, "order": "desc" },
                { "property": "local_color", "sequence": 1, "order": "asc", "size": size },
            ],
            "metrics": [
                { "property": "latency", "type": "avg" },
                { "property": "loss", "type": "max" },
                { "property": "total", "type": "cardinality" },
            ],
            "histogram": { "property": "entry_time", "type": "minute", "interval": minutes },
        }}));
        let found = aggregation.unwrap().of(&rows);
        prop_assert_eq!(found, naive(&rows, minutes, size));
    }

    #[test]
    fn no_query_makes_it_panic(body in json_value()) {
        let body = json!({ "query": { "rules": [body.clone()] }, "aggregation": body.clone(), "sort": body });
        let row = Flat { at: 1, color: "mpls", name: "a", loss: 1, latency: 1 };
        if let Ok(filter) = Filter::parse(&body) {
            filter.takes(&row, 0);
        }
        let _ = View::parse(&body);
        if let Ok(aggregation) = Aggregation::parse(&body) {
            aggregation.of(&[row]);
        }
    }
}

/// Groups by text, one row at a time.
fn naive(rows: &[Flat], minutes: u64, size: usize) -> Vec<Value> {
    let mut colors: Vec<&str> = rows.iter().map(|row| row.color).collect();
    colors.sort_unstable();
    colors.dedup();
    colors.truncate(size);
    let mut answer = Vec::new();
    for color in colors {
        for name in ["b", "a"] {
            let mut parts: BTreeMap<u64, Vec<&Flat>> = BTreeMap::new();
            for row in rows {
                if row.color == color && row.name == name {
                    let part = row.at / 60_000 / minutes;
                    parts.entry(part).or_default().push(row);
                }
            }
            for (part, rows) in parts {
                let sum: u32 = rows.iter().map(|row| row.latency).sum();
                let mean = f64::from(sum) / rows.len() as f64;
                answer.push(json!({
                    "local_color": color,
                    "name": name,
                    "entry_time": part * minutes * 60_000,
                    "latency": if mean.fract() == 0.0 { json!(mean as i64) } else { json!(mean) },
                    "loss": rows.iter().map(|row| row.loss).max(),
                    "total": 1,
                    "count": rows.len(),
                }));
            }
        }
    }
    answer
}

/// JSON of the words that queries have, mostly in the wrong places.
fn json_value() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "loss",
        "entry_time",
        "name",
        "avg",
        "between",
        "last_n_weeks",
        "in",
        "minute",
        "99999999999999999999",
        "asc",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "field",
        "type",
        "operator",
        "value",
        "property",
        "metrics",
        "histogram",
        "interval",
        "sequence",
        "size",
        "order",
    ]);
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|pairs| Value::Object(
                pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            )),
        ]
    })
}
