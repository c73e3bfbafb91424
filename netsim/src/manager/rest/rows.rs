//! Objects as rows: what clients wrote, and what the product adds to it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::manager::definition::Definition;
use crate::manager::list::List;
use crate::manager::objects::Stamp;
use crate::manager::store::Store;
use crate::manager::vsmart_policy::VsmartPolicy;

/// A list.
pub(super) fn list_row(list: &List, store: &Store) -> Value {
    let mut row = json!({
        "listId": list.id,
        "name": list.name,
        "type": list.kind.type_name,
        "description": list.description,
        "entries": list.entries,
        "readOnly": false,
        "version": "0",
    });
    add_uses(&mut row, list.id, &list.stamp, store);
    row
}

/// A definition.
pub(super) fn definition_row(definition: &Definition, store: &Store) -> Value {
    row_of_definition(definition, definition.as_written.clone(), store)
}

/// A definition without what it consists of.
pub(super) fn definition_head(definition: &Definition, store: &Store) -> Value {
    let written = definition.as_written.iter();
    let head = written.filter(|(key, _)| !["sequences", "defaultAction"].contains(&key.as_str()));
    let head = head.map(|(key, value)| (key.clone(), value.clone()));
    row_of_definition(definition, head.collect(), store)
}

fn row_of_definition(definition: &Definition, written: Map<String, Value>, store: &Store) -> Value {
    let mut row = Value::Object(written);
    row["definitionId"] = json!(definition.id);
    row["mode"] = json!("created");
    row["optimized"] = json!("false");
    add_uses(&mut row, definition.id, &definition.stamp, store);
    row
}

/// A vSmart policy; its definition is text.
pub(super) fn policy_row(policy: &VsmartPolicy, store: &Store) -> Value {
    let mut row = policy_definition(policy, store);
    row["policyDefinition"] = json!(json!(policy.as_written).to_string());
    row
}

/// A vSmart policy; its definition is an object.
pub(super) fn policy_definition(policy: &VsmartPolicy, store: &Store) -> Value {
    json!({
        "policyId": policy.id,
        "policyName": policy.name,
        "policyDescription": policy.description,
        "policyType": "feature",
        "policyDefinition": policy.as_written,
        "policyVersion": version(&policy.stamp),
        "isPolicyActivated": store.active() == Some(policy.id),
        "createdBy": policy.stamp.created_by,
        "createdOn": policy.stamp.created_ms,
        "lastUpdatedBy": policy.stamp.updated_by,
        "lastUpdatedOn": policy.stamp.updated_ms,
        "@rid": policy.stamp.row,
    })
}

fn add_uses(row: &mut Value, id: Uuid, stamp: &Stamp, store: &Store) {
    let references = store.objects().references_to(id);
    let active = store.active();
    let followed = active.filter(|policy| store.objects().is_part_of(id, *policy));
    row["referenceCount"] = json!(references.len());
    row["references"] = references
        .iter()
        .map(|reference| json!({ "id": reference.from, "property": reference.property }))
        .collect();
    row["isActivatedByVsmart"] = json!(followed.is_some());
    row["activatedId"] = json!(followed.into_iter().collect::<Vec<_>>());
    row["owner"] = json!(stamp.created_by);
    row["createdOn"] = json!(stamp.created_ms);
    row["lastUpdated"] = json!(stamp.updated_ms);
    row["infoTag"] = json!("");
    row["@rid"] = json!(stamp.row);
}

/// The product makes its version of a policy from the time of its last change.
fn version(stamp: &Stamp) -> String {
    let at = i64::try_from(stamp.updated_ms)
        .ok()
        .and_then(|at| Timestamp::from_millisecond(at).ok());
    at.unwrap_or_default().strftime("%m%d%YT%H%M%S%3f").to_string()
}
