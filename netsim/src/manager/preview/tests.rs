use serde_json::{Value, json};

use super::*;
use crate::manager::definition;
use crate::manager::fixture;
use crate::manager::store::Store;

#[test]
fn the_text_is_the_command_language() {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let policy = store.objects().policy(&ids.policy.to_string()).unwrap();
    let expected = "\
viptela-policy:policy
 data-policy _vpns_steer
  vpn-list vpns
    sequence 1
     match
      source-data-prefix-list servers
      source-port 8080
      protocol 6
     !
     action accept
      set
       local-tloc-list
        color biz-internet
        encap ipsec
        restrict
       !
      !
     !
    !
    default-action accept
  !
 !
 lists
  data-prefix-list servers
   ip-prefix 10.1.0.5/32
  !
  site-list sites
   site-id 1
  !
  vpn-list vpns
   vpn 10
  !
 !
!
apply-policy
 site-list sites
  data-policy _vpns_steer from-service
 !
!
";
    assert_eq!(preview(policy, store.objects()), expected);
}

/// Lists of every kind that a policy can name.
struct Lists {
    sites: Uuid,
    vpns: Uuid,
    hosts: Uuid,
    apps: Uuid,
    voice: Uuid,
    gold: Uuid,
    hubs: Uuid,
    slow: Uuid,
}

fn every_list(objects: &mut Objects) -> Lists {
    let mut list = |kind, name, entries| fixture::put_list(objects, kind, name, entries);
    let sites = list("site", "sites", json!([{"siteId": "1"}]));
    let vpns = list("vpn", "vpns", json!([{"vpn": "10"}]));
    let hosts = list("dataipv6prefix", "hosts", json!([{"ipv6Prefix": "fd00::5/128"}]));
    let apps = list(
        "app",
        "calls",
        json!([{"app": "webex"}, {"appFamily": "audio-video"}]),
    );
    let probe = list(
        "appprobe",
        "probe",
        json!([{"forwardingClass": "ef", "map": [{"color": "mpls", "dscp": 46}]}]),
    );
    let fallback = json!({"criteria": "jitter-loss", "lossVariance": "1", "jitterVariance": "5"});
    let bounds = json!({"loss": "1", "latency": "150", "jitter": "30", "appProbeClass": probe, "fallbackBestTunnel": fallback});
    let voice = list("sla", "voice", json!([bounds]));
    let tier = |colors: &str, path: &str| json!({"colorPreference": colors, "pathPreference": path});
    let group = json!({"primaryPreference": tier("mpls lte", "direct-path"), "secondaryPreference": tier("red", "all-paths")});
    let gold = list("preferredcolorgroup", "gold", json!([group]));
    let tloc = json!({"tloc": "10.0.0.1", "color": "mpls", "encap": "ipsec", "preference": "100"});
    let hubs = list("tloc", "hubs", json!([tloc]));
    let rate = json!({"burst": "15000", "exceed": "remark", "rate": "8"});
    let slow = list("policer", "slow", json!([rate]));
    Lists {
        sites,
        vpns,
        hosts,
        apps,
        voice,
        gold,
        hubs,
        slow,
    }
}

fn every_app_route_action(objects: &mut Objects, lists: &Lists) -> Uuid {
    let class = |more: Value| {
        let mut parameter = vec![json!({"field": "name", "ref": lists.voice})];
        parameter.extend(more.as_array().cloned().unwrap_or_default());
        json!([{"type": "slaClass", "parameter": parameter}])
    };
    let mut counted = class(json!([{"field": "preferredColor", "value": "mpls lte"}]));
    let more = [
        json!({"type": "backupSlaPreferredColor", "parameter": "3g red"}),
        json!({"type": "count", "parameter": "c"}),
        json!({"type": "log", "parameter": ""}),
        json!({"type": "cloudSaas", "parameter": ""}),
    ];
    counted.as_array_mut().unwrap().extend(more);
    let to_group = json!([{"field": "preferredColorGroup", "ref": lists.gold, "colorRestrict": true}, {"field": "strict"}]);
    let to_remote = json!([
        {"field": "preferredRemoteColor", "value": "blue", "remoteColorRestrict": true}, {"field": "fallbackToBestPath"},
    ]);
    let others = json!([
        {"field": "appList", "ref": lists.apps}, {"field": "dns", "value": "request"}, {"field": "dscp", "value": "46"},
        {"field": "icmpMessage", "value": "echo echo-reply"},
    ]);
    fixture::put_app_route(
        objects,
        "aar",
        json!([
            fixture::app_route_sequence(1, others, counted),
            fixture::app_route_sequence(11, json!([]), class(to_group)),
            fixture::app_route_sequence(21, json!([]), class(to_remote)),
        ]),
        Some(lists.voice),
    )
}

