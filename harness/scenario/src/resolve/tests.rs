//! Tests of what golden messages do not show: good files, paths between files, and the order of problems.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::document::SourceError;
use crate::model::{
    ApiAnswer, ApiFault, ApiRequests, Event, ExpiryShape, Fault, GatewayAnswer, ManagerFault, Method,
    Overlay, OverlayLinks, OverlayPair, PodRef, Protocol, ReadinessProbe, Requests, Scope, Skew, SlaTiming,
    Step, Stream, Verb,
};

/// Files in memory.
struct Files(BTreeMap<&'static str, String>);

impl Sources for Files {
    fn text(&self, path: &str) -> Result<String, SourceError> {
        self.0.get(path).cloned().ok_or(SourceError::NotFound)
    }
}

const TOPOLOGY: &str = "
apiVersion: pathproof.dev/v1alpha1
kind: Topology
metadata: {name: one}
transports: {a: {color: mpls}, b: {color: lte}}
defaultTransport: a
sites: {s: {id: 1}}
clusters: {c: {podCidr: 10.1.0.0/16, serviceCidr: 10.2.0.0/16, serviceVpn: 1, nodes: {node: {site: s}}}}
";

const SCENARIO: &str = "
apiVersion: pathproof.dev/v1alpha1
kind: Scenario
metadata: {name: small, purpose: The shortest scenario., profile: core}
topology: topology.yaml
manifests:
  - file: objects/pods.yaml
  - object: {apiVersion: v1, kind: Service, metadata: {name: svc, namespace: shop}, spec: {ports: [{port: 80}]}}
flows:
  web: {from: pod/client, to: service/shop/svc, tcp: 80}
timeline: [start: [web], 1s, stop]
assert:
  arrives: {that: all web delivered, min: 5}
";

const PODS: &str = "{apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {nodeName: node}}";

fn files(scenario: &str, topology: &str, pods: &str) -> Files {
    let files = [
        ("x/small.yaml", scenario),
        ("x/topology.yaml", topology),
        ("x/objects/pods.yaml", pods),
    ];
    Files(files.map(|(path, text)| (path, text.to_owned())).into())
}

fn first_lines(result: Result<Scenario, Diagnostics>) -> Vec<String> {
    let diagnostics = result.expect_err("the scenario is broken");
    diagnostics
        .iter()
        .map(|d| format!("{}:{}:{}: {}", d.file, d.line, d.column, d.message))
        .collect()
}

#[test]
fn the_shortest_scenario_has_the_documented_defaults() {
    let scenario = read(&files(SCENARIO, TOPOLOGY, PODS), "x/small.yaml").unwrap_or_else(|d| panic!("{d}"));
    let flow = &scenario.flows["web"];
    assert_eq!(flow.to.to_string(), "service/shop/svc");
    assert_eq!(
        flow.streams,
        [Stream {
            protocol: Protocol::Tcp,
            service_port: 80
        }]
    );
    assert_eq!((flow.rate_pps, flow.size_bytes), (250, 200));
    assert_eq!(
        scenario.timeline,
        [
            Step::Start(vec!["web".to_owned()]),
            Step::Wait(Duration::from_secs(1)),
            Step::Stop
        ]
    );
    assert!(scenario.events.is_empty() && scenario.features.is_empty());
    assert_eq!(scenario.manifests.len(), 2);
    let assertion = &scenario.assertions[0];
    assert_eq!(
        (assertion.place.to_string().as_str(), assertion.min_probes),
        ("x/small.yaml:13:3", 5)
    );
}

#[test]
fn an_event_may_set_and_unset_annotations_at_once() {
    let event = "events: {e: {kubectl: {annotate: service/shop/svc, set: {a: '1'}, unset: [b/c]}}}\ntimeline: [start: [web], 1s, e, 1s, stop]";
    let text = SCENARIO.replace("timeline: [start: [web], 1s, stop]", event);
    let scenario = read(&files(&text, TOPOLOGY, PODS), "x/small.yaml").unwrap_or_else(|d| panic!("{d}"));
    let Event::Annotate { annotations, .. } = &scenario.events["e"] else {
        panic!("annotates")
    };
    let expected = [("a".to_owned(), Some("1".to_owned())), ("b/c".to_owned(), None)];
    assert_eq!(*annotations, BTreeMap::from(expected));
}

#[rstest]
#[case("failPushes: {}", ManagerFault::FailPushes { count: None, sites: Vec::new() })]
#[case(
    "failPushes: {count: 2, sites: [s]}",
    ManagerFault::FailPushes { count: Some(2), sites: vec!["s".to_owned()] }
)]
#[case("holdLock: true", ManagerFault::HoldLock)]
#[case(
    "delayTasks: {by: 500ms, count: 1}",
    ManagerFault::DelayTasks { by: Duration::from_millis(500), count: Some(1) }
)]
#[case(
    "answer: {with: unavailable, count: 3, after: 2, method: POST, path: /dataservice/template}",
    ManagerFault::Answer {
        with: GatewayAnswer::Unavailable,
        requests: Requests {
            count: Some(3),
            after: Some(2),
            method: Some(Method::Post),
            path: Some("/dataservice/template".to_owned()),
        },
    }
)]
#[case("cutReplies: {}", ManagerFault::CutReplies { requests: Requests::default() })]
#[case(
    "delayRequests: {by: 1m, method: GET}",
    ManagerFault::DelayRequests {
        by: Duration::from_secs(60),
        requests: Requests { method: Some(Method::Get), ..Requests::default() },
    }
)]
#[case("expireSessions: cookie", ManagerFault::ExpireSessions(ExpiryShape::Cookie))]
#[case("loseController: true", ManagerFault::LoseController)]
fn an_event_may_do_something_to_the_manager(#[case] words: &str, #[case] fault: ManagerFault) {
    assert_eq!(event("manager", words), Event::ManagerFault { fault });
}

