//! The centralized policy: which definition applies where.
//!
//! Owns one element of the assembly, that of the operator's data definition. Other elements of the same policy
//! (a network team may have added some, because only one policy can be active) are carried along unread.

use serde_json::{Value, json};

use super::{ListIds, PolicyRow};
use crate::core::{Assembly, ListName};

/// The content of a policy row, which lists show as text.
pub(in crate::manager) fn policy_content(row: &PolicyRow) -> Value {
    match &row.policy_definition {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        value => value.clone(),
    }
}

/// Reads where the data definition `definition_id` applies; entries of other definitions do not matter.
pub(in crate::manager) fn read_assembly(policy: &Value, definition_id: &str, ids: &ListIds) -> Assembly {
    let name_of = |id: &Value| {
        ids.iter()
            .find(|(_, known)| id == known.as_str())
            .map(|(name, _)| name.clone())
    };
    let read = || -> Option<Assembly> {
        let all = policy.get("assembly")?.as_array()?;
        let mut ours = all
            .iter()
            .filter(|element| element["definitionId"] == definition_id);
        let (element, None) = (ours.next()?, ours.next()) else {
            return None;
        };
        let [entry] = element.get("entries")?.as_array()?.as_slice() else {
            return None;
        };
        let [site] = entry["siteLists"].as_array()?.as_slice() else {
            return None;
        };
        let [service_vpn] = entry["vpnLists"].as_array()?.as_slice() else {
            return None;
        };
        (element["type"] == "data" && entry["direction"] == "service").then_some(Assembly::Service {
            sites: name_of(site)?,
            service_vpns: name_of(service_vpn)?,
        })
    };
    read().unwrap_or(Assembly::Altered)
}

/// Puts the assembly of `definition_id` into a policy, in place of what it was; the rest stays.
pub(in crate::manager) fn write_assembly(
    policy: &Value,
    definition_id: &str,
    assembly: &Assembly,
    ids: &ListIds,
) -> Value {
    let mut content = policy.as_object().cloned().unwrap_or_default();
    let mut elements = match content.remove("assembly") {
        Some(Value::Array(elements)) => elements,
        _ => Vec::new(),
    };
    if let Assembly::Service { sites, service_vpns } = assembly {
        let id = |name: &ListName| {
            ids.get(name)
                .expect("lists are written before the policy that refers to them")
        };
        elements.retain(|element| element["definitionId"] != definition_id);
        elements.push(json!({
            "definitionId": definition_id,
            "type": "data",
            "entries": [{ "direction": "service", "siteLists": [id(sites)], "vpnLists": [id(service_vpns)] }],
        }));
    }
    content.insert("assembly".to_owned(), elements.into());
    content.entry("regionRoleAssembly").or_insert_with(|| json!([]));
    content.into()
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
