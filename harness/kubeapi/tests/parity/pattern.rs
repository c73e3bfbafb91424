//! Patterns of answers; README.md describes them.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use regex::Regex;
use serde_json::{Value, json};
use uuid::Uuid;

/// Whether an object may have keys that its pattern does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    Open,
    Closed,
}

/// Values by name: those of the case, and what patterns captured.
#[derive(Debug, Clone, Default)]
pub struct Captures(pub BTreeMap<String, String>);

impl Captures {
    /// Names that no other case has.
    pub fn of_a_case() -> Captures {
        let id = Uuid::new_v4().simple().to_string()[..10].to_owned();
        let known = [
            ("ns", format!("parity-{id}")),
            ("group", format!("g{id}.example.com")),
            ("id", id),
        ];
        Captures(known.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// The text with each `$name` replaced, by `write` of its value; a name is made of letters and digits.
    fn fill_with(&self, text: &str, write: impl Fn(&str) -> String) -> Result<String, String> {
        let mut parts = text.split('$');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            match self.0.get(name) {
                Some(value) => filled += &write(value),
                None if name.is_empty() => filled.push('$'),
                None => return Err(format!("nothing is known as `${name}`")),
            }
            filled += rest;
        }
        Ok(filled)
    }

    pub fn fill(&self, text: &str) -> Result<String, String> {
        self.fill_with(text, str::to_owned)
    }

    pub fn fill_json(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(values) => {
                let values = values.iter().map(|value| self.fill_json(value));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.fill_json(value)?)));
                Value::Object(fields.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }
}

/// Holds what was found at `place` against a pattern; `None` is a field that is not there.
pub fn fits(
    pattern: &Value,
    found: Option<&Value>,
    place: &str,
    keys: Keys,
    captures: &mut Captures,
) -> Result<(), String> {
    if let Value::String(text) = pattern
        && let Some(placeholder) = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'))
    {
        return placeholder_fits(placeholder, found, captures).map_err(|why| format!("{place}: {why}"));
    }
    let Some(found) = found else {
        return Err(format!("{place}: expected {pattern}, found nothing"));
    };
    match (pattern, found) {
        (Value::Object(pattern), Value::Object(fields)) => {
            for (key, pattern) in pattern {
                fits(
                    pattern,
                    fields.get(key),
                    &format!("{place}.{key}"),
                    keys,
                    captures,
                )?;
            }
            match fields
                .keys()
                .find(|key| keys == Keys::Closed && !pattern.contains_key(*key))
            {
                Some(more) => Err(format!(
                    "{place}.{more}: expected nothing, found {}",
                    fields[more]
                )),
                None => Ok(()),
            }
        }
        (Value::Array(patterns), Value::Array(found)) => match patterns.split_first() {
            Some((first, some)) if first == "..." => some_fit(some, found, place, keys, captures),
            _ if patterns.len() == found.len() => {
                for (index, (pattern, found)) in patterns.iter().zip(found).enumerate() {
                    fits(pattern, Some(found), &format!("{place}[{index}]"), keys, captures)?;
                }
                Ok(())
            }
            _ => Err(format!(
                "{place}: expected {} elements, found {}",
                patterns.len(),
                found.len()
            )),
        },
        (Value::String(pattern), Value::String(text)) => {
            text_fits(pattern, text, captures).map_err(|why| format!("{place}: {why}"))
        }
        _ if pattern == found => Ok(()),
        _ => Err(format!("{place}: expected {pattern}, found {found}")),
    }
}

/// Whether each pattern fits an element, in this order, with any others between.
fn some_fit(
    patterns: &[Value],
    found: &[Value],
    place: &str,
    keys: Keys,
    captures: &mut Captures,
) -> Result<(), String> {
    let mut rest = found.iter();
    for pattern in patterns {
        let fitting = rest.find_map(|element| {
            let mut tried = captures.clone();
            fits(pattern, Some(element), place, keys, &mut tried)
                .ok()
                .map(|()| tried)
        });
        *captures = fitting.ok_or_else(|| format!("{place}: expected an element as {pattern}"))?;
    }
    Ok(())
}

fn text_fits(pattern: &str, text: &str, captures: &Captures) -> Result<(), String> {
    let fits = match pattern.strip_prefix('~') {
        None => captures.fill(pattern)? == text,
        Some(expression) => {
            let expression = captures.fill_with(expression, regex::escape)?;
            let expression =
                Regex::new(&format!("(?s)^(?:{expression})$")).map_err(|error| error.to_string())?;
            expression.is_match(text)
        }
    };
    match fits {
        true => Ok(()),
        false => Err(format!("expected `{pattern}`, found `{text}`")),
    }
}

