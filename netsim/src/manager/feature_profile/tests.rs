use rstest::rstest;
use serde_json::json;

use super::catalog::{Catalog, CatalogError};
use super::*;
use crate::manager::fixture;
use crate::manager::sequence::data::LocalTlocList;
use crate::manager::value::Encapsulation;
use crate::policy::{DefaultAction, PolicyDirection};

const PREFIXES: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const CLASS: &str = "aaaaaaaa-0000-4000-8000-000000000002";
const GROUP: &str = "aaaaaaaa-0000-4000-8000-000000000003";

/// A global option.
pub(in crate::manager) fn global(value: impl Into<Value>) -> Value {
    json!({ "optionType": "global", "value": value.into() })
}

/// The place of a parcel.
pub(in crate::manager) fn refer(id: impl ToString) -> Value {
    json!({ "refId": global(id.to_string()) })
}

/// Stores a parcel in a profile of its own kind.
pub(in crate::manager) fn put(
    catalog: &mut Catalog,
    profile: &Profile,
    kind: &str,
    name: &str,
    data: Value,
) -> Uuid {
    let parcel = parse_in(profile, kind, json!({ "name": name, "data": data })).unwrap();
    let id = parcel.id;
    catalog.put_parcel(parcel).unwrap();
    id
}

/// Stores an empty profile.
pub(in crate::manager) fn put_profile(catalog: &mut Catalog, kind: ProfileKind) -> Profile {
    let profile = Profile {
        id: Uuid::new_v4(),
        kind,
        name: kind.as_str().to_owned(),
        description: String::new(),
        stamp: fixture::stamp(),
    };
    catalog.put_profile(profile.clone()).unwrap();
    profile
}

fn parse_in(profile: &Profile, kind: &str, body: Value) -> Result<Parcel, PlaceError> {
    let kind = parcel_kind(profile.kind, kind).unwrap();
    parse(kind, profile.id, Uuid::new_v4(), &body, fixture::stamp())
}

fn object(kind: &str, entries: Value) -> Result<Parcel, PlaceError> {
    let profile = put_profile(&mut Catalog::default(), ProfileKind::PolicyObject);
    parse_in(
        &profile,
        kind,
        json!({ "name": "n", "data": { "entries": entries } }),
    )
}

fn traffic(data: Value) -> Result<Parcel, PlaceError> {
    let profile = put_profile(&mut Catalog::default(), ProfileKind::ApplicationPriority);
    parse_in(&profile, "traffic-policy", json!({ "name": "tp", "data": data }))
}

fn policy(data: Value) -> TrafficPolicy {
    match traffic(data).unwrap().content {
        Content::TrafficPolicy(policy) => policy,
        other => panic!("{other:?} is no traffic policy"),
    }
}

/// A traffic policy of one sequence.
fn one(entries: Value, actions: Value) -> Value {
    json!({
        "target": { "vpn": global(json!(["VPN10"])), "direction": global("service") },
        "sequences": [{
            "sequenceId": global(1),
            "baseAction": global("accept"),
            "match": { "entries": entries },
            "actions": actions,
        }],
    })
}

fn set(value: Value) -> Value {
    one(json!([]), json!([{ "set": [value] }]))
}

fn local_tlocs(value: Value) -> LocalTlocList {
    let data = policy(set(json!({ "localTlocList": value }))).data.unwrap();
    data.sequences[0].set.local_tlocs.clone().unwrap()
}

#[rstest]
#[case::plain(json!({"optionType": "global", "value": true}), true)]
#[case::nested(json!({"optionType": "global", "value": {"optionType": "global", "value": true}}), true)]
#[case::off(json!({"optionType": "global", "value": false}), false)]
#[case::nested_off(json!({"optionType": "global", "value": {"optionType": "global", "value": false}}), false)]
#[case::default(json!({"optionType": "default", "value": false}), false)]
#[case::default_alone(json!({"optionType": "default"}), false)]
fn restrict_may_be_nested_twice(#[case] restrict: Value, #[case] expected: bool) {
    let tlocs = local_tlocs(json!({ "color": global(json!(["lte", "mpls"])), "restrict": restrict }));
    assert_eq!(
        (tlocs.colors, tlocs.restrict),
        (vec!["lte".to_owned(), "mpls".to_owned()], expected)
    );
}

