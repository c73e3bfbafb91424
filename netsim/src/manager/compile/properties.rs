//! Random policies decide about random packets as their JSON says.
//!
//! The oracle reads bodies as a person would and knows nothing of parsing or compiling: it looks through the assembly,
//! spells out lists and takes the first sequence that matches. Both sides say their decision in words.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::manager::definition;
use crate::manager::fixture::{self, parse_policy, put_list};
use crate::policy::{
    Action, AppRoute, BestPath, Criterion, DataPath, DefaultAction, Match, Preference, Unmet,
};

/// One packet at one edge.
#[derive(Debug, Clone)]
struct Packet {
    site: u32,
    service_vpn: u16,
    from_service: bool,
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    protocol: u8,
    dscp: u8,
}

/// Every list by its name: kind and entries.
fn lists() -> Vec<(&'static str, &'static str, Value)> {
    let tier = |colors: &str| json!({"colorPreference": colors, "pathPreference": "all-paths"});
    let fallback = json!({"criteria": "latency-loss", "lossVariance": "2", "latencyVariance": "5"});
    vec![
        ("site", "near", json!([{"siteId": "1"}])),
        ("site", "far", json!([{"siteId": "2-3"}])),
        ("vpn", "ten", json!([{"vpn": "10"}])),
        ("vpn", "more", json!([{"vpn": "15-25"}, {"vpn": "30"}])),
        (
            "dataprefix",
            "p4",
            json!([{"ipPrefix": "10.1.0.0/16"}, {"ipPrefix": "10.2.0.5/32"}]),
        ),
        ("dataprefix", "q4", json!([{"ipPrefix": "10.0.0.0/8"}])),
        ("dataipv6prefix", "p6", json!([{"ipv6Prefix": "fd00::/64"}])),
        (
            "sla",
            "voice",
            json!([{"loss": "1", "latency": "150", "fallbackBestTunnel": fallback}]),
        ),
        (
            "sla",
            "video",
            json!([{"jitter": "30", "fallbackBestTunnel": {"criteria": "loss", "lossVariance": "0"}}]),
        ),
        (
            "preferredcolorgroup",
            "gold",
            json!([{"primaryPreference": tier("mpls lte"), "secondaryPreference": tier("red")}]),
        ),
        (
            "tloc",
            "hubs",
            json!([{"tloc": "10.0.0.1", "color": "mpls", "encap": "ipsec", "preference": "9"}]),
        ),
    ]
}

fn entries_of(name: &str) -> Value {
    let lists = lists();
    let (_, _, entries) = lists.into_iter().find(|(_, known, _)| *known == name).unwrap();
    entries
}

/// Conditions that do not exclude each other: at most one of each group.
fn conditions() -> impl Strategy<Value = (&'static str, Vec<Value>)> {
    let reference = |field: &str, list: &str| json!({"field": field, "ref": list});
    let value = |field: &str, text: &str| json!({"field": field, "value": text});
    let v4 = |side: &str| {
        let list = format!("{side}DataPrefixList");
        vec![
            reference(&list, "p4"),
            reference(&list, "q4"),
            value(&format!("{side}Ip"), "10.1.7.9/32 10.2.0.0/16"),
        ]
    };
    let v6 = |side: &str| {
        vec![
            reference(&format!("{side}DataIpv6PrefixList"), "p6"),
            value(&format!("{side}Ipv6"), "fd00::5/128 fd01::/16"),
        ]
    };
    let neutral = [
        value("sourcePort", "80 1000-2000"),
        value("destinationPort", "443"),
        value("protocol", "6 17"),
        value("dscp", "0 46"),
    ];
    let sides = |family: &'static str| match family {
        "ipv4" => (v4("source"), v4("destination")),
        "ipv6" => (v6("source"), v6("destination")),
        _ => (Vec::new(), Vec::new()),
    };
    let families = ["ipv4", "ipv6", "all"].map(|family| (family, sides(family)));
    (select(families.to_vec()), subsequence(neutral.to_vec(), 0..=2)).prop_flat_map(
        |((family, (source, destination)), neutral)| {
            let side = |entries: Vec<Value>| subsequence(entries.clone(), 0..=entries.len().min(1));
            (side(source), side(destination)).prop_map(move |(source, destination)| {
                (family, [source, neutral.clone(), destination].concat())
            })
        },
    )
}

