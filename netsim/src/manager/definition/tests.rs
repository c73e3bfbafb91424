use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::fixture::{
    app_route_sequence, body, parse_app_route, parse_definition, sequence, set_tlocs, stamp,
};
use crate::manager::sequence::GroupRef;
use crate::manager::sequence::app_route::{Preferred, RemoteColors, SlaAction, SlaUnmet};
use crate::manager::sequence::data::{RemoteTlocs, Service, ServiceKind};
use crate::manager::sequence::{Addresses, BaseAction, Family};
use crate::manager::value::Encapsulation;

fn only(sequences: Value) -> DataSequence {
    let [sequence] = <[_; 1]>::try_from(data(parse_definition("d", sequences).unwrap()).sequences).unwrap();
    sequence
}

fn data(definition: Definition) -> DataDefinition {
    match definition.body {
        DefinitionBody::Data(data) => data,
        other => panic!("not a data definition: {other:?}"),
    }
}

fn only_app_route(actions: Value) -> AppRouteSequence {
    let sequences = json!([app_route_sequence(1, json!([]), actions)]);
    match parse_app_route("d", sequences, None).unwrap().body {
        DefinitionBody::AppRoute(app_route) => app_route.sequences[0].clone(),
        other => panic!("not an app-route definition: {other:?}"),
    }
}

#[test]
fn every_field_reaches_the_typed_form() {
    let entries = json!([
        {"field": "sourceIp", "value": "10.0.0.0/8 192.168.0.0/16"},
        {"field": "sourcePort", "value": "1024-65535"},
        {"field": "destinationPort", "value": "80 8000-8080"},
        {"field": "protocol", "value": "6 17"},
        {"field": "dscp", "value": "46"},
    ]);
    let mut actions = set_tlocs(json!({"color": "mpls biz-internet", "encap": "ipsec gre"}));
    let others = [
        json!({"type": "count", "parameter": "c"}),
        json!({"type": "log", "parameter": ""}),
    ];
    actions.as_array_mut().unwrap().extend(others);
    let sequence = only(json!([sequence(7, entries, actions)]));
    assert_eq!(
        (sequence.id, sequence.conditions.family, sequence.base_action),
        (7, Family::Ipv4, BaseAction::Accept)
    );
    let conditions = sequence.conditions;
    let prefixes = ["10.0.0.0/8", "192.168.0.0/16"].map(|text| text.parse().unwrap());
    assert_eq!(conditions.source, Addresses::Prefixes(prefixes.into()));
    assert_eq!(conditions.destination, Addresses::Any);
    assert_eq!(conditions.source_ports, [1024..=65535]);
    assert_eq!(conditions.destination_ports, [80..=80, 8000..=8080]);
    assert_eq!((conditions.protocols, conditions.dscp), (vec![6, 17], vec![46]));
    assert_eq!((sequence.counter.as_deref(), sequence.log), (Some("c"), true));
    let tlocs = sequence.set.local_tlocs.unwrap();
    assert_eq!(tlocs.colors, ["mpls", "biz-internet"]);
    assert_eq!(tlocs.encapsulations, [Encapsulation::Ipsec, Encapsulation::Gre]);
}

#[rstest]
#[case::absent(json!({"color": "mpls"}), false)]
#[case::empty(json!({"color": "mpls", "restrict": ""}), true)]
#[case::yes(json!({"color": "mpls", "restrict": true}), true)]
#[case::no(json!({"color": "mpls", "restrict": false}), true)]
#[case::null(json!({"color": "mpls", "restrict": null}), true)]
fn presence_of_restrict_switches_it_on(#[case] value: Value, #[case] restrict: bool) {
    let sequence = only(json!([sequence(1, json!([]), set_tlocs(value))]));
    assert_eq!(sequence.set.local_tlocs.unwrap().restrict, restrict);
}

