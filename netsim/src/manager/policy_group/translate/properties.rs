//! One traffic policy, written as classic definitions and as a parcel, is the same to the edges.
//!
//! Every part is written by hand in both forms; a case puts parts together at random.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::*;
use crate::manager::feature_profile::ProfileKind;
use crate::manager::feature_profile::tests::{global, put, put_profile, refer};
use crate::manager::fixture::{self, put_list, put_policy};
use crate::manager::{body::ObjectBody, definition};
use crate::policy::{Action, DefaultAction};

/// One part of a sequence in both forms; `@name` stands for the id of a list, or of a policy object.
#[derive(Debug, Clone)]
struct Both {
    classic: Value,
    parcel: Value,
}

fn both(classic: Value, parcel: Value) -> Both {
    Both { classic, parcel }
}

/// A sequence without its number.
#[derive(Debug, Clone)]
struct Drawn {
    family: &'static str,
    entries: Vec<Both>,
    /// Classic app-route actions.
    by_sla: Option<Both>,
    /// One field of `set`.
    set: Option<Both>,
    drop: bool,
    count: bool,
}

/// Lists and policy objects of the same names: path and entries of each.
fn objects() -> Vec<(&'static str, [&'static str; 2], Value, Value)> {
    let v4 = |address: &str, length: u8| json!({ "ipv4Address": global(address), "ipv4PrefixLength": global(length) });
    let tier =
        |colors: Value| json!({ "colorPreference": global(colors), "pathPreference": global("all-paths") });
    let classic_tier = |colors: &str| json!({ "colorPreference": colors, "pathPreference": "all-paths" });
    vec![
        (
            "p4",
            ["dataprefix", "data-prefix"],
            json!([{"ipPrefix": "10.1.0.0/16"}, {"ipPrefix": "10.2.0.5/32"}]),
            json!([v4("10.1.0.0", 16), v4("10.2.0.5", 32)]),
        ),
        (
            "p6",
            ["dataipv6prefix", "data-ipv6-prefix"],
            json!([{"ipv6Prefix": "fd00::/64"}]),
            json!([{"ipv6Address": global("fd00::"), "ipv6PrefixLength": global(64)}]),
        ),
        (
            "voice",
            ["sla", "sla-class"],
            json!([{"loss": "1", "latency": "150", "fallbackBestTunnel": {"criteria": "latency-loss", "lossVariance": "2", "latencyVariance": "5"}}]),
            json!([{"loss": global(1), "latency": global(150), "fallbackBestTunnel": {"criteria": global("latency-loss"), "lossVariance": global(2), "latencyVariance": global(5)}}]),
        ),
        (
            "gold",
            ["preferredcolorgroup", "preferred-color-group"],
            json!([{"primaryPreference": classic_tier("mpls lte"), "secondaryPreference": classic_tier("red")}]),
            json!([{"primaryPreference": tier(json!(["mpls", "lte"])), "secondaryPreference": tier(json!(["red"]))}]),
        ),
        (
            "hubs",
            ["tloc", "tloc"],
            json!([{"tloc": "10.0.0.1", "color": "mpls", "encap": "ipsec", "preference": "9"}]),
            json!([{"tloc": global("10.0.0.1"), "color": global("mpls"), "encap": global("ipsec"), "preference": global("9")}]),
        ),
    ]
}

fn value_entry(field: &str, classic: &str, parcel: Value) -> Both {
    both(
        json!({ "field": field, "value": classic }),
        json!({ field: global(parcel) }),
    )
}

fn list_entry(field: &str, list: &str) -> Both {
    both(
        json!({ "field": field, "ref": list }),
        json!({ field: refer(list) }),
    )
}

/// Conditions of both sides for a family, and those of any.
fn entries(family: &'static str) -> impl Strategy<Value = Vec<Both>> {
    let sides = |side: &str| match family {
        "ipv4" => vec![
            list_entry(&format!("{side}DataPrefixList"), "@p4"),
            value_entry(&format!("{side}Ip"), "10.1.7.9/32", json!("10.1.7.9/32")),
        ],
        "ipv6" => vec![
            list_entry(&format!("{side}DataIpv6PrefixList"), "@p6"),
            value_entry(&format!("{side}Ipv6"), "fd01::/16", json!("fd01::/16")),
        ],
        _ => Vec::new(),
    };
    let neutral = vec![
        value_entry("sourcePort", "80 1000-2000", json!(["80", "1000-2000"])),
        value_entry("destinationPort", "443", json!(["443"])),
        value_entry("protocol", "6 17", json!(["6", "17"])),
        value_entry("dscp", "0 46", json!([0, 46])),
        value_entry("dscp", "10", json!(10)),
    ];
    let one_of = |parts: Vec<Both>| {
        let most = parts.len().min(1);
        subsequence(parts, 0..=most)
    };
    (
        one_of(sides("source")),
        one_of(sides("destination")),
        one_of(neutral),
    )
        .prop_map(|(source, destination, neutral)| [source, destination, neutral].concat())
}

