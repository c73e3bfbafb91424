//! Clusters in service VPNs of their own, on one WAN.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::{Run, failed};

const SCENARIO: &str = "scenarios/extended/two-tenants.yaml";
const OWN_TUNNELS: &str = "scenarios/extended/tenants-on-their-tunnels.yaml";

pub fn stay_apart() {
    let finished = Run::new(&["run", SCENARIO]).finish().expect(0);
    let folder = &finished.folders[0];
    let text = std::fs::read_to_string(folder.join("evidence.json")).unwrap();
    let evidence: Value = serde_json::from_str(&text).unwrap();
    let ends = |flow: &str, end: &str| -> BTreeSet<String> {
        let streams = evidence["streams"].as_array().unwrap().iter();
        let own = streams.filter(|stream| stream["flow"] == flow);
        own.map(|stream| stream[end].as_str().unwrap().to_owned())
            .collect()
    };
    let hosts = |flow: &str| -> BTreeSet<String> {
        let ends = ends(flow, "client").into_iter().chain(ends(flow, "server"));
        ends.map(|end| end.rsplit_once(':').unwrap().0.to_owned())
            .collect()
    };
    // Else the scenario would prove less than it says.
    assert_eq!(hosts("red"), hosts("blue"));
    assert_eq!(ends("red", "server"), ends("blue", "server"));
    for file in [
        "capture/near-tunnel-default@10.pcapng",
        "capture/near-tunnel-default@20.pcapng",
        "kubeconfig",
        "kubeconfig-red",
        "kubeconfig-blue",
        "kubeconfig-shared",
    ] {
        assert!(folder.join(file).exists(), "{file}");
    }
}

pub fn fail_when_not_steered() {
    let words = ["run", SCENARIO, "--sabotage", "no-operator"];
    let record = Run::new(&words).finish().expect(1).record();
    assert_eq!(failed(&record), ["red-steered"], "{record}");
}

pub fn ask_for_different_tunnels() {
    Run::new(&["run", OWN_TUNNELS]).finish().expect(0);
    let words = ["run", OWN_TUNNELS, "--sabotage", "no-operator"];
    let record = Run::new(&words).finish().expect(1).record();
    let expected = ["red-steered", "blue-steered", "red-keeps", "blue-keeps"];
    assert_eq!(failed(&record), expected);
}