#[rstest]
#[case::absent(json!({}), DefaultAction::Drop)]
#[case::accept(json!({"defaultAction": {"type": "accept"}}), DefaultAction::Accept)]
#[case::drop(json!({"defaultAction": {"type": "drop"}}), DefaultAction::Drop)]
fn a_missing_default_action_drops(#[case] mut value: Value, #[case] expected: DefaultAction) {
    value["name"] = json!("d");
    value["type"] = json!("data");
    let definition = super::parse(DefinitionKind::Data, Uuid::new_v4(), &body(value), stamp()).unwrap();
    assert_eq!(data(definition).default_action, expected);
}

#[test]
fn sequences_are_kept_in_the_order_of_their_ids() {
    let sequences = [21, 1, 11].map(|id| sequence(id, json!([]), json!([])));
    let definition = parse_definition("d", json!(sequences)).unwrap();
    let ids: Vec<_> = (data(definition).sequences.iter())
        .map(|sequence| sequence.id)
        .collect();
    assert_eq!(ids, [1, 11, 21]);
}

#[rstest]
#[case::value_and_ref(json!({"field": "sourcePort", "value": "80", "ref": "x"}), "SeqID 1: field sourcePort takes a value and no ref")]
#[case::ref_for_value(json!({"field": "protocol", "ref": "x"}), "SeqID 1: field protocol takes a value and no ref")]
#[case::value_for_ref(json!({"field": "sourceDataPrefixList", "value": "x"}), "SeqID 1: field sourceDataPrefixList takes a ref and no value")]
#[case::not_an_id(json!({"field": "sourceDataPrefixList", "ref": "x"}), "SeqID 1: field sourceDataPrefixList: `x` is not a list id")]
#[case::other_family(json!({"field": "sourceIpv6", "value": "fd00::/64"}), "SeqID 1: field sourceIpv6 does not go with this sequenceIpType")]
#[case::range(json!({"field": "protocol", "value": "256"}), "SeqID 1: field protocol: `256` is not an IP protocol number from 0 to 255")]
fn a_refused_match_is_named(#[case] entry: Value, #[case] message: &str) {
    let error = parse_definition("d", json!([sequence(1, json!([entry]), json!([]))])).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_match_is_given_once() {
    let entries = json!([{"field": "protocol", "value": "6"}, {"field": "protocol", "value": "17"}]);
    let error = parse_definition("d", json!([sequence(1, entries, json!([]))])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SeqID 1: field protocol: its condition is given twice"
    );
}

#[rstest]
#[case::unknown_field(
    json!({"type": "set", "parameter": [{"field": "x", "value": "1"}]}),
    "actions[0].parameter[0].field: `x` is not one of localTlocList, preferredColorGroup, tloc, tlocList, service, vpn, \
     dscp, forwardingClass, policer, nextHop, nextHopIpv6, nextHopLoose, serviceChain"
)]
#[case::field_of_another_type(
    json!({"type": "set", "parameter": [{"field": "localTlocList", "value": {"color": null}}]}),
    "actions[0].parameter[0].value.color: `null` is not a text"
)]
#[case::unknown_action(
    json!({"type": "x", "parameter": ""}),
    "actions[0].type: `x` is not one of set, count, log, nat, cflowd, sig, fallbackToRouting, lossProtect, \
     lossProtectFec, lossProtectPktDup, redirectDns, tcpOptimization, dreOptimization, serviceNodeGroup"
)]
#[case::no_parameter(json!({"type": "count"}), "actions[0].parameter: `null` is not a text")]
#[case::sibling(json!({"type": "count", "parameter": "c", "value": "1"}), "field value needs lossProtectFec")]
#[case::unknown_key(
    json!({"type": "count", "parameter": "c", "x": "1"}),
    "actions[0].x: there is no such key; the keys here are type, parameter, value"
)]
fn a_refused_action_is_named(#[case] action: Value, #[case] message: &str) {
    let error = parse_definition("d", json!([sequence(5, json!([]), json!([action]))])).unwrap_err();
    assert_eq!(error.to_string(), format!("SeqID 5: {message}"));
}