fn by_sla() -> impl Strategy<Value = Both> {
    let class = (
        json!({ "field": "name", "ref": "@voice" }),
        json!({ "slaName": refer("@voice") }),
    );
    let with = move |classic: Vec<Value>, parcel: Vec<Value>| {
        let classic = [vec![class.0.clone()], classic].concat();
        let parcel = [vec![class.1.clone()], parcel].concat();
        both(
            json!([{ "type": "slaClass", "parameter": classic }]),
            json!([{ "slaClass": parcel }]),
        )
    };
    let backup = (
        json!({ "type": "backupSlaPreferredColor", "parameter": "lte red" }),
        json!({ "backupSlaPreferredColor": global(json!(["lte", "red"])) }),
    );
    let mut with_backup = with(vec![], vec![]);
    with_backup.classic.as_array_mut().unwrap().push(backup.0.clone());
    with_backup.parcel.as_array_mut().unwrap().push(backup.1.clone());
    let preferred = json!({ "field": "preferredColor", "value": "mpls biz-internet" });
    let group = json!({ "field": "preferredColorGroup", "ref": "@gold", "colorRestrict": true });
    select(vec![
        with(vec![], vec![]),
        with_backup,
        both(json!([backup.0]), json!([backup.1])),
        with(
            vec![preferred, json!({ "field": "strict" })],
            vec![
                json!({ "preferredColor": global(json!(["mpls", "biz-internet"])), "strict": global(true) }),
            ],
        ),
        with(
            vec![group, json!({ "field": "fallbackToBestPath" })],
            vec![
                json!({ "perferredColorGroup": refer("@gold") }),
                json!({ "preferredColorGroupRestrict": global(true) }),
                json!({ "fallbackToBestPath": global(true) }),
            ],
        ),
    ])
}

fn set_field() -> impl Strategy<Value = Both> {
    let restrict = global(json!({ "optionType": "global", "value": true }));
    select(vec![
        both(
            json!({ "field": "localTlocList", "value": { "color": "mpls lte", "encap": "ipsec gre", "restrict": "" } }),
            json!({ "localTlocList": { "color": global(json!(["mpls", "lte"])), "encap": global(json!(["ipsec", "gre"])), "restrict": restrict } }),
        ),
        both(
            json!({ "field": "localTlocList", "value": { "color": "red" } }),
            json!({ "localTlocList": { "color": global(json!(["red"])), "restrict": global(false) } }),
        ),
        both(
            json!({ "field": "preferredColorGroup", "ref": "@gold", "colorRestrict": true }),
            json!({ "preferredColorGroup": refer("@gold"), "preferredColorGroupRestrict": global(true) }),
        ),
        both(
            json!({ "field": "tloc", "value": { "ip": "10.0.0.7", "color": "blue", "encap": "ipsec" } }),
            json!({ "tloc": { "ip": global("10.0.0.7"), "color": global(json!(["blue"])), "encap": global("ipsec") } }),
        ),
        both(
            json!({ "field": "tlocList", "ref": "@hubs" }),
            json!({ "tlocList": refer("@hubs") }),
        ),
        both(
            json!({ "field": "service", "value": { "type": "IDS", "local": "" } }),
            json!({ "service": { "type": global("IDS"), "local": global(true) } }),
        ),
        both(
            json!({ "field": "vpn", "value": "10" }),
            json!({ "vpn": global(10) }),
        ),
    ])
}

