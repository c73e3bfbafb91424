//! Definitions: sequences that match prefix lists and choose tunnels.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ListIds, action};
use crate::core::{
    Definition, DefinitionKind, Direction, Family, ListName, Protocol, Sequence, SequenceAction,
};

pub(in crate::manager) const DEFINITION_KINDS: [DefinitionKind; 2] =
    [DefinitionKind::Data, DefinitionKind::AppRoute];

/// The path segment, the `type`, and the name and the type of sequences.
pub(super) fn spelling(kind: DefinitionKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        DefinitionKind::Data => ("data", "data", "trafficEngineering"),
        DefinitionKind::AppRoute => ("approute", "appRoute", "appRoute"),
    }
}

pub(in crate::manager) fn definition_path(kind: DefinitionKind) -> String {
    format!("template/policy/definition/{}", spelling(kind).0)
}

pub(in crate::manager) fn definition_body(
    kind: DefinitionKind,
    name: &str,
    mark: &str,
    definition: &Definition,
    ids: &ListIds,
) -> Value {
    let sequences = match definition {
        Definition::Sequences(sequences) => sequences.as_slice(),
        Definition::Altered => unreachable!("nothing that is desired is altered"),
    };
    let sequences: Vec<_> = (1..)
        .zip(sequences)
        .map(|(id, sequence)| wire_sequence(kind, id, sequence, ids))
        .collect();
    let mut body = json!({
        "name": name,
        "type": spelling(kind).1,
        "description": mark,
        "sequences": sequences,
    });
    if kind == DefinitionKind::Data {
        body["defaultAction"] = json!({ "type": "accept" });
    }
    body
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSequence {
    sequence_id: u32,
    sequence_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_action: Option<String>,
    sequence_type: String,
    sequence_ip_type: String,
    r#match: WireMatch,
    #[serde(default)]
    actions: Vec<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireMatch {
    entries: Vec<WireField>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireField {
    field: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// The names of the list field and the port field.
pub(in crate::manager) fn match_fields(direction: Direction, family: Family) -> (&'static str, &'static str) {
    match (direction, family) {
        (Direction::Replies, Family::V4) => ("sourceDataPrefixList", "sourcePort"),
        (Direction::Replies, Family::V6) => ("sourceDataIpv6PrefixList", "sourcePort"),
        (Direction::Requests, Family::V4) => ("destinationDataPrefixList", "destinationPort"),
        (Direction::Requests, Family::V6) => ("destinationDataIpv6PrefixList", "destinationPort"),
    }
}

pub(in crate::manager) fn ip_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

fn wire_sequence(kind: DefinitionKind, id: u32, sequence: &Sequence, ids: &ListIds) -> WireSequence {
    let (list_field, port_field) = match_fields(sequence.direction, sequence.family);
    let list_id = ids
        .get(&sequence.hosts)
        .expect("lists are written before the definition that refers to them");
    let direction = match sequence.direction {
        Direction::Replies => "replies",
        Direction::Requests => "requests",
    };
    let base_action = match (kind, &sequence.action) {
        (DefinitionKind::AppRoute, _) => None,
        (DefinitionKind::Data, SequenceAction::Drop) => Some("drop".to_owned()),
        (DefinitionKind::Data, _) => Some("accept".to_owned()),
    };
    let field = |field: &str, value: String| WireField {
        field: field.to_owned(),
        r#ref: None,
        value: Some(value),
    };
    WireSequence {
        sequence_id: id,
        sequence_name: format!("{} {direction}", sequence.hosts),
        base_action,
        sequence_type: spelling(kind).2.to_owned(),
        sequence_ip_type: ip_type(sequence.family).to_owned(),
        r#match: WireMatch {
            entries: vec![
                WireField {
                    field: list_field.to_owned(),
                    r#ref: Some(list_id.clone()),
                    value: None,
                },
                field(port_field, sequence.port.to_string()),
                field("protocol", sequence.protocol.number().to_string()),
            ],
        },
        actions: action::write(&sequence.action, ids),
    }
}

/// Reads a definition; `ids` are the operator's lists.
pub(in crate::manager) fn read_definition(
    kind: DefinitionKind,
    definition: &Value,
    ids: &ListIds,
) -> Definition {
    let names: HashMap<&str, &ListName> = ids.iter().map(|(name, id)| (id.as_str(), name)).collect();
    let default = definition.pointer("/defaultAction/type").and_then(Value::as_str);
    let default_as_written = match kind {
        DefinitionKind::Data => default == Some("accept"),
        DefinitionKind::AppRoute => default.is_none(),
    };
    let sequences = match definition.get("sequences") {
        Some(Value::Array(sequences)) => sequences.as_slice(),
        None | Some(Value::Null) => &[],
        Some(_) => return Definition::Altered,
    };
    let mut numbered = Vec::new();
    for sequence in sequences {
        match WireSequence::deserialize(sequence)
            .ok()
            .and_then(|wire| read_sequence(kind, &wire, &names))
        {
            Some(read) => numbered.push(read),
            None => return Definition::Altered,
        }
    }
    if !default_as_written {
        return Definition::Altered;
    }
    // First match wins by id, whatever the order of the rows.
    numbered.sort_by_key(|&(id, _)| id);
    Definition::Sequences(numbered.into_iter().map(|(_, sequence)| sequence).collect())
}

fn read_sequence(
    kind: DefinitionKind,
    wire: &WireSequence,
    names: &HashMap<&str, &ListName>,
) -> Option<(u32, Sequence)> {
    let family = match wire.sequence_ip_type.as_str() {
        "ipv4" => Family::V4,
        "ipv6" => Family::V6,
        _ => return None,
    };
    let base_action = wire.base_action.as_deref();
    let action = match (kind, base_action) {
        (DefinitionKind::Data, Some("drop")) => wire.actions.is_empty().then_some(SequenceAction::Drop),
        (DefinitionKind::Data, Some("accept")) => {
            action::read(&wire.actions, names).filter(|action| matches!(action, SequenceAction::Set { .. }))
        }
        (DefinitionKind::Data, _) => None,
        (DefinitionKind::AppRoute, _) => action::read(&wire.actions, names)
            .filter(|action| matches!(action, SequenceAction::KeepSla { .. })),
    }?;
    let entries = wire.r#match.entries.as_slice();
    let entry = |name: &str| entries.iter().find(|entry| entry.field == name);
    let value = |name: &str| entry(name).and_then(|entry| entry.value.as_deref());
    let (direction, hosts, port) = Direction::BOTH.into_iter().find_map(|direction| {
        let (list_field, port_field) = match_fields(direction, family);
        let list_id = entry(list_field)?.r#ref.as_deref()?;
        let hosts = (*names.get(list_id)?).clone();
        Some((direction, hosts, value(port_field)?.parse().ok()?))
    })?;
    let protocol = Protocol::from_number(value("protocol")?.parse().ok()?)?;
    let sequence = Sequence {
        direction,
        family,
        hosts,
        protocol,
        port,
        action,
    };
    (entries.len() == 3).then_some((wire.sequence_id, sequence))
}