fn data_actions() -> impl Strategy<Value = Vec<Value>> {
    let local =
        json!({"field": "localTlocList", "value": {"color": "mpls lte", "encap": "ipsec", "restrict": ""}});
    let loose = json!({"field": "localTlocList", "value": {"color": "red"}});
    let group = json!({"field": "preferredColorGroup", "ref": "gold", "colorRestrict": true});
    let tloc = json!({"field": "tloc", "value": {"ip": "10.0.0.7", "color": "blue", "encap": "ipsec"}});
    let tlocs = json!({"field": "tlocList", "ref": "hubs"});
    let service = json!({"field": "service", "value": {"type": "IDS", "local": ""}});
    let ways = vec![local, loose, group, tloc, tlocs];
    let marks = prop::option::of(0..64_u8);
    let others = (any::<bool>(), marks, any::<bool>());
    (subsequence(ways, 0..=1), others).prop_map(move |(mut fields, (inspect, mark, count))| {
        fields.extend(inspect.then(|| service.clone()));
        fields.extend(mark.map(|code| json!({"field": "dscp", "value": code.to_string()})));
        let mut actions = vec![json!({"type": "set", "parameter": fields})];
        actions.extend(count.then(|| json!({"type": "count", "parameter": "c"})));
        actions
    })
}

fn app_route_actions() -> impl Strategy<Value = Vec<Value>> {
    let preferences = vec![
        json!({"field": "preferredColor", "value": "mpls lte"}),
        json!({"field": "preferredColorGroup", "ref": "gold"}),
    ];
    let ends = vec![json!({"field": "strict"}), json!({"field": "fallbackToBestPath"})];
    let backup = json!({"type": "backupSlaPreferredColor", "parameter": "red blue"});
    (
        prop::option::of(select(vec!["voice", "video"])),
        subsequence(preferences, 0..=1),
        subsequence(ends, 0..=1),
        any::<bool>(),
    )
        .prop_map(move |(class, preference, ends, with_backup)| {
            let with_backup = with_backup && (class.is_none() || ends.is_empty());
            let class = class.map(|class| {
                let name = vec![json!({"field": "name", "ref": class})];
                let parameter = [name, preference, ends].concat();
                json!({"type": "slaClass", "parameter": parameter})
            });
            class
                .into_iter()
                .chain(with_backup.then(|| backup.clone()))
                .collect()
        })
}

fn sequence(is_data: bool) -> impl Strategy<Value = Value> {
    let actions = match is_data {
        true => data_actions().boxed(),
        false => app_route_actions().boxed(),
    };
    (conditions(), actions, 0..4).prop_map(move |((family, entries), actions, dice)| {
        let mut sequence = json!({
            "sequenceType": if is_data { "data" } else { "appRoute" },
            "sequenceIpType": family,
            "match": {"entries": entries},
            "actions": actions,
        });
        if is_data {
            let drops = dice == 0;
            sequence["baseAction"] = json!(if drops { "drop" } else { "accept" });
            if drops {
                sequence["actions"] = json!([]);
            }
        }
        sequence
    })
}

/// An assembly with its definition in the place of the definition's id, and lists by name.
fn assembly() -> impl Strategy<Value = Value> {
    let ids = subsequence((1..20).collect::<Vec<u16>>(), 0..6).prop_shuffle();
    any::<bool>()
        .prop_flat_map(move |is_data| {
            (
                Just(is_data),
                ids.clone(),
                prop::collection::vec(sequence(is_data), 6),
            )
        })
        .prop_flat_map(|(is_data, ids, mut sequences)| {
            sequences.truncate(ids.len());
            for (sequence, id) in sequences.iter_mut().zip(ids) {
                sequence["sequenceId"] = json!(id);
            }
            let default = match is_data {
                true => select(vec![
                    Value::Null,
                    json!({"type": "accept"}),
                    json!({"type": "drop"}),
                ]),
                false => select(vec![Value::Null, json!({"type": "slaClass", "ref": "voice"})]),
            };
            (
                Just((is_data, sequences)),
                default,
                select(vec!["service", "tunnel", "all"]),
                subsequence(vec!["near", "far"], 1..=2),
                subsequence(vec!["ten", "more"], 1..=2),
            )
        })
        .prop_map(|((is_data, sequences), default, direction, sites, vpns)| {
            let mut entry = json!({"siteLists": sites, "vpnLists": vpns});
            if is_data {
                entry["direction"] = json!(direction);
            }
            json!({
                "type": if is_data { "data" } else { "appRoute" },
                "definition": {"sequences": sequences, "default": default},
                "entries": [entry],
            })
        })
}

