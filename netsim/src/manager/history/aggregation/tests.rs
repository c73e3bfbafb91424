use rstest::rstest;
use serde_json::json;

use super::*;

/// A row of a name and a latency.
struct Named(&'static str, f64);

impl Record for Named {
    fn datum(&self, field: Field) -> Datum<'_> {
        match field {
            Field::Name => Datum::Text(self.0),
            Field::Latency => Datum::Number(self.1),
            _ => Datum::Number(0.0),
        }
    }
}

fn aggregate(aggregation: Value, rows: &[Named]) -> Vec<Value> {
    Aggregation::parse(&json!({ "aggregation": aggregation }))
        .unwrap()
        .of(rows)
}

const ROWS: [Named; 4] = [
    Named("b", 10.0),
    Named("a", 30.0),
    Named("b", 20.0),
    Named("c", 15.0),
];

#[test]
fn groups_of_most_rows_are_first_and_size_keeps_them() {
    let found = aggregate(
        json!({
            "field": [{ "property": "name", "sequence": 1, "size": 2 }],
            "metrics": [{ "property": "latency", "type": "avg" }],
        }),
        &ROWS,
    );
    let expected = [
        json!({ "name": "b", "latency": 15, "count": 2 }),
        json!({ "name": "a", "latency": 30, "count": 1 }),
    ];
    assert_eq!(found, expected);
}

#[test]
fn ordered_metrics_sort_the_rows() {
    let found = aggregate(
        json!({
            "field": [{ "property": "name" }],
            "metrics": [
                { "property": "name", "type": "count", "order": "asc" },
                { "property": "latency", "type": "sum", "order": "desc" },
            ],
        }),
        &ROWS,
    );
    let names: Vec<_> = found
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["latency"].clone()))
        .collect();
    assert_eq!(names, [("a", json!(30)), ("c", json!(15)), ("b", json!(30))]);
}

#[rstest]
#[case("min", json!(10))]
#[case("max", json!(30))]
#[case("sum", json!(75))]
#[case("avg", json!(18.75))]
#[case("cardinality", json!(4))]
fn without_groups_there_is_one_row(#[case] figure: &str, #[case] expected: Value) {
    let metrics = json!({ "metrics": [{ "property": "latency", "type": figure }] });
    let found = aggregate(metrics.clone(), &ROWS);
    assert_eq!(found, [json!({ "latency": expected, "count": 4 })]);
    assert_eq!(aggregate(metrics, &[]), Vec::<Value>::new());
}

#[rstest]
#[case(json!(null), "aggregation is missing, not an object")]
#[case(json!({}), "aggregation.metrics is missing, not an array")]
#[case(
    json!({"metrics": [{"property": "latency", "type": "median"}]}),
    r#"aggregation.metrics[0].type is "median", not avg, min, max, sum, cardinality or count"#
)]
#[case(
    json!({"metrics": [{"property": "name", "type": "avg"}]}),
    "aggregation.metrics[0].type is `avg`, but field name is of type string"
)]
#[case(
    json!({"field": [{"property": "name", "sequence": "first"}], "metrics": []}),
    r#"aggregation.field[0].sequence is "first", not a whole number, 0 or more"#
)]
#[case(
    json!({"metrics": [], "histogram": {"property": "loss", "type": "minute", "interval": 1}}),
    "aggregation.histogram is `minute`, but field loss is of type number"
)]
#[case(
    json!({"metrics": [], "histogram": {"property": "entry_time", "type": "year"}}),
    r#"aggregation.histogram.type is "year", not second, minute, hour or day"#
)]
#[case(
    json!({"metrics": [], "histogram": {"property": "entry_time", "type": "hour", "interval": 0}}),
    "aggregation.histogram.interval is 0, not a whole number from 1 to 1000000"
)]
#[case(
    json!({"metrics": [{"property": "loss", "type": "min"}, {"property": "loss", "type": "max"}]}),
    "aggregation.metrics is `loss` once more; a row has it once"
)]
fn refusals_name_place_value_and_form(#[case] aggregation: Value, #[case] message: &str) {
    let error = Aggregation::parse(&json!({ "aggregation": aggregation })).unwrap_err();
    assert_eq!(error.to_string(), message);
}
