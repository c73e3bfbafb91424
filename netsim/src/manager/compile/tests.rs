use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::manager::fixture::{
    self, PLACES, assembly, parse_policy, put_definition, put_list, sequence, set_tlocs,
};
use crate::manager::store::Store;
use crate::policy::DefaultAction;

/// Objects with two site lists and one VPN list.
struct World {
    objects: Objects,
    first: Uuid,
    both: Uuid,
    vpns: Uuid,
}

fn world() -> World {
    let mut objects = Objects::default();
    let first = put_list(&mut objects, "site", "first", json!([{"siteId": "1"}]));
    let both = put_list(&mut objects, "site", "both", json!([{"siteId": "1-2"}]));
    let vpns = put_list(
        &mut objects,
        "vpn",
        "vpns",
        json!([{"vpn": "10"}, {"vpn": "15-25"}]),
    );
    World {
        objects,
        first,
        both,
        vpns,
    }
}

fn compiled(objects: &Objects, assembly: Value) -> Vec<EdgePolicy> {
    let policy = parse_policy("p", assembly).unwrap();
    check_collisions(&policy.assembly, objects).unwrap();
    PLACES
        .iter()
        .map(|place| compile(&policy.assembly, objects, *place).unwrap())
        .collect()
}

fn one_sequence(objects: &mut Objects, raw: Value) -> Result<Sequence, CompileError> {
    let definition = put_definition(objects, "one", json!([raw]));
    let sequences = &objects.definition_of(definition).unwrap().data.sequences;
    super::sequence(&sequences[0], objects)
}

#[test]
fn a_whole_policy_says_everything_to_its_sites_and_nothing_to_others() {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let policy = store.objects().policy(&ids.policy.to_string()).unwrap();
    let edges: Vec<_> = PLACES
        .iter()
        .map(|place| compile(&policy.assembly, store.objects(), *place).unwrap())
        .collect();
    let steering = Sequence {
        id: 1,
        matching: Match {
            source_prefixes: Some(vec!["10.1.0.5/32".parse().unwrap()]),
            source_ports: vec![8080..=8080],
            protocols: vec![6],
            ..Match::default()
        },
        action: Action::Accept {
            path: Some(DataPath::Local(LocalTlocs {
                colors: vec!["biz-internet".to_owned()],
                restrict: true,
            })),
            inspect: false,
        },
        counter: None,
    };
    let data = DataPolicy {
        service_vpn: 10,
        direction: PolicyDirection::FromService,
        default_action: DefaultAction::Accept,
        sequences: vec![steering],
    };
    assert_eq!(
        edges[0],
        EdgePolicy {
            site_id: 1,
            app_route: Vec::new(),
            data: vec![data]
        }
    );
    assert_eq!(edges[1], EdgePolicy::none(2));
}

#[test]
fn policies_are_sorted_by_vpn_and_direction() {
    let World {
        mut objects,
        first,
        both,
        vpns,
    } = world();
    let [a, b] = ["a", "b"].map(|name| put_definition(&mut objects, name, json!([])));
    let edges = compiled(
        &objects,
        json!([
            assembly(a, "tunnel", both, vpns),
            assembly(b, "service", first, vpns)
        ]),
    );
    let keys = |edge: &EdgePolicy| -> Vec<_> {
        edge.data
            .iter()
            .map(|data| (data.service_vpn, data.direction))
            .collect()
    };
    use PolicyDirection::{FromService, FromTunnel};
    assert_eq!(
        keys(&edges[0]),
        [
            (10, FromService),
            (10, FromTunnel),
            (20, FromService),
            (20, FromTunnel)
        ]
    );
    assert_eq!(keys(&edges[1]), [(10, FromTunnel), (20, FromTunnel)]);
}