fn every_set_field(objects: &mut Objects, lists: &Lists) -> Uuid {
    let set = |fields: Value| json!([{"type": "set", "parameter": fields}]);
    let entries = json!([{"field": "sourceDataIpv6PrefixList", "ref": lists.hosts}, {"field": "destinationIpv6", "value": "fd01::/64"}]);
    let service = json!({"type": "IDS", "vpn": "10", "local": "", "restrict": ""});
    let mut v6 = fixture::sequence(
        1,
        entries,
        set(json!([
            {"field": "preferredColorGroup", "ref": lists.gold}, {"field": "service", "value": service},
        ])),
    );
    v6["sequenceIpType"] = json!("ipv6");
    let tloc = json!({"ip": "10.0.0.2", "color": "lte", "encap": "ipsec gre"});
    fixture::put_definition(
        objects,
        "te",
        json!([
            v6,
            fixture::sequence(2, json!([]), set(json!([{"field": "tloc", "value": tloc}]))),
            fixture::sequence(
                3,
                json!([]),
                set(json!([{"field": "vpn", "value": "10"}, {"field": "tlocList", "ref": lists.hubs}]))
            ),
            fixture::sequence(
                4,
                json!([]),
                set(json!([
                    {"field": "service", "value": {"type": "FW", "tlocList": {"ref": lists.hubs}}},
                ]))
            ),
            fixture::sequence(
                5,
                json!([{"field": "packetLength", "value": "64-1500"}, {"field": "tcp", "value": "syn"}]),
                set(json!([
                    {"field": "dscp", "value": "46"}, {"field": "forwardingClass", "value": "voice"},
                    {"field": "policer", "ref": lists.slow}, {"field": "nextHop", "value": "10.0.0.9"},
                    {"field": "nextHopLoose", "value": "true"},
                ]))
            ),
            fixture::sequence(
                6,
                json!([]),
                json!([
                    {"type": "cflowd"},
                    {"type": "nat", "parameter": [{"field": "useVpn", "value": "0"}, {"field": "fallback", "value": ""}]},
                    {"type": "lossProtect", "parameter": "fecAlways"},
                    {"type": "lossProtectFec", "parameter": "fecAlways", "value": "3"},
                    {"type": "redirectDns", "parameter": {"field": "dnsType", "value": "host"}},
                    {"type": "tcpOptimization", "parameter": ""},
                    {"type": "serviceNodeGroup", "parameter": "SNG-APPQOE"},
                ])
            ),
        ]),
    )
}

#[test]
fn every_construct_has_its_text() {
    let mut store = Store::default();
    let objects = store.objects_for_creation();
    let lists = every_list(objects);
    let app_route = every_app_route_action(objects, &lists);
    let data = every_set_field(objects, &lists);
    let assembly = json!([
        fixture::app_route_assembly(app_route, lists.sites, lists.vpns),
        fixture::assembly(data, "all", lists.sites, lists.vpns),
    ]);
    let policy = fixture::put_policy(objects, "central", assembly);
    let policy = store.objects().policy(&policy.to_string()).unwrap();
    assert_eq!(
        preview(policy, store.objects()),
        include_str!("tests/every-construct.txt")
    );
}

#[test]
fn what_edges_do_not_act_on_is_named_and_its_lists_are_spelled_out() {
    let mut store = Store::default();
    let objects = store.objects_for_creation();
    let sites = fixture::put_list(objects, "site", "west", json!([{"siteId": "1"}]));
    let entries = json!([{"ipPrefix": "10.0.0.0/8", "le": "24", "ge": "9"}, {"ipPrefix": "10.0.0.5/32"}]);
    let prefixes = fixture::put_list(objects, "prefix", "hosts", entries);
    let hub = json!({"siteList": sites, "prefixLists": [prefixes]});
    let spokes = json!([{"siteList": sites, "hubs": [hub]}]);
    let definition = json!({"subDefinitions": [{"name": "x", "spokes": spokes}]});
    let body = fixture::body(json!({"name": "star", "type": "hubAndSpoke", "definition": definition}));
    let kind = definition::kind("hubandspoke").unwrap();
    let star = definition::parse(kind, Uuid::new_v4(), &body, fixture::stamp()).unwrap();
    let assembly = json!([{"definitionId": star.id, "type": "hubAndSpoke"}]);
    objects.put_definition(star).unwrap();
    let policy = fixture::put_policy(objects, "central", assembly);
    let policy = store.objects().policy(&policy.to_string()).unwrap();
    let expected = "\
viptela-policy:policy
 ! hubAndSpoke star: its commands are not emulated
 lists
  prefix-list hosts
   ip-prefix 10.0.0.0/8 ge 9 le 24
   ip-prefix 10.0.0.5/32
  !
  site-list west
   site-id 1
  !
 !
!
apply-policy
!
";
    assert_eq!(preview(policy, store.objects()), expected);
}
