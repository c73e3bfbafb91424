//! What sequences of app-route and data policies become: their actions, and what edges cannot do.

use super::*;

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
#[case::firewall(json!([{"field": "service", "value": {"type": "FW", "local": ""}}]), None, true)]
#[case::prevention(json!([{"field": "service", "value": {"type": "IDP", "local": ""}}]), None, true)]
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
#[case::custom_service(
    json!([{"field": "service", "value": {"type": "netsvc1", "local": ""}}]),
    "service of a type other than FW, IDS and IDP"
)]
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
fn a_sequence_does_not_leak_into_another_vpn() {
    let fields = json!([{"field": "tlocList", "ref": "HUBS"}, {"field": "vpn", "value": "20"}]);
    assert_eq!(
        one_action(&fields).unwrap_err().to_string(),
        "SeqID 3: field vpn: from service VPN 10, where it is applied, into VPN 20 is not emulated by the edges"
    );
}
