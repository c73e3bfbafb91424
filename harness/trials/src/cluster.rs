//! A cluster of which only the API exists: Services, EndpointSlices and whatever else a trial writes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kubeapi::{Config, Faults, Kubelet, KubeletError, Local, ObjectRef, PodAddress, Server};
use serde_json::{Value, json};

/// The API version of EndpointSlices.
pub const SLICES: &str = "discovery.k8s.io/v1";

/// A cluster.
pub struct Cluster {
    server: Server,
    /// Its API, for whoever writes.
    pub api: Local,
}

/// An EndpointSlice to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<'a> {
    /// Its name.
    pub name: &'a str,
    /// The Service that it belongs to.
    pub service: &'a str,
    /// The addresses, of one family, all ready.
    pub hosts: &'a [IpAddr],
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
    /// The port of the endpoints.
    pub port: u16,
}

impl Cluster {
    /// An empty cluster.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(name: &str) -> Self {
        let config = Config {
            cluster: name.to_owned(),
            listeners: vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")],
            service_cidr: "10.96.0.0/16".parse().expect("a range"),
            service_cidr_v6: Some("fd00:96::/112".parse().expect("a range")),
        };
        let server = Server::start(config, Arc::new(NoPods)).await.expect("a server");
        let api = server.local();
        Self { server, api }
    }

    /// What the operator speaks to it with: a client over the network, whose user may do everything.
    ///
    /// # Panics
    /// When the client cannot be made.
    pub async fn client(&self) -> kube::Client {
        client(&self.server.kubeconfig()).await
    }

    /// The same, whose user has a name to be told from others by.
    ///
    /// # Panics
    /// When the client cannot be made.
    pub async fn client_of_user(&self, name: &str) -> kube::Client {
        let kubeconfig = self.server.kubeconfig_for_user(name, &["system:masters"]);
        client(&kubeconfig.expect("a certificate")).await
    }

    /// A client of a ServiceAccount, which may do what its roles say.
    ///
    /// # Panics
    /// When there is no such ServiceAccount, or the client cannot be made.
    pub async fn client_of_service_account(&self, namespace: &str, name: &str) -> kube::Client {
        let kubeconfig = self.server.kubeconfig_for_service_account(namespace, name);
        client(&kubeconfig.expect("a ServiceAccount")).await
    }

    /// What goes wrong with its API on purpose.
    pub fn faults(&self) -> Faults {
        self.server.faults()
    }

    /// Creates a Service in `default` with one port, whose endpoints are written by hand.
    ///
    /// # Panics
    /// When it is refused.
    pub fn create_service(&self, name: &str, annotations: &BTreeMap<String, String>) {
        let created = self.api.create(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default", "annotations": annotations},
            "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
        }));
        created.expect("a Service");
    }

    /// Sets an annotation of a Service in `default`, or removes it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn annotate(&self, service: &str, key: &str, value: Option<&str>) {
        let reference = ObjectRef::namespaced("v1", "Service", "default", service);
        let patch = json!({"metadata": {"annotations": {key: value}}});
        self.api.merge_patch(&reference, patch).expect("annotated");
    }

    /// Deletes a Service in `default`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn delete_service(&self, name: &str) {
        let reference = ObjectRef::namespaced("v1", "Service", "default", name);
        self.api.delete(&reference).expect("deleted");
    }

    /// Writes an EndpointSlice in `default`, or replaces its endpoints and ports.
    ///
    /// # Panics
    /// When it is refused.
    pub fn put_slice(&self, slice: &Slice<'_>) {
        let endpoints: Vec<Value> = slice
            .hosts
            .iter()
            .map(|host| json!({"addresses": [host.to_string()], "conditions": {"ready": true}}))
            .collect();
        let ports = json!([{"name": "", "protocol": slice.protocol, "port": slice.port}]);
        let reference = ObjectRef::namespaced(SLICES, "EndpointSlice", "default", slice.name);
        if self.api.get(&reference).is_ok() {
            let patch = json!({"endpoints": endpoints, "ports": ports});
            self.api.merge_patch(&reference, patch).expect("a slice");
            return;
        }
        let family = if slice.hosts.iter().all(IpAddr::is_ipv4) {
            "IPv4"
        } else {
            "IPv6"
        };
        let created = self.api.create(&json!({
            "apiVersion": SLICES, "kind": "EndpointSlice",
            "metadata": {"name": slice.name, "namespace": "default",
                "labels": {"kubernetes.io/service-name": slice.service}},
            "addressType": family, "endpoints": endpoints, "ports": ports,
        }));
        created.expect("a slice");
    }

    /// Deletes an EndpointSlice in `default`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn delete_slice(&self, name: &str) {
        let reference = ObjectRef::namespaced(SLICES, "EndpointSlice", "default", name);
        self.api.delete(&reference).expect("deleted");
    }
}

async fn client(kubeconfig: &str) -> kube::Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    kube::Client::try_from(config.expect("a configuration")).expect("a client")
}

/// Nothing is run in this cluster.
struct NoPods;

#[async_trait::async_trait]
impl Kubelet for NoPods {
    async fn start_pod(&self, _pod: &Value) -> Result<PodAddress, KubeletError> {
        Ok(PodAddress { ips: Vec::new() })
    }

    async fn stop_pod(&self, _namespace: &str, _name: &str, _uid: &str) -> Result<(), KubeletError> {
        Ok(())
    }
}
