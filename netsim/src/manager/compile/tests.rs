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

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// Lists that actions name: `voice` with a best tunnel, `plain` without, the color group `gold`, the TLOC list `hubs`.
struct Named {
    objects: Objects,
    voice: Uuid,
    plain: Uuid,
    gold: Uuid,
    hubs: Uuid,
}

fn named() -> Named {
    let mut objects = Objects::default();
    let fallback = json!({"criteria": "latency-loss", "lossVariance": "2", "latencyVariance": "5"});
    let voice = json!([{"loss": "1", "latency": "150", "fallbackBestTunnel": fallback}]);
    let voice = put_list(&mut objects, "sla", "voice", voice);
    let plain = put_list(&mut objects, "sla", "plain", json!([{"jitter": "30"}]));
    let tier = json!({"colorPreference": "mpls lte", "pathPreference": "direct-path"});
    let gold = put_list(
        &mut objects,
        "preferredcolorgroup",
        "gold",
        json!([{"primaryPreference": tier}]),
    );
    let tloc =
        |host: u8, encap: &str| json!({"tloc": format!("10.0.0.{host}"), "color": "mpls", "encap": encap});
    let mut hubs = [tloc(1, "ipsec"), tloc(2, "ipsec"), tloc(3, "gre")];
    hubs[1]["preference"] = json!("100");
    let hubs = put_list(&mut objects, "tloc", "hubs", json!(hubs));
    Named {
        objects,
        voice,
        plain,
        gold,
        hubs,
    }
}

fn voice() -> SlaClass {
    SlaClass {
        name: "voice".to_owned(),
        loss: Some(10_000),
        latency: Some(Duration::from_millis(150)),
        jitter: None,
    }
}

fn gold(restrict: bool) -> ColorGroup {
    ColorGroup {
        name: "gold".to_owned(),
        tiers: vec![ColorTier {
            colors: words(&["mpls", "lte"]),
            path: PathPreference::DirectPath,
        }],
        restrict,
    }
}

/// Replaces the names of lists by their ids.
fn with_ids(value: &Value, named: &Named) -> Value {
    let ids = [
        ("VOICE", named.voice),
        ("PLAIN", named.plain),
        ("GOLD", named.gold),
        ("HUBS", named.hubs),
    ];
    let text = ids.iter().fold(value.to_string(), |text, (name, id)| {
        text.replace(name, &id.to_string())
    });
    serde_json::from_str(&text).unwrap()
}

fn one_choice(actions: &Value) -> Result<Option<AppRoute>, CompileError> {
    let mut named = named();
    let actions = with_ids(actions, &named);
    let sequences = json!([app_route_sequence(5, json!([]), actions)]);
    let id = put_app_route(&mut named.objects, "d", sequences, None);
    let Some(DefinitionBody::AppRoute(body)) = named.objects.definition_of(id).map(|found| &found.body)
    else {
        panic!("not an app-route definition");
    };
    app_route::sequence(&body.sequences[0], &named.objects).map(|sequence| sequence.choice)
}