#[test]
fn an_event_may_heal_the_manager() {
    assert_eq!(event("manager", "heal: true"), Event::HealManager);
}

fn event(whose: &str, words: &str) -> Event {
    let events =
        format!("events: {{e: {{{whose}: {{{words}}}}}}}\ntimeline: [start: [web], 1s, e, 1s, stop]");
    let text = SCENARIO.replace("timeline: [start: [web], 1s, stop]", &events);
    let scenario = read(&files(&text, TOPOLOGY, PODS), "x/small.yaml").unwrap_or_else(|d| panic!("{d}"));
    scenario.events["e"].clone()
}

#[rstest]
#[case(
    "answer: {with: unavailable, count: 3, verbs: [list, watch], resources: [services, pods/status]}",
    ApiFault::Answer {
        with: ApiAnswer::Unavailable,
        requests: ApiRequests {
            count: Some(3),
            verbs: vec![Verb::List, Verb::Watch],
            resources: vec!["services".to_owned(), "pods/status".to_owned()],
            ..ApiRequests::default()
        },
    }
)]
#[case(
    "answer: {with: conflict, verbs: [patch]}",
    ApiFault::Answer {
        with: ApiAnswer::Conflict,
        requests: ApiRequests { verbs: vec![Verb::Patch], ..ApiRequests::default() },
    }
)]
#[case(
    "cutReplies: {verbs: [create], namespace: shop, user: me}",
    ApiFault::CutReplies {
        requests: ApiRequests {
            verbs: vec![Verb::Create],
            namespace: Some("shop".to_owned()),
            user: Some("me".to_owned()),
            ..ApiRequests::default()
        },
    }
)]
#[case(
    "delay: {by: 60s}",
    ApiFault::Delay { by: Duration::from_secs(60), requests: ApiRequests::default() }
)]
#[case("dropWatches: {}", ApiFault::DropWatches { requests: ApiRequests::default() })]
#[case("compact: true", ApiFault::Compact)]
#[case("down: true", ApiFault::Down)]
#[case(
    "skewLeases: {ahead: 60m}",
    ApiFault::SkewLeases {
        clock: Skew::Ahead(Duration::from_secs(3600)),
        requests: ApiRequests::default(),
    }
)]
#[case(
    "skewLeases: {behind: 1ms, user: me, count: 2}",
    ApiFault::SkewLeases {
        clock: Skew::Behind(Duration::from_millis(1)),
        requests: ApiRequests {
            count: Some(2),
            user: Some("me".to_owned()),
            ..ApiRequests::default()
        },
    }
)]
fn an_event_may_do_something_to_the_api(#[case] words: &str, #[case] fault: ApiFault) {
    assert_eq!(event("api", words), Event::ApiFault { cluster: None, fault });
}

