use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::history::field::Datum;

/// A row of which only the time and the loss count.
struct At(u64, f64);

impl Record for At {
    fn datum(&self, field: Field) -> Datum<'_> {
        match field {
            Field::EntryTime => Datum::Number(self.0 as f64),
            Field::Loss => Datum::Number(self.1),
            Field::LocalColor => Datum::Text("mpls"),
            _ => Datum::Text(""),
        }
    }
}

const HOUR: u64 = 3_600_000;

fn filter(condition: &str, rules: Value) -> Result<Filter, QueryError> {
    Filter::parse(&json!({ "query": { "condition": condition, "rules": rules } }))
}

fn rule(field: &str, kind: &str, operator: &str, value: Value) -> Value {
    json!({ "field": field, "type": kind, "operator": operator, "value": value })
}

#[rstest]
#[case::from_the_start(10 * HOUR, true)]
#[case::at_the_end(12 * HOUR, true)]
#[case::before(10 * HOUR - 1, false)]
#[case::in_the_future(12 * HOUR + 1, false)]
fn the_last_hours_end_now(#[case] at: u64, #[case] taken: bool) {
    for value in [json!(["2"]), json!([2]), json!("2")] {
        let filter = filter("AND", json!([rule("entry_time", "date", "last_n_hours", value)])).unwrap();
        assert_eq!(filter.takes(&At(at, 0.0), 12 * HOUR), taken);
    }
}

#[test]
fn days_and_weeks_are_of_24_and_168_hours() {
    for (operator, hours) in [("last_n_days", 24), ("last_n_weeks", 168)] {
        let filter = filter("AND", json!([rule("entry_time", "date", operator, json!(["1"]))])).unwrap();
        let now = 1000 * HOUR;
        assert!(filter.takes(&At(now - hours * HOUR, 0.0), now), "{operator}");
        assert!(!filter.takes(&At(now - hours * HOUR - 1, 0.0), now), "{operator}");
    }
}

#[rstest]
#[case(json!([1_767_260_100_000_u64, "1767260400000"]))]
#[case(json!(["2026-01-01T09:35:00", "2026-01-01T09:40:00"]))]
#[case(json!(["2026-01-01T09:35:00 UTC", "2026-01-01T09:40:00Z"]))]
fn times_are_milliseconds_or_text_in_utc(#[case] value: Value) {
    let filter = filter("AND", json!([rule("entry_time", "date", "between", value)])).unwrap();
    let taken = [
        1_767_260_099_999,
        1_767_260_100_000,
        1_767_260_400_000,
        1_767_260_400_001,
    ]
    .map(|at| filter.takes(&At(at, 0.0), 0));
    assert_eq!(taken, [false, true, true, false]);
}

#[test]
fn a_condition_joins_all_rules() {
    let rules = json!([
        rule("loss", "number", "greater", json!(["5"])),
        rule("local_color", "string", "in", json!(["lte", "mpls"])),
    ]);
    let [all, any] = ["AND", "or"].map(|condition| filter(condition, rules.clone()).unwrap());
    assert_eq!([4.0, 6.0].map(|loss| all.takes(&At(0, loss), 0)), [false, true]);
    assert_eq!([4.0, 6.0].map(|loss| any.takes(&At(0, loss), 0)), [true, true]);
    assert!(Filter::parse(&json!({})).unwrap().takes(&At(0, 0.0), 0));
    assert!(filter("OR", json!([])).unwrap().takes(&At(0, 0.0), 0));
}

#[rstest]
#[case(json!([]), "the body is [], not an object")]
#[case(json!({"query": []}), "query is [], not an object")]
#[case(json!({"query": {"condition": "XOR", "rules": []}}), r#"query.condition is "XOR", not AND or OR"#)]
#[case(json!({"query": {}}), "query.rules is missing, not an array")]
#[case(json!({"query": {"rules": [7]}}), "query.rules[0] is 7, not an object")]
#[case(json!({"query": {"rules": [{}]}}), "query.rules[0].field is missing, not a string")]
#[case(
    json!({"query": {"rules": [rule("loss", "string", "equal", json!(["1"]))]}}),
    "query.rules[0].type is `string`, but field loss is of type number"
)]
#[case(
    json!({"query": {"rules": [rule("local_color", "string", "greater", json!(["1"]))]}}),
    "query.rules[0].operator is `greater`; field local_color takes equal, not_equal, in, not_in"
)]
#[case(
    json!({"query": {"rules": [rule("loss", "number", "less", json!(["much"]))]}}),
    r#"query.rules[0].value is ["much"]; less of field loss takes numbers"#
)]
#[case(
    json!({"query": {"rules": [rule("loss", "number", "less", json!([]))]}}),
    "query.rules[0].value is []; less of field loss takes one value"
)]
#[case(
    json!({"query": {"rules": [rule("entry_time", "date", "last_n_hours", json!(["0"]))]}}),
    r#"query.rules[0].value is ["0"]; last_n_hours of field entry_time takes one whole number above zero"#
)]
#[case(
    json!({"query": {"rules": [rule("entry_time", "date", "between", json!(["1"]))]}}),
    r#"query.rules[0].value is ["1"]; between of field entry_time takes two values"#
)]
fn refusals_name_place_value_and_form(#[case] body: Value, #[case] message: &str) {
    assert_eq!(Filter::parse(&body).unwrap_err().to_string(), message);
}

#[test]
fn an_unknown_field_is_told_the_known_ones() {
    let message = View::parse(&json!({ "fields": ["losses"] }))
        .unwrap_err()
        .to_string();
    assert!(message.starts_with(
        "fields[0] is `losses`, which is no field of these statistics; fields are entry_time, "
    ));
    assert!(message.contains("loss_percentage"));
}

#[rstest]
#[case(json!({"size": -1}), "size is -1, not a whole number, 0 or more")]
#[case(json!({"sort": [{"field": "loss", "order": "up"}]}), r#"sort[0].order is "up", not asc or desc"#)]
#[case(json!({"sort": {}}), "sort is {}, not an array")]
fn views_are_refused_in_the_same_way(#[case] body: Value, #[case] message: &str) {
    assert_eq!(View::parse(&body).unwrap_err().to_string(), message);
}

#[test]
fn rows_are_sorted_by_each_key_in_turn() {
    let view = View::parse(&json!({
        "sort": [{ "field": "local_color" }, { "field": "loss", "order": "desc" }],
        "fields": ["loss"],
        "size": "2",
    }));
    let view = view.unwrap();
    let mut rows = vec![At(1, 1.0), At(2, 3.0), At(3, 2.0), At(4, 3.0)];
    view.sort(&mut rows);
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 4, 3, 1]);
    assert_eq!((view.size, view.row(&rows[0])), (2, json!({ "loss": 3 })));
}

#[test]
fn no_answer_has_more_rows_than_the_product_gives_at_once() {
    assert_eq!(View::parse(&json!({ "size": 1_000_000 })).unwrap().size, 10_000);
}

#[test]
fn a_long_value_is_cut_in_an_error() {
    let body = json!({ "query": "ä".repeat(5000) });
    assert!(Filter::parse(&body).unwrap_err().to_string().len() < 300);
}
