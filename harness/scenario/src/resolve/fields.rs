//! Typed access to the tree: each accessor returns the value or notes what was expected and what was found.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::document::{Entry, Key, Meaning, Node, Notes, Scalar, Span, Value};
use crate::names;

/// The keys of a mapping that is a record: each key known, most of them required.
pub(super) struct Fields<'n> {
    owner: Span,
    what: String,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// The node as a record `what` (with its article) that knows these keys; problems without a better place are
    /// noted at `owner`, usually the key that the record belongs to.
    pub(super) fn of(
        notes: &mut Notes<'_>,
        owner: Span,
        node: &'n Node,
        what: &str,
        known: &[&str],
    ) -> Option<Self> {
        let entries = mapping(notes, node, &format!("{what}, a mapping of {}", quoted(known)))?;
        for entry in entries
            .iter()
            .filter(|entry| !known.contains(&entry.key.text.as_str()))
        {
            let hint = names::suggestion(&entry.key.text, "keys", known.iter().copied());
            notes.error(
                entry.key.span,
                format!("unknown key `{}` in {what}", entry.key.text),
                hint,
            );
        }
        Some(Self {
            owner,
            what: what.to_owned(),
            entries,
        })
    }

    pub(super) fn optional(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The one entry of what does one thing; notes none and several.
    pub(super) fn only(&self, notes: &mut Notes<'_>, keys: &[&str]) -> Option<&'n Entry> {
        let mut known = keys.iter().filter_map(|key| self.optional(key));
        match (known.next(), known.next()) {
            (Some(entry), None) => return Some(entry),
            // A mistyped key is noted already.
            (None, _) if !self.is_empty() => {}
            _ => notes.error(
                self.owner,
                format!("expected one of {} in {}", quoted(keys), self.what),
                "an event does one thing; make two events of two",
            ),
        }
        None
    }

    pub(super) fn required(&self, notes: &mut Notes<'_>, key: &str) -> Option<&'n Entry> {
        let entry = self.optional(key);
        if entry.is_none() {
            notes.error(
                self.owner,
                format!("missing key `{key}` in {}", self.what),
                format!("add `{key}: …`"),
            );
        }
        entry
    }
}

/// The entries of a mapping from names; notes an empty one and names that `is_name` refuses.
pub(super) fn named<'n>(notes: &mut Notes<'_>, entry: &'n Entry, kind: &Kind) -> Vec<&'n Entry> {
    let form = format!("a mapping from names of {} to their values", kind.plural);
    let Some(entries) = mapping(notes, &entry.value, &form) else {
        return Vec::new();
    };
    if entries.is_empty() {
        notes.error(
            entry.key.span,
            format!("expected at least one {}, found none", kind.singular),
            "declare one",
        );
    }
    entries
        .iter()
        .filter(|entry| is_name(notes, &entry.key, kind))
        .collect()
}

/// A kind of named thing.
pub(super) struct Kind {
    pub(super) singular: &'static str,
    pub(super) plural: &'static str,
    /// Whether names must begin with a letter, because assertions and timelines use them as words.
    pub(super) is_word: bool,
}

/// Whether a key is a name of that kind; notes it when it is not.
fn is_name(notes: &mut Notes<'_>, key: &Key, kind: &Kind) -> bool {
    let valid = if kind.is_word {
        names::is_identifier(&key.text)
    } else {
        names::is_dns_label(&key.text)
    };
    if !valid {
        let message = format!("expected the name of a {}, found `{}`", kind.singular, key.text);
        notes.error(key.span, message, name_form(kind.is_word));
    }
    valid
}

fn name_form(is_word: bool) -> &'static str {
    if is_word {
        "a name has at most 63 of a-z, 0-9 and -, begins with a letter and does not end with -"
    } else {
        "a name has at most 63 of a-z, 0-9 and -, and neither begins nor ends with -"
    }
}

/// A DNS label as a value.
pub(super) fn label<'n>(notes: &mut Notes<'_>, node: &'n Node, form: &str) -> Option<&'n str> {
    let text = string(notes, node, form)?;
    if names::is_dns_label(text) {
        return Some(text);
    }
    notes.error(
        node.span,
        format!("expected {form}, found `{text}`"),
        name_form(false),
    );
    None
}

pub(super) fn mapping<'n>(notes: &mut Notes<'_>, node: &'n Node, form: &str) -> Option<&'n [Entry]> {
    match &node.value {
        Value::Mapping(entries) => Some(entries),
        Value::Sequence(_) => mismatch(
            notes,
            node,
            form,
            Some("write `KEY: VALUE` in place of list items".to_owned()),
        ),
        Value::Scalar(_) => mismatch(notes, node, form, None),
    }
}

pub(super) fn list<'n>(notes: &mut Notes<'_>, node: &'n Node, form: &str) -> Option<&'n [Node]> {
    match &node.value {
        Value::Sequence(items) => Some(items),
        Value::Scalar(scalar) => {
            let hint = scalar
                .string()
                .map(|text| format!("for a list of one write `[{text}]`"));
            mismatch(notes, node, form, hint)
        }
        Value::Mapping(_) => mismatch(notes, node, form, None),
    }
}

pub(super) fn string<'n>(notes: &mut Notes<'_>, node: &'n Node, form: &str) -> Option<&'n str> {
    match &node.value {
        Value::Scalar(scalar) if scalar.string().is_some() => scalar.string(),
        Value::Scalar(scalar) => {
            let hint = format!("quote it to make it a string: \"{}\"", scalar.text);
            mismatch(notes, node, form, Some(hint))
        }
        _ => mismatch(notes, node, form, None),
    }
}

/// An integer in a range; `form` says what it is, such as `a site id`.
pub(super) fn integer(
    notes: &mut Notes<'_>,
    node: &Node,
    form: &str,
    range: RangeInclusive<i64>,
) -> Option<i64> {
    let full_form = format!("{form}, an integer from {} to {}", range.start(), range.end());
    match &node.value {
        Value::Scalar(Scalar {
            meaning: Meaning::Integer(value),
            ..
        }) if range.contains(value) => Some(*value),
        Value::Scalar(scalar) if scalar.string().is_some_and(|text| text.parse::<i64>().is_ok()) => {
            mismatch(notes, node, &full_form, Some("remove the quotes".to_owned()))
        }
        _ => mismatch(notes, node, &full_form, None),
    }
}

/// One of some words of a `kind`, which takes the article `an`; notes any other.
pub(super) fn word<T: Copy>(
    notes: &mut Notes<'_>,
    node: &Node,
    kind: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let known = words.iter().map(|(name, _)| *name);
    let hint = |text: &str| names::suggestion(text, &format!("{kind}s"), known.clone());
    let Some(text) = node.text() else {
        return mismatch(notes, node, &format!("an {kind}"), Some(hint("")));
    };
    let found = words.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        notes.error(node.span, format!("unknown {kind} `{text}`"), hint(text));
    }
    found.map(|(_, value)| *value)
}