/// `KIND`, `KIND as NAME`, `version after NAME`.
fn placeholder_fits(placeholder: &str, found: Option<&Value>, captures: &mut Captures) -> Result<(), String> {
    let words: Vec<&str> = placeholder.split(' ').collect();
    if placeholder == "absent" {
        return match found {
            None => Ok(()),
            Some(found) => Err(format!("expected nothing, found {found}")),
        };
    }
    let found = found.ok_or_else(|| format!("expected <{placeholder}>, found nothing"))?;
    let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    let is =
        |expression: &str| found.is_string() && Regex::new(expression).is_ok_and(|it| it.is_match(&text));
    let fits = match words[0] {
        "any" => true,
        "string" => found.is_string(),
        "number" => found.is_number(),
        "uid" => is("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
        "time" => is(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"),
        "version" => is("^[1-9][0-9]*$"),
        _ => return Err(format!("<{placeholder}> is no placeholder")),
    };
    if !fits {
        return Err(format!("expected <{placeholder}>, found {found}"));
    }
    match words[1..] {
        [] => Ok(()),
        ["as", name] => {
            captures.0.insert(name.to_owned(), text);
            Ok(())
        }
        ["after", name] => {
            let number = |text: &str| text.parse::<u64>().ok();
            let before = captures.0.get(name).and_then(|text| number(text));
            match before
                .zip(number(&text))
                .is_some_and(|(before, now)| before < now)
            {
                true => Ok(()),
                false => Err(format!("expected <{placeholder}>, found {found}")),
            }
        }
        _ => Err(format!("<{placeholder}> is no placeholder")),
    }
}

/// Patterns that must not fit, and some that must.
pub fn trials() -> Vec<Trial> {
    let no = [
        ("missing_key", json!({"a": 1}), json!({"b": 1})),
        ("another_value", json!({"a": 1}), json!({"a": 2})),
        ("shorter_array", json!([1, 2]), json!([1])),
        ("longer_array", json!([]), json!([1])),
        ("absent_but_null", json!({"a": "<absent>"}), json!({"a": null})),
        ("any_but_absent", json!({"a": "<any>"}), json!({})),
        ("another_than_known", json!("$known"), json!("other")),
        ("not_after", json!("<version after rv>"), json!("7")),
        ("half_a_match", json!("~a"), json!("ab")),
        ("no_such_placeholder", json!("<nothing>"), json!("<nothing>")),
        ("not_in_order", json!(["...", 2, 1]), json!([1, 2])),
    ];
    let yes = [
        ("other_keys", json!({"a": 1}), json!({"a": 1, "b": 2})),
        ("known", json!("is $known."), json!("is that.")),
        ("after", json!("<version after rv>"), json!("10")),
        ("regular", json!("~$known[0-9]+"), json!("that12")),
        ("some", json!(["...", 2, 4]), json!([1, 2, 3, 4])),
        ("captured", json!(["<any as it>", "$it"]), json!(["x", "x"])),
    ];
    let trial = |expected: bool| {
        move |(name, pattern, found): (&str, Value, Value)| {
            let run = move || {
                let known =
                    [("known", "that"), ("rv", "7")].map(|(name, value)| (name.to_owned(), value.to_owned()));
                let mut captures = Captures(known.into());
                let fitted = fits(&pattern, Some(&found), "", Keys::Open, &mut captures);
                match fitted.is_ok() == expected {
                    true => Ok(()),
                    false => Err(format!("{fitted:?}").into()),
                }
            };
            let verb = if expected { "fits" } else { "does_not_fit" };
            Trial::test(format!("pattern::{name}_{verb}"), run)
        }
    };
    let closed = Trial::test("pattern::other_keys_do_not_fit_a_closed_one", || {
        let found = json!({"a": {"b": 1, "c": 2}});
        match fits(
            &json!({"a": {"b": 1}}),
            Some(&found),
            "",
            Keys::Closed,
            &mut Captures::default(),
        ) {
            Err(_) => Ok(()),
            Ok(()) => Err("it fits".into()),
        }
    });
    let trials = no
        .into_iter()
        .map(trial(false))
        .chain(yes.into_iter().map(trial(true)));
    trials.chain([closed]).collect()
}
