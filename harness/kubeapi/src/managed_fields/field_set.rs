//! Sets of fields, and their form in `fieldsV1`.
//!
//! A field is told by its path from the object, whose elements are `f:name`, `k:{"name":"x"}` or `v:"x"`. A set is
//! kept as it is written: a tree of maps, in which an empty one is a field of the set, and one with more below is
//! such a field if it has the key `.`. The invariant: every branch ends in a field of the set, and no key `.`
//! stands alone.

use serde_json::{Map, Value};

/// A set of fields. A field may belong to it without those below, and the other way round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(Map<String, Value>);

/// What belongs to a set at and below one field.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) belongs: bool,
    pub(super) below: FieldSet,
}

/// The key by which a field belongs to a set that also has fields below it.
const SELF: &str = ".";

impl Node {
    fn take(written: &mut Value) -> Node {
        let Value::Object(mut below) = written.take() else {
            return Node::default();
        };
        let belongs = below.is_empty() || below.remove(SELF).is_some();
        Node {
            belongs,
            below: FieldSet(below),
        }
    }

    /// `None` for a node without a field.
    fn write(self) -> Option<Value> {
        let FieldSet(mut below) = self.below;
        match (self.belongs, below.is_empty()) {
            (false, true) => return None,
            (true, false) => {
                below.insert(SELF.to_owned(), Value::Object(Map::new()));
            }
            _ => {}
        }
        Some(Value::Object(below))
    }

    /// Changes a written node; whether anything is left of it.
    fn change(written: &mut Value, change: impl FnOnce(&mut Node)) -> bool {
        let mut node = Node::take(written);
        change(&mut node);
        let left = node.write();
        let is_left = left.is_some();
        *written = left.unwrap_or_default();
        is_left
    }
}

/// Whether the field of a written node belongs to the set.
pub(super) fn belongs(written: &Map<String, Value>) -> bool {
    written.is_empty() || written.contains_key(SELF)
}

/// The nodes of a set, as they are written.
fn nodes(set: &Map<String, Value>) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
    let nodes = set.iter().filter(|(element, _)| *element != SELF);
    nodes.filter_map(|(element, written)| Some((element, written.as_object()?)))
}

impl FieldSet {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Inserts what belongs to the set at and below the field of an element `prefix` + `name`.
    pub(super) fn insert(&mut self, prefix: &str, name: &str, node: Node) {
        if let Some(written) = node.write() {
            self.0.insert([prefix, name].concat(), written);
        }
    }

    pub(super) fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Changes every top-level node.
    pub(super) fn for_each(&mut self, change: impl Fn(&str, &mut Node)) {
        self.0
            .retain(|element, written| Node::change(written, |node| change(element, node)));
    }

    /// Keeps the top-level fields that `keep` accepts, with all that is below them.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|element, _| keep(element));
    }

    pub(super) fn add(&mut self, other: &FieldSet) {
        self.add_written(&other.0);
    }

    fn add_written(&mut self, other: &Map<String, Value>) {
        for (element, theirs) in nodes(other) {
            match self.0.get_mut(element) {
                Some(written) => {
                    Node::change(written, |node| {
                        node.belongs |= belongs(theirs);
                        node.below.add_written(theirs);
                    });
                }
                None => {
                    self.0.insert(element.clone(), Value::Object(theirs.clone()));
                }
            }
        }
    }

    /// Takes out the fields of `other`, but not those below them.
    pub(super) fn subtract(&mut self, other: &FieldSet) {
        self.subtract_written(&other.0);
    }

    fn subtract_written(&mut self, other: &Map<String, Value>) {
        for (element, theirs) in nodes(other) {
            let is_left = self.0.get_mut(element).is_none_or(|written| {
                Node::change(written, |node| {
                    node.belongs &= !belongs(theirs);
                    node.below.subtract_written(theirs);
                })
            });
            if !is_left {
                self.0.remove(element);
            }
        }
    }

    /// The fields that belong to both.
    pub(super) fn common(&self, other: &FieldSet) -> FieldSet {
        common(&self.0, &other.0)
    }

    /// The path of every field, printed as upstream prints them in conflicts: `.spec.ports[port=80].name`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        print(&self.0, "", &mut paths);
        paths
    }

    /// Reads `fieldsV1`; `None` where it is not made of objects.
    pub(super) fn from_json(fields: &Value) -> Option<FieldSet> {
        let mut set = FieldSet::default();
        for (element, written) in fields.as_object()? {
            if element == SELF {
                continue;
            }
            let below = FieldSet::from_json(written)?;
            let belongs = below.is_empty() || written.get(SELF).is_some();
            set.insert("", element, Node { belongs, below });
        }
        Some(set)
    }

    pub(super) fn into_json(self) -> Value {
        Value::Object(self.0)
    }
}

fn common(one: &Map<String, Value>, other: &Map<String, Value>) -> FieldSet {
    let mut both = FieldSet::default();
    for (element, node) in nodes(one) {
        if let Some(theirs) = other.get(element).and_then(Value::as_object) {
            let node = Node {
                belongs: belongs(node) && belongs(theirs),
                below: common(node, theirs),
            };
            both.insert("", element, node);
        }
    }
    both
}

/// First the fields of one level, then those below them.
fn print(set: &Map<String, Value>, prefix: &str, paths: &mut Vec<String>) {
    let printed = |element: &str| format!("{prefix}{}", print_element(element));
    let own = nodes(set).filter(|(_, node)| belongs(node));
    paths.extend(own.map(|(element, _)| printed(element)));
    for (element, node) in nodes(set) {
        print(node, &printed(element), paths);
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
