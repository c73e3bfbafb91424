use std::sync::Arc;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::manager::definition;
use crate::manager::fixture::{
    self, PLACES, app_route_assembly, app_route_sequence, assembly, parse_policy, put_app_route,
    put_definition, put_list, sequence, set_tlocs,
};
use crate::manager::store::Store;
use crate::policy::{
    Action, AppRoute, BestPath, ColorTier, Criterion, DataPath, DefaultAction, LocalTlocs, Match,
    PathPreference, Preference, RemoteTloc, Sequence, SlaClass, Unmet,
};

mod actions;

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
    compile(&policy.assembly, objects, &PLACES).unwrap()
}

fn one_sequence(objects: &mut Objects, raw: Value) -> Result<Sequence, CompileError> {
    let definition = put_definition(objects, "one", json!([raw]));
    let definition = objects.definition_of(definition).unwrap();
    let DefinitionBody::Data(data) = &definition.body else {
        panic!("not a data definition: {definition:?}");
    };
    data::sequence(&data.sequences[0], 10, objects)
}

#[test]
fn a_list_is_shared_by_all_that_match_by_it() {
    let mut world = world();
    let servers = put_list(
        &mut world.objects,
        "dataprefix",
        "servers",
        json!([{"ipPrefix": "10.1.0.5/32"}]),
    );
    let by_list = |id| {
        let entries = json!([{"field": "destinationDataPrefixList", "ref": servers}]);
        sequence(id, entries, json!([]))
    };
    let definition = put_definition(&mut world.objects, "steer", json!([by_list(1), by_list(11)]));
    let edges = compiled(
        &world.objects,
        json!([assembly(definition, "service", world.both, world.vpns)]),
    );
    let sequences: Vec<_> = edges
        .iter()
        .flat_map(|edge| &edge.data)
        .flat_map(|policy| policy.sequences.iter())
        .collect();
    assert_eq!(sequences.len(), 8);
    let prefixes = |sequence: &Sequence| sequence.matching.destination_prefixes.clone().unwrap();
    let first = prefixes(sequences[0]);
    assert!(
        sequences
            .iter()
            .all(|sequence| Arc::ptr_eq(&first, &prefixes(sequence)))
    );
}

#[test]
fn a_whole_policy_says_everything_to_its_sites_and_nothing_to_others() {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let policy = store.objects().policy(&ids.policy.to_string()).unwrap();
    let edges = compile(&policy.assembly, store.objects(), &PLACES).unwrap();
    let steering = Sequence {
        id: 1,
        matching: Match {
            source_prefixes: Some(["10.1.0.5/32".parse().unwrap()].into()),
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
            dscp: None,
        },
        counter: None,
    };
    let data = DataPolicy {
        service_vpn: 10,
        direction: PolicyDirection::FromService,
        default_action: DefaultAction::Accept,
        sequences: [steering].into(),
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
        expected.map(|prefix| [prefix.parse().unwrap()].into())
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
    assert_eq!(matching.destination_prefixes, Some(expected.into()));
    assert_eq!(matching.source_prefixes, None);
}

#[rstest]
#[case::apps(json!([{"field": "icmpMessage", "value": "echo"}]), json!([]), Some("icmpMessage"))]
#[case::dns(json!([{"field": "dns", "value": "request"}]), json!([]), Some("dns"))]
#[case::dscp(json!([{"field": "dscp", "value": "46"}]), json!([]), None)]
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

#[test]
fn what_does_not_fit_names_definition_sequence_and_sites() {
    let World {
        mut objects,
        first,
        both,
        vpns,
    } = world();
    let undone = sequence(7, json!([]), json!([{"type": "cflowd"}]));
    let definition = put_definition(&mut objects, "d", json!([undone]));
    let elsewhere = put_list(&mut objects, "vpn", "elsewhere", json!([{"vpn": "11-14"}]));
    let told = |sites, vpns| {
        let policy = parse_policy("p", json!([assembly(definition, "all", sites, vpns)])).unwrap();
        compile(&policy.assembly, &objects, &PLACES)
            .unwrap_err()
            .to_string()
    };
    let problem = "definition d: SeqID 7: action cflowd is not emulated by the edges; WAN edges of sites: ";
    assert_eq!(told(first, vpns), format!("{problem}1"));
    assert_eq!(told(both, vpns), format!("{problem}1, 2"));
    assert_eq!(told(both, elsewhere), format!("{problem}none"));
}

#[test]
fn a_kind_that_edges_do_not_carry_out_names_the_sites_where_it_applies() {
    let World {
        mut objects,
        first,
        both,
        ..
    } = world();
    let put = |objects: &mut Objects, kind: &str, body: Value| {
        let id = Uuid::new_v4();
        let kind = definition::kind(kind).unwrap();
        let parsed = definition::parse(kind, id, &fixture::body(body), fixture::stamp()).unwrap();
        objects.put_definition(parsed).unwrap();
        id
    };
    let control = json!({"name": "c", "type": "control", "sequences": []});
    let control = put(&mut objects, "control", control);
    let regions = json!([{"name": "west", "siteLists": [first]}, {"name": "east", "siteLists": [both]}]);
    let mesh = json!({"name": "m", "type": "mesh", "definition": {"regions": regions}});
    let mesh = put(&mut objects, "mesh", mesh);
    let told = |assembly: Value| {
        let policy = parse_policy("p", json!([assembly])).unwrap();
        let unfit = compile(&policy.assembly, &objects, &PLACES).unwrap_err();
        unfit.to_string()
    };
    let entry = json!({"direction": "in", "siteLists": [first]});
    assert_eq!(
        told(json!({"definitionId": control, "type": "control", "entries": [entry]})),
        "definition c: definitions of type control are not emulated by the edges; WAN edges of sites: 1"
    );
    assert_eq!(
        told(json!({"definitionId": mesh, "type": "mesh"})),
        "definition m: definitions of type mesh are not emulated by the edges; WAN edges of sites: 1, 2"
    );
}

#[test]
fn app_route_and_data_go_side_by_side() {
    let World {
        mut objects,
        first,
        both,
        vpns,
    } = world();
    let data = put_definition(&mut objects, "d", json!([]));
    let app_route = put_app_route(&mut objects, "d", json!([]), None);
    let edges = compiled(
        &objects,
        json!([
            assembly(data, "all", both, vpns),
            app_route_assembly(app_route, first, vpns)
        ]),
    );
    let service_vpns = |edge: &EdgePolicy| {
        edge.app_route
            .iter()
            .map(|policy| policy.service_vpn)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        edges.iter().map(service_vpns).collect::<Vec<_>>(),
        [vec![10, 20], vec![]]
    );
    assert!(edges.iter().all(|edge| edge.data.len() == 2));

    let second = app_route_assembly(app_route, both, vpns);
    let policy = parse_policy("p", json!([app_route_assembly(app_route, first, vpns), second])).unwrap();
    assert!(check_collisions(&policy.assembly, &objects).is_err());
}