#[test]
fn an_event_may_heal_the_api() {
    assert_eq!(event("api", "heal: true"), Event::HealApi { cluster: None });
    assert_eq!(
        event("api", "cluster: c, heal: true"),
        Event::HealApi { cluster: None }
    );
}

#[test]
fn of_several_clusters_an_event_names_the_one_whose_api_is_meant() {
    let topology = TOPOLOGY.replace(
        "clusters: {c:",
        "clusters: {d: {podCidr: 10.3.0.0/16, serviceCidr: 10.2.0.0/16, serviceVpn: 2, nodes: {other: {site: s}}}, c:",
    );
    let scenario = |words: &str| {
        let events =
            format!("events: {{e: {{api: {{{words}}}}}}}\ntimeline: [start: [web], 1s, e, 1s, stop]");
        let text = SCENARIO
            .replace("timeline: [start: [web], 1s, stop]", &events)
            .replace("- file: objects", "- cluster: c\n    file: objects")
            .replace("- object: {", "- cluster: c\n    object: {")
            .replace("from: pod/client", "from: pod/client@c")
            .replace("to: service/shop/svc", "to: service/shop/svc@c");
        read(&files(&text, &topology, PODS), "x/small.yaml")
    };
    let read = scenario("cluster: d, down: true").unwrap_or_else(|problems| panic!("{problems}"));
    let cluster = Some("d".to_owned());
    let fault = ApiFault::Down;
    assert_eq!(read.events["e"], Event::ApiFault { cluster, fault });
    for (words, message) in [
        ("down: true", "missing the cluster: the topology has several"),
        ("heal: true", "missing the cluster: the topology has several"),
        ("cluster: x, down: true", "unknown cluster `x`"),
    ] {
        let [line] = &first_lines(scenario(words))[..] else {
            panic!("{words}: expected one problem")
        };
        assert!(line.ends_with(message), "{line}");
    }
}

#[rstest]
#[case("fails", ReadinessProbe::Fails)]
#[case("passes", ReadinessProbe::Passes)]
fn an_event_may_change_what_a_readiness_probe_says(#[case] word: &str, #[case] probe: ReadinessProbe) {
    let pod = PodRef {
        cluster: None,
        kube_namespace: "default".to_owned(),
        name: "client".to_owned(),
    };
    assert_eq!(
        event("readiness", &format!("{word}: pod/client")),
        Event::Readiness { pod, probe }
    );
}

#[test]
fn an_event_cannot_impair_a_link_that_a_site_does_not_have() {
    let event = "events: {e: {impair: {transport: b, from: s, to: t, loss: 5%}}}\ntimeline: [start: [web], 1s, e, 1s, stop]";
    let text = SCENARIO.replace("timeline: [start: [web], 1s, stop]", event);
    let topology = TOPOLOGY.replace("s: {id: 1}", "s: {id: 1}, t: {id: 2, transports: [a]}");
    assert_eq!(
        first_lines(read(&files(&text, &topology, PODS), "x/small.yaml")),
        [
            "x/small.yaml:11:10: event `e` needs a link that is not there: site `t` does not attach to transport `b`"
        ]
    );
}

