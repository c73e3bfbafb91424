//! The JSONPath of printer columns, as `kubectl` and kube-apiserver understand it.
//!
//! Owns the grammar: `.field`, `['field']`, `[0]`, `[-1]`, `[*]` and `[?(@.field=="value")]`, after each other.
//!
//! # Limits
//! No `..`, unions or slices; a path with one is refused when a definition is created.

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    /// From the end if negative.
    Element(i64),
    Every,
    Where {
        path: JsonPath,
        /// Without one the field has to be there.
        test: Option<(Comparison, Value)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Different,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Longer operators first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::Different),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl JsonPath {
    /// The path, unless it is of another form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(inside) => bracket(inside)?,
                None => field(rest.strip_prefix('.')?)?,
            };
            steps.push(step);
            rest = after;
        }
        (!steps.is_empty()).then_some(JsonPath(steps))
    }

    /// What the path leads to, in order.
    pub(crate) fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![root], |found, step| {
            found.into_iter().flat_map(|value| step.follow(value)).collect()
        })
    }
}

/// `name…`, where a backslash takes the meaning from a dot.
fn field(text: &str) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => return (at > 0).then(|| (Step::Field(name), &text[at..])),
            ']' | '{' | '}' | '$' | '*' | '?' | '@' => return None,
            other => name.push(other),
        }
    }
    (!name.is_empty()).then_some((Step::Field(name), ""))
}

/// What follows a `[`.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(filter) = text.strip_prefix("?(") {
        let end = filter.find(")]")?;
        return Some((condition(&filter[..end])?, &filter[end + 2..]));
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        let end = quoted.find("']")?;
        return Some((Step::Field(quoted[..end].to_owned()), &quoted[end + 2..]));
    }
    let (inside, after) = text.split_once(']')?;
    let step = match inside {
        "*" => Step::Every,
        index => Step::Element(index.parse().ok()?),
    };
    Some((step, after))
}

fn condition(text: &str) -> Option<Step> {
    let text = text.trim().strip_prefix('@')?;
    let split = COMPARISONS.iter().find_map(|&(operator, comparison)| {
        let (path, literal) = text.split_once(operator)?;
        Some((path, Some((comparison, literal))))
    });
    let (path, test) = split.unwrap_or((text, None));
    let path = JsonPath::parse(path.trim())?;
    let test = match test {
        None => None,
        Some((comparison, literal)) => Some((comparison, self::literal(literal.trim())?)),
    };
    Some(Step::Where { path, test })
}

/// A string in either quotes, a number or a truth value.
fn literal(text: &str) -> Option<Value> {
    let quoted = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    match quoted {
        Some(quoted) => Some(Value::from(quoted)),
        None => serde_json::from_str(text).ok(),
    }
}

impl Step {
    fn follow<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Element(at) => element(value, *at).into_iter().collect(),
            Step::Every => children(value),
            Step::Where { path, test } => children(value)
                .into_iter()
                .filter(|child| {
                    let found = path.find(child);
                    match test {
                        None => !found.is_empty(),
                        Some((comparison, literal)) => found
                            .first()
                            .is_some_and(|found| comparison.holds(found, literal)),
                    }
                })
                .collect(),
        }
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn element(value: &Value, at: i64) -> Option<&Value> {
    let elements = value.as_array()?;
    let at = match usize::try_from(at) {
        Ok(at) => at,
        Err(_) => elements
            .len()
            .checked_sub(usize::try_from(at.unsigned_abs()).ok()?)?,
    };
    elements.get(at)
}

impl Comparison {
    fn holds(self, found: &Value, literal: &Value) -> bool {
        use std::cmp::Ordering::{Greater, Less};
        if matches!(self, Comparison::Equal | Comparison::Different) {
            return (found == literal) == (self == Comparison::Equal);
        }
        let order = match (found, literal) {
            (Value::String(found), Value::String(literal)) => Some(found.cmp(literal)),
            (found, literal) => found
                .as_f64()
                .zip(literal.as_f64())
                .and_then(|(found, literal)| found.partial_cmp(&literal)),
        };
        order.is_some_and(|order| match self {
            Comparison::Less => order == Less,
            Comparison::LessOrEqual => order != Greater,
            Comparison::Greater => order == Greater,
            Comparison::GreaterOrEqual => order != Less,
            Comparison::Equal | Comparison::Different => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_of_step_leads_to_its_values() {
        let object = json!({
            "spec": {"replicas": 3, "list": ["a", "b", "c"], "a.b": 1},
            "metadata": {"labels": {"example.com/x": "y"}},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "n": 1}, {"type": "Other", "status": "False", "n": 2},
            ]},
        });
        for (path, expected) in [
            (".spec.replicas", json!([3])),
            (".spec.missing", json!([])),
            (".spec.list[1]", json!(["b"])),
            (".spec.list[-1]", json!(["c"])),
            (".spec.list[-4]", json!([])),
            (".spec.list[*]", json!(["a", "b", "c"])),
            (".spec['a.b']", json!([1])),
            (".metadata.labels.example\\.com/x", json!(["y"])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type=='Ready')].status", json!(["True"])),
            (
                ".status.conditions[?(@.type != \"Ready\")].type",
                json!(["Other"]),
            ),
            (".status.conditions[?(@.n>=2)].type", json!(["Other"])),
            (".status.conditions[?(@.n<2)].type", json!(["Ready"])),
            (".status.conditions[?(@.absent)].type", json!([])),
        ] {
            let parsed = JsonPath::parse(path).expect(path);
            assert_eq!(json!(parsed.find(&object)), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_simple_path_is_refused() {
        for path in [
            "",
            "spec",
            "..spec",
            "$.spec",
            ".",
            ".spec[",
            ".spec[a]",
            ".spec[?(x)]",
            ".a.",
            ".{a}",
        ] {
            assert_eq!(JsonPath::parse(path), None, "{path}");
        }
    }
}
