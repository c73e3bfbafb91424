//! The real `kubectl`, unmodified, against the server.

use std::io::Write;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use kubeapi::ObjectRef;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::lab::{DEADLINE, Lab, pod, service, soon};

/// A `kubectl` with a home of its own, and the cluster it talks to.
pub struct Kubectl {
    home: TempDir,
    pub lab: Lab,
}

impl Kubectl {
    /// `None`, said on stderr, where there is no kubectl.
    pub async fn start(test: &str) -> Option<Kubectl> {
        let version = Command::new("kubectl")
            .args(["version", "--client"])
            .output()
            .await;
        if let Err(error) = version {
            // Straight to the file: the test harness keeps what `eprintln!` says from passing tests to itself.
            let _ = writeln!(
                std::io::stderr(),
                "SKIP {test}: kubectl does not run here: {error}"
            );
            return None;
        }
        let lab = Lab::start().await;
        let home = TempDir::new().unwrap();
        std::fs::write(home.path().join("config"), lab.server.kubeconfig()).unwrap();
        Some(Kubectl { home, lab })
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(line.split_whitespace())
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("HOME", self.home.path())
            .env("KUBECACHEDIR", self.home.path().join("cache"))
            .current_dir(self.home.path())
            .kill_on_drop(true);
        command
    }

    pub async fn output(&self, line: &str) -> Output {
        soon(line, self.command(line).output()).await.unwrap()
    }

