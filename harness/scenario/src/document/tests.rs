//! Tests of the tree: places, meanings and refusals.

use rstest::rstest;
use serde_json::json;

use super::scalar::Meaning;
use super::*;

fn problems(text: &str) -> Vec<String> {
    let mut diagnostics = Vec::new();
    parse(&Source::new("a.yaml", text), text, &mut diagnostics);
    diagnostics
        .iter()
        .map(|d| format!("{}:{}+{} {}", d.line, d.column, d.width, d.message))
        .collect()
}

fn tree(text: &str) -> Node {
    let mut diagnostics = Vec::new();
    let documents = parse(&Source::new("a.yaml", text), text, &mut diagnostics);
    assert_eq!(diagnostics, []);
    documents.expect("no syntax error").remove(0)
}

#[rstest]
#[case("key: value", 1, 6, 5)]
#[case("key: 'value'", 1, 6, 7)]
#[case("key:\n  inner: value", 2, 3, 5)]
#[case("key: {inner: value}", 1, 6, 1)]
#[case("key:\n  - value", 2, 3, 0)]
#[case("key: [value]", 1, 6, 1)]
#[case("key: |\n  text\n", 2, 3, 4)]
#[case("é: value", 1, 4, 5)]
fn a_value_knows_its_place(
    #[case] text: &str,
    #[case] line: usize,
    #[case] column: usize,
    #[case] width: usize,
) {
    let Value::Mapping(entries) = tree(text).value else {
        panic!("a mapping")
    };
    assert_eq!(entries[0].value.span, Span { line, column, width });
}

#[rstest]
#[case("text", Meaning::String)]
#[case("500ms", Meaning::String)]
#[case("10.0.0.1", Meaning::String)]
#[case("1.2.3", Meaning::String)]
#[case("2001-01-01", Meaning::String)]
#[case("-", Meaning::String)]
#[case("99999999999999999999", Meaning::String)]
#[case("~", Meaning::Null)]
#[case("True", Meaning::Boolean(true))]
#[case("-12", Meaning::Integer(-12))]
#[case("0", Meaning::Integer(0))]
#[case("1.5", Meaning::Float(1.5))]
#[case(".5", Meaning::Float(0.5))]
#[case("1e3", Meaning::Float(1000.0))]
#[case("0.10", Meaning::Float(0.1))]
#[case("No", Meaning::Ambiguous("`false`"))]
#[case("y", Meaning::Ambiguous("`true`"))]
#[case("0644", Meaning::Ambiguous("a decimal number"))]
#[case("0x1f", Meaning::Ambiguous("a decimal number"))]
#[case("1_000", Meaning::Ambiguous("a decimal number"))]
#[case("12:30", Meaning::Ambiguous("a decimal number"))]
fn plain_scalars_have_the_meaning_of_the_core_schema(#[case] text: &str, #[case] meaning: Meaning) {
    assert_eq!(Scalar::plain(text.to_owned()).meaning, meaning);
}

#[rstest]
#[case("a: 1\nb: 2\na: 3", "3:1+1 duplicate key `a`")]
#[case(
    "a: !!str 1",
    "1:10+1 tags such as `!!str` are not part of the scenario language"
)]
#[case(
    "a: &x 1\nb:\n  <<: *x",
    "3:3+2 merge keys (`<<`) are not part of the scenario language"
)]
#[case("a: &x [*x]", "1:8+2 an alias must not stand inside the value it refers to")]
#[case("[a]: 1", "1:1+1 expected a key, found a list")]
#[case("a:\n\tb: 1", "2:1+1 a tab in the indentation")]
#[case("a:\n  b: 1\n \tc: 1", "3:2+1 a tab in the indentation")]
#[case("a: 1\n\tb: 2", "2:1+1 a tab in the indentation")]
fn problems_have_their_place(#[case] text: &str, #[case] problem: &str) {
    assert_eq!(problems(text), [problem]);
}

#[rstest]
#[case("a: [1, 2")]
#[case("a: 'open")]
#[case("a: b: c")]
#[case("a: 1\n b: 2")]
#[case("a: *x")]
#[case("%")]
fn syntax_errors_end_the_file_at_a_line_that_exists(#[case] text: &str) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let line: usize = problems[0]
        .split(':')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("begins with its line");
    assert!(line <= text.lines().count(), "{problems:?}");
}

#[test]
fn aliases_are_followed_within_a_budget() {
    let node = tree("a: &x {k: v}\nb: *x");
    assert_eq!(node.at(&["b", "k"]).and_then(Node::text), Some("v"));

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let problems = problems(&bomb);
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].ends_with("expected at most 100000 values in a file, found more"),
        "{problems:?}"
    );
}

#[test]
fn objects_become_json_and_ambiguous_words_are_refused() {
    let text = "a: [1, 1.5, yes please, 'no', ~, true]\nb: no\n";
    let source = Source::new("a.yaml", text);
    let mut diagnostics = Vec::new();
    let node = tree(text);
    let value = to_json(&node, &mut Notes::new(&source, &mut diagnostics));
    assert_eq!(
        value,
        json!({"a": [1, 1.5, "yes please", "no", null, true], "b": null})
    );
    assert_eq!(diagnostics.len(), 1);
    assert_eq!((diagnostics[0].line, diagnostics[0].column), (2, 4));
}

#[test]
fn documents_are_separate_and_empty_ones_left_out() {
    let text = "---\na: 1\n---\n---\nb: 2\n";
    let mut diagnostics = Vec::new();
    let documents = parse(&Source::new("a.yaml", text), text, &mut diagnostics).expect("no syntax error");
    assert_eq!(documents.len(), 2);
}