fn sequence(tunnel: bool) -> impl Strategy<Value = Drawn> {
    let most = usize::from(!tunnel);
    let actions = prop_oneof![
        Just((None, None, true)),
        (
            prop::collection::vec(by_sla(), 0..=most),
            prop::option::of(set_field())
        )
            .prop_map(|(by_sla, set)| (by_sla.into_iter().next(), set, false)),
    ];
    let matched = select(vec!["ipv4", "ipv6", "all"])
        .prop_flat_map(|family| entries(family).prop_map(move |entries| (family, entries)));
    (matched, actions, any::<bool>()).prop_map(|((family, entries), (by_sla, set, drop), count)| Drawn {
        family,
        entries,
        by_sla,
        set,
        drop,
        count,
    })
}

fn policies() -> impl Strategy<Value = (&'static str, &'static str, Vec<Drawn>)> {
    (
        select(vec!["service", "tunnel", "all"]),
        select(vec!["accept", "drop"]),
    )
        .prop_flat_map(|(direction, default_action)| {
            let sequences = prop::collection::vec(sequence(direction == "tunnel"), 0..5);
            sequences.prop_map(move |sequences| (direction, default_action, sequences))
        })
}

/// The value with the ids of what it names.
fn named(value: &Value, ids: &BTreeMap<&str, Uuid>) -> Value {
    let mut text = value.to_string();
    for (name, id) in ids {
        text = text.replace(&format!("\"@{name}\""), &format!("\"{id}\""));
    }
    serde_json::from_str(&text).unwrap()
}

fn parts(drawn: &Drawn, of: impl Fn(&Both) -> &Value) -> Vec<Value> {
    drawn.entries.iter().map(|both| of(both).clone()).collect()
}

/// By hand: each sequence stands in both definitions, and does in each what that kind of definition can do. What is
/// counted is counted where the action by SLA is, if there is one.
fn classic(
    direction: &str,
    default_action: &str,
    drawn: &[Drawn],
) -> (Vec<Value>, Option<Value>, Option<Value>) {
    let count = |counted: bool| counted.then(|| json!({ "type": "count", "parameter": "c" }));
    let raw = |(number, drawn): (usize, &Drawn), kind: &str, base: &str, actions: Vec<Value>| {
        json!({
            "sequenceId": number * 10 + 1,
            "sequenceType": kind,
            "sequenceIpType": drawn.family,
            "baseAction": base,
            "match": { "entries": parts(drawn, |both| &both.classic) },
            "actions": actions,
        })
    };
    let app_route = drawn.iter().enumerate().map(|(number, drawn)| {
        let chosen = drawn
            .by_sla
            .iter()
            .flat_map(|both| both.classic.as_array().unwrap().clone());
        let counted = count(drawn.count && drawn.by_sla.is_some());
        raw(
            (number, drawn),
            "appRoute",
            "accept",
            chosen.chain(counted).collect(),
        )
    });
    let data = drawn.iter().enumerate().map(|(number, drawn)| {
        let set = drawn
            .set
            .as_ref()
            .map(|both| json!({ "type": "set", "parameter": [both.classic] }));
        let counted = count(drawn.count && drawn.by_sla.is_none());
        let base = if drawn.drop { "drop" } else { "accept" };
        raw(
            (number, drawn),
            "trafficEngineering",
            base,
            set.into_iter().chain(counted).collect(),
        )
    });
    let (app_route, data): (Vec<_>, Vec<_>) = (app_route.collect(), data.collect());
    let by_sla = drawn.iter().any(|drawn| drawn.by_sla.is_some());
    let otherwise =
        |drawn: &Drawn| drawn.drop || drawn.set.is_some() || (drawn.count && drawn.by_sla.is_none());
    let by_data = !by_sla || default_action == "drop" || drawn.iter().any(otherwise);
    let name = json!({ "direction": direction });
    (
        vec![name],
        by_sla.then(|| json!({ "name": "tp", "type": "appRoute", "sequences": app_route })),
        by_data.then(|| json!({ "name": "tp", "type": "data", "defaultAction": { "type": default_action }, "sequences": data })),
    )
}