#[rstest]
#[case::text(json!("gre"), vec![Encapsulation::Gre])]
#[case::list(json!(["ipsec", "gre"]), vec![Encapsulation::Ipsec, Encapsulation::Gre])]
fn an_encapsulation_is_a_text_or_a_list(#[case] encap: Value, #[case] expected: Vec<Encapsulation>) {
    let tlocs = local_tlocs(json!({ "color": global(json!(["mpls"])), "encap": global(encap) }));
    assert_eq!(tlocs.encapsulations, expected);
}

#[rstest]
#[case("preferredColorGroup")]
#[case("perferredColorGroup")]
fn a_color_group_may_be_misspelt(#[case] field: &str) {
    let fields = json!([{ field: refer(GROUP) }, { "preferredColorGroupRestrict": global(true) }]);
    let parcel = traffic(one(json!([]), json!([{ "set": fields }]))).unwrap();
    let Content::TrafficPolicy(policy) = parcel.content else {
        panic!("no traffic policy")
    };
    let group = policy.data.unwrap().sequences[0].set.color_group.unwrap();
    assert_eq!((group.list.to_string(), group.restrict), (GROUP.to_owned(), true));
    assert_eq!(parcel.uses.0[0].0, "preferred-color-group");
    assert!(
        parcel.uses.0[0]
            .1
            .pointer
            .ends_with(&format!("/{field}/refId/value"))
    );
}

#[test]
fn a_sequence_stands_in_both_definitions_when_either_kind_of_action_is_there() {
    let sequence = |id: u32, base: &str, actions: Value| json!({ "sequenceId": global(id), "baseAction": global(base), "actions": actions });
    let sla = json!([{ "slaClass": [{ "slaName": refer(CLASS) }] }, { "count": global("a") }]);
    let policy = policy(json!({
        "target": { "vpn": global(json!(["VPN20", "VPN10"])), "direction": global("all") },
        "sequences": [
            sequence(11, "drop", json!([{ "count": global("d") }])),
            sequence(1, "accept", sla),
        ],
    }));
    assert_eq!(
        (policy.service_vpns.as_slice(), policy.direction),
        ([10, 20].as_slice(), PolicyDirection::All)
    );
    let (app_route, data) = (policy.app_route.unwrap(), policy.data.unwrap());
    assert_eq!(data.default_action, DefaultAction::Accept);
    let chosen: Vec<_> = app_route
        .sequences
        .iter()
        .map(|raw| (raw.id, raw.sla.is_some(), raw.counter.clone()))
        .collect();
    assert_eq!(chosen, [(1, true, Some("a".to_owned())), (11, false, None)]);
    let data: Vec<_> = data
        .sequences
        .iter()
        .map(|raw| (raw.id, raw.base_action, raw.counter.clone()))
        .collect();
    use crate::manager::sequence::BaseAction::{Accept, Drop};
    assert_eq!(data, [(1, Accept, None), (11, Drop, Some("d".to_owned()))]);
}

#[test]
fn actions_of_one_kind_make_one_definition() {
    let sla = policy(one(
        json!([]),
        json!([{ "slaClass": [{ "slaName": refer(CLASS) }] }]),
    ));
    assert!(sla.app_route.is_some() && sla.data.is_none());
    let colors = policy(set(
        json!({ "localTlocList": { "color": global(json!(["mpls"])) } }),
    ));
    assert!(colors.app_route.is_none() && colors.data.is_some());
}

#[test]
fn a_code_point_is_set() {
    let policy = policy(set(json!({"dscp": global(46)})));
    assert_eq!(policy.not_emulated, None);
    assert_eq!(policy.data.unwrap().sequences[0].set.dscp, Some(46));
}

#[rstest]
#[case::policer(json!({"policer": refer(CLASS)}), "policer")]
#[case::class(json!({"forwardingClass": refer(CLASS)}), "forwardingClass")]
#[case::remote(json!({"preferredRemoteColor": {"color": global(json!(["mpls"]))}}), "preferredRemoteColor")]
#[case::next_hop(json!({"nextHop": global("10.0.0.1")}), "nextHop")]
fn what_edges_do_not_do_is_noted(#[case] field: Value, #[case] name: &'static str) {
    assert_eq!(policy(set(field)).not_emulated, Some((1, name)));
}

#[rstest]
#[case::loss_correction(json!({"lossCorrection": {"lossCorrectionType": global("fecAdaptive"), "lossCorrectFec": global(2)}}), Some("lossCorrection"))]
#[case::nat(json!({"nat": {"useVpn": global(true)}}), Some("nat"))]
#[case::cflowd(json!({"cflowd": global(true)}), Some("cflowd"))]
#[case::cflowd_off(json!({"cflowd": global(false)}), None)]
#[case::log(json!({"log": global(true)}), None)]
fn actions_that_edges_do_not_do_are_noted(#[case] action: Value, #[case] name: Option<&'static str>) {
    let policy = policy(one(json!([]), json!([action])));
    assert_eq!(policy.not_emulated, name.map(|name| (1, name)));
}

