//! Traffic policies: the definitions of policy groups.
//!
//! Owns the translation between the definitions of a service VPN and its traffic policy, which is one list of sequences
//! for both kinds. A sequence that stands in both is one in the traffic policy, where the first match decides alone.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::parcel::{option, value};
use crate::core::{
    Color, Definition, DefinitionKind, Direction, Encapsulations, Family, Inspection, ListName, Mode,
    Protocol, Sequence, SequenceAction, ServiceType, Tunnels,
};
use crate::manager::wire::{ListIds, ip_type, match_fields};

/// The definitions of one service VPN, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) data: Option<Definition>,
    pub(super) app_route: Option<Definition>,
}

/// What a sequence of a traffic policy says in each kind of definition.
#[derive(Debug, Clone, Copy, Default)]
struct Merged<'a> {
    data: Option<&'a Sequence>,
    app_route: Option<&'a Sequence>,
}

impl Pair {
    pub(super) fn of(&mut self, kind: DefinitionKind) -> &mut Option<Definition> {
        match kind {
            DefinitionKind::Data => &mut self.data,
            DefinitionKind::AppRoute => &mut self.app_route,
        }
    }

    /// What can be told from a traffic policy: a definition without sequences only if there is no other.
    pub(super) fn normalized(mut self) -> Self {
        let is_empty = |definition: &Definition| *definition == Definition::Sequences(Vec::new());
        self.app_route = self.app_route.filter(|definition| !is_empty(definition));
        if self.app_route.is_some() {
            self.data = self.data.filter(|definition| !is_empty(definition));
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_none() && self.app_route.is_none()
    }

    /// The sequences of both in an order that is that of each; a sequence of equal match is one.
    fn merged(&self) -> Vec<Merged<'_>> {
        let data = self.data.as_ref().map(Definition::sequences);
        let app_route = self.app_route.as_ref().map(Definition::sequences);
        let mut app_route = app_route.unwrap_or_default().iter().peekable();
        let mut merged = Vec::new();
        for one in data.unwrap_or_default() {
            let shared = app_route.clone().any(|other| same_match(one, other));
            while shared && let Some(other) = app_route.next_if(|other| !same_match(one, other)) {
                merged.push(Merged {
                    app_route: Some(other),
                    ..Merged::default()
                });
            }
            merged.push(Merged {
                data: Some(one),
                app_route: app_route.next_if(|_| shared),
            });
        }
        merged.extend(app_route.map(|other| Merged {
            app_route: Some(other),
            ..Merged::default()
        }));
        merged
    }
}

fn same_match(one: &Sequence, other: &Sequence) -> bool {
    (one.direction, one.family, &one.hosts, one.protocol, one.port)
        == (
            other.direction,
            other.family,
            &other.hosts,
            other.protocol,
            other.port,
        )
}

/// The body of the traffic policy of a service VPN.
pub(super) fn body(name: &str, mark: &str, service_vpn: u16, pair: &Pair, ids: &ListIds) -> Value {
    let sequences: Vec<Value> = (1_u32..)
        .zip(pair.merged())
        .map(|(id, merged)| wire_sequence(id, merged, ids))
        .collect();
    json!({
        "name": name,
        "description": mark,
        "data": {
            "dataDefaultAction": option("accept"),
            "target": target(service_vpn),
            "sequences": sequences,
        },
    })
}

fn target(service_vpn: u16) -> Value {
    json!({ "vpn": option(vec![format!("VPN{service_vpn}")]), "direction": option("service") })
}

fn reference(name: &ListName, ids: &ListIds) -> Value {
    let id = ids
        .get(name)
        .expect("lists are written before what refers to them");
    json!({ "refId": option(id.as_str()) })
}

fn wire_sequence(id: u32, merged: Merged<'_>, ids: &ListIds) -> Value {
    let sequence = merged
        .data
        .or(merged.app_route)
        .expect("one of them says something");
    let (list_field, port_field) = match_fields(sequence.direction, sequence.family);
    let dropped = merged
        .data
        .is_some_and(|sequence| sequence.action == SequenceAction::Drop);
    let actions: Vec<Value> = [merged.app_route, merged.data]
        .into_iter()
        .flatten()
        .filter_map(|sequence| action(&sequence.action, ids))
        .collect();
    json!({
        "sequenceId": option(id),
        "sequenceName": option(format!("{} {} {list_field}", sequence.protocol, sequence.port)),
        "baseAction": option(if dropped { "drop" } else { "accept" }),
        "sequenceIpType": option(ip_type(sequence.family)),
        "match": { "entries": [
            { list_field: reference(&sequence.hosts, ids) },
            { port_field: option(vec![sequence.port.to_string()]) },
            { "protocol": option(vec![sequence.protocol.number().to_string()]) },
        ] },
        "actions": actions,
    })
}

fn action(action: &SequenceAction, ids: &ListIds) -> Option<Value> {
    match action {
        SequenceAction::Drop => None,
        SequenceAction::KeepSla {
            class,
            preferred,
            mode,
        } => {
            let mut parameters = vec![json!({ "slaName": reference(class, ids) })];
            if let Some(color) = preferred {
                parameters.push(json!({ "preferredColor": option(vec![color.as_str()]) }));
            }
            if *mode == Mode::Strict {
                parameters.push(json!({ "strict": option(true) }));
            }
            Some(json!({ "slaClass": parameters }))
        }
        SequenceAction::Set { inspect, tunnels } => {
            let inspect = inspect.iter().map(|inspection| {
                let service = json!({
                    "type": option(inspection.service.as_str()),
                    "vpn": option(inspection.service_vpn),
                    "local": option(true),
                });
                json!({ "service": service })
            });
            let tunnels = tunnels.iter().flat_map(|tunnels| wire_tunnels(tunnels, ids));
            Some(json!({ "set": inspect.chain(tunnels).collect::<Vec<_>>() }))
        }
    }
}

fn wire_tunnels(tunnels: &Tunnels, ids: &ListIds) -> Vec<Value> {
    match tunnels {
        Tunnels::Color {
            color,
            encapsulations,
            mode,
        } => {
            let mut tlocs = json!({
                "color": option(vec![color.as_str()]),
                "encap": match encapsulations {
                    Encapsulations::Ipsec => option("ipsec"),
                    Encapsulations::IpsecAndGre => option(vec!["ipsec", "gre"]),
                },
            });
            if *mode == Mode::Strict {
                tlocs["restrict"] = option(true);
            }
            vec![json!({ "localTlocList": tlocs })]
        }
        Tunnels::Group { group, mode } => {
            let mut fields = vec![json!({ "preferredColorGroup": reference(group, ids) })];
            if *mode == Mode::Strict {
                fields.push(json!({ "preferredColorGroupRestrict": option(true) }));
            }
            fields
        }
    }
}

/// Reads the `data` of the traffic policy of a service VPN; `ids` are the operator's lists.
pub(super) fn read(data: &Value, service_vpn: u16, ids: &ListIds) -> Pair {
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
