//! What every test starts from: a server on loopback, its pods in memory, a kube-rs client.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kubeapi::{Config, Kubelet, KubeletError, Local, PodAddress, Server};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Long enough for the slowest machine; nothing waits for it when all is well.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A running cluster.
pub struct Lab {
    pub server: Server,
    pub kubelet: Arc<MemoryKubelet>,
    pub client: Client,
}

impl Lab {
    /// A cluster with nodes `a` and `b`.
    pub async fn start() -> Lab {
        let kubelet = Arc::new(MemoryKubelet::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = Config {
            cluster: "east".to_owned(),
            listeners: vec![listener],
            service_cidr: "10.96.0.0/16".parse().unwrap(),
            service_cidr_v6: Some("fd00:96::/112".parse().unwrap()),
        };
        let server = Server::start(config, Arc::clone(&kubelet) as Arc<dyn Kubelet>)
            .await
            .unwrap();
        for (name, address) in [("a", "192.0.2.1"), ("b", "192.0.2.2")] {
            let node = json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "status": {"addresses": [{"type": "InternalIP", "address": address}]},
            });
            server.local().create(&node).unwrap();
        }
        let client = connect(&server).await;
        Lab {
            server,
            kubelet,
            client,
        }
    }
}

/// A kube-rs client made from the server's kubeconfig alone.
pub async fn connect(server: &Server) -> Client {
    connect_with(&server.kubeconfig()).await
}

/// A kube-rs client made from a kubeconfig of the cluster `east`.
pub async fn connect_with(kubeconfig: &str) -> Client {
    Client::try_from(client_config(kubeconfig).await).unwrap()
}

/// As [`connect_with`], one that shows each refusal: it does not try again by itself.
pub async fn without_retries(kubeconfig: &str) -> Client {
    let mut config = client_config(kubeconfig).await;
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn client_config(kubeconfig: &str) -> kube::Config {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let options = KubeConfigOptions {
        context: Some("east".to_owned()),
        ..KubeConfigOptions::default()
    };
    kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap()
}

/// The result of `work`, which must come before the deadline.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(result) => result,
        Err(_) => panic!("{what}: not before the deadline"),
    }
}

/// Waits until the condition holds, which is looked at after every write.
pub async fn until(what: &str, local: &Local, condition: impl Fn() -> bool) {
    let mut writes = std::pin::pin!(local.events());
    while !condition() {
        soon(what, writes.next()).await.unwrap();
    }
}

pub fn deadline() -> Instant {
    Instant::now() + DEADLINE
}

/// A pod that listens on the named port `http`.
pub fn pod(name: &str, app: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
        "spec": {"containers": [{
            "name": "main", "image": "example/web:1", "ports": [{"name": "http", "containerPort": port}],
        }]},
    })
}

/// A Service in front of the port `http` of the pods of `app`.
pub fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": app}, "ports": [{"name": "web", "port": 8081, "targetPort": "http"}]},
    })
}

/// Pods that exist in memory only, each with an address of both families.
#[derive(Debug, Default)]
pub struct MemoryKubelet {
    state: Mutex<Pods>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Pods {
    running: BTreeMap<String, String>,
    stopped: Vec<String>,
    started: u16,
    failing: BTreeSet<String>,
    held: BTreeSet<String>,
}

impl MemoryKubelet {
    /// Lets the next start of the pod fail.
    pub fn fail_once(&self, name: &str) {
        self.state.lock().unwrap().failing.insert(name.to_owned());
    }

    /// Lets the stop of the pod take until [`MemoryKubelet::release`].
    pub fn hold(&self, name: &str) {
        self.state.lock().unwrap().held.insert(name.to_owned());
    }

    pub fn release(&self, name: &str) {
        self.state.lock().unwrap().held.remove(name);
        self.released.notify_waiters();
    }

    /// The names of the pods that run, each with its node.
    pub fn running(&self) -> BTreeMap<String, String> {
        self.state.lock().unwrap().running.clone()
    }

    pub fn stopped(&self) -> Vec<String> {
        self.state.lock().unwrap().stopped.clone()
    }
}

#[async_trait::async_trait]
impl Kubelet for MemoryKubelet {
    async fn start_pod(&self, pod: &Value) -> Result<PodAddress, KubeletError> {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let node = pod["spec"]["nodeName"].as_str().unwrap().to_owned();
        let mut state = self.state.lock().unwrap();
        if state.failing.remove(&name) {
            return Err(KubeletError::new("no address left"));
        }
        state.running.insert(name, node);
        state.started += 1;
        let [third, last] = state.started.to_be_bytes();
        let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, state.started);
        Ok(PodAddress {
            ips: vec![IpAddr::V4(Ipv4Addr::new(10, 0, third, last)), IpAddr::V6(v6)],
        })
    }

    async fn stop_pod(&self, _namespace: &str, name: &str, _uid: &str) -> Result<(), KubeletError> {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Registered before the look, so a release in between is not missed.
            released.as_mut().enable();
            if !self.state.lock().unwrap().held.contains(name) {
                break;
            }
            released.await;
        }
        let mut state = self.state.lock().unwrap();
        state.running.remove(name);
        state.stopped.push(name.to_owned());
        Ok(())
    }
}
