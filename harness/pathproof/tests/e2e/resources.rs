//! Resources of the bundled operator in a lab: a SteeringPolicy of the user's own, and what the operator shows.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use super::support::{Run, failed, folders};

const SCENARIO: &str = "scenarios/extended/steering-policy.yaml";
const DEADLINE: Duration = Duration::from_secs(10);

/// A client of the API that the kubeconfig of a lab leads to.
struct Cluster {
    client: Client,
    url: String,
    token: String,
}

impl Cluster {
    fn of(folder: &Path) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let text = std::fs::read_to_string(folder.join("kubeconfig")).unwrap();
        let kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
        let text = |pointer: &str| kubeconfig.pointer(pointer).and_then(Value::as_str).unwrap();
        let ca = text("/clusters/0/cluster/certificate-authority-data");
        let ca = STANDARD.decode(ca).unwrap();
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(&ca).unwrap()])
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .unwrap();
        Self {
            client,
            url: text("/clusters/0/cluster/server").to_owned(),
            token: text("/users/0/user/token").to_owned(),
        }
    }

    /// A resource of the operator, once it is as it should be.
    async fn wait_for(&self, path: &str, is_as_it_should_be: impl Fn(&Value) -> bool) -> Value {
        let url = format!("{}/apis/sdwan.pathproof.dev/v1alpha1/{path}", self.url);
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.client.get(&url).bearer_auth(&self.token).send().await;
            let object = answer.unwrap().json().await.unwrap();
            if is_as_it_should_be(&object) {
                return object;
            }
            assert!(Instant::now() < deadline, "{object}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn conditions(policy: &Value) -> Vec<(&str, &str)> {
    let conditions = policy["status"]["conditions"].as_array();
    let said = conditions.into_iter().flatten().map(|condition| {
        let text = |key: &str| condition[key].as_str().unwrap();
        (text("type"), text("status"))
    });
    said.collect()
}

async fn look_at(cluster: &Cluster) {
    let policy = cluster.wait_for("namespaces/default/steeringpolicies/by-hand", |policy| {
        conditions(policy) == [("Accepted", "True"), ("Programmed", "True")]
    });
    let policy = policy.await;
    assert_eq!(policy["status"]["endpoints"], 1, "{policy}");
    assert_eq!(policy["status"]["tunnel"], "biz-internet", "{policy}");
    let is_measured = |tunnels: &Value| {
        let tunnels = tunnels["items"].as_array().unwrap();
        tunnels.len() == 2
            && tunnels
                .iter()
                .all(|tunnel| tunnel["status"]["latency"].is_string())
    };
    let tunnels = cluster.wait_for("wantunnels", is_measured).await;
    let shown = tunnels["items"].as_array().unwrap().iter().map(|tunnel| {
        let status = &tunnel["status"];
        json!([
            tunnel["metadata"]["name"],
            status["state"],
            status["up"],
            status["total"]
        ])
    });
    // A session at either end of each tunnel.
    let expected = ["biz-internet", "default"].map(|color| json!([color, "up", 2, 2]));
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

pub fn show_what_became_of_a_policy_and_how_the_tunnels_are() {
    let mut run = Run::new(&["lab", "up", SCENARIO]);
    // The Manager has no statistics yet when it is asked for the first time.
    run.command.env("SDWAN_TUNNEL_POLL", "500ms");
    let command = run.command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // It stays open: a line more on a closed pipe would end the lab.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.by_ref().lines();
    assert!(
        lines.any(|line| line.unwrap().contains("pathproof lab show")),
        "the lab does not come up"
    );
    let [folder] = folders(run.out.path()).try_into().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(look_at(&Cluster::of(&folder)));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

pub fn steer_before_annotations() {
    Run::new(&["run", SCENARIO]).finish().expect(0);
    let record = Run::new(&["run", SCENARIO, "--sabotage", "no-operator"])
        .finish()
        .expect(1)
        .record();
    assert_eq!(failed(&record), ["steered"]);
}