#[rstest]
#[case::color(
    set(json!({"localTlocList": {"color": global(json!(["mpls", "bizinternet"]))}})),
    "/data/sequences/0/actions/0/set/0/localTlocList/color/value/1: `bizinternet` is not one of the 22 colors, such as biz-internet"
)]
#[case::option_type(
    set(json!({"localTlocList": {"color": {"optionType": "globl", "value": ["mpls"]}}})),
    "/data/sequences/0/actions/0/set/0/localTlocList/color/optionType: `globl` is not one of global, variable"
)]
#[case::bare_value(
    set(json!({"dscp": 46})),
    "/data/sequences/0/actions/0/set/0/dscp: `46` is not an object"
)]
#[case::unknown_action(
    one(json!([]), json!([{"slaclass": []}])),
    "/data/sequences/0/actions/0/slaclass: there is no such field"
)]
#[case::two_actions_in_one(
    one(json!([]), json!([{"count": global("a"), "log": global(true)}])),
    "/data/sequences/0/actions/0: `{\"count\":{\"optionType\":\"global\",\"value\":\"a\"},\"log\":{\"optionType\":\"global\",\"value…` is not an object of exactly one field"
)]
#[case::wrong_family(
    one(json!([{"sourceIpv6": global("fd00::/8")}]), json!([])),
    "/data/sequences/0: field sourceIpv6 does not go with this sequenceIpType"
)]
#[case::tlocs_and_group(
    one(json!([]), json!([{"set": [{"preferredColorGroup": refer(GROUP)}, {"localTlocList": {"color": global(json!(["mpls"]))}}]}])),
    "/data/sequences/0: actions localTlocList and preferredColorGroup exclude each other"
)]
#[case::color_and_group(
    one(json!([]), json!([{"slaClass": [{"slaName": refer(CLASS), "preferredColorGroup": refer(GROUP)}, {"preferredColor": global(json!(["mpls"]))}]}])),
    "/data/sequences/0: actions preferredColor and preferredColorGroup exclude each other"
)]
#[case::class_without_name(
    one(json!([]), json!([{"slaClass": [{"strict": global(true)}]}])),
    "/data/sequences/0: action slaClass: field name is missing"
)]
#[case::sequence_number(
    json!({"sequences": [{"sequenceId": global(65536)}]}),
    "/data/sequences/0/sequenceId/value: `65536` is not a whole number from 1 to 65534"
)]
#[case::number_twice(
    json!({"sequences": [{"sequenceId": global(1)}, {"sequenceId": global(1)}]}),
    "/data/sequences/1: sequenceId 1 is used twice"
)]
#[case::vpn_number(
    json!({"target": {"vpn": global(json!(["10"]))}}),
    "/data/target/vpn/value/0: `10` is not the name of a service VPN: VPN and its number, such as VPN10"
)]
#[case::transport_vpn(json!({"target": {"vpn": global(json!(["VPN0"]))}}), "/data/target/vpn/value/0: `VPN0` is not the name")]
#[case::long_counter(
    one(json!([]), json!([{"count": global("a23456789012345678901")}])),
    "/data/sequences/0/actions/0/count/value: `a23456789012345678901` is not a counter name"
)]
#[case::threshold(
    one(json!([]), json!([{"lossCorrection": {"lossCorrectionType": global("fecAdaptive"), "lossCorrectFec": global(6)}}])),
    "/data/sequences/0/actions/0/lossCorrection/lossCorrectFec/value: `6` is not a whole number from 1 to 5"
)]
#[case::wrong_default(
    json!({"dataDefaultAction": {"optionType": "default", "value": "drop"}}),
    "/data/dataDefaultAction/value: `drop` is not the default, accept"
)]
#[case::no_id(
    one(json!([{"destinationDataPrefixList": refer("servers")}]), json!([])),
    "/data/sequences/0/match/entries/0/destinationDataPrefixList/refId/value: `servers` is not the id of a parcel"
)]
#[case::set_on_drop(
    json!({"sequences": [{"sequenceId": global(1), "baseAction": global("drop"), "actions": [{"set": [{"localTlocList": {"color": global(json!(["mpls"]))}}]}]}]}),
    "/data/sequences/0: action set does not go with baseAction drop"
)]
fn a_refusal_says_place_value_and_form(#[case] data: Value, #[case] expected: &str) {
    let error = traffic(data).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn an_sla_does_not_choose_for_what_comes_from_tunnels() {
    let mut data = one(
        json!([]),
        json!([{ "backupSlaPreferredColor": global(json!(["mpls"])) }]),
    );
    data["target"]["direction"] = global("tunnel");
    let error = traffic(data).unwrap_err().to_string();
    assert_eq!(
        error,
        "/data/sequences/0: slaClass and backupSlaPreferredColor do not go with direction tunnel"
    );
}

#[test]
fn a_variable_takes_the_value_of_the_device() {
    let color = json!({ "optionType": "variable", "value": "{{uplink}}" });
    let parcel = traffic(set(json!({ "localTlocList": { "color": color } }))).unwrap();
    assert_eq!(parcel.variables, BTreeSet::from(["uplink".to_owned()]));
    let with = |value: Value| parcel.traffic_policy(&Map::from_iter([("uplink".to_owned(), value)]));
    let data = with(json!(["lte"])).unwrap().unwrap().data.unwrap();
    assert_eq!(
        data.sequences[0].set.local_tlocs.as_ref().unwrap().colors,
        ["lte"]
    );
    let error = with(json!("lte")).unwrap_err().to_string();
    assert!(
        error.ends_with("/localTlocList/color/value: `lte` is not an array"),
        "{error}"
    );
}

#[test]
fn a_variable_has_a_name_in_braces() {
    let color = json!({ "optionType": "variable", "value": "uplink" });
    let error = traffic(set(json!({ "localTlocList": { "color": color } })))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`uplink` is not a variable such as {{name}}"),
        "{error}"
    );
}