    /// What a command that must succeed prints, and nothing on stderr.
    pub async fn run(&self, line: &str) -> String {
        let output = self.output(line).await;
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success() && stderr.is_empty(),
            "kubectl {line}\n{stdout}\n{stderr}"
        );
        stdout
    }

    pub async fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.run(line).await).unwrap()
    }

    pub fn write(&self, file: &str, manifest: &Value) {
        self.write_text(file, &manifest.to_string());
    }

    pub fn write_text(&self, file: &str, content: &str) {
        std::fs::write(Path::new(self.home.path()).join(file), content).unwrap();
    }

    /// A cluster with the Service `web` and its pod `p`, ready.
    async fn with_a_web_service(test: &str) -> Option<Kubectl> {
        let kubectl = Kubectl::start(test).await?;
        kubectl.write(
            "web.json",
            &json!({
                "apiVersion": "v1", "kind": "List", "items": [pod("p", "web", 8080), service("web", "web")],
            }),
        );
        assert_eq!(
            kubectl.run("create -f web.json").await,
            "pod/p created\nservice/web created\n"
        );
        assert_eq!(
            kubectl
                .run("wait --for=condition=Ready pod/p --timeout=20s")
                .await,
            "pod/p condition met\n"
        );
        Some(kubectl)
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The columns of the line that starts with `first` (after a namespace column, if there is one).
pub fn row(table: &str, first: &str) -> Vec<String> {
    let lines = table
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let mut rows = lines.filter(|columns| columns.iter().take(2).any(|column| column == first));
    rows.next()
        .unwrap_or_else(|| panic!("no row {first} in\n{table}"))
}

#[tokio::test]
async fn kubectl_gets_tables_and_objects() {
    let Some(kubectl) = Kubectl::with_a_web_service("kubectl_gets_tables_and_objects").await else {
        return;
    };
    let all = kubectl.run("get svc,pods,endpointslices -A").await;
    let service = row(&all, "service/web");
    assert_eq!(
        service[..6],
        [
            "default",
            "service/web",
            "ClusterIP",
            "10.96.0.2",
            "<none>",
            "8081/TCP"
        ]
    );
    assert_eq!(
        row(&all, "pod/p")[..5],
        ["default", "pod/p", "1/1", "Running", "0"]
    );
    assert!(all.contains("IPv4          8080    10.0.0.1"), "{all}");

    let wide = kubectl.run("get pods -o wide").await;
    assert_eq!(row(&wide, "p")[5..], ["10.0.0.1", "a", "<none>", "<none>"]);
    assert_eq!(row(&kubectl.run("get svc -o wide").await, "web")[6], "app=web");
    let nodes = kubectl.run("get nodes -o wide").await;
    assert_eq!(row(&nodes, "b")[1..3], ["Ready", "<none>"]);
    assert_eq!(row(&nodes, "b")[5], "192.0.2.2");
    assert_eq!(row(&kubectl.run("get ns").await, "default")[1], "Active");
    assert!(
        kubectl
            .run("get events")
            .await
            .contains("Successfully assigned default/p to a")
    );

    let pod = kubectl.json("get pod p -o json").await;
    assert_eq!(
        (&pod["kind"], &pod["status"]["podIP"]),
        (&json!("Pod"), &json!("10.0.0.1"))
    );
    assert!(
        kubectl
            .run("get service web -o yaml")
            .await
            .contains("clusterIP: 10.96.0.2")
    );
    assert_eq!(kubectl.run("get pods -o name -l app=web").await, "pod/p\n");
    assert_eq!(
        kubectl
            .run("get po --field-selector status.phase=Pending -o name")
            .await,
        ""
    );
    assert!(kubectl.run("get all").await.contains("service/kubernetes"));
    let resources = kubectl.run("api-resources").await;
    assert!(
        resources.lines().count() == 45 && resources.contains("endpointslices"),
        "{resources}"
    );
    // Older clients warn of the version skew, so stderr may say something here.
    assert!(text(&kubectl.output("version").await.stdout).contains("Server Version: v1.34"));
}

#[tokio::test]
async fn kubectl_annotates_labels_patches_and_edits_back() {
    let test = "kubectl_annotates_labels_patches_and_edits_back";
    let Some(kubectl) = Kubectl::with_a_web_service(test).await else {
        return;
    };
    let intent = "policy.sdwan.cisco.com/tunnel";
    kubectl
        .run(&format!("annotate service web {intent}=biz-internet"))
        .await;
    let service = kubectl.json("get svc web -o json").await;
    assert_eq!(service["metadata"]["annotations"][intent], "biz-internet");
    kubectl.run(&format!("annotate service web {intent}-")).await;
    let service = kubectl.json("get svc web -o json").await;
    assert_eq!(service["metadata"].get("annotations"), None);

    assert_eq!(kubectl.run("label pod p tier=front").await, "pod/p labeled\n");
    assert_eq!(kubectl.run("get pods -l tier=front -o name").await, "pod/p\n");
    kubectl
        .run(r#"patch svc web -p {"spec":{"ports":[{"port":8081,"name":"main"}]}}"#)
        .await;
    let service = kubectl.json("get svc web -o json").await;
    let port = &service["spec"]["ports"][0];
    assert_eq!(
        (&port["name"], &port["targetPort"]),
        (&json!("main"), &json!("http"))
    );
    kubectl
        .run(r#"patch svc web --type=json -p [{"op":"remove","path":"/spec/selector/app"}]"#)
        .await;
    kubectl.run("cordon a").await;
    assert_eq!(
        row(&kubectl.run("get nodes").await, "a")[1],
        "Ready,SchedulingDisabled"
    );
}

#[tokio::test]
async fn kubectl_creates_applies_and_deletes() {
    let Some(kubectl) = Kubectl::with_a_web_service("kubectl_creates_applies_and_deletes").await else {
        return;
    };
    kubectl.write(
        "map.json",
        &json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1", "b": "2"},
        }),
    );
    assert_eq!(kubectl.run("apply -f map.json").await, "configmap/m created\n");
    assert_eq!(kubectl.run("apply -f map.json").await, "configmap/m unchanged\n");
    kubectl.write(
        "map.json",
        &json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "3"},
        }),
    );
    assert_eq!(kubectl.run("apply -f map.json").await, "configmap/m configured\n");
    assert_eq!(kubectl.json("get cm m -o json").await["data"], json!({"a": "3"}));

    let mut second = service("second", "web");
    kubectl.write("svc.json", &second);
    assert_eq!(kubectl.run("apply -f svc.json").await, "service/second created\n");
    second["spec"]["ports"] = json!([{"name": "tls", "port": 8443, "targetPort": 8443}]);
    kubectl.write("svc.json", &second);
    assert_eq!(
        kubectl.run("apply -f svc.json").await,
        "service/second configured\n"
    );
    let ports = &kubectl.json("get svc second -o json").await["spec"]["ports"];
    assert_eq!(
        (ports.as_array().map(Vec::len), &ports[0]["name"]),
        (Some(1), &json!("tls"))
    );

    let team = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    kubectl.write("team.json", &team);
    assert_eq!(
        kubectl.run("apply -f team.json").await,
        "namespace/team created\n"
    );
    assert_eq!(
        kubectl.run("apply -n team -f map.json").await,
        "configmap/m created\n"
    );
    assert_eq!(
        kubectl.run("delete svc second").await,
        "service \"second\" deleted\n"
    );
    assert_eq!(kubectl.run("delete pod p").await, "pod \"p\" deleted\n");
    assert_eq!(
        kubectl.run("delete namespace team").await,
        "namespace \"team\" deleted\n"
    );
    let missing = kubectl.output("get pod p").await;
    assert_eq!(
        text(&missing.stderr),
        "Error from server (NotFound): pods \"p\" not found\n"
    );
    kubectl.write("bad.json", &service("Bad", "web"));
    let invalid = text(&kubectl.output("create -f bad.json").await.stderr);
    assert!(
        invalid.starts_with("The Service \"Bad\" is invalid: metadata.name: Invalid value"),
        "{invalid}"
    );
}