const LIST: Uuid = Uuid::from_u128(7);

#[test]
fn every_set_field_reaches_the_typed_form() {
    let set = |fields: Value| {
        only(json!([sequence(
            1,
            json!([]),
            json!([{"type": "set", "parameter": fields}])
        )]))
        .set
    };
    let group = set(json!([{"field": "preferredColorGroup", "ref": LIST, "colorRestrict": true}]));
    assert_eq!(
        group.color_group,
        Some(GroupRef {
            list: LIST,
            restrict: true
        })
    );
    let remote = set(json!([{"field": "tlocList", "ref": LIST}]));
    assert_eq!(remote.remote, Some(RemoteTlocs::List(LIST)));
    let remote = set(json!([{"field": "tloc", "value": {"ip": "10.0.0.1", "color": "lte", "encap": "gre"}}]));
    let Some(RemoteTlocs::One(tloc)) = remote.remote else {
        panic!("not one TLOC: {remote:?}");
    };
    assert_eq!(
        (tloc.system_ip.octets(), tloc.color.as_str()),
        ([10, 0, 0, 1], "lte")
    );
    assert_eq!(tloc.encapsulations, [Encapsulation::Gre]);
    let service = json!({"type": "IDS", "vpn": "10", "local": "", "restrict": "", "tlocList": {"ref": LIST}});
    let service = set(json!([{"field": "service", "value": service}])).service;
    let expected = Service {
        kind: ServiceKind::IntrusionDetection,
        service_vpn: Some(10),
        local: true,
        restrict: true,
        at: Some(RemoteTlocs::List(LIST)),
    };
    assert_eq!(service, Some(expected));
    let within = set(json!([{"field": "vpn", "value": "10"}, {"field": "tlocList", "ref": LIST}]));
    assert_eq!(
        (within.vpn, within.remote),
        (Some(10), Some(RemoteTlocs::List(LIST)))
    );
}

#[rstest]
#[case::false_boolean(json!(false), false)]
#[case::false_word(json!("false"), false)]
#[case::boolean(json!(true), true)]
#[case::word(json!("true"), true)]
#[case::empty(json!(""), true)]
fn color_restrict_is_a_flag(#[case] flag: Value, #[case] restrict: bool) {
    let entry = json!({"field": "preferredColorGroup", "ref": LIST, "colorRestrict": flag});
    let actions = json!([{"type": "set", "parameter": [entry]}]);
    let group = only(json!([sequence(1, json!([]), actions)])).set.color_group;
    assert_eq!(group.unwrap().restrict, restrict);
}

