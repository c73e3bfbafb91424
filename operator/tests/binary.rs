//! The binary's behaviour before it has anything to talk to.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str], password: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sdwan-operator"));
    command.args(arguments).env_clear();
    if let Some(password) = password {
        command.env("SDWAN_MANAGER_PASSWORD", password);
    }
    command.output().unwrap()
}

#[test]
fn a_missing_kubeconfig_is_named_and_exits_1() {
    let arguments = [
        "--manager-url",
        "https://127.0.0.1:1",
        "--kubeconfig",
        "/nonexistent/kubeconfig",
    ];
    let output = run(&arguments, Some("hunter2"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("failed to read kubeconfig `/nonexistent/kubeconfig`: "),
        "{stderr}"
    );
    assert!(!stderr.contains("hunter2"));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_missing_password_says_where_to_put_it() {
    let output = run(&["--manager-url", "https://127.0.0.1:1"], None);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("--manager-password-file or set SDWAN_MANAGER_PASSWORD"),
        "{stderr}"
    );
}

#[test]
fn a_ca_that_is_not_there_is_named() {
    let arguments = [
        "--manager-url",
        "https://127.0.0.1:1",
        "--manager-ca",
        "/nonexistent/ca.pem",
    ];
    let output = run(&arguments, Some("secret"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("failed to read Manager CA `/nonexistent/ca.pem`: "),
        "{stderr}"
    );
}

#[test]
fn an_uninstall_needs_to_know_the_manager_but_no_cluster() {
    let output = run(&["uninstall"], Some("hunter2"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert!(stderr.contains("manager-url"), "{stderr}");

    let output = run(
        &["--manager-url", "http://127.0.0.1:1", "uninstall"],
        Some("hunter2"),
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("failed to send `POST /jwt/login`"), "{stderr}");
}

#[test]
fn manifests_are_what_is_delivered_but_for_the_pods() {
    let output = run(&["manifests"], None);
    assert_eq!(output.status.code(), Some(0));
    let printed: Vec<Value> =
        serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();

    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let files = [
        "crds/steeringpolicies.yaml",
        "crds/wantunnels.yaml",
        "manifests/sdwan-operator.yaml",
    ];
    let delivered = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(deploy.join(file)).unwrap();
        serde_saphyr::from_multiple::<Value>(&text).unwrap()
    });
    let for_pods = ["Deployment", "NetworkPolicy", "PodDisruptionBudget"];
    let expected = delivered.filter(|document| !for_pods.contains(&document["kind"].as_str().unwrap()));
    assert_eq!(printed, expected.collect::<Vec<_>>());
}
