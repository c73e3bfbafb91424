//! Traffic policies: the definitions of policy groups.
//!
//! Owns the translation between the definitions of a service VPN and its traffic policy, which is one list of sequences
//! for both kinds. A sequence that stands in both is one in the traffic policy, where the first match decides alone.

mod read;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::parcel::option;
use crate::core::{
    Definition, DefinitionKind, Encapsulations, ListName, Mode, Sequence, SequenceAction, Tunnels,
};
use crate::manager::wire::{ListIds, ip_type, match_fields};

pub(super) use self::read::read;

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