fn packet() -> impl Strategy<Value = Packet> {
    let v4 = ["10.1.7.9", "10.2.0.5", "10.3.0.1", "192.0.2.1"];
    let v6 = ["fd00::5", "fd01::1", "2001:db8::1"];
    let pair = |pool: &[&str]| {
        let pool: Vec<IpAddr> = pool.iter().map(|text| text.parse().unwrap()).collect();
        (select(pool.clone()), select(pool))
    };
    (
        select(vec![1, 2]),
        select(vec![10, 20]),
        any::<bool>(),
        prop_oneof![pair(&v4), pair(&v6)],
        (select(vec![80, 1500, 9]), select(vec![443, 8443])),
        select(vec![6, 17, 132]),
        select(vec![0, 10, 46]),
    )
        .prop_map(
            |(site, service_vpn, from_service, (source, destination), ports, protocol, dscp)| Packet {
                site,
                service_vpn,
                from_service,
                source,
                destination,
                ports,
                protocol,
                dscp,
            },
        )
}

// What the JSON says.

fn texts(value: &Value) -> Vec<&str> {
    value.as_str().unwrap_or_default().split(' ').collect()
}

fn in_ranges(number: u32, ranges: &[&str]) -> bool {
    ranges.iter().any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        (first.parse().unwrap()..=last.parse().unwrap()).contains(&number)
    })
}

fn named_in(lists: &Value, key: &str, number: u32) -> bool {
    let names = lists
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap());
    let entries = names.flat_map(|name| entries_of(name).as_array().unwrap().clone());
    entries
        .into_iter()
        .any(|entry| in_ranges(number, &[entry[key].as_str().unwrap()]))
}

fn entry_matches(entry: &Value, packet: &Packet) -> bool {
    let field = entry["field"].as_str().unwrap();
    let address = match field.starts_with("source") {
        true => packet.source,
        false => packet.destination,
    };
    let within = |prefix: &str| prefix.parse::<IpNet>().unwrap().contains(&address);
    match field {
        "sourcePort" => in_ranges(packet.ports.0.into(), &texts(&entry["value"])),
        "destinationPort" => in_ranges(packet.ports.1.into(), &texts(&entry["value"])),
        "protocol" => in_ranges(packet.protocol.into(), &texts(&entry["value"])),
        "dscp" => in_ranges(packet.dscp.into(), &texts(&entry["value"])),
        _ if entry["ref"].is_string() => {
            let entries = entries_of(entry["ref"].as_str().unwrap());
            let prefix = |entry: &Value| entry.as_object().unwrap().values().next().unwrap().clone();
            (entries.as_array().unwrap().iter()).any(|entry| within(prefix(entry).as_str().unwrap()))
        }
        _ => texts(&entry["value"]).into_iter().any(within),
    }
}

fn sequence_matches(sequence: &Value, packet: &Packet) -> bool {
    let family = match sequence["sequenceIpType"].as_str().unwrap() {
        "ipv4" => packet.source.is_ipv4(),
        "ipv6" => packet.source.is_ipv6(),
        _ => true,
    };
    let entries = sequence["match"]["entries"].as_array().unwrap();
    family && entries.iter().all(|entry| entry_matches(entry, packet))
}

/// The decision of the policy of one kind, in words; `None` when there is none here.
fn said(assembly: &[Value], kind: &str, packet: &Packet) -> Option<String> {
    let here = assembly.iter().find(|assembly| {
        let entry = &assembly["entries"][0];
        let way = if packet.from_service { "service" } else { "tunnel" };
        let directions: &[&str] = match kind {
            "data" => &[way, "all"],
            _ if packet.from_service => &[""],
            _ => &[],
        };
        assembly["type"] == kind
            && directions.contains(&entry["direction"].as_str().unwrap_or_default())
            && named_in(&entry["siteLists"], "siteId", packet.site)
            && named_in(&entry["vpnLists"], "vpn", packet.service_vpn.into())
    })?;
    let definition = &here["definition"];
    let mut sequences = definition["sequences"].as_array().unwrap().clone();
    sequences.sort_by_key(|sequence| sequence["sequenceId"].as_u64());
    let Some(found) = sequences
        .iter()
        .find(|sequence| sequence_matches(sequence, packet))
    else {
        let default = &definition["default"];
        return Some(match (kind, default["type"].as_str()) {
            ("data", Some("accept")) => "accept".to_owned(),
            ("data", _) => "drop".to_owned(),
            (_, None) => "routing".to_owned(),
            (_, Some(_)) => "class voice equal else any".to_owned(),
        });
    };
    let actions = found["actions"].as_array().unwrap();
    let action = |kind: &str| actions.iter().find(|action| action["type"] == kind);
    Some(match kind {
        "data" => said_of_data(found, action("set"), action("count").is_some()),
        _ => said_of_app_route(action("slaClass"), action("backupSlaPreferredColor")),
    })
}