#[test]
fn problems_come_file_by_file_and_from_top_to_bottom() {
    let scenario = SCENARIO
        .replace("1s, stop", "1s")
        .replace("all web", "all wob")
        .replace("core", "Core");
    let topology = TOPOLOGY.replace("id: 1", "id: x");
    let pods = PODS.replace("v1", "[]");
    assert_eq!(
        first_lines(read(&files(&scenario, &topology, &pods), "x/small.yaml")),
        [
            "x/small.yaml:4:67: expected the name of a profile, found `Core`",
            "x/small.yaml:11:26: a timeline ends with `stop`",
            "x/small.yaml:13:23: unknown flow `wob`",
            "x/topology.yaml:7:17: expected a site id, an integer from 1 to 4294967295, found the string `x`",
            "x/objects/pods.yaml:1:14: expected an API version such as `v1`, found a list",
        ]
    );
}

#[test]
fn what_depends_on_a_file_that_cannot_be_read_is_not_reported() {
    let mut files = files(SCENARIO, TOPOLOGY, PODS);
    files.0.remove("x/objects/pods.yaml");
    assert_eq!(
        first_lines(read(&files, "x/small.yaml")),
        ["x/small.yaml:7:11: cannot read `x/objects/pods.yaml`: there is no such file"]
    );
}

#[test]
fn a_scenario_that_cannot_be_read_is_reported_without_a_line_to_show() {
    let diagnostics = read(&Files(BTreeMap::new()), "y.yaml").expect_err("there is no such file");
    assert_eq!(
        diagnostics.to_string(),
        "y.yaml:1:1: cannot read `y.yaml`: there is no such file"
    );
}

/// Three sites, `b` without transport `q`, and what the case adds.
fn three_sites(more: &str) -> Topology {
    let text = format!(
        "
apiVersion: pathproof.dev/v1alpha1
kind: Topology
metadata: {{name: three}}
transports: {{p: {{color: mpls}}, q: {{color: lte}}}}
defaultTransport: p
sites: {{a: {{id: 1}}, b: {{id: 2, transports: [p]}}, c: {{id: 3, transports: [q, p]}}}}
clusters: {{k: {{podCidr: 10.1.0.0/16, serviceCidr: 10.2.0.0/16, serviceVpn: 1, nodes: {{m: {{site: a}}}}}}}}
{more}
"
    );
    let files = Files([("three.yaml", text)].into());
    read_topology(&files, "three.yaml").unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

#[rstest]
#[case("", OverlayLinks::FullMesh, &[])]
#[case("overlay: full-mesh", OverlayLinks::FullMesh, &[])]
#[case("overlay: {transit: [c, a]}", OverlayLinks::FullMesh, &["a", "c"])]
#[case("overlay: {hubs: [b]}", OverlayLinks::Hubs(vec!["b".to_owned()]), &["b"])]
#[case("overlay: {hubs: [c], transit: [b]}", OverlayLinks::Hubs(vec!["c".to_owned()]), &["b", "c"])]
#[case(
    "overlay: {tunnels: [{between: [c, a]}, {between: [b, c]}]}",
    OverlayLinks::Pairs(vec![pair("c", "a", &["p", "q"]), pair("b", "c", &["p"])]),
    &[]
)]
#[case(
    "overlay: {tunnels: [{between: [c, a], transports: [q]}, {between: [a, b]}], transit: [a]}",
    OverlayLinks::Pairs(vec![pair("c", "a", &["q"]), pair("a", "b", &["p"])]),
    &["a"]
)]
fn an_overlay_has_the_pairs_and_the_transit_sites_that_it_names(
    #[case] text: &str,
    #[case] links: OverlayLinks,
    #[case] transit: &[&str],
) {
    let transit = transit.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(three_sites(text).overlay, Overlay { links, transit });
}

