//! What is delivered: the chart, the manifests that it renders to, and the roles in them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const RELEASE: [&str; 2] = ["sdwan-operator", "--namespace=sdwan-operator"];
const PREAMBLE: &str = "\
# Rendered from ../chart with its default values; `BLESS=1 cargo test -p sdwan-operator --test delivery` renders it
# again. Apply ../crds first. The pods wait for a Secret with the Manager's password and a ConfigMap with the CA that
# signed its certificate:
#   kubectl -n sdwan-operator create secret generic sdwan-manager --from-file=password
#   kubectl -n sdwan-operator create configmap sdwan-manager-ca --from-file=ca.pem
apiVersion: v1
kind: Namespace
metadata:
  name: sdwan-operator
";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn manifests() -> PathBuf {
    deploy().join("manifests/sdwan-operator.yaml")
}

/// Runs helm on the chart, with the release's name and namespace; `None` if there is no helm.
fn helm(words: &[&str]) -> Option<Output> {
    let helm = std::env::var("HELM").unwrap_or_else(|_| "helm".to_owned());
    match Command::new(helm).args(words).current_dir(deploy()).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no helm on the PATH, and HELM names none");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn render(values: &[&str]) -> Option<Output> {
    let mut words = vec!["template", RELEASE[0], "chart", RELEASE[1]];
    words.extend(values);
    helm(&words)
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

#[test]
fn the_chart_passes_lint_and_renders_to_the_manifests() {
    let Some(lint) = helm(&["lint", "--strict", "chart"]) else {
        return;
    };
    assert!(lint.status.success(), "{}", text(lint.stdout));
    let rendered = render(&[]).unwrap();
    assert!(rendered.status.success(), "{}", text(rendered.stderr));
    let rendered = format!("{PREAMBLE}{}", text(rendered.stdout));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(manifests(), &rendered).unwrap();
    }
    let checked_in = std::fs::read_to_string(manifests()).unwrap();
    assert!(
        rendered == checked_in,
        "deploy/manifests is not what deploy/chart renders to: BLESS=1 renders it again"
    );
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for value in [
        "serviceVpn=0",
        "replicas=0",
        "manager.url=ftp://manager",
        "resync=soon",
        "tenants.blue=70000",
        "typo=1",
        "clusters[0].name=Red,clusters[0].secret=red,clusters[0].key=kubeconfig",
        "serviceAccount.create=false",
    ] {
        let Some(output) = render(&["--set", value]) else {
            return;
        };
        assert!(!output.status.success(), "{value}");
    }
}

#[test]
fn every_part_that_can_be_chosen_renders() {
    let values = [
        "serviceMonitor.enabled=true",
        "tenants.blue=30",
        "clusters[0].name=red,clusters[0].secret=red,clusters[0].key=kubeconfig,clusters[0].vpn=20",
        "manager.caConfigMap.name=",
        "networkPolicy.scrapeFrom[0].namespaceSelector.matchLabels.team=metrics",
        "priorityClassName=high,nodeSelector.disk=ssd,podLabels.team=wan,imagePullSecrets[0].name=pull",
    ];
    let words: Vec<_> = values.iter().flat_map(|value| ["--set", value]).collect();
    let Some(output) = render(&words) else { return };
    assert!(output.status.success(), "{}", text(output.stderr));
    let documents = documents(&text(output.stdout));
    let kinds: Vec<_> = documents.iter().map(|document| &document["kind"]).collect();
    assert!(kinds.contains(&&Value::from("ServiceMonitor")), "{kinds:?}");
    accepts_arguments(&documents);
}

#[test]
fn the_image_is_built_with_the_rust_version_of_the_workspace() {
    let text = std::fs::read_to_string(deploy().join("Containerfile")).unwrap();
    let from = format!("FROM docker.io/library/rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text.lines().any(|line| line.starts_with(&from)), "no {from}");
}

#[test]
fn the_binary_accepts_the_arguments_of_the_manifests() {
    accepts_arguments(&documents(&std::fs::read_to_string(manifests()).unwrap()));
}

fn accepts_arguments(documents: &[Value]) {
    let deployment = documents.iter().find(|document| document["kind"] == "Deployment");
    let container = &deployment.unwrap()["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap().iter();
    let output = Command::new(env!("CARGO_BIN_EXE_sdwan-operator"))
        .args(arguments.map(|argument| argument.as_str().unwrap()))
        // Stands last, so that everything before it is read first.
        .arg("--version")
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
}