fn said_of_data(sequence: &Value, set: Option<&Value>, counts: bool) -> String {
    let mut text = sequence["baseAction"].as_str().unwrap().to_owned();
    for field in set
        .into_iter()
        .flat_map(|set| set["parameter"].as_array().unwrap())
    {
        let value = &field["value"];
        text += &match field["field"].as_str().unwrap() {
            "localTlocList" if value.get("restrict").is_some() => {
                format!(" local {} restrict", value["color"].as_str().unwrap())
            }
            "localTlocList" => format!(" local {}", value["color"].as_str().unwrap()),
            "preferredColorGroup" => " group mpls lte then red restrict".to_owned(),
            "tloc" => " to 10.0.0.7 blue 0".to_owned(),
            "tlocList" => " to 10.0.0.1 mpls 9".to_owned(),
            "dscp" => format!(" dscp {}", value.as_str().unwrap()),
            _ => " inspect".to_owned(),
        };
    }
    if counts {
        text += " count c";
    }
    text
}

fn said_of_app_route(class: Option<&Value>, backup: Option<&Value>) -> String {
    let Some(class) = class else {
        return match backup {
            Some(_) => "class none prefer red blue else any".to_owned(),
            None => "routing".to_owned(),
        };
    };
    let parameter = class["parameter"].as_array().unwrap();
    let field = |name: &str| parameter.iter().find(|entry| entry["field"] == name);
    let name = field("name").unwrap()["ref"].as_str().unwrap();
    let preference = match (field("preferredColor"), field("preferredColorGroup")) {
        (Some(colors), _) => format!("prefer {}", colors["value"].as_str().unwrap()),
        (_, Some(_)) => "group mpls lte then red".to_owned(),
        _ => "equal".to_owned(),
    };
    let end = match (field("strict"), field("fallbackToBestPath"), name) {
        (Some(_), _, _) => "drop",
        (_, Some(_), "voice") => "best latency 5 loss 20000",
        (_, Some(_), _) => "best loss 0",
        _ if backup.is_some() => "red blue",
        _ => "any",
    };
    format!("class {name} {preference} else {end}")
}

// What the edge does.

fn matches(matching: &Match, packet: &Packet) -> bool {
    let side = |prefixes: &Option<Arc<[IpNet]>>, address: IpAddr| match prefixes {
        Some(prefixes) => prefixes.iter().any(|prefix| prefix.contains(&address)),
        None => true,
    };
    let port = |ranges: &[RangeInclusive<u16>], port: u16| {
        ranges.is_empty() || ranges.iter().any(|range| range.contains(&port))
    };
    side(&matching.source_prefixes, packet.source)
        && side(&matching.destination_prefixes, packet.destination)
        && port(&matching.source_ports, packet.ports.0)
        && port(&matching.destination_ports, packet.ports.1)
        && (matching.protocols.is_empty() || matching.protocols.contains(&packet.protocol))
        && (matching.dscp.is_empty() || matching.dscp.contains(&packet.dscp))
}

fn group(group: &ColorGroup) -> String {
    let tiers: Vec<_> = group.tiers.iter().map(|tier| tier.colors.join(" ")).collect();
    let restrict = if group.restrict { " restrict" } else { "" };
    format!("group {}{restrict}", tiers.join(" then "))
}

fn done_by_data(edge: &EdgePolicy, packet: &Packet) -> Option<String> {
    let policy = edge.data.iter().find(|policy| {
        let way = match packet.from_service {
            true => PolicyDirection::FromService,
            false => PolicyDirection::FromTunnel,
        };
        policy.service_vpn == packet.service_vpn && [way, PolicyDirection::All].contains(&policy.direction)
    })?;
    let Some(found) = policy
        .sequences
        .iter()
        .find(|sequence| matches(&sequence.matching, packet))
    else {
        return Some(match policy.default_action {
            DefaultAction::Accept => "accept".to_owned(),
            DefaultAction::Drop => "drop".to_owned(),
        });
    };
    let Action::Accept { path, inspect, dscp } = &found.action else {
        return Some("drop".to_owned());
    };
    let path = path.as_ref().map(|path| match path {
        DataPath::Local(tlocs) => {
            let restrict = if tlocs.restrict { " restrict" } else { "" };
            format!(" local {}{restrict}", tlocs.colors.join(" "))
        }
        DataPath::Group(of) => format!(" {}", group(of)),
        DataPath::Remote(tlocs) => {
            let text = |tloc: &crate::policy::RemoteTloc| {
                format!("{} {} {}", tloc.system_ip, tloc.color, tloc.preference)
            };
            format!(" to {}", tlocs.iter().map(text).collect::<Vec<_>>().join(" "))
        }
    });
    let inspect = if *inspect { " inspect" } else { "" };
    let dscp = dscp.map(|code| format!(" dscp {code}")).unwrap_or_default();
    let counter = found.counter.as_ref().map(|name| format!(" count {name}"));
    Some(format!(
        "accept{}{inspect}{dscp}{}",
        path.unwrap_or_default(),
        counter.unwrap_or_default()
    ))
}

