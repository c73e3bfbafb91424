//! Faults of the Manager: operators live through them, and one that nothing feels is no pass.

use serde_json::{Value, json};

use super::support::{Finished, Run, root, run_as_nobody};

/// Runs scenarios that pass; every fault in them was felt.
pub fn pass(scenarios: &[&str]) {
    let files = scenarios
        .iter()
        .map(|name| format!("scenarios/extended/{name}.yaml"));
    let files: Vec<String> = files.collect();
    let mut words = vec!["run"];
    words.extend(files.iter().map(String::as_str));
    let finished = Run::new(&words).finish().expect(0);
    assert_eq!(finished.folders.len(), scenarios.len());
    all_were_felt(&finished);
}

pub fn all_were_felt(finished: &Finished) {
    for folder in &finished.folders {
        let text = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.collect();
        let of_faults = |what: &str| {
            let lines = lines.iter().filter(|line| line["source"] == "fault");
            let details = lines
                .filter(|line| line["what"] == what)
                .map(|line| &line["detail"]);
            details.collect::<Vec<_>>()
        };
        let (injected, verified) = (of_faults("in force"), of_faults("verified"));
        assert!(!injected.is_empty(), "{}", folder.display());
        for event in injected {
            let felt = verified.iter().find(|report| report["event"] == *event);
            assert!(
                felt.is_some_and(|report| report["felt"].as_u64() >= Some(1)),
                "{event}: {verified:?}"
            );
        }
    }
}

pub fn changes_wait_for_the_manager() {
    pass(&[
        "manager-push-fails",
        "manager-locked",
        "manager-rate-limited",
        "manager-controller-lost",
    ]);
}

pub fn changes_outlive_what_hides_the_manager() {
    pass(&[
        "manager-session-expires",
        "manager-torn-replies",
        "manager-unavailable",
    ]);
}

pub fn changes_wait_for_the_manager_of_an_ordinary_user() {
    all_were_felt(&run_as_nobody("extended/manager-locked.yaml").expect(0));
}

/// No push is under way while the fault is in force; one after it has healed does not count.
pub fn a_fault_that_nothing_feels_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = format!(
        "apiVersion: pathproof.dev/v1alpha1\n\
         kind: Scenario\n\
         metadata: {{ name: unfelt, purpose: Nothing is pushed while pushes fail., profile: extended }}\n\
         topology: {0}/topologies/two-sites.yaml\n\
         manifests: [{{ file: {0}/manifests/business-and-best-effort.yaml }}]\n\
         flows: {{ biz: {{ from: pod/business-client, to: service/business, udp: 8081 }} }}\n\
         events:\n\
         \x20 too-early: {{ manager: {{ failPushes: {{}} }} }}\n\
         \x20 well: {{ manager: {{ heal: true }} }}\n\
         \x20 annotate: {{ kubectl: {{ annotate: service/business, set: {{ policy.sdwan.cisco.com/tunnel: mpls }} }} }}\n\
         timeline: [start: [biz], 200ms, too-early, 200ms, well, annotate, 200ms, stop]\n\
         assert: {{ carried: all biz via tunnel/default when from too-early until well }}\n",
        root().join("scenarios").display()
    );
    let file = folder.path().join("unfelt.yaml");
    std::fs::write(&file, scenario).unwrap();
    let record = Run::new(&["run", file.to_str().unwrap()])
        .finish()
        .expect(4)
        .record();
    is_unfelt(&record, "too-early");
}

pub fn a_fault_that_is_only_pretended_is_an_error() {
    let scenario = "scenarios/extended/manager-session-expires.yaml";
    let words = ["run", scenario, "--sabotage", "dead-faults"];
    is_unfelt(&Run::new(&words).finish().expect(4).record(), "by-page");
}

pub fn is_unfelt(record: &Value, event: &str) {
    assert_eq!(record["verdicts"], json!(null));
    let message = record["outcome"]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("verify the fault of event `{event}`")),
        "{message}"
    );
}
