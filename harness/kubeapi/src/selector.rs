//! Label and field selectors: their grammar and what they match.
//!
//! Owns the parser of both query parameters. A field selector may only name fields its resource lists; the
//! caller passes that list.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::object;
use crate::status::Status;

/// Which objects a list or watch speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selector {
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.0.is_empty() && self.fields.0.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}

/// All requirements must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(pub(crate) Vec<Requirement>);

/// One term of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) key: String,
    pub(crate) test: LabelTest,
}

/// What a label value is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LabelTest {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Absent,
}

impl LabelSelector {
    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        split_outside_parentheses(text)
            .into_iter()
            .map(str::trim)
            .filter(|term| !term.is_empty())
            .map(Requirement::parse)
            .collect::<Result<_, _>>()
            .map(LabelSelector)
    }

    /// The selector of a Service: every pair must be there.
    pub(crate) fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a Value)>) -> Self {
        let equals = |(key, value): (&str, &Value)| Requirement {
            key: key.to_owned(),
            test: LabelTest::In(value.as_str().map(str::to_owned).into_iter().collect()),
        };
        LabelSelector(pairs.map(equals).collect())
    }

    /// `metav1.LabelSelector`.
    pub(crate) fn from_json(selector: &Value) -> Self {
        let mut requirements = LabelSelector::from_pairs(object::entries(selector, "/matchLabels")).0;
        for expression in object::items(selector, "/matchExpressions") {
            let values = object::items(expression, "/values").iter();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let test = match object::text(expression, "/operator") {
                "In" => LabelTest::In(values),
                "NotIn" => LabelTest::NotIn(values),
                "Exists" => LabelTest::Exists,
                "DoesNotExist" => LabelTest::Absent,
                // What is not understood selects nothing.
                _ => LabelTest::In(BTreeSet::new()),
            };
            requirements.push(Requirement {
                key: object::text(expression, "/key").to_owned(),
                test,
            });
        }
        LabelSelector(requirements)
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0
            .iter()
            .all(|requirement| requirement.test.holds(object::label(object, &requirement.key)))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut terms: Vec<String> = self.0.iter().map(Requirement::to_string).collect();
        terms.sort_unstable();
        f.write_str(&terms.join(","))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
        match &self.test {
            LabelTest::In(values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            LabelTest::In(values) => write!(f, "{key} in ({})", list(values)),
            LabelTest::NotIn(values) => write!(f, "{key} notin ({})", list(values)),
            LabelTest::Exists => f.write_str(key),
            LabelTest::Absent => write!(f, "!{key}"),
        }
    }
}

impl Requirement {
    fn parse(term: &str) -> Result<Self, Status> {
        let parsed = if let Some(key) = term.strip_prefix('!') {
            (key, LabelTest::Absent)
        } else if let Some((key, value)) = term.split_once("!=") {
            (key, LabelTest::NotIn(one(value)))
        } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (key, LabelTest::In(one(value)))
        } else if let Some((head, values)) = term.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            match head.trim().rsplit_once(char::is_whitespace) {
                Some((key, "in")) => (key, LabelTest::In(values)),
                Some((key, "notin")) => (key, LabelTest::NotIn(values)),
                _ => return Err(unparsable(term)),
            }
        } else {
            (term, LabelTest::Exists)
        };
        let key = parsed.0.trim();
        if key.is_empty()
            || !key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        {
            return Err(unparsable(term));
        }
        Ok(Requirement {
            key: key.to_owned(),
            test: parsed.1,
        })
    }
}

impl LabelTest {
    pub(crate) fn holds(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (LabelTest::In(values), Some(value)) => values.contains(value),
            (LabelTest::In(_), None) => false,
            (LabelTest::NotIn(values), Some(value)) => !values.contains(value),
            (LabelTest::NotIn(_), None) => true,
            (LabelTest::Exists, value) => value.is_some(),
            (LabelTest::Absent, value) => value.is_none(),
        }
    }
}

/// A field that a resource can be selected by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelectableField {
    /// The name in the query.
    pub(crate) label: Cow<'static, str>,
    /// Where the value is in the stored object.
    pub(crate) path: Cow<'static, str>,
    /// What an object without it is compared as.
    pub(crate) absent: &'static str,
}

impl SelectableField {
    /// A field queried by the path it is stored at.
    pub(crate) const fn at(path: &'static str) -> Self {
        SelectableField::renamed(path, path)
    }

    /// A field queried by another name.
    pub(crate) const fn renamed(label: &'static str, path: &'static str) -> Self {
        SelectableField {
            label: Cow::Borrowed(label),
            path: Cow::Borrowed(path),
            absent: "",
        }
    }

