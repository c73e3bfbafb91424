//! Tests of what golden messages do not show: good files, paths between files, and the order of problems.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::document::SourceError;
use crate::model::{Event, Fault, Protocol, Scope, Step, Stream};

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