#[rstest]
#[case::data_prefix("data-prefix", json!([{"ipv4Address": global("10.1.0.5"), "ipv4PrefixLength": global(32)}]))]
#[case::data_ipv6_prefix("data-ipv6-prefix", json!([{"ipv6Address": global("fd00::5"), "ipv6PrefixLength": global(128)}]))]
#[case::sla_class("sla-class", json!([{"loss": global(1), "latency": global(150), "fallbackBestTunnel": {"criteria": global("loss"), "lossVariance": global(5)}}]))]
#[case::color("color", json!([{"color": global("mpls")}]))]
#[case::tloc("tloc", json!([{"tloc": global("10.255.0.1"), "color": global("mpls"), "encap": global("ipsec"), "preference": global("33")}]))]
#[case::group("preferred-color-group", json!([{"primaryPreference": {"colorPreference": global(json!(["mpls", "lte"]))}}]))]
#[case::app_probe("app-probe", json!([{"map": [{"color": global("mpls"), "dscp": global(46)}], "forwardingClass": global("voice")}]))]
#[case::class("class", json!([{"queue": global("3")}]))]
#[case::policer("policer", json!([{"burst": global(15000), "exceed": global("remark"), "rate": global(8)}]))]
fn policy_objects_of_every_kind_are_taken(#[case] kind: &str, #[case] entries: Value) {
    assert!(object(kind, entries.clone()).is_ok());
    // Whatever is right, a field more is one too many.
    let mut wrong = entries;
    wrong[0]["extra"] = global(1);
    let error = object(kind, wrong).unwrap_err().to_string();
    assert!(
        error.starts_with("/data/entries/0/extra: there is no such field"),
        "{error}"
    );
}