#[rstest]
#[case("clusterMesh: [d, c]", 1, &["c", "d"])]
#[case("clusterMesh: [c, d]\nleaks: [between: [2, 1]]", 2, &["c", "d"])]
#[case("", 2, &[])]
fn a_mesh_joins_the_clusters_that_it_names_in_the_order_of_the_file(
    #[case] words: &str,
    #[case] service_vpn: u16,
    #[case] expected: &[&str],
) {
    let text = TOPOLOGY.replace(
        "{node: {site: s}}}}",
        &format!(
            "{{node: {{site: s}}}}}}, d: {{podCidr: 10.3.0.0/16, serviceCidr: 10.2.0.0/16, serviceVpn: {service_vpn}, nodes: {{other: {{site: s}}}}}}}}\n{words}"
        ),
    );
    let topology = read_topology(&files("", &text, ""), "x/topology.yaml").unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(topology.cluster_mesh, expected);
}

#[test]
fn in_a_mesh_another_cluster_may_serve_what_cannot_be_reached_in_its_own() {
    let scenario = |more: &str| {
        let topology = format!(
            "{{apiVersion: pathproof.dev/v1alpha1, kind: Topology, metadata: {{name: chain}},
             transports: {{t: {{color: mpls}}}}, defaultTransport: t,
             sites: {{a: {{id: 1}}, b: {{id: 2}}, c: {{id: 3}}}}, overlay: {{tunnels: [between: [a, b], between: [b, c]]}},
             clusters: {{ends: {{podCidr: 10.1.0.0/16, serviceCidr: 10.9.0.0/16, serviceVpn: 1, nodes: {{a-1: {{site: a}}, c-1: {{site: c}}}}}},
                         middle: {{podCidr: 10.2.0.0/16, serviceCidr: 10.9.0.0/16, serviceVpn: 1, nodes: {{b-1: {{site: b}}}}}}}}
             {more}}}"
        );
        let text = "{apiVersion: pathproof.dev/v1alpha1, kind: Scenario,
            metadata: {name: far, purpose: Too far., profile: core}, topology: topology.yaml,
            manifests: [
              {cluster: ends, object: {apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {nodeName: a-1}}},
              {cluster: ends, object: {apiVersion: v1, kind: Pod, metadata: {name: server, labels: {app: s}}, spec: {nodeName: c-1}}},
              {cluster: ends, object: {apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {app: s}, ports: [{port: 80}]}}}],
            flows: {f: {from: pod/client@ends, to: service/s@ends, tcp: 80}},
            timeline: [start: [f], 1s, stop], assert: {arrives: all f delivered}}";
        read(&files(text, &topology, ""), "x/small.yaml")
    };
    let [line] = &first_lines(scenario(""))[..] else {
        panic!("expected one problem")
    };
    assert!(line.contains("flow `f` cannot arrive"), "{line}");
    scenario(", clusterMesh: [ends, middle]").unwrap_or_else(|problems| panic!("{problems}"));
}

