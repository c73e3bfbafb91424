//! What a sequence does, as base action and list of actions.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::ListIds;
use crate::core::{Color, Encapsulations, Inspection, ListName, Mode, SequenceAction, ServiceType, Tunnels};

/// The actions of a sequence.
pub(super) fn write(action: &SequenceAction, ids: &ListIds) -> Vec<Value> {
    let id = |name: &ListName| {
        ids.get(name)
            .expect("lists are written before the definition that refers to them")
    };
    match action {
        SequenceAction::Drop => Vec::new(),
        SequenceAction::Set { inspect, tunnels } => {
            let inspect = inspect.iter().map(|inspection| {
                let service_vpn = inspection.service_vpn.to_string();
                let service = json!({ "type": inspection.service.as_str(), "vpn": service_vpn, "local": "" });
                json!({ "field": "service", "value": service })
            });
            let tunnels = tunnels.iter().map(|tunnels| match tunnels {
                Tunnels::Color {
                    color,
                    encapsulations,
                    mode,
                } => {
                    let mut value = json!({ "color": color.as_str(), "encap": encapsulations.as_str() });
                    if *mode == Mode::Strict {
                        // Its presence is what counts.
                        value["restrict"] = "".into();
                    }
                    json!({ "field": "localTlocList", "value": value })
                }
                Tunnels::Group { group, mode } => {
                    let mut set = json!({ "field": "preferredColorGroup", "ref": id(group) });
                    if *mode == Mode::Strict {
                        set["colorRestrict"] = true.into();
                    }
                    set
                }
            });
            let parameter: Vec<_> = inspect.chain(tunnels).collect();
            vec![json!({ "type": "set", "parameter": parameter })]
        }
        SequenceAction::KeepSla {
            class,
            preferred,
            mode,
        } => {
            let mut parameter = vec![json!({ "field": "name", "ref": id(class) })];
            parameter
                .extend(preferred.map(|color| json!({ "field": "preferredColor", "value": color.as_str() })));
            if *mode == Mode::Strict {
                parameter.push(json!({ "field": "strict" }));
            }
            vec![json!({ "type": "slaClass", "parameter": parameter })]
        }
    }
}

/// Reads the actions of a sequence whose base action is `accept`.
pub(super) fn read(actions: &[Value], names: &HashMap<&str, &ListName>) -> Option<SequenceAction> {
    let [action] = actions else { return None };
    let parameters = action.get("parameter")?.as_array()?;
    match action.get("type")?.as_str()? {
        "set" => read_set(parameters, names),
        "slaClass" => read_sla(parameters, names),
        _ => None,
    }
}

fn read_set(parameters: &[Value], names: &HashMap<&str, &ListName>) -> Option<SequenceAction> {
    let (mut inspect, mut tunnels) = (None, None);
    for parameter in parameters {
        let fields = parameter.as_object()?;
        let (field, rest) = (fields.get("field")?.as_str()?, fields.len() - 1);
        let value = || fields.get("value").filter(|_| rest == 1)?.as_object();
        match field {
            "service" if inspect.is_none() => inspect = Some(inspection(value()?)?),
            "localTlocList" if tunnels.is_none() => tunnels = Some(color(value()?)?),
            "preferredColorGroup" if tunnels.is_none() => {
                let mode = match (rest, fields.get("colorRestrict")) {
                    (2, Some(Value::Bool(true))) => Mode::Strict,
                    (1, None) => Mode::Preferred,
                    _ => return None,
                };
                let group = referred(fields, names)?;
                tunnels = Some(Tunnels::Group { group, mode });
            }
            _ => return None,
        }
    }
    (inspect.is_some() || tunnels.is_some()).then_some(SequenceAction::Set { inspect, tunnels })
}

fn inspection(value: &Map<String, Value>) -> Option<Inspection> {
    let word = value.get("type")?.as_str()?;
    let service = ServiceType::ALL
        .into_iter()
        .find(|service| service.as_str() == word)?;
    let service_vpn = value.get("vpn")?.as_str()?.parse().ok()?;
    (value.contains_key("local") && value.len() == 3).then_some(Inspection { service, service_vpn })
}

fn color(value: &Map<String, Value>) -> Option<Tunnels> {
    let encapsulations = match value.get("encap")?.as_str()? {
        "ipsec" => Encapsulations::Ipsec,
        "ipsec gre" => Encapsulations::IpsecAndGre,
        _ => return None,
    };
    let mode = match (value.len(), value.contains_key("restrict")) {
        (3, true) => Mode::Strict,
        (2, false) => Mode::Preferred,
        _ => return None,
    };
    let color = value.get("color")?.as_str()?.parse().ok()?;
    Some(Tunnels::Color {
        color,
        encapsulations,
        mode,
    })
}

fn read_sla(parameters: &[Value], names: &HashMap<&str, &ListName>) -> Option<SequenceAction> {
    let (mut class, mut preferred, mut mode) = (None, None, Mode::Preferred);
    for parameter in parameters {
        let fields = parameter.as_object()?;
        match fields.get("field")?.as_str()? {
            "name" => class = Some(referred(fields, names)?),
            "preferredColor" => preferred = Some(fields.get("value")?.as_str()?.parse::<Color>().ok()?),
            "strict" => mode = Mode::Strict,
            _ => return None,
        }
    }
    Some(SequenceAction::KeepSla {
        class: class?,
        preferred,
        mode,
    })
}

fn referred(fields: &Map<String, Value>, names: &HashMap<&str, &ListName>) -> Option<ListName> {
    let name = names.get(fields.get("ref")?.as_str()?)?;
    Some((*name).clone())
}