#[rstest]
#[case::two_local_ways(
    json!([{"field": "localTlocList", "value": {"color": "mpls"}}, {"field": "preferredColorGroup", "ref": LIST}]),
    "SeqID 1: actions localTlocList and preferredColorGroup exclude each other"
)]
#[case::two_remote_ways(
    json!([{"field": "tlocList", "ref": LIST}, {"field": "tloc", "value": {"ip": "1.1.1.1", "color": "mpls"}}]),
    "SeqID 1: actions tloc and tlocList exclude each other"
)]
#[case::list_by_value(json!([{"field": "tlocList", "value": "x"}]), "SeqID 1: field tlocList takes a ref and no value")]
#[case::value_by_list(json!([{"field": "tloc", "ref": LIST}]), "SeqID 1: field tloc takes a value and no ref")]
#[case::flag_of_another(
    json!([{"field": "tlocList", "ref": LIST, "colorRestrict": true}]),
    "SeqID 1: field colorRestrict needs preferredColorGroup"
)]
#[case::tloc_of_no_edge(
    json!([{"field": "tloc", "value": {"ip": "fd00::1", "color": "mpls"}}]),
    "SeqID 1: field tloc: `fd00::1` is not a system IP such as 10.255.0.1"
)]
#[case::no_vpn(json!([{"field": "vpn", "value": "65531"}]), "SeqID 1: field vpn: `65531` is not a VPN from 0 to 65530")]
#[case::two_vpns(
    json!([{"field": "vpn", "value": "10"}, {"field": "vpn", "value": "10"}]),
    "SeqID 1: action set vpn is given twice"
)]
fn a_refused_set_is_named(#[case] fields: Value, #[case] message: &str) {
    let actions = json!([{"type": "set", "parameter": fields}]);
    let error = parse_definition("d", json!([sequence(1, json!([]), actions)])).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[rstest]
#[case::app_list(json!({"field": "appList", "ref": LIST}), true)]
#[case::dns(json!({"field": "dns", "value": "request"}), true)]
#[case::no_dns(json!({"field": "dns", "value": "reply"}), false)]
#[case::loss_priority(json!({"field": "plp", "value": "high"}), true)]
#[case::region(json!({"field": "destinationRegion", "value": "other-region"}), true)]
#[case::traffic(json!({"field": "trafficTo", "value": "core"}), true)]
#[case::no_traffic(json!({"field": "trafficTo", "value": "core access"}), false)]
#[case::icmp(json!({"field": "icmpMessage", "value": "echo echo-reply"}), true)]
#[case::unknown(json!({"field": "protocolName", "value": "x"}), false)]
fn what_edges_cannot_match_is_kept_where_it_is_right(#[case] entry: Value, #[case] accepted: bool) {
    let data = parse_definition("d", json!([sequence(1, json!([entry]), json!([]))]));
    assert_eq!(data.is_ok(), accepted);
    let app_route = json!([app_route_sequence(1, json!([entry]), json!([]))]);
    assert_eq!(parse_app_route("d", app_route, None).is_ok(), accepted);
}

#[rstest]
#[case(json!({"field": "saasAppList", "ref": LIST}), false)]
#[case(json!({"field": "serviceArea", "value": "exchange skype"}), false)]
#[case(json!({"field": "trafficCategory", "value": "optimize"}), false)]
#[case(json!({"field": "packetLength", "value": "0-65535"}), true)]
#[case(json!({"field": "tcp", "value": "syn"}), true)]
fn a_field_of_one_type_of_definition_is_refused_in_the_other(#[case] entry: Value, #[case] is_of_data: bool) {
    let data = parse_definition("d", json!([sequence(1, json!([entry]), json!([]))]));
    let app_route = parse_app_route(
        "d",
        json!([app_route_sequence(1, json!([entry]), json!([]))]),
        None,
    );
    let (right, wrong) = if is_of_data {
        (data, app_route)
    } else {
        (app_route, data)
    };
    assert!(right.is_ok(), "{right:?}");
    let field = entry["field"].as_str().unwrap();
    assert_eq!(
        wrong.unwrap_err().to_string(),
        format!("SeqID 1: field {field} does not go with this type of definition")
    );
}

#[test]
fn one_side_has_one_condition() {
    let entries =
        json!([{"field": "sourceDataPrefixList", "ref": LIST}, {"field": "sourceIp", "value": "10.0.0.0/8"}]);
    let error = parse_definition("d", json!([sequence(1, entries, json!([]))])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SeqID 1: fields sourceDataPrefixList and sourceIp exclude each other"
    );
}

#[test]
fn a_marking_reaches_the_typed_form() {
    let fields = json!([
        {"field": "dscp", "value": "46"}, {"field": "forwardingClass", "value": "voice"}, {"field": "policer", "ref": LIST},
    ]);
    let set = only(json!([sequence(
        1,
        json!([]),
        json!([{"type": "set", "parameter": fields}])
    )]))
    .set;
    assert_eq!(
        (set.dscp, set.forwarding_class.as_deref(), set.policer),
        (Some(46), Some("voice"), Some(LIST))
    );
}

#[rstest]
#[case::cflowd(json!([{"type": "cflowd"}]), &[("cflowd", "cflowd")])]
#[case::pool(json!([{"type": "nat", "parameter": {"field": "pool", "value": "31"}}]), &[("nat", "nat pool 31")])]
#[case::nat(
    json!([{"type": "nat", "parameter": [{"field": "useVpn", "value": "0"}, {"field": "fallback", "value": ""}]}]),
    &[("nat", "nat use-vpn 0, nat fallback")]
)]
#[case::threshold(
    json!([
        {"type": "lossProtect", "parameter": "fecAdaptive"},
        {"type": "lossProtectFec", "parameter": "fecAdaptive", "value": "2"},
    ]),
    &[
        ("lossProtect", "loss-protect fec-adaptive"),
        ("lossProtectFec", "loss-protect-fec fec-adaptive threshold 2"),
    ]
)]
fn what_edges_do_not_do_is_kept_as_lines(#[case] actions: Value, #[case] expected: &[(&str, &str)]) {
    let undone = only(json!([sequence(1, json!([]), actions)])).undone;
    let found: Vec<_> = undone
        .iter()
        .map(|undone| (undone.name, undone.lines.join(", ")))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, lines)| (*name, (*lines).to_owned()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_app_route_action_reaches_the_typed_form() {
    let sequence = only_app_route(json!([
        {"type": "slaClass", "parameter": [
            {"field": "name", "ref": LIST},
            {"field": "preferredColor", "value": "mpls lte mpls"},
            {"field": "preferredRemoteColor", "value": "red", "remoteColorRestrict": true},
        ]},
        {"type": "backupSlaPreferredColor", "parameter": "3g"},
        {"type": "count", "parameter": "c"},
        {"type": "log", "parameter": ""},
        {"type": "cloudSaas", "parameter": ""},
    ]));
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let sla = SlaAction {
        class: LIST,
        preferred: Preferred::Colors(words(&["mpls", "lte"])),
        unmet: SlaUnmet::LoadBalance,
        remote: Some(RemoteColors {
            colors: words(&["red"]),
            restrict: true,
        }),
    };
    assert_eq!((sequence.sla, sequence.backup), (Some(sla), words(&["3g"])));
    assert_eq!((sequence.counter.as_deref(), sequence.log), (Some("c"), true));
    assert!(sequence.cloud_saas);
}

#[rstest]
#[case::strict(json!([{"field": "strict"}]), SlaUnmet::Strict)]
#[case::strict_with_nothing(json!([{"field": "strict", "value": ""}]), SlaUnmet::Strict)]
#[case::best(json!([{"field": "fallbackToBestPath"}]), SlaUnmet::BestPath)]
#[case::neither(json!([]), SlaUnmet::LoadBalance)]
fn what_is_done_without_a_tunnel_that_meets(#[case] fields: Value, #[case] expected: SlaUnmet) {
    let mut parameter = fields.as_array().unwrap().clone();
    parameter.push(json!({"field": "name", "ref": LIST}));
    let sequence = only_app_route(json!([{"type": "slaClass", "parameter": parameter}]));
    assert_eq!(sequence.sla.unwrap().unmet, expected);
}

#[rstest]
#[case::no_class(json!([{"type": "slaClass", "parameter": [{"field": "strict"}]}]), "action slaClass: field name is missing")]
#[case::both_preferences(
    json!([{"type": "slaClass", "parameter": [
        {"field": "name", "ref": LIST}, {"field": "preferredColor", "value": "mpls"},
        {"field": "preferredColorGroup", "ref": LIST},
    ]}]),
    "actions preferredColor and preferredColorGroup exclude each other"
)]
#[case::both_ends(
    json!([{"type": "slaClass", "parameter": [
        {"field": "name", "ref": LIST}, {"field": "strict"}, {"field": "fallbackToBestPath"},
    ]}]),
    "actions strict and fallbackToBestPath exclude each other"
)]
#[case::backup_and_strict(
    json!([
        {"type": "backupSlaPreferredColor", "parameter": "mpls"},
        {"type": "slaClass", "parameter": [{"field": "name", "ref": LIST}, {"field": "strict"}]},
    ]),
    "actions backupSlaPreferredColor and strict exclude each other"
)]
#[case::valued_strict(
    json!([{"type": "slaClass", "parameter": [{"field": "name", "ref": LIST}, {"field": "strict", "value": "x"}]}]),
    "field strict takes neither a value nor a ref"
)]
#[case::color(json!([{"type": "backupSlaPreferredColor", "parameter": "bizinternet"}]), "field backupSlaPreferredColor: `bizinternet` is not one of the 22 colors, such as biz-internet")]
#[case::twice(
    json!([{"type": "count", "parameter": "a"}, {"type": "count", "parameter": "b"}]),
    "action count is given twice"
)]
fn a_refused_app_route_action_is_named(#[case] actions: Value, #[case] message: &str) {
    let sequences = json!([app_route_sequence(9, json!([]), actions)]);
    let error = parse_app_route("d", sequences, None).unwrap_err();
    assert_eq!(error.to_string(), format!("SeqID 9: {message}"));
}