#[tokio::test]
async fn kubectl_applies_on_the_server() {
    let Some(kubectl) = Kubectl::start("kubectl_applies_on_the_server").await else {
        return;
    };
    let map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
    kubectl.write("map.json", &map(json!({"a": "1", "b": "1"})));
    let apply = "apply --server-side -f map.json";
    for _ in 0..2 {
        assert_eq!(kubectl.run(apply).await, "configmap/m serverside-applied\n");
    }
    kubectl.write("map.json", &map(json!({"a": "2"})));
    kubectl.run(apply).await;
    assert_eq!(kubectl.json("get cm m -o json").await["data"], json!({"a": "2"}));

    kubectl.write("map.json", &map(json!({"a": "3"})));
    let refused = kubectl.output(&format!("{apply} --field-manager=other")).await;
    let refused = text(&refused.stderr);
    assert!(
        refused.starts_with(
            "error: Apply failed with 1 conflict: conflict with \"kubectl\": .data.a\nPlease review the fields above"
        ),
        "{refused}"
    );
    kubectl
        .run(&format!("{apply} --field-manager=other --force-conflicts"))
        .await;
    let shown = kubectl.run("get cm m -o yaml --show-managed-fields").await;
    for expected in ["a: \"3\"", "f:a: {}", "manager: other", "operation: Apply"] {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
    assert!(!shown.contains("manager: kubectl"), "{shown}");
    assert!(!kubectl.run("get cm m -o yaml").await.contains("managedFields"));
}

#[tokio::test]
async fn kubectl_turns_from_client_side_to_server_side_apply() {
    let test = "kubectl_turns_from_client_side_to_server_side_apply";
    let Some(kubectl) = Kubectl::start(test).await else {
        return;
    };
    let mut web = service("web", "web");
    kubectl.write("web.json", &web);
    assert_eq!(kubectl.run("apply -f web.json").await, "service/web created\n");
    web["spec"]["ports"][0]["targetPort"] = json!(8080);
    kubectl.write("web.json", &web);
    let apply = "apply --server-side -f web.json";
    assert_eq!(kubectl.run(apply).await, "service/web serverside-applied\n");
    let service = kubectl.json("get svc web -o json --show-managed-fields").await;
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8080);
    // By itself, kubectl hands what it applied as a client over, and keeps the annotation under a name of its own.
    let owners = service["metadata"]["managedFields"].as_array().unwrap();
    let owners: Vec<_> = owners
        .iter()
        .map(|owner| (owner["manager"].as_str().unwrap(), &owner["operation"]))
        .collect();
    let by_apply = json!("Apply");
    assert_eq!(
        owners,
        [("kubectl-last-applied", &by_apply), ("kubectl", &by_apply)]
    );
    // What it drops now is gone.
    web["spec"]["selector"] = Value::Null;
    kubectl.write("web.json", &web);
    kubectl.run(apply).await;
    assert_eq!(
        kubectl.json("get svc web -o json").await["spec"].get("selector"),
        None
    );
}