fn done_by_app_route(edge: &EdgePolicy, packet: &Packet) -> Option<String> {
    let mut here = edge.app_route.iter();
    let policy = here.find(|policy| policy.service_vpn == packet.service_vpn && packet.from_service)?;
    let Some(found) = policy
        .sequences
        .iter()
        .find(|sequence| matches(&sequence.matching, packet))
    else {
        return Some(match &policy.default_class {
            Some(class) => format!("class {} equal else any", class.name),
            None => "routing".to_owned(),
        });
    };
    let Some(AppRoute {
        class,
        preference,
        unmet,
    }) = &found.choice
    else {
        return Some("routing".to_owned());
    };
    let class = class.as_ref().map_or("none", |class| &class.name);
    let preference = match preference {
        Preference::Equal => "equal".to_owned(),
        Preference::Colors(colors) => format!("prefer {}", colors.join(" ")),
        Preference::Group(of) => group(of),
    };
    let end = match unmet {
        Unmet::Any => "any".to_owned(),
        Unmet::Drop => "drop".to_owned(),
        Unmet::Backup(colors) => colors.join(" "),
        Unmet::Best(BestPath { criteria }) => criteria.iter().fold("best".to_owned(), |text, criterion| {
            text + &match criterion {
                Criterion::Loss(loss) => format!(" loss {loss}"),
                Criterion::Latency(time) => format!(" latency {}", time.as_millis()),
                Criterion::Jitter(time) => format!(" jitter {}", time.as_millis()),
            }
        }),
    };
    Some(format!("class {class} {preference} else {end}"))
}

/// Puts an assembly into objects, with the ids of lists for their names.
fn stored(assembly: &[Value]) -> (Objects, Value) {
    let mut objects = Objects::default();
    let ids: Vec<(&str, Uuid)> = lists()
        .into_iter()
        .map(|(kind, name, entries)| (name, put_list(&mut objects, kind, name, entries)))
        .collect();
    let text = ids.iter().fold(json!(assembly).to_string(), |text, (name, id)| {
        text.replace(&format!("\"{name}\""), &format!("\"{id}\""))
    });
    let mut assembly: Vec<Value> = serde_json::from_str(&text).unwrap();
    for (place, part) in assembly.iter_mut().enumerate() {
        let definition = part.as_object_mut().unwrap().remove("definition").unwrap();
        let kind = match part["type"] == "data" {
            true => DefinitionKind::Data,
            false => DefinitionKind::AppRoute,
        };
        let mut value = json!({
            "name": format!("d{place}"), "type": part["type"], "sequences": definition["sequences"],
        });
        if !definition["default"].is_null() {
            value["defaultAction"] = definition["default"].clone();
        }
        let id = Uuid::new_v4();
        let parsed = definition::parse(kind, id, &fixture::body(value), fixture::stamp());
        objects.put_definition(parsed.unwrap()).unwrap();
        part["definitionId"] = json!(id);
    }
    (objects, json!(assembly))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn edges_decide_as_the_definitions_say(
        assembly in prop::collection::vec(assembly(), 1..4),
        packets in prop::collection::vec(packet(), 24),
    ) {
        let (objects, stored) = stored(&assembly);
        let policy = parse_policy("p", stored).unwrap();
        prop_assume!(check_collisions(&policy.assembly, &objects).is_ok());
        for packet in packets {
            let places = [Place { site_id: packet.site, service_vpns: &[10, 20] }];
            let [edge] = compile(&policy.assembly, &objects, &places).unwrap().try_into().unwrap();
            prop_assert_eq!(done_by_data(&edge, &packet), said(&assembly, "data", &packet), "{:?}", packet);
            let app_route = said(&assembly, "appRoute", &packet);
            prop_assert_eq!(done_by_app_route(&edge, &packet), app_route, "{:?}", packet);
        }
    }
}
