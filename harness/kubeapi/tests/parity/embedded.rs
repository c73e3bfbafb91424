//! This crate's server.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubeapi::{Config, Kubelet, KubeletError, PodAddress, Server};
use serde_json::{Value, json};

use crate::Servers;
use crate::kubectl::Cluster;
use crate::player::Endpoint;

/// One without nodes, so that no pod ever runs, as none does without a kubelet, and one with two.
pub struct Embedded {
    without_nodes: Server,
    with_nodes: Server,
}

impl Embedded {
    pub async fn start() -> Embedded {
        let without_nodes = start(NoPods).await;
        let with_nodes = start(Pods::default()).await;
        for (name, address) in [("node-1", "192.0.2.1"), ("node-2", "192.0.2.2")] {
            let node = json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "status": {"addresses": [{"type": "InternalIP", "address": address}]},
            });
            with_nodes.local().create(&node).unwrap();
        }
        Embedded {
            without_nodes,
            with_nodes,
        }
    }

    pub fn servers(&self) -> Servers {
        let kubeconfig: Value = serde_saphyr::from_str(&self.without_nodes.kubeconfig()).unwrap();
        let cluster = &kubeconfig["clusters"][0]["cluster"];
        let authority = STANDARD
            .decode(cluster["certificate-authority-data"].as_str().unwrap())
            .unwrap();
        let endpoint = Endpoint::new(
            cluster["server"].as_str().unwrap(),
            &authority,
            kubeconfig["users"][0]["user"]["token"].as_str().unwrap(),
        );
        let cluster = Cluster {
            kubeconfig: self.with_nodes.kubeconfig(),
            has_controllers: true,
        };
        (Arc::new(endpoint), Arc::new(cluster))
    }
}

async fn start(kubelet: impl Kubelet) -> Server {
    let config = Config {
        cluster: "parity".to_owned(),
        listeners: vec![TcpListener::bind("127.0.0.1:0").unwrap()],
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        service_cidr_v6: None,
    };
    Server::start(config, Arc::new(kubelet)).await.unwrap()
}

/// A pod that a client binds to a node stays as it is: nobody is there to say anything of it.
struct NoPods;

#[async_trait::async_trait]
impl Kubelet for NoPods {
    async fn start_pod(&self, _pod: &Value) -> Result<PodAddress, KubeletError> {
        std::future::pending().await
    }

    async fn stop_pod(&self, _namespace: &str, _name: &str, _uid: &str) -> Result<(), KubeletError> {
        Ok(())
    }
}

/// Pods that have an address and nothing else.
#[derive(Default)]
struct Pods(AtomicU32);

#[async_trait::async_trait]
impl Kubelet for Pods {
    async fn start_pod(&self, _pod: &Value) -> Result<PodAddress, KubeletError> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + number);
        Ok(PodAddress {
            ips: vec![IpAddr::V4(address)],
        })
    }

    async fn stop_pod(&self, _namespace: &str, _name: &str, _uid: &str) -> Result<(), KubeletError> {
        Ok(())
    }
}
