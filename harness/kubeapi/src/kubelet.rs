//! What the API needs of whoever really runs pods.
//!
//! Owns the contract only. The lab implements it with network namespaces, tests with a map in memory.

use std::error::Error;
use std::net::IpAddr;

use serde_json::Value;

/// The addresses a started pod has, the primary one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodAddress {
    /// One address, or one per family.
    pub ips: Vec<IpAddr>,
}

/// Why a pod could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[error("run pod")]
pub struct KubeletError(#[source] Box<dyn Error + Send + Sync>);

impl KubeletError {
    /// The failure of the implementation, kept as the source.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        KubeletError(cause.into())
    }
}

/// Runs the pods of a cluster.
///
/// For one pod (one uid) the calls come one at a time: `start_pod`, again after a pause if it failed, and once
/// the pod is deleted `stop_pod`. Calls for different pods overlap.
#[async_trait::async_trait]
pub trait Kubelet: Send + Sync + 'static {
    /// Starts the pod on the node in its `spec.nodeName`. When it returns, the pod is ready for traffic.
    ///
    /// # Errors
    /// The pod stays pending, the cause is shown in its status, and the start is tried again.
    async fn start_pod(&self, pod: &Value) -> Result<PodAddress, KubeletError>;

    /// Stops what `start_pod` started. It is called after every start, also one that failed, and must accept
    /// that nothing is there.
    ///
    /// # Errors
    /// The pod stays terminating and the stop is tried again.
    async fn stop_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), KubeletError>;
}
