//! This crate's server.

use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubeapi::{Config, Kubelet, KubeletError, PodAddress, Server};
use serde_json::Value;

use crate::player::Endpoint;

pub struct Embedded {
    pub endpoint: Arc<Endpoint>,
    _server: Server,
}

/// A server without nodes, so that no pod ever runs, as none does without a kubelet.
pub async fn start() -> Embedded {
    let config = Config {
        cluster: "parity".to_owned(),
        listeners: vec![TcpListener::bind("127.0.0.1:0").unwrap()],
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        service_cidr_v6: None,
    };
    let server = Server::start(config, Arc::new(NoPods)).await.unwrap();
    let kubeconfig: Value = serde_saphyr::from_str(&server.kubeconfig()).unwrap();
    let cluster = &kubeconfig["clusters"][0]["cluster"];
    let authority = STANDARD
        .decode(cluster["certificate-authority-data"].as_str().unwrap())
        .unwrap();
    let endpoint = Endpoint::new(
        cluster["server"].as_str().unwrap(),
        &authority,
        kubeconfig["users"][0]["user"]["token"].as_str().unwrap(),
    );
    Embedded {
        endpoint: Arc::new(endpoint),
        _server: server,
    }
}

struct NoPods;

#[async_trait::async_trait]
impl Kubelet for NoPods {
    async fn start_pod(&self, _pod: &Value) -> Result<PodAddress, KubeletError> {
        // Nobody is there to say anything of it.
        std::future::pending().await
    }

    async fn stop_pod(&self, _namespace: &str, _name: &str, _uid: &str) -> Result<(), KubeletError> {
        Ok(())
    }
}