fn compiled_classic(direction: &str, default_action: &str, drawn: &[Drawn], place: Place<'_>) -> EdgePolicy {
    let mut objects = Objects::default();
    let ids: BTreeMap<_, _> = super::properties::objects()
        .into_iter()
        .map(|(name, [kind, _], entries, _)| (name, put_list(&mut objects, kind, name, entries)))
        .collect();
    let sites = put_list(&mut objects, "site", "here", json!([{ "siteId": "1" }]));
    let vpns = put_list(&mut objects, "vpn", "ten", json!([{ "vpn": "10" }]));
    let (_, app_route, data) = classic(direction, default_action, drawn);
    let mut assembly = Vec::new();
    for body in app_route.into_iter().chain(data) {
        let kind = match body["type"] == "data" {
            true => definition::DefinitionKind::Data,
            false => definition::DefinitionKind::AppRoute,
        };
        let body = ObjectBody::new(named(&body, &ids)).unwrap();
        let definition = definition::parse(kind, Uuid::new_v4(), &body, fixture::stamp()).unwrap();
        assembly.push(match kind {
            definition::DefinitionKind::Data => fixture::assembly(definition.id, direction, sites, vpns),
            _ => fixture::app_route_assembly(definition.id, sites, vpns),
        });
        objects.put_definition(definition).unwrap();
    }
    let policy = put_policy(&mut objects, "central", json!(assembly));
    let policy = objects.policy(&policy.to_string()).unwrap();
    compile::compile(&policy.assembly, &objects, &[place])
        .unwrap()
        .remove(0)
}

fn compiled_parcel(direction: &str, default_action: &str, drawn: &[Drawn], device: &Device) -> EdgePolicy {
    let mut catalog = Catalog::default();
    let profile = put_profile(&mut catalog, ProfileKind::PolicyObject);
    let ids: BTreeMap<_, _> = super::properties::objects()
        .into_iter()
        .map(|(name, [_, kind], _, entries)| {
            (
                name,
                put(&mut catalog, &profile, kind, name, json!({ "entries": entries })),
            )
        })
        .collect();
    let sequences = drawn.iter().enumerate().map(|(number, drawn)| {
        let by_sla = drawn
            .by_sla
            .iter()
            .flat_map(|both| both.parcel.as_array().unwrap().clone());
        let set = drawn.set.as_ref().map(|both| json!({ "set": [both.parcel] }));
        let count = drawn.count.then(|| json!({ "count": global("c") }));
        json!({
            "sequenceId": global(number * 10 + 1),
            "baseAction": global(if drawn.drop { "drop" } else { "accept" }),
            "sequenceIpType": global(drawn.family),
            "match": { "entries": parts(drawn, |both| &both.parcel) },
            "actions": by_sla.chain(set).chain(count).collect::<Vec<_>>(),
        })
    });
    let data = json!({
        "dataDefaultAction": global(default_action),
        "target": { "vpn": global(json!(["VPN10"])), "direction": global(direction) },
        "sequences": sequences.collect::<Vec<_>>(),
    });
    let policies = put_profile(&mut catalog, ProfileKind::ApplicationPriority);
    put(
        &mut catalog,
        &policies,
        "traffic-policy",
        "tp",
        named(&data, &ids),
    );
    let group = PolicyGroup {
        id: Uuid::new_v4(),
        name: "group".to_owned(),
        description: String::new(),
        profiles: vec![policies.id],
        devices: BTreeMap::new(),
        revision: 0,
        stamp: fixture::stamp(),
    };
    translate(&group, &Map::new(), &catalog, device)
        .unwrap()
        .compile(device)
        .unwrap()
}

proptest! {
    #[test]
    fn both_ways_of_writing_a_policy_are_the_same_to_the_edges((direction, default_action, drawn) in policies()) {
        let device = Device {
            host_name: "edge".to_owned(),
            system_ip: [10, 255, 0, 1].into(),
            site_id: 1,
            service_vpns: vec![10, 20],
            colors: Vec::new(),
        };
        let place = Place { site_id: 1, service_vpns: &device.service_vpns };
        let classic = compiled_classic(direction, default_action, &drawn, place);
        let parcel = compiled_parcel(direction, default_action, &drawn, &device);
        prop_assert_eq!(&classic, &parcel);

        // Neither is empty by mistake.
        prop_assert_eq!(parcel.app_route.len(), usize::from(drawn.iter().any(|drawn| drawn.by_sla.is_some())));
        let dropping = drawn.iter().filter(|drawn| drawn.drop).count();
        let dropped = |policy: &crate::policy::DataPolicy| policy.sequences.iter().filter(|sequence| sequence.action == Action::Drop).count();
        prop_assert_eq!(parcel.data.iter().map(dropped).sum::<usize>(), dropping);
        let default_drop = parcel.data.iter().any(|policy| policy.default_action == DefaultAction::Drop);
        prop_assert_eq!(default_drop, default_action == "drop");
    }
}