#[tokio::test]
async fn kubectl_describes_what_happened() {
    let Some(kubectl) = Kubectl::with_a_web_service("kubectl_describes_what_happened").await else {
        return;
    };
    let pod = kubectl.run("describe pod p").await;
    for expected in [
        "Node:             a/192.0.2.1",
        "Status:           Running",
        "Scheduled",
        "Started container",
    ] {
        assert!(pod.contains(expected), "{expected} in\n{pod}");
    }
    let service = kubectl.run("describe svc web").await;
    assert!(service.contains("10.0.0.1:8080"), "{service}");
    let node = kubectl.run("describe node a").await;
    assert!(node.contains("default                     p"), "{node}");
    assert!(kubectl.run("describe ns default").await.contains("Active"));
}

#[tokio::test]
async fn kubectl_watches_until_it_is_stopped() {
    let Some(kubectl) = Kubectl::with_a_web_service("kubectl_watches_until_it_is_stopped").await else {
        return;
    };
    let mut command = kubectl.command("get pods --watch --request-timeout=30s");
    let mut watch = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = async || {
        soon("a line of the watch", lines.next_line())
            .await
            .unwrap()
            .unwrap()
    };
    assert!(next().await.starts_with("NAME"));
    assert!(next().await.starts_with("p "));
    let local = kubectl.lab.server.local();
    local
        .delete(&ObjectRef::namespaced("v1", "Pod", "default", "p"))
        .unwrap();
    assert!(next().await.contains("Terminating"));
    watch.kill().await.unwrap();
}

#[tokio::test]
async fn a_kubectl_that_streams_its_lists_waits_and_deletes_too() {
    let test = "a_kubectl_that_streams_its_lists_waits_and_deletes_too";
    let Some(kubectl) = Kubectl::with_a_web_service(test).await else {
        return;
    };
    for line in [
        "wait --for=condition=Ready pod/p --timeout=20s",
        "delete pod p --timeout=20s",
    ] {
        let mut command = kubectl.command(line);
        let output = command.env("KUBE_FEATURE_WatchListClient", "true").output();
        let output = tokio::time::timeout(DEADLINE + Duration::from_secs(1), output)
            .await
            .unwrap()
            .unwrap();
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    }
}

#[tokio::test]
async fn kubectl_creates_by_its_typed_commands() {
    let Some(kubectl) = Kubectl::start("kubectl_creates_by_its_typed_commands").await else {
        return;
    };
    assert_eq!(
        kubectl.run("create namespace team").await,
        "namespace/team created\n"
    );
    kubectl
        .run("create configmap m -n team --from-literal=a=1 --from-literal=b=")
        .await;
    let map = kubectl.json("get cm m -n team -o json").await;
    assert_eq!(map["data"], json!({"a": "1", "b": ""}));
    kubectl.run("create secret generic s --from-literal=k=v").await;
    let secret = kubectl.json("get secret s -o json").await;
    assert_eq!(
        (&secret["type"], &secret["data"]),
        (&json!("Opaque"), &json!({"k": "dg=="}))
    );
    assert_eq!(
        kubectl.run("create serviceaccount op").await,
        "serviceaccount/op created\n"
    );
}
