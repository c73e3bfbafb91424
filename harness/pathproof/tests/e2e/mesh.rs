//! Clusters that Cilium Cluster Mesh joins: global Services with backends in another cluster.

use serde_json::Value;

use super::support::{Run, event_lines, failed};

const SERVED_ELSEWHERE: &str = "scenarios/extended/global-service.yaml";
const FAIL_OVER: &str = "scenarios/extended/backends-fail-over.yaml";
const SECOND: &str = "scenarios/extended/second-cluster.yaml";
const ANNOTATED_IN_BOTH: &str = "scenarios/extended/annotated-in-both.yaml";

pub fn a_global_service_is_steered_to_another_cluster() {
    let finished = Run::new(&["run", SERVED_ELSEWHERE]).finish().expect(0);
    let text = std::fs::read_to_string(finished.folders[0].join("evidence.json")).unwrap();
    let evidence: Value = serde_json::from_str(&text).unwrap();
    // Else the scenario would prove less than it says.
    for stream in evidence["streams"].as_array().unwrap() {
        let (client, server) = (
            stream["client"].as_str().unwrap(),
            stream["server"].as_str().unwrap(),
        );
        assert!(
            client.starts_with("10.244.0.") && server.starts_with("10.245.0."),
            "{stream}"
        );
    }
    let lines = event_lines(&finished.folders[0]);
    let synced = lines.iter().filter(|line| {
        let name = line["detail"]["name"].as_str().unwrap_or_default();
        line["what"] == "added endpointslices.discovery.k8s.io" && name.starts_with("shop-west-")
    });
    let clusters: Vec<&Value> = synced.map(|line| &line["detail"]["cluster"]).collect();
    assert_eq!(clusters, ["east"]);
}

pub fn streams_go_to_another_cluster_when_their_own_is_not_ready() {
    let finished = Run::new(&["run", FAIL_OVER]).finish().expect(0);
    let lines = event_lines(&finished.folders[0]);
    let moves = lines
        .iter()
        .filter(|line| line["source"] == "flow" && line["what"] == "reconnect");
    let mut moves: Vec<String> = moves
        .map(|line| {
            let text = |key: &str| line["detail"][key].as_str().unwrap();
            let protocol = text("protocol");
            assert!(text("from").starts_with("10.244.1."), "{line}");
            assert!(text("to").starts_with("10.245.0."), "{line}");
            format!("{} {protocol} {}", text("flow"), text("pod"))
        })
        .collect();
    moves.sort();
    let expected = [
        "be tcp pod/news-server@west",
        "be udp pod/news-server@west",
        "biz tcp pod/shop-server@west",
        "biz udp pod/shop-server@west",
    ];
    assert_eq!(moves, expected);
}

pub fn any_cluster_asks_for_tunnels() {
    for scenario in [SECOND, ANNOTATED_IN_BOTH] {
        Run::new(&["run", scenario]).finish().expect(0);
    }
}

pub fn fail_when_not_steered() {
    let cases: [(&str, &str, &[&str]); 7] = [
        (SERVED_ELSEWHERE, "no-operator", &["steered", "no-leak"]),
        (SERVED_ELSEWHERE, "one-direction", &["steered", "no-leak"]),
        (SERVED_ELSEWHERE, "no-slice-sync", &["steered", "no-leak"]),
        (FAIL_OVER, "no-operator", &["at-home", "moved", "first-packet-on"]),
        // The operator has never heard of the backends that the streams go to.
        (FAIL_OVER, "no-slice-sync", &["moved", "first-packet-on"]),
        (SECOND, "no-operator", &["steered", "no-leak"]),
        // Without what is synced the east speaks for nobody; the west does later, and again until it asks no more.
        (ANNOTATED_IN_BOTH, "no-slice-sync", &["steered"]),
    ];
    for (scenario, sabotage, expected) in cases {
        let words = ["run", scenario, "--sabotage", sabotage];
        let record = Run::new(&words).finish().expect(1).record();
        assert_eq!(failed(&record), expected, "{scenario} with {sabotage}");
    }
}