fn pair(a: &str, b: &str, transports: &[&str]) -> OverlayPair {
    OverlayPair {
        between: (a.to_owned(), b.to_owned()),
        transports: transports.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[rstest]
#[case("", (200, 5, 1000))]
#[case("bfd: {hello: 1s}", (4000, 5, 20_000))]
#[case("sla: {pollInterval: 100ms}", (100, 5, 500))]
#[case("sla: {multiplier: 2}", (200, 2, 400))]
#[case("bfd: {hello: 20ms}\nsla: {pollInterval: 20ms, multiplier: 1, holdDown: 0s}", (20, 1, 0))]
fn judging_keeps_pace_with_probing_unless_told(#[case] text: &str, #[case] ms: (u64, u8, u64)) {
    let sla = three_sites(text).sla;
    let expected = SlaTiming {
        poll_interval: Duration::from_millis(ms.0),
        multiplier: ms.1,
        hold_down: Duration::from_millis(ms.2),
    };
    assert_eq!(sla, expected);
}

#[test]
fn a_topology_of_a_thousand_sites_and_nodes_is_read() {
    let lines = |line: fn(usize) -> String| (0..1000).map(line).collect::<Vec<_>>().join(", ");
    let text = TOPOLOGY
        .replace(
            "s: {id: 1}",
            &lines(|site| format!("s{site}: {{id: {}}}", site + 1)),
        )
        .replace(
            "node: {site: s}",
            &lines(|node| format!("n{node}: {{site: s{node}}}")),
        )
        .replace("10.1.0.0/16", "10.128.0.0/10");
    let files = Files([("large.yaml", text)].into());
    let topology = read_topology(&files, "large.yaml").unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(
        (topology.sites.len(), topology.clusters[0].nodes.len()),
        (1000, 1000)
    );
}

fn two_sites(faults: &str) -> Vec<Fault> {
    let topology = TOPOLOGY
        .replace("{s: {id: 1}}", "{s: {id: 1}, r: {id: 2}}")
        .replace("{color: mpls}", &format!("{{color: mpls, {faults}}}"));
    let scenario = read(&files(SCENARIO, &topology, PODS), "x/small.yaml");
    scenario.expect("it is in order").topology.transports[0]
        .faults
        .clone()
}

#[rstest]
#[case("cut: {}", Scope::Whole)]
#[case("cut: {site: r}", Scope::Site("r".into()))]
// Both ways to write a tunnel are the same one.
#[case("cut: {between: [s, r]}", Scope::Tunnel("r".into(), "s".into()))]
#[case("cut: [{between: [r, s]}]", Scope::Tunnel("r".into(), "s".into()))]
#[case("cut: {from: s, to: r}", Scope::Direction { from: "s".into(), to: "r".into() })]
fn a_fault_is_about_the_part_that_it_names(#[case] faults: &str, #[case] scope: Scope) {
    assert_eq!(two_sites(faults), [Fault::Cut { scope }]);
}

#[test]
fn a_transport_may_have_faults_of_every_kind_in_different_parts() {
    let faults = two_sites(
        "impair: [{mtu: 1400B, corrupt: 1%}, {site: s, delay: 5ms}], flap: {site: r, down: 200ms, up: 1s}",
    );
    let [
        Fault::Impair {
            scope: Scope::Whole,
            impairment,
        },
        Fault::Impair {
            scope: Scope::Site(site),
            ..
        },
        Fault::Flap { down, up, .. },
    ] = faults.as_slice()
    else {
        panic!("{faults:?}")
    };
    assert_eq!((impairment.mtu, impairment.corrupt.0), (Some(1_400), 10_000));
    assert_eq!(site, "s");
    assert_eq!((*down, *up), (Duration::from_millis(200), Duration::from_secs(1)));
}

#[rstest]
#[case(
    "scenarios/core/demo.yaml",
    "../topologies/a.yaml",
    "scenarios/topologies/a.yaml"
)]
#[case("demo.yaml", "a.yaml", "a.yaml")]
#[case("demo.yaml", "../a.yaml", "../a.yaml")]
#[case("../x/demo.yaml", "../../a.yaml", "../../a.yaml")]
#[case("/x/demo.yaml", "./y//a.yaml", "/x/y/a.yaml")]
#[case("x/demo.yaml", "/y/a.yaml", "/y/a.yaml")]
fn references_are_relative_to_their_file(#[case] file: &str, #[case] reference: &str, #[case] path: &str) {
    assert_eq!(relative_to(file, reference), path);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_with_a_reason(text in "[a-z0-9:{}\\[\\],'\"&*!|>#\\-\n\t ]{0,80}") {
        let result = read(&files(&text, TOPOLOGY, PODS), "x/small.yaml");
        prop_assert!(!result.expect_err("this is no scenario").is_empty());
    }
}