    /// A field of a custom resource.
    pub(crate) fn custom(path: &str) -> Self {
        SelectableField {
            label: Cow::Owned(path.to_owned()),
            path: Cow::Owned(path.to_owned()),
            absent: "",
        }
    }
}

/// All comparisons must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<FieldTest>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTest {
    field: SelectableField,
    value: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Equal,
    Different,
}

/// The fields every resource can be selected by.
static COMMON_FIELDS: [SelectableField; 2] = [
    SelectableField::at("metadata.name"),
    SelectableField::at("metadata.namespace"),
];

impl FieldSelector {
    /// Parses `metadata.name=x,status.phase!=Running` against the fields of one resource.
    pub(crate) fn parse(text: &str, selectable: &[SelectableField]) -> Result<Self, Status> {
        text.split(',')
            .filter(|term| !term.is_empty())
            .map(|term| FieldTest::parse(term, selectable))
            .collect::<Result<_, _>>()
            .map(FieldSelector)
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|test| test.holds(object))
    }
}

impl FieldTest {
    fn parse(term: &str, selectable: &[SelectableField]) -> Result<Self, Status> {
        let (path, value, wanted) = if let Some((path, value)) = term.split_once("!=") {
            (path, value, Wanted::Different)
        } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (path, value, Wanted::Equal)
        } else {
            return Err(Status::bad_request(format!(
                "invalid selector: '{term}'; can't understand '{term}'"
            )));
        };
        let field = COMMON_FIELDS
            .iter()
            .chain(selectable)
            .find(|field| field.label == path)
            .ok_or_else(|| match selectable {
                [] => Status::bad_request(format!(
                    "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                )),
                _ => Status::bad_request(format!("field label not supported: {path}")),
            })?;
        Ok(FieldTest {
            field: field.clone(),
            value: value.to_owned(),
            wanted,
        })
    }

    fn holds(&self, object: &Value) -> bool {
        let found = self
            .field
            .path
            .split('.')
            .try_fold(object, |value, key| value.get(key));
        let equal = match found {
            None | Some(Value::Null) => self.field.absent == self.value,
            Some(Value::String(text)) => *text == self.value,
            // A number or a truth value is compared as it is written.
            Some(other) => *self.value == *other.to_string(),
        };
        equal == (self.wanted == Wanted::Equal)
    }
}

fn one(value: &str) -> BTreeSet<String> {
    BTreeSet::from([value.trim().to_owned()])
}

/// As upstream says it of a word where an operator should be.
fn unparsable(term: &str) -> Status {
    let found = term.split_whitespace().nth(1).unwrap_or_default();
    Status::bad_request(format!(
        "unable to parse requirement: found '{found}', expected: in, notin, =, ==, !=, gt, lt"
    ))
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    text.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(selector: &str, labels: Value) -> bool {
        LabelSelector::parse(selector)
            .expect("selector parses")
            .matches(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn every_operator_of_the_label_grammar_is_understood() {
        let labels = json!({"app": "web", "tier": "front"});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (web, api),tier", true),
            ("app notin (web),tier", false),
            ("!app", false),
            ("!other,app", true),
            ("other!=x", true),
            ("other notin (x)", true),
            ("other=x", false),
        ] {
            assert_eq!(matches(selector, labels.clone()), expected, "{selector}");
        }
    }

    #[test]
    fn a_term_that_is_no_selector_is_refused_with_the_accepted_forms() {
        for selector in ["=x", "a of (b)", "a b", "a in b)"] {
            let refused = LabelSelector::parse(selector).expect_err(selector);
            assert!(refused.message.contains("notin"), "{selector}: {refused}");
        }
    }

    #[test]
    fn a_missing_field_counts_as_its_default() {
        let fields = [SelectableField {
            absent: "false",
            ..SelectableField::at("spec.unschedulable")
        }];
        let selector = FieldSelector::parse("spec.unschedulable=false", &fields).expect("parses");
        assert!(selector.matches(&json!({"spec": {}})));
        assert!(!selector.matches(&json!({"spec": {"unschedulable": true}})));
    }

    #[test]
    fn a_field_the_resource_does_not_list_is_a_bad_request() {
        let others = [SelectableField::at("spec.size")];
        for (selectable, expected) in [
            (
                &[][..],
                "\"spec.colour\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
            (&others[..], "field label not supported: spec.colour"),
        ] {
            let refused = FieldSelector::parse("spec.colour=red", selectable).expect_err("unknown field");
            assert_eq!((refused.code(), refused.message.as_str()), (400, expected));
        }
    }
}
