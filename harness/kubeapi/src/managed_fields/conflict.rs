//! The refusal of an apply that would change what others own.

use serde_json::{Value, json};

use super::entries::{Operation, Owner};
use super::field_set::FieldSet;
use crate::status::Status;

/// The fields of one owner that an apply would change.
#[derive(Debug)]
pub(super) struct Conflict {
    pub(super) owner: Owner,
    pub(super) fields: FieldSet,
}

/// A `409` that names every field and its owner, in upstream's words.
pub(super) fn refusal(conflicts: &[Conflict]) -> Status {
    let mut named: Vec<(String, Vec<String>)> = conflicts
        .iter()
        .map(|conflict| (print(&conflict.owner), conflict.fields.paths()))
        .collect();
    named.sort();
    let cause = |owner: &str, path: &str| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {owner}"), "field": path});
    let causes: Vec<Value> = named
        .iter()
        .flat_map(|(owner, paths)| paths.iter().map(move |path| cause(owner, path)))
        .collect();
    Status::apply_conflict(message(&named, causes.len()), causes)
}

fn message(named: &[(String, Vec<String>)], count: usize) -> String {
    if let ([(owner, paths)], 1) = (named, count) {
        return format!(
            "Apply failed with 1 conflict: conflict with {owner}: {}",
            paths.join("")
        );
    }
    let mut lines = Vec::new();
    for (owner, paths) in named {
        lines.push(format!("conflicts with {owner}:"));
        lines.extend(paths.iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
}

fn print(owner: &Owner) -> String {
    let mut printed = format!("\"{}\"", owner.manager);
    if !owner.subresource.is_empty() {
        printed.push_str(&format!(" with subresource \"{}\"", owner.subresource));
    }
    if owner.operation == Operation::Update {
        printed.push_str(&format!(" using {}", owner.api_version));
    }
    printed
}
