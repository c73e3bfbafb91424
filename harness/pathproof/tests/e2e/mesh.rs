//! Clusters that Cilium Cluster Mesh joins: global Services with backends in another cluster.

use std::path::Path;

use serde_json::Value;

use super::support::Run;

const SERVED_ELSEWHERE: &str = "scenarios/extended/global-service.yaml";
const FAIL_OVER: &str = "scenarios/extended/backends-fail-over.yaml";

fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

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
    let lines = lines(&finished.folders[0]);
    let synced = lines.iter().filter(|line| {
        let name = line["detail"]["name"].as_str().unwrap_or_default();
        line["what"] == "added endpointslices.discovery.k8s.io" && name.starts_with("shop-west-")
    });
    let clusters: Vec<&Value> = synced.map(|line| &line["detail"]["cluster"]).collect();
    assert_eq!(clusters, ["east"]);
}

pub fn streams_go_to_another_cluster_when_their_own_is_not_ready() {
    let finished = Run::new(&["run", FAIL_OVER]).finish().expect(0);
    let lines = lines(&finished.folders[0]);
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

pub fn fail_when_not_steered() {
    let cases: [(&str, &str, &[&str]); 5] = [
        (SERVED_ELSEWHERE, "no-operator", &["steered", "no-leak"]),
        (SERVED_ELSEWHERE, "one-direction", &["steered", "no-leak"]),
        (SERVED_ELSEWHERE, "no-slice-sync", &["steered", "no-leak"]),
        (FAIL_OVER, "no-operator", &["at-home", "moved", "first-packet-on"]),
        // The operator has never heard of the backends that the streams go to.
        (FAIL_OVER, "no-slice-sync", &["moved", "first-packet-on"]),
    ];
    for (scenario, sabotage, expected) in cases {
        let words = ["run", scenario, "--sabotage", sabotage];
        let record = Run::new(&words).finish().expect(1).record();
        let assertions = record["verdicts"]["assertions"].as_array().unwrap();
        let failed = assertions.iter().filter(|one| one["outcome"]["result"] == "fail");
        let failed: Vec<&str> = failed.map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(failed, expected, "{scenario} with {sabotage}");
    }
}