/// The rows of the product's table of constructs, with what each means to the edges.
#[rstest]
#[case::nothing(json!([]), None)]
#[case::class_only(
    json!([{"type": "slaClass", "parameter": [{"field": "name", "ref": "VOICE"}]}]),
    Some(AppRoute { class: Some(voice()), preference: Preference::Equal, unmet: Unmet::Any })
)]
#[case::preferred(
    json!([{"type": "slaClass", "parameter": [
        {"field": "name", "ref": "VOICE"}, {"field": "preferredColor", "value": "lte mpls"},
    ]}]),
    Some(AppRoute { class: Some(voice()), preference: Preference::Colors(words(&["lte", "mpls"])), unmet: Unmet::Any })
)]
#[case::backup(
    json!([
        {"type": "slaClass", "parameter": [{"field": "name", "ref": "VOICE"}]},
        {"type": "backupSlaPreferredColor", "parameter": "lte"},
    ]),
    Some(AppRoute { class: Some(voice()), preference: Preference::Equal, unmet: Unmet::Backup(words(&["lte"])) })
)]
#[case::backup_alone(
    json!([{"type": "backupSlaPreferredColor", "parameter": "lte"}]),
    Some(AppRoute { class: None, preference: Preference::Colors(words(&["lte"])), unmet: Unmet::Any })
)]
#[case::strict(
    json!([{"type": "slaClass", "parameter": [
        {"field": "name", "ref": "VOICE"}, {"field": "preferredColor", "value": "lte"}, {"field": "strict"},
    ]}]),
    Some(AppRoute { class: Some(voice()), preference: Preference::Colors(words(&["lte"])), unmet: Unmet::Drop })
)]
#[case::best(
    json!([{"type": "slaClass", "parameter": [{"field": "name", "ref": "VOICE"}, {"field": "fallbackToBestPath"}]}]),
    Some(AppRoute {
        class: Some(voice()),
        preference: Preference::Equal,
        unmet: Unmet::Best(BestPath {
            criteria: vec![Criterion::Latency(Duration::from_millis(5)), Criterion::Loss(20_000)],
        }),
    })
)]
#[case::group(
    json!([{"type": "slaClass", "parameter": [
        {"field": "name", "ref": "VOICE"}, {"field": "preferredColorGroup", "ref": "GOLD", "colorRestrict": true},
    ]}]),
    Some(AppRoute { class: Some(voice()), preference: Preference::Group(gold(true)), unmet: Unmet::Any })
)]
fn an_app_route_action_becomes_a_choice(#[case] actions: Value, #[case] expected: Option<AppRoute>) {
    assert_eq!(one_choice(&actions), Ok(expected));
}

#[test]
fn what_app_route_cannot_do_is_an_error() {
    let no_best = json!([{"type": "slaClass", "parameter": [
        {"field": "name", "ref": "PLAIN"}, {"field": "fallbackToBestPath"},
    ]}]);
    let (sequence, class) = (5, "plain".to_owned());
    assert_eq!(
        one_choice(&no_best),
        Err(CompileError::NoBestTunnel { sequence, class })
    );
    let saas = json!([{"type": "cloudSaas", "parameter": ""}]);
    let action = "cloudSaas";
    assert_eq!(one_choice(&saas), Err(CompileError::NotDone { sequence, action }));
    let remote = json!([{"type": "slaClass", "parameter": [
        {"field": "name", "ref": "PLAIN"}, {"field": "preferredRemoteColor", "value": "red"},
    ]}]);
    let field = "preferredRemoteColor";
    assert_eq!(
        one_choice(&remote),
        Err(CompileError::NotEmulated { sequence, field })
    );
}

#[test]
fn a_class_with_a_probe_of_its_own_is_not_measured() {
    let mut objects = Objects::default();
    let probe = put_list(
        &mut objects,
        "appprobe",
        "probe",
        json!([{"forwardingClass": "voice"}]),
    );
    let class = put_list(
        &mut objects,
        "sla",
        "voice",
        json!([{"loss": "1", "appProbeClass": probe}]),
    );
    let definition = put_app_route(&mut objects, "d", json!([]), Some(class));
    let sites = put_list(&mut objects, "site", "s", json!([{"siteId": "9"}]));
    let vpns = put_list(&mut objects, "vpn", "v", json!([{"vpn": "10"}]));
    let policy = parse_policy("p", json!([app_route_assembly(definition, sites, vpns)])).unwrap();
    let error = compile(&policy.assembly, &objects, &PLACES).unwrap_err();
    assert_eq!(
        error.to_string(),
        "definition d: sla class voice: field appProbeClass is not emulated by the edges; WAN edges of sites: none"
    );
}

fn one_action(fields: &Value) -> Result<Action, CompileError> {
    let mut named = named();
    let actions = with_ids(&json!([{"type": "set", "parameter": fields}]), &named);
    one_sequence(&mut named.objects, sequence(3, json!([]), actions)).map(|sequence| sequence.action)
}

fn tloc(host: u8, preference: u32) -> RemoteTloc {
    RemoteTloc {
        system_ip: [10, 0, 0, host].into(),
        color: "mpls".to_owned(),
        preference,
    }
}