#[rstest]
#[case::address("data-prefix", json!([{"ipv4Address": global("10.1.0.256"), "ipv4PrefixLength": global(32)}]), "/data/entries/0/ipv4Address/value: `10.1.0.256` is not an IPv4 address")]
#[case::length("data-prefix", json!([{"ipv4Address": global("10.1.0.2"), "ipv4PrefixLength": global(33)}]), "/data/entries/0/ipv4PrefixLength/value: `33` is not a whole number from 0 to 32")]
#[case::no_length("data-prefix", json!([{"ipv4Address": global("10.1.0.2")}]), "/data/entries/0: field ipv4PrefixLength is missing")]
#[case::none("data-prefix", json!([]), "/data/entries: `[]` is not an array of at least one element")]
#[case::variable("color", json!([{"color": {"optionType": "variable", "value": "{{c}}"}}]), "/data/entries/0/color/optionType: `variable` is not one of global")]
#[case::criteria("sla-class", json!([{"loss": global(1), "fallbackBestTunnel": {"criteria": global("jitter"), "lossVariance": global(5)}}]), "/data: entries[0].fallbackBestTunnel.criteria: `jitter` are not the criteria that have a variance")]
#[case::no_metric("sla-class", json!([{}]), "/data: entries[0]: one of latency, loss and jitter is needed")]
#[case::no_second_tier("preferred-color-group", json!([{"primaryPreference": {"colorPreference": global(json!(["mpls"]))}, "tertiaryPreference": {"colorPreference": global(json!(["lte"]))}}]), "/data: entries[0]: tertiaryPreference needs a secondaryPreference")]
#[case::burst("policer", json!([{"burst": global(14999), "exceed": global("drop"), "rate": global(8)}]), "/data/entries/0/burst/value: `14999` is not a whole number from 15000 to 10000000")]
#[case::queue("class", json!([{"queue": global("8")}]), "/data/entries/0/queue/value: `8` is not one of 0, 1")]
fn policy_objects_are_checked(#[case] kind: &str, #[case] entries: Value, #[case] expected: &str) {
    let error = object(kind, entries).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[rstest]
#[case::longest("a2345678901234567890123456789012", true)]
#[case::dots_and_slashes("web.10/8", true)]
#[case::too_long("a23456789012345678901234567890123", false)]
#[case::space("a b", false)]
#[case::quote("a\"b", false)]
#[case::empty("", false)]
fn names_of_policy_objects_follow_the_schema(#[case] name: &str, #[case] accepted: bool) {
    let profile = put_profile(&mut Catalog::default(), ProfileKind::PolicyObject);
    let data = json!({ "entries": [{ "color": global("mpls") }] });
    let parsed = parse_in(&profile, "color", json!({ "name": name, "data": data }));
    assert_eq!(parsed.is_ok(), accepted, "{parsed:?}");
}

#[test]
fn references_are_checked_by_kind_and_protect_what_they_lead_to() {
    let mut catalog = Catalog::default();
    let objects = put_profile(&mut catalog, ProfileKind::PolicyObject);
    let policies = put_profile(&mut catalog, ProfileKind::ApplicationPriority);
    let color = put(
        &mut catalog,
        &objects,
        "color",
        "c",
        json!({ "entries": [{ "color": global("mpls") }] }),
    );
    let prefix =
        json!({ "entries": [{ "ipv4Address": global("10.0.0.1"), "ipv4PrefixLength": global(32) }] });
    let prefixes = put(&mut catalog, &objects, "data-prefix", "p", prefix);
    let steer = |list: &str| one(json!([{ "sourceDataPrefixList": refer(list) }]), json!([]));
    let policy = |list: &str| {
        parse_in(
            &policies,
            "traffic-policy",
            json!({ "name": "tp", "data": steer(list) }),
        )
        .unwrap()
    };

    for dangling in [PREFIXES, &color.to_string()] {
        let error = catalog.put_parcel(policy(dangling)).unwrap_err().to_string();
        let place = "/data/sequences/0/match/entries/0/sourceDataPrefixList/refId/value";
        assert_eq!(
            error,
            format!("{place}: `{dangling}` is not the id of a data-prefix parcel")
        );
    }
    let kind = parcel_kind(ProfileKind::PolicyObject, "data-prefix").unwrap();
    catalog.put_parcel(policy(&prefixes.to_string())).unwrap();
    assert_eq!(catalog.users(prefixes).count(), 1);
    let error = catalog
        .delete_parcel(objects.id, kind, &prefixes.to_string())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "data-prefix p is referenced by traffic-policy tp"
    );
    let profile = catalog.delete_profile(ProfileKind::PolicyObject, &objects.id.to_string());
    assert!(matches!(profile, Err(CatalogError::InUse { .. })));

    catalog
        .delete_profile(ProfileKind::ApplicationPriority, &policies.id.to_string())
        .unwrap();
    assert_eq!(catalog.users(prefixes).count(), 0);
    catalog
        .delete_parcel(objects.id, kind, &prefixes.to_string())
        .unwrap();
}

#[test]
fn a_name_is_taken_once() {
    let mut catalog = Catalog::default();
    let profile = put_profile(&mut catalog, ProfileKind::PolicyObject);
    let data = json!({ "entries": [{ "color": global("mpls") }] });
    put(&mut catalog, &profile, "color", "c", data.clone());
    let again = parse_in(&profile, "color", json!({ "name": "c", "data": data })).unwrap();
    assert!(matches!(
        catalog.put_parcel(again),
        Err(CatalogError::NameTaken { .. })
    ));
}