/// Whether a key is there, whose value can only be `true`.
pub(super) fn is_set(notes: &mut Notes<'_>, fields: &Fields<'_>, key: &str) -> bool {
    let Some(entry) = fields.optional(key) else {
        return false;
    };
    if let Value::Scalar(Scalar {
        meaning: Meaning::Boolean(true),
        ..
    }) = entry.value.value
    {
        return true;
    }
    let message = format!("expected `true` for `{key}`, found {}", entry.value.describe());
    notes.error(
        entry.value.span,
        message,
        format!("write `{key}: true`, or remove the key"),
    );
    false
}

/// A list of different strings, each valid; the elements that are not are noted and left out.
pub(super) fn set<'n>(
    notes: &mut Notes<'_>,
    node: &'n Node,
    form: &str,
    mut check: impl FnMut(&mut Notes<'_>, &'n Node, &'n str) -> bool,
) -> Vec<&'n str> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for item in list(notes, node, &format!("a list of {form}")).unwrap_or_default() {
        let Some(text) = string(notes, item, &format!("one of {form}")) else {
            continue;
        };
        if !check(notes, item, text) {
            continue;
        }
        if seen.insert(text) {
            kept.push(text);
        } else {
            notes.error(item.span, format!("`{text}` is in the list twice"), "remove one");
        }
    }
    kept
}

/// Notes a value of another type or range than expected.
pub(super) fn mismatch<T>(notes: &mut Notes<'_>, node: &Node, form: &str, hint: Option<String>) -> Option<T> {
    let is_null = matches!(&node.value, Value::Scalar(scalar) if scalar.meaning == Meaning::Null);
    let hint = if is_null {
        Some("write the value, or remove the key".to_owned())
    } else {
        hint
    };
    notes.push(
        node.span,
        format!("expected {form}, found {}", node.describe()),
        hint,
    );
    None
}

/// Words in backquotes, joined by commas.
pub(super) fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
