//! Sets of fields, and their form in `fieldsV1`.
//!
//! A field is told by its path from the object, whose elements are kept as they are written: `f:name`,
//! `k:{"name":"x"}`, `v:"x"`. The invariant: every branch of a set ends in a field that belongs to it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of fields. A field may belong to it without those below, and the other way round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(BTreeMap<String, Node>);

/// What belongs to a set at and below one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) belongs: bool,
    pub(super) below: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.belongs && self.below.is_empty()
    }
}

impl FieldSet {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, element: String, node: Node) {
        if !node.is_empty() {
            self.0.insert(element, node);
        }
    }

    pub(super) fn get(&self, element: &str) -> Option<&Node> {
        self.0.get(element)
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = (&String, &mut Node)> {
        self.0.iter_mut()
    }

    /// Keeps the top-level fields that `keep` accepts, with all that is below them.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|element, _| keep(element));
    }

    pub(super) fn add(&mut self, other: &FieldSet) {
        for (element, theirs) in &other.0 {
            let node = self.0.entry(element.clone()).or_default();
            node.belongs |= theirs.belongs;
            node.below.add(&theirs.below);
        }
    }

    /// Takes out the fields of `other`, but not those below them.
    pub(super) fn subtract(&mut self, other: &FieldSet) {
        self.0.retain(|element, node| {
            if let Some(theirs) = other.0.get(element) {
                node.belongs &= !theirs.belongs;
                node.below.subtract(&theirs.below);
            }
            !node.is_empty()
        });
    }

    /// The fields that belong to both.
    pub(super) fn common(&self, other: &FieldSet) -> FieldSet {
        let mut both = FieldSet::default();
        for (element, node) in &self.0 {
            if let Some(theirs) = other.0.get(element) {
                let node = Node {
                    belongs: node.belongs && theirs.belongs,
                    below: node.below.common(&theirs.below),
                };
                both.insert(element.clone(), node);
            }
        }
        both
    }

    /// The path of every field, printed as upstream prints them in conflicts: `.spec.ports[port=80].name`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.print("", &mut paths);
        paths
    }

    fn print(&self, prefix: &str, paths: &mut Vec<String>) {
        let printed = |element: &str| format!("{prefix}{}", print_element(element));
        let own = self.0.iter().filter(|(_, node)| node.belongs);
        paths.extend(own.map(|(element, _)| printed(element)));
        for (element, node) in &self.0 {
            node.below.print(&printed(element), paths);
        }
    }

    /// Reads `fieldsV1`; `None` where it is not made of objects.
    pub(super) fn from_json(fields: &Value) -> Option<FieldSet> {
        let mut set = FieldSet::default();
        for (element, value) in fields.as_object()? {
            if element == "." {
                continue;
            }
            let below = FieldSet::from_json(value)?;
            let belongs = below.is_empty() || value.get(".").is_some();
            set.insert(element.clone(), Node { belongs, below });
        }
        Some(set)
    }

    pub(super) fn into_json(self) -> Value {
        Value::Object(self.into_fields().collect())
    }

    fn into_fields(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter().map(|(element, node)| {
            let mut fields = Map::new();
            if node.belongs && !node.below.is_empty() {
                fields.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.extend(node.below.into_fields());
            (element, Value::Object(fields))
        })
    }
}

fn print_element(element: &str) -> String {
    let (kind, text) = element.split_once(':').unwrap_or(("f", element));
    match kind {
        "f" => format!(".{text}"),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        "v" => format!("[={text}]"),
        _ => format!("[{text}]"),
    }
}
