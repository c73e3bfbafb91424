//! The entries of `metadata.managedFields`: who owns which fields.
//!
//! Owns reading them, their order, and the bound on their number. The invariant of what is written: no two
//! entries of one manager for one way of writing, and none without a field.

use serde_json::{Value, json};

use super::field_set::FieldSet;

/// As kube-apiserver: of more managers that update, the oldest are merged into one.
const MAX_UPDATERS: usize = 10;
/// The manager they are merged into.
const OLD_UPDATERS: &str = "ancient-changes";

/// How a manager wrote its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// One way of writing by one manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) manager: String,
    pub(super) operation: Operation,
    pub(super) api_version: String,
    /// Empty for the object itself.
    pub(super) subresource: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    pub(super) time: Option<String>,
    pub(super) fields: FieldSet,
}

impl Owner {
    /// Whether the two are one: an applier stays the same with another version.
    fn is(&self, other: &Owner) -> bool {
        (&self.manager, self.operation, &self.subresource)
            == (&other.manager, other.operation, &other.subresource)
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// The owners of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entries(pub(super) Vec<Entry>);

impl Entries {
    /// The entries of an object; none where they cannot be read.
    pub(super) fn of(object: &Value) -> Entries {
        let entries = object.pointer("/metadata/managedFields");
        entries.and_then(Entries::decode).unwrap_or_default()
    }

    pub(super) fn decode(entries: &Value) -> Option<Entries> {
        let entries: Option<Vec<Entry>> = entries.as_array()?.iter().map(Entry::decode).collect();
        entries.map(Entries)
    }

    pub(super) fn encode(mut self) -> Option<Value> {
        self.0.sort_by(|a, b| {
            let place = |entry: &Entry| (entry.owner.operation, entry.time.clone(), entry.owner.clone());
            place(a).cmp(&place(b))
        });
        let entries: Vec<Value> = self.0.into_iter().map(Entry::encode).collect();
        (!entries.is_empty()).then_some(Value::Array(entries))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes an owner's entry out.
    pub(super) fn take(&mut self, owner: &Owner) -> Option<Entry> {
        let at = self.0.iter().position(|entry| entry.owner.is(owner))?;
        Some(self.0.remove(at))
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if !entry.fields.is_empty() {
            self.0.push(entry);
        }
    }

    /// Takes the fields from everybody.
    pub(super) fn subtract(&mut self, fields: &FieldSet) {
        self.0.retain_mut(|entry| {
            entry.fields.subtract(fields);
            !entry.fields.is_empty()
        });
    }

    /// Every field somebody owns.
    pub(super) fn all_fields(&self) -> FieldSet {
        let mut all = FieldSet::default();
        for entry in &self.0 {
            all.add(&entry.fields);
        }
        all
    }

    /// Merges the oldest updates of each version while there are too many.
    pub(super) fn cap(&mut self) {
        let is_update = |entry: &&Entry| entry.owner.operation == Operation::Update;
        while self.0.iter().filter(is_update).count() > MAX_UPDATERS {
            let own = self.0.iter().filter(is_update);
            let own = own.filter(|entry| entry.owner.manager != OLD_UPDATERS);
            let oldest = own.min_by_key(|entry| (&entry.time, &entry.owner));
            let Some(owner) = oldest.map(|entry| entry.owner.clone()) else {
                return;
            };
            let Some(oldest) = self.take(&owner) else {
                return;
            };
            let bucket = Owner {
                manager: OLD_UPDATERS.to_owned(),
                subresource: String::new(),
                ..owner
            };
            self.join(bucket, oldest.time, oldest.fields);
        }
    }

    /// Gives the fields to an owner, on top of what it has.
    pub(super) fn join(&mut self, owner: Owner, time: Option<String>, mut fields: FieldSet) {
        if let Some(before) = self.take(&owner) {
            fields.add(&before.fields);
        }
        self.push(Entry { owner, time, fields });
    }
}

impl Entry {
    fn decode(entry: &Value) -> Option<Entry> {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let operation = match entry["operation"].as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let owner = Owner {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
        };
        let fields = FieldSet::from_json(entry.get("fieldsV1").unwrap_or(&json!({})))?;
        let readable = entry["fieldsType"] == "FieldsV1" && !owner.api_version.is_empty();
        readable.then(|| Entry {
            owner,
            time: entry["time"].as_str().map(str::to_owned),
            fields,
        })
    }

    fn encode(self) -> Value {
        let mut entry = json!({
            "manager": self.owner.manager, "operation": format!("{:?}", self.owner.operation),
            "apiVersion": self.owner.api_version, "fieldsType": "FieldsV1",
        });
        entry["fieldsV1"] = self.fields.into_json();
        if let Some(time) = self.time {
            entry["time"] = Value::String(time);
        }
        if !self.owner.subresource.is_empty() {
            entry["subresource"] = Value::String(self.owner.subresource);
        }
        entry
    }
}
