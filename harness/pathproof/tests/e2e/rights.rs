//! What the operator may do in the clusters of a lab: the rights that are delivered with it, all of them, and no more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{Finished, Run, event_lines, pathproof, root};

const TENANTS: &str = "scenarios/extended/tenants-on-their-tunnels.yaml";

/// Verb, group and resource.
type Right = (String, String, String);

/// What the bundled operator says that a cluster needs for it.
fn manifests() -> String {
    let operator = pathproof().with_file_name("sdwan-operator");
    let output = Command::new(operator).arg("manifests").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What the roles among the manifests allow.
fn delivered() -> BTreeSet<Right> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&manifests()).unwrap();
    let rules = documents
        .iter()
        .filter_map(|document| document["rules"].as_array())
        .flatten();
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let words = rule[key].as_array().unwrap().iter();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in rules {
        for verb in words(rule, "verbs") {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    rights.insert((verb.clone(), group.clone(), resource));
                }
            }
        }
    }
    rights
}

/// What was asked of the APIs of a run and allowed, or refused; the operator is the only one who has to ask.
fn asked(run: &Finished, what: &str) -> BTreeSet<Right> {
    let user = &run.record()["run"]["environment"]["operator_user"];
    let lines = event_lines(&run.folders[0]);
    let lines = lines
        .iter()
        .filter(|line| line["source"] == "kubernetes" && line["what"] == what);
    let rights = lines.map(|line| {
        let detail = &line["detail"];
        assert_eq!(&detail["user"], user);
        let [verb, group, resource] =
            ["verb", "group", "resource"].map(|key| detail[key].as_str().unwrap().to_owned());
        (verb, group, resource)
    });
    rights.collect()
}

/// A scenario that makes the operator do all that it ever does with Kubernetes APIs: among others it says the same twice,
/// and finds a tunnel that it showed in an earlier life and that is gone.
fn all_of_it(folder: &Path) -> PathBuf {
    let scenario = format!(
        "apiVersion: pathproof.dev/v1alpha1\n\
         kind: Scenario\n\
         metadata: {{ name: all-of-it, purpose: The operator does all that it can do., profile: extended }}\n\
         topology: {0}/topologies/two-sites.yaml\n\
         manifests:\n\
         \x20 - {{ file: {0}/manifests/business-and-best-effort.yaml }}\n\
         \x20 - object:\n\
         \x20     apiVersion: sdwan.pathproof.dev/v1alpha1\n\
         \x20     kind: WanTunnel\n\
         \x20     metadata: {{ name: lte, labels: {{ app.kubernetes.io/managed-by: sdwan-operator }} }}\n\
         \x20     spec: {{ color: lte }}\n\
         flows: {{ biz: {{ from: pod/business-client, to: service/business, udp: 8081 }} }}\n\
         events:\n\
         \x20 annotate: {{ kubectl: {{ annotate: service/business, set: {{ policy.sdwan.cisco.com/tunnel: biz-internet }} }} }}\n\
         \x20 remove: {{ kubectl: {{ annotate: service/business, unset: [policy.sdwan.cisco.com/tunnel] }} }}\n\
         \x20 again: {{ kubectl: {{ annotate: service/business, set: {{ policy.sdwan.cisco.com/tunnel: biz-internet }} }} }}\n\
         timeline: [start: [biz], 200ms, annotate, 1s, remove, 1s, again, 1s, stop]\n\
         assert:\n\
         \x20 steered: all biz.both via tunnel/bizinternet only when within 800ms of annotate until remove\n\
         \x20 steered-again: all biz.both via tunnel/bizinternet only when within 800ms of again\n",
        root().join("scenarios").display()
    );
    let file = folder.join("all-of-it.yaml");
    fs::write(&file, scenario).unwrap();
    file
}

pub fn are_all_used_and_enough() {
    let folder = tempfile::tempdir().unwrap();
    let file = all_of_it(folder.path());
    let mut run = Run::new(&["run", file.to_str().unwrap()]);
    // Leases are for several replicas, which a lab does not have.
    run.command
        .env("SDWAN_LEADER_ELECT", "true")
        .env("SDWAN_LEASE_RETRY", "500ms");
    let runs = [
        run.finish().expect(0),
        Run::new(&["run", TENANTS]).finish().expect(0),
    ];
    let mut used = BTreeSet::new();
    for run in &runs {
        assert_eq!(asked(run, "refusal"), BTreeSet::new());
        used.extend(asked(run, "access"));
    }
    assert_eq!(used, delivered());
}

/// Else the test above would show nothing.
pub fn that_are_missing_are_refused() {
    let manifests = manifests();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        manifests.replace("apiGroups: [events.k8s.io]", "apiGroups: [none]"),
    )
    .unwrap();
    let run = Run::demo(&["--operator-manifests", file.path().to_str().unwrap()]);
    let run = run.finish().expect(0);
    let refused = ["create", "events.k8s.io", "events"].map(str::to_owned).into();
    assert_eq!(asked(&run, "refusal"), BTreeSet::from([refused]));
}

/// An operator that says nothing of what it needs may do everything.
pub fn are_those_of_the_administrator_without_manifests() {
    let operator = pathproof().with_file_name("sdwan-operator");
    let finished = Run::demo(&["--operator", operator.to_str().unwrap()]).finish();
    let run = finished.expect(0);
    assert_eq!(
        run.record()["run"]["environment"]["operator_user"],
        "kubernetes-admin"
    );
    assert_eq!(asked(&run, "access"), BTreeSet::new());
    assert!(!run.folders[0].join("operator-kubeconfig").exists());
}

pub fn of_manifests_without_an_account_are_a_wrong_command_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        "{apiVersion: v1, kind: Namespace, metadata: {name: op}}",
    )
    .unwrap();
    let run = Run::demo(&["--operator-manifests", file.path().to_str().unwrap()]);
    let finished = run.finish().expect(2);
    let problem = finished.stderr();
    assert!(
        problem.contains("0 of the kind ServiceAccount; accepted: one"),
        "{problem}"
    );
    assert!(finished.folders.is_empty());
}
