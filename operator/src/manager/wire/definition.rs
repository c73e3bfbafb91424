//! The data definition: sequences that match prefix lists and set the local color.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::ListIds;
use crate::core::{Color, Definition, Direction, Family, ListName, Mode, Preference, Protocol, Sequence};

pub(in crate::manager) fn definition_body(
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
        .map(|(id, sequence)| wire_sequence(id, sequence, ids))
        .collect();
    json!({
        "name": name,
        "type": "data",
        "description": mark,
        "defaultAction": { "type": "accept" },
        "sequences": sequences,
    })
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSequence {
    sequence_id: u32,
    sequence_name: String,
    base_action: String,
    sequence_type: String,
    sequence_ip_type: String,
    r#match: WireMatch,
    actions: Vec<WireAction>,
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

#[derive(Debug, Serialize, Deserialize)]
struct WireAction {
    r#type: String,
    parameter: Vec<WireParameter>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireParameter {
    field: String,
    value: LocalTlocs,
}

#[derive(Debug, Serialize, Deserialize)]
struct LocalTlocs {
    color: String,
    encap: String,
    /// Its presence is what counts; the value is empty.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "presence"
    )]
    restrict: Option<String>,
}

fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| Some(String::new()))
}

/// The names of the list field and the port field.
fn match_fields(direction: Direction, family: Family) -> (&'static str, &'static str) {
    match (direction, family) {
        (Direction::Replies, Family::V4) => ("sourceDataPrefixList", "sourcePort"),
        (Direction::Replies, Family::V6) => ("sourceDataIpv6PrefixList", "sourcePort"),
        (Direction::Requests, Family::V4) => ("destinationDataPrefixList", "destinationPort"),
        (Direction::Requests, Family::V6) => ("destinationDataIpv6PrefixList", "destinationPort"),
    }
}

fn ip_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

fn wire_sequence(id: u32, sequence: &Sequence, ids: &ListIds) -> WireSequence {
    let (list_field, port_field) = match_fields(sequence.direction, sequence.family);
    let list_id = ids
        .get(&sequence.hosts)
        .expect("lists are written before the definition that refers to them");
    let direction = match sequence.direction {
        Direction::Replies => "replies",
        Direction::Requests => "requests",
    };
    let Preference { color, mode } = sequence.prefer;
    let field = |field: &str, value: String| WireField {
        field: field.to_owned(),
        r#ref: None,
        value: Some(value),
    };
    WireSequence {
        sequence_id: id,
        sequence_name: format!(
            "{color} {} {} {} {direction}",
            mode.as_str(),
            sequence.protocol,
            sequence.port
        ),
        base_action: "accept".to_owned(),
        sequence_type: "trafficEngineering".to_owned(),
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
        actions: vec![WireAction {
            r#type: "set".to_owned(),
            parameter: vec![WireParameter {
                field: "localTlocList".to_owned(),
                value: LocalTlocs {
                    color: color.to_string(),
                    encap: "ipsec".to_owned(),
                    restrict: (mode == Mode::Strict).then(String::new),
                },
            }],
        }],
    }
}

/// Reads a definition; `ids` are the operator's lists.
pub(in crate::manager) fn read_definition(definition: &Value, ids: &ListIds) -> Definition {
    let names: HashMap<&str, &ListName> = ids.iter().map(|(name, id)| (id.as_str(), name)).collect();
    let accepts = definition.pointer("/defaultAction/type").and_then(Value::as_str) == Some("accept");
    let sequences = match definition.get("sequences") {
        Some(Value::Array(sequences)) => sequences.as_slice(),
        None | Some(Value::Null) => &[],
        Some(_) => return Definition::Altered,
    };
    let mut numbered = Vec::new();
    for sequence in sequences {
        match WireSequence::deserialize(sequence)
            .ok()
            .and_then(|wire| read_sequence(&wire, &names))
        {
            Some(read) => numbered.push(read),
            None => return Definition::Altered,
        }
    }
    if !accepts {
        return Definition::Altered;
    }
    // First match wins by id, whatever the order of the rows.
    numbered.sort_by_key(|&(id, _)| id);
    Definition::Sequences(numbered.into_iter().map(|(_, sequence)| sequence).collect())
}

fn read_sequence(wire: &WireSequence, names: &HashMap<&str, &ListName>) -> Option<(u32, Sequence)> {
    let family = match wire.sequence_ip_type.as_str() {
        "ipv4" => Family::V4,
        "ipv6" => Family::V6,
        _ => return None,
    };
    let [action] = wire.actions.as_slice() else {
        return None;
    };
    let [parameter] = action.parameter.as_slice() else {
        return None;
    };
    let tlocs = &parameter.value;
    let expected = wire.base_action == "accept"
        && action.r#type == "set"
        && parameter.field == "localTlocList"
        && tlocs.encap == "ipsec"
        && wire.r#match.entries.len() == 3;
    if !expected {
        return None;
    }
    let entry = |name: &str| wire.r#match.entries.iter().find(|entry| entry.field == name);
    let value = |name: &str| entry(name).and_then(|entry| entry.value.as_deref());
    let (direction, hosts, port) =
        [Direction::Replies, Direction::Requests]
            .into_iter()
            .find_map(|direction| {
                let (list_field, port_field) = match_fields(direction, family);
                let list_id = entry(list_field)?.r#ref.as_deref()?;
                Some((
                    direction,
                    (*names.get(list_id)?).clone(),
                    value(port_field)?.parse().ok()?,
                ))
            })?;
    let protocol = match value("protocol")? {
        "6" => Protocol::Tcp,
        "17" => Protocol::Udp,
        _ => return None,
    };
    let mode = if tlocs.restrict.is_some() {
        Mode::Strict
    } else {
        Mode::Preferred
    };
    let prefer = Preference {
        color: tlocs.color.parse::<Color>().ok()?,
        mode,
    };
    Some((
        wire.sequence_id,
        Sequence {
            direction,
            family,
            hosts,
            protocol,
            port,
            prefer,
        },
    ))
}