#[rstest]
#[case::several_colors(
    json!([{"field": "localTlocList", "value": {"color": "lte mpls"}}]),
    Some(DataPath::Local(LocalTlocs { colors: words(&["lte", "mpls"]), restrict: false })), false
)]
#[case::group(
    json!([{"field": "preferredColorGroup", "ref": "GOLD", "colorRestrict": true}]),
    Some(DataPath::Group(gold(true))), false
)]
#[case::one_tloc(
    json!([{"field": "tloc", "value": {"ip": "10.0.0.9", "color": "mpls", "encap": "gre ipsec"}}]),
    Some(DataPath::Remote(vec![tloc(9, 0)])), false
)]
#[case::one_tloc_in_the_same_vpn(
    json!([{"field": "vpn", "value": "10"}, {"field": "tloc", "value": {"ip": "10.0.0.9", "color": "mpls"}}]),
    Some(DataPath::Remote(vec![tloc(9, 0)])), false
)]
#[case::tlocs_without_those_that_cannot_exist(
    json!([{"field": "tlocList", "ref": "HUBS"}]),
    Some(DataPath::Remote(vec![tloc(1, 0), tloc(2, 100)])), false
)]
#[case::inspection(json!([{"field": "service", "value": {"type": "IDS", "local": ""}}]), None, true)]
#[case::inspection_on_a_way(
    json!([
        {"field": "service", "value": {"type": "IDS", "local": "", "vpn": "10"}},
        {"field": "localTlocList", "value": {"color": "lte"}},
    ]),
    Some(DataPath::Local(LocalTlocs { colors: words(&["lte"]), restrict: false })), true
)]
fn a_set_becomes_a_way(#[case] fields: Value, #[case] path: Option<DataPath>, #[case] inspect: bool) {
    let dscp = None;
    let accept = Action::Accept { path, inspect, dscp };
    assert_eq!(one_action(&fields), Ok(accept));
}

#[rstest]
#[case::gre(json!([{"field": "tloc", "value": {"ip": "10.0.0.9", "color": "mpls", "encap": "gre"}}]), "encap gre")]
#[case::both_ends(
    json!([{"field": "tlocList", "ref": "HUBS"}, {"field": "localTlocList", "value": {"color": "lte"}}]),
    "tloc together with local colors"
)]
#[case::firewall(json!([{"field": "service", "value": {"type": "FW", "local": ""}}]), "service of a type other than IDS")]
#[case::elsewhere(json!([{"field": "service", "value": {"type": "IDS"}}]), "service that is not local")]
#[case::restrict(json!([{"field": "service", "value": {"type": "IDS", "local": "", "restrict": ""}}]), "service restrict")]
#[case::other_vpn(json!([{"field": "service", "value": {"type": "IDS", "local": "", "vpn": "20"}}]), "service vpn")]
fn a_set_that_edges_cannot_do_is_an_error(#[case] fields: Value, #[case] field: &'static str) {
    let sequence = 3;
    assert_eq!(
        one_action(&fields),
        Err(CompileError::NotEmulated { sequence, field })
    );
}

#[rstest]
#[case::marked(json!([{"field": "dscp", "value": "46"}]), Some(46))]
// The emulated edges have no queues that classes would go to.
#[case::class(json!([{"field": "forwardingClass", "value": "voice"}]), None)]
fn a_code_point_is_set(#[case] fields: Value, #[case] dscp: Option<u8>) {
    let (path, inspect) = (None, false);
    assert_eq!(one_action(&fields), Ok(Action::Accept { path, inspect, dscp }));
}

#[test]
fn an_action_that_edges_cannot_do_is_an_error() {
    let mut named = named();
    let actions = json!([{"type": "cflowd"}]);
    let (sequence, action) = (3, "cflowd");
    assert_eq!(
        one_sequence(&mut named.objects, fixture::sequence(3, json!([]), actions)),
        Err(CompileError::NotDone { sequence, action })
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
fn a_sequence_does_not_leak_into_another_vpn() {
    let fields = json!([{"field": "tlocList", "ref": "HUBS"}, {"field": "vpn", "value": "20"}]);
    assert_eq!(
        one_action(&fields).unwrap_err().to_string(),
        "SeqID 3: field vpn: from service VPN 10, where it is applied, into VPN 20 is not emulated by the edges"
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