#[test]
fn app_route_neither_drops_nor_sets() {
    let mut drop = app_route_sequence(1, json!([]), json!([]));
    drop["baseAction"] = json!("drop");
    let error = parse_app_route("d", json!([drop]), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SeqID 1: baseAction drop does not go with this type of definition"
    );
    let set = app_route_sequence(1, json!([]), set_tlocs(json!({"color": "mpls"})));
    let error = parse_app_route("d", json!([set]), None).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("actions[0].type: `set` is not one of slaClass"),
        "{error}"
    );
}

/// Whole bodies that are nearly right, with any JSON in one place.
fn nearly_right() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    let junk = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let pointers = prop::sample::select(vec![
        "",
        "/name",
        "/type",
        "/defaultAction",
        "/defaultAction/type",
        "/defaultAction/ref",
        "/sequences",
        "/sequences/0",
        "/sequences/0/sequenceId",
        "/sequences/0/baseAction",
        "/sequences/0/match",
        "/sequences/0/match/entries",
        "/sequences/0/match/entries/0",
        "/sequences/0/match/entries/0/value",
        "/sequences/0/actions",
        "/sequences/0/actions/0",
        "/sequences/0/actions/0/parameter",
        "/sequences/0/actions/0/parameter/0/field",
        "/sequences/0/actions/0/parameter/0/ref",
        "/sequences/0/actions/0/parameter/1/value",
        "/sequences/0/actions/0/parameter/0/value",
        "/sequences/0/actions/0/parameter/0/value/color",
    ]);
    (pointers, junk, any::<bool>()).prop_map(|(pointer, junk, is_data)| {
        let mut value = if is_data { right_data() } else { right_app_route() };
        if let Some(place) = value.pointer_mut(pointer) {
            *place = junk;
        }
        value
    })
}

fn right_data() -> Value {
    let entries = json!([{"field": "sourcePort", "value": "80"}]);
    let sequence = sequence(1, entries, set_tlocs(json!({"color": "mpls", "encap": "ipsec"})));
    let accept = json!({"type": "accept"});
    json!({"name": "d", "type": "data", "defaultAction": accept, "sequences": [sequence]})
}

fn right_app_route() -> Value {
    let entries = json!([{"field": "dscp", "value": "46"}]);
    let class = json!([{"field": "name", "ref": LIST}, {"field": "preferredColor", "value": "mpls"}]);
    let sequence = app_route_sequence(1, entries, json!([{"type": "slaClass", "parameter": class}]));
    let default = json!({"type": "slaClass", "ref": LIST});
    json!({"name": "d", "type": "appRoute", "defaultAction": default, "sequences": [sequence]})
}

proptest! {
    #[test]
    fn no_body_panics(value in nearly_right()) {
        if let Ok(body) = ObjectBody::new(value) {
            for kind in kinds() {
                let _ = super::parse(kind, Uuid::new_v4(), &body, stamp());
            }
        }
    }
}
