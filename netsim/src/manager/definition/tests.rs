use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::fixture::{body, parse_definition, sequence, set_tlocs, stamp};
use crate::manager::sequence::{Addresses, BaseAction, Family};
use crate::manager::value::Encapsulation;

fn only(sequences: Value) -> DataSequence {
    let mut definition = parse_definition("d", sequences).unwrap();
    assert_eq!(definition.data.sequences.len(), 1);
    definition.data.sequences.remove(0)
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
        (sequence.id, sequence.family, sequence.base_action),
        (7, Family::Ipv4, BaseAction::Accept)
    );
    let prefixes = ["10.0.0.0/8", "192.168.0.0/16"].map(|text| text.parse().unwrap());
    assert_eq!(sequence.source, Addresses::Prefixes(prefixes.into()));
    assert_eq!(sequence.destination, Addresses::Any);
    assert_eq!(sequence.source_ports, [1024..=65535]);
    assert_eq!(sequence.destination_ports, [80..=80, 8000..=8080]);
    assert_eq!((sequence.protocols, sequence.dscp), (vec![6, 17], vec![46]));
    assert_eq!((sequence.counter.as_deref(), sequence.log), (Some("c"), true));
    let tlocs = sequence.local_tlocs.unwrap();
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
    assert_eq!(sequence.local_tlocs.unwrap().restrict, restrict);
}

#[rstest]
#[case::absent(json!({}), DefaultAction::Drop)]
#[case::accept(json!({"defaultAction": {"type": "accept"}}), DefaultAction::Accept)]
#[case::drop(json!({"defaultAction": {"type": "drop"}}), DefaultAction::Drop)]
fn a_missing_default_action_drops(#[case] mut value: Value, #[case] expected: DefaultAction) {
    value["name"] = json!("d");
    value["type"] = json!("data");
    let definition = super::parse(Uuid::new_v4(), &body(value), stamp()).unwrap();
    assert_eq!(definition.data.default_action, expected);
}

#[test]
fn sequences_are_kept_in_the_order_of_their_ids() {
    let sequences = [21, 1, 11].map(|id| sequence(id, json!([]), json!([])));
    let definition = parse_definition("d", json!(sequences)).unwrap();
    let ids: Vec<_> = definition
        .data
        .sequences
        .iter()
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
#[case::unknown_field(json!({"type": "set", "parameter": [{"field": "vpn", "value": "1"}]}), "unknown variant `vpn`, expected `localTlocList`")]
#[case::unknown_action(json!({"type": "nat", "parameter": ""}), "unknown variant `nat`, expected one of `set`, `count`, `log`")]
#[case::sibling(json!({"type": "count", "parameter": "c", "value": "1"}), "string \"value\", expected \"type\" or \"parameter\"")]
fn a_refused_action_is_named(#[case] action: Value, #[case] message: &str) {
    let error = parse_definition("d", json!([sequence(5, json!([]), json!([action]))])).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("SeqID 5: action 1: ") && text.contains(message),
        "{text}"
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
        "/sequences/0/actions/0/parameter/0/value",
        "/sequences/0/actions/0/parameter/0/value/color",
    ]);
    (pointers, junk).prop_map(|(pointer, junk)| {
        let entries = json!([{"field": "sourcePort", "value": "80"}]);
        let sequence = sequence(1, entries, set_tlocs(json!({"color": "mpls", "encap": "ipsec"})));
        let accept = json!({"type": "accept"});
        let mut value =
            json!({"name": "d", "type": "data", "defaultAction": accept, "sequences": [sequence]});
        *value
            .pointer_mut(pointer)
            .expect("the pointer leads into the body") = junk;
        value
    })
}

proptest! {
    #[test]
    fn no_body_panics(value in nearly_right()) {
        if let Ok(body) = ObjectBody::new(value) {
            let _ = super::parse(Uuid::new_v4(), &body, stamp());
        }
    }
}