#[rstest]
#[case::same("service", "service", true)]
#[case::all_and_service("all", "service", true)]
#[case::tunnel_and_all("tunnel", "all", true)]
#[case::apart("service", "tunnel", false)]
fn applications_of_one_direction_collide(#[case] left: &str, #[case] right: &str, #[case] collide: bool) {
    let World {
        mut objects,
        first,
        both,
        vpns,
    } = world();
    let [a, b] = ["a", "b"].map(|name| put_definition(&mut objects, name, json!([])));
    let assembly = json!([assembly(a, left, both, vpns), assembly(b, right, first, vpns)]);
    let policy = parse_policy("p", assembly).unwrap();
    let expected = CompileError::Collision {
        first: "a".to_owned(),
        second: "b".to_owned(),
        site: 1,
        service_vpn: 10,
    };
    let found = check_collisions(&policy.assembly, &objects);
    assert_eq!(found, if collide { Err(expected) } else { Ok(()) });
}

#[test]
fn tenants_do_not_collide() {
    let World {
        mut objects,
        both,
        vpns,
        ..
    } = world();
    let others = put_list(&mut objects, "vpn", "others", json!([{"vpn": "11-14"}]));
    let definition = put_definition(&mut objects, "d", json!([]));
    let assembly = json!([
        assembly(definition, "all", both, vpns),
        assembly(definition, "all", both, others)
    ]);
    let policy = parse_policy("p", assembly).unwrap();
    assert_eq!(check_collisions(&policy.assembly, &objects), Ok(()));
}

#[rstest]
#[case::ipv4("ipv4", Some("0.0.0.0/0"))]
#[case::ipv6("ipv6", Some("::/0"))]
#[case::all("all", None)]
fn a_sequence_without_prefixes_keeps_to_its_family(#[case] family: &str, #[case] expected: Option<&str>) {
    let mut raw = sequence(1, json!([{"field": "protocol", "value": "6"}]), json!([]));
    raw["sequenceIpType"] = json!(family);
    let matching = one_sequence(&mut Objects::default(), raw).unwrap().matching;
    assert_eq!(
        matching.source_prefixes,
        expected.map(|prefix| vec![prefix.parse().unwrap()])
    );
    assert_eq!(matching.destination_prefixes, None);
}

#[test]
fn prefixes_are_expanded_sorted_and_without_repetition() {
    let mut objects = Objects::default();
    let entries =
        json!([{"ipPrefix": "10.2.0.9/16"}, {"ipPrefix": "10.1.0.0/16"}, {"ipPrefix": "10.2.0.0/16"}]);
    let list = put_list(&mut objects, "dataprefix", "p", entries);
    let raw = sequence(
        1,
        json!([{"field": "destinationDataPrefixList", "ref": list}]),
        json!([]),
    );
    let matching = one_sequence(&mut objects, raw).unwrap().matching;
    let expected = ["10.1.0.0/16", "10.2.0.0/16"].map(|prefix| prefix.parse().unwrap());
    assert_eq!(matching.destination_prefixes, Some(expected.to_vec()));
    assert_eq!(matching.source_prefixes, None);
}

#[rstest]
#[case::dscp(json!([{"field": "dscp", "value": "46"}]), json!([]), Some("dscp"))]
#[case::gre(json!([]), set_tlocs(json!({"color": "mpls", "encap": "gre"})), Some("encap gre"))]
#[case::ipsec(json!([]), set_tlocs(json!({"color": "mpls", "encap": "ipsec"})), None)]
#[case::either(json!([]), set_tlocs(json!({"color": "mpls", "encap": "gre ipsec"})), None)]
#[case::unsaid(json!([]), set_tlocs(json!({"color": "mpls"})), None)]
fn what_edges_cannot_do_is_an_error(
    #[case] entries: Value,
    #[case] actions: Value,
    #[case] field: Option<&'static str>,
) {
    let compiled = one_sequence(&mut Objects::default(), sequence(3, entries, actions));
    let error = field.map(|field| CompileError::NotEmulated { sequence: 3, field });
    assert_eq!(compiled.err(), error);
}

#[test]
fn a_dropping_sequence_drops() {
    let mut raw = sequence(1, json!([]), json!([{"type": "count", "parameter": "c"}]));
    raw["baseAction"] = json!("drop");
    assert_eq!(
        one_sequence(&mut Objects::default(), raw).unwrap().action,
        Action::Drop
    );
}
