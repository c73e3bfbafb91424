//! Reading traffic policies.
//!
//! Invariant: a traffic policy is read as sequences only if it says exactly what the operator would write.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Pair, target};
use crate::core::{
    Color, Definition, Direction, Encapsulations, Family, Inspection, ListName, Mode, Protocol, Sequence,
    SequenceAction, ServiceType, Tunnels,
};
use crate::manager::groups::parcel::value;
use crate::manager::wire::{ListIds, match_fields};

/// Reads the `data` of the traffic policy of a service VPN; `ids` are the operator's lists.
pub(in crate::manager::groups) fn read(data: &Value, service_vpn: u16, ids: &ListIds) -> Pair {
    let names: HashMap<&str, &ListName> = ids.iter().map(|(name, id)| (id.as_str(), name)).collect();
    read_pair(data, service_vpn, &names).unwrap_or(Pair {
        data: Some(Definition::Altered),
        app_route: None,
    })
}

type Names<'a> = HashMap<&'a str, &'a ListName>;

fn read_pair(data: &Value, service_vpn: u16, names: &Names<'_>) -> Option<Pair> {
    if value(&data["dataDefaultAction"])? != "accept" || data["target"] != target(service_vpn) {
        return None;
    }
    let mut numbered = Vec::new();
    for sequence in data["sequences"].as_array()? {
        let id = value(&sequence["sequenceId"])?.as_u64()?;
        numbered.push((id, read_sequence(sequence, names)?));
    }
    // First match wins by id, whatever the order of the rows.
    numbered.sort_by_key(|&(id, _)| id);
    let (mut data, mut app_route) = (Vec::new(), Vec::new());
    for (_, [in_data, in_app_route]) in numbered {
        data.extend(in_data);
        app_route.extend(in_app_route);
    }
    let pair = Pair {
        data: Some(Definition::Sequences(data)),
        app_route: Some(Definition::Sequences(app_route)),
    };
    Some(pair.normalized())
}

/// The sequence as it stands in the data definition and in the app-route definition.
fn read_sequence(wire: &Value, names: &Names<'_>) -> Option<[Option<Sequence>; 2]> {
    let family = match value(&wire["sequenceIpType"])?.as_str()? {
        "ipv4" => Family::V4,
        "ipv6" => Family::V6,
        _ => return None,
    };
    let entries = wire["match"]["entries"].as_array()?;
    let entries = one_object(entries)?;
    let (direction, hosts, port) = Direction::BOTH.into_iter().find_map(|direction| {
        let (list_field, port_field) = match_fields(direction, family);
        let hosts = named(entries.get(list_field)?, names)?;
        Some((direction, hosts, only(entries.get(port_field)?)?.parse().ok()?))
    })?;
    let protocol = Protocol::from_number(only(entries.get("protocol")?)?.parse().ok()?)?;
    if entries.len() != 3 {
        return None;
    }
    let sequence = |action| Sequence {
        direction,
        family,
        hosts: hosts.clone(),
        protocol,
        port,
        action,
    };
    let actions = wire["actions"].as_array()?;
    let actions = one_object(actions)?;
    let known = ["set", "slaClass"]
        .iter()
        .filter(|name| actions.contains_key(**name));
    if actions.len() != known.count() {
        return None;
    }
    let mut in_data = actions.get("set").map(|set| read_set(set, names));
    let in_app_route = actions.get("slaClass").map(|sla| read_sla(sla, names));
    match value(&wire["baseAction"])?.as_str()? {
        "accept" if !actions.is_empty() => {}
        "drop" if actions.is_empty() => in_data = Some(Some(SequenceAction::Drop)),
        _ => return None,
    }
    let read = |action: Option<Option<SequenceAction>>| match action {
        Some(action) => action.map(|action| Some(sequence(action))),
        None => Some(None),
    };
    Some([read(in_data)?, read(in_app_route)?])
}

fn read_set(set: &Value, names: &Names<'_>) -> Option<SequenceAction> {
    let fields = one_object(set.as_array()?)?;
    let mut known = 0;
    let mut field = |name: &str| fields.get(name).inspect(|_| known += 1);
    let inspect = match field("service") {
        Some(service) => Some(read_inspection(service)?),
        None => None,
    };
    let tunnels = match (field("localTlocList"), field("preferredColorGroup")) {
        (Some(tlocs), None) => Some(read_tlocs(tlocs)?),
        (None, Some(group)) => Some(Tunnels::Group {
            group: named(group, names)?,
            mode: mode(field("preferredColorGroupRestrict"))?,
        }),
        (None, None) => None,
        (Some(_), Some(_)) => return None,
    };
    (known == fields.len()).then_some(SequenceAction::Set { inspect, tunnels })
}

fn read_inspection(service: &Value) -> Option<Inspection> {
    let kind = value(service.get("type")?)?.as_str()?;
    let service_vpn = value(service.get("vpn")?)?.as_u64()?;
    let local = value(service.get("local")?)? == true;
    let known = service.as_object()?.len() == 3;
    (local && known).then_some(Inspection {
        service: ServiceType::ALL.into_iter().find(|one| one.as_str() == kind)?,
        service_vpn: service_vpn.try_into().ok()?,
    })
}

fn read_tlocs(tlocs: &Value) -> Option<Tunnels> {
    let restrict = tlocs.get("restrict");
    let encapsulations = match value(tlocs.get("encap")?)? {
        Value::String(text) if text == "ipsec" => Encapsulations::Ipsec,
        Value::Array(both) if *both == ["ipsec", "gre"] => Encapsulations::IpsecAndGre,
        _ => return None,
    };
    let known = tlocs.as_object()?.len() == 2 + usize::from(restrict.is_some());
    known.then_some(Tunnels::Color {
        color: only(tlocs.get("color")?)?.parse().ok()?,
        encapsulations,
        mode: mode(restrict)?,
    })
}

fn read_sla(sla: &Value, names: &Names<'_>) -> Option<SequenceAction> {
    let fields = one_object(sla.as_array()?)?;
    let (color, strict) = (fields.get("preferredColor"), fields.get("strict"));
    let preferred: Option<Color> = match color {
        Some(color) => Some(only(color)?.parse().ok()?),
        None => None,
    };
    let known = fields.len() == 1 + usize::from(color.is_some()) + usize::from(strict.is_some());
    known.then_some(SequenceAction::KeepSla {
        class: named(fields.get("slaName")?, names)?,
        preferred,
        mode: mode(strict)?,
    })
}

/// The mode that a switch for strictness stands for.
fn mode(switch: Option<&Value>) -> Option<Mode> {
    match switch.map(value) {
        Some(Some(Value::Bool(true))) => Some(Mode::Strict),
        None | Some(Some(Value::Bool(false))) => Some(Mode::Preferred),
        Some(_) => None,
    }
}

/// The fields of all objects of an array in one; `None` if one is there twice.
fn one_object(objects: &[Value]) -> Option<Map<String, Value>> {
    let mut one = Map::new();
    for object in objects {
        for (name, value) in object.as_object()? {
            if one.insert(name.clone(), value.clone()).is_some() {
                return None;
            }
        }
    }
    Some(one)
}

/// The only text of an option that is an array.
fn only(option: &Value) -> Option<&str> {
    match value(option)?.as_array()?.as_slice() {
        [only] => only.as_str(),
        _ => None,
    }
}

/// The operator's list that a reference names.
fn named(reference: &Value, names: &Names<'_>) -> Option<ListName> {
    let id = value(reference.get("refId")?)?.as_str()?;
    names.get(id).map(|name| (*name).clone())
}
