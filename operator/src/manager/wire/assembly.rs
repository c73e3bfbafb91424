//! The centralized policy: which definition applies where.
//!
//! Owns the elements of the assembly that are of the operator's definitions. Other elements of the same policy (a
//! network team may have added some, because only one policy can be active) are carried along unread.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::definition::spelling;
use super::{DefinitionIds, ListIds, PolicyRow};
use crate::core::{AppliedAt, Assembly, DefinitionKey, DefinitionKind, ListName};

/// The content of a policy row, which lists show as text.
pub(in crate::manager) fn policy_content(row: &PolicyRow) -> Value {
    match &row.policy_definition {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        value => value.clone(),
    }
}

/// Reads where the operator's definitions apply; elements of other definitions do not matter.
pub(in crate::manager) fn read_assembly(
    policy: &Value,
    definitions: &DefinitionIds,
    lists: &ListIds,
) -> Assembly {
    let read = || -> Option<Assembly> {
        let mut applied = BTreeMap::new();
        for element in policy.get("assembly")?.as_array()? {
            let Some(key) = key_of(element, definitions) else {
                continue;
            };
            let at = read_element(element, key, lists)?;
            if applied.insert(key, at).is_some() {
                return None;
            }
        }
        Some(Assembly::Service(applied))
    };
    read().unwrap_or(Assembly::Altered)
}

/// What others added to a policy, by the types of their elements.
pub(in crate::manager) fn others(policy: &Value, definitions: &DefinitionIds) -> Vec<String> {
    let elements =
        ["assembly", "regionRoleAssembly"].map(|part| policy[part].as_array().into_iter().flatten());
    let foreign = elements.into_iter().flatten();
    let foreign = foreign.filter(|element| key_of(element, definitions).is_none());
    foreign
        .map(|element| element["type"].as_str().unwrap_or("unknown").to_owned())
        .collect()
}

fn key_of(element: &Value, definitions: &DefinitionIds) -> Option<DefinitionKey> {
    let id = element["definitionId"].as_str()?;
    let known = definitions.iter().find(|(_, known)| *known == id)?;
    Some(*known.0)
}

fn read_element(element: &Value, key: DefinitionKey, lists: &ListIds) -> Option<AppliedAt> {
    let name_of = |ids: &Value| {
        let [id] = ids.as_array()?.as_slice() else {
            return None;
        };
        let known = lists.iter().find(|(_, known)| id == known.as_str());
        known.map(|(name, _)| name.clone())
    };
    let [entry] = element.get("entries")?.as_array()?.as_slice() else {
        return None;
    };
    let from_service = match key.kind {
        DefinitionKind::Data => entry["direction"] == "service",
        DefinitionKind::AppRoute => true,
    };
    (from_service && element["type"] == spelling(key.kind).1).then_some(AppliedAt {
        sites: name_of(&entry["siteLists"])?,
        service_vpns: name_of(&entry["vpnLists"])?,
    })
}

/// Puts the assembly of the operator's definitions into a policy, in place of what it was; the rest stays.
pub(in crate::manager) fn write_assembly(
    policy: &Value,
    definitions: &DefinitionIds,
    assembly: &Assembly,
    lists: &ListIds,
) -> Value {
    let mut content = policy.as_object().cloned().unwrap_or_default();
    let mut elements = match content.remove("assembly") {
        Some(Value::Array(elements)) => elements,
        _ => Vec::new(),
    };
    if let Assembly::Service(applied) = assembly {
        elements.retain(|element| key_of(element, definitions).is_none());
        elements.extend(
            applied
                .iter()
                .map(|(key, at)| element(*key, at, definitions, lists)),
        );
    }
    content.insert("assembly".to_owned(), elements.into());
    content.entry("regionRoleAssembly").or_insert_with(|| json!([]));
    content.into()
}

fn element(key: DefinitionKey, at: &AppliedAt, definitions: &DefinitionIds, lists: &ListIds) -> Value {
    let id = |name: &ListName| {
        lists
            .get(name)
            .expect("lists are written before the policy that refers to them")
    };
    let definition = definitions
        .get(&key)
        .expect("definitions are written before the policy that refers to them");
    let mut entry = json!({ "siteLists": [id(&at.sites)], "vpnLists": [id(&at.service_vpns)] });
    if key.kind == DefinitionKind::Data {
        entry["direction"] = "service".into();
    }
    json!({ "definitionId": definition, "type": spelling(key.kind).1, "entries": [entry] })
}

pub(in crate::manager) fn policy_body(name: &str, mark: &str, active: bool, content: &Value) -> Value {
    json!({
        "policyName": name,
        "policyDescription": mark,
        "policyType": "feature",
        "policyDefinition": content,
        "isPolicyActivated": active,
    })
}
