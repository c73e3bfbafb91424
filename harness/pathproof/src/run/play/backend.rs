//! From a Service port to the pod behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use kubeapi::ObjectRef;
use scenario::model::{PodRef, Protocol, ServiceRef};
use scenario::plan::StreamPlan;
use serde_json::Value;

/// Where probes to a Service go.
pub(super) struct Backend {
    pub(super) pod: PodRef,
    pub(super) address: SocketAddr,
}

/// The object that a reference names.
pub(super) fn object_of(service: &ServiceRef) -> ObjectRef {
    ObjectRef::namespaced("v1", "Service", &service.kube_namespace, &service.name)
}

/// The first ready endpoint of a Service port.
pub(super) fn backend(service: &Value, slices: &[Arc<Value>], stream: &StreamPlan) -> Option<Backend> {
    let protocol = match stream.protocol {
        Protocol::Udp => "UDP",
        Protocol::Tcp => "TCP",
    };
    let ports = service.pointer("/spec/ports")?.as_array()?;
    let port = ports
        .iter()
        .find(|port| port["port"] == stream.service_port && port["protocol"] == protocol)?;
    for slice in slices {
        let slice_port = slice["ports"]
            .as_array()?
            .iter()
            .find(|candidate| name_of(candidate) == name_of(port) && candidate["protocol"] == protocol)
            .and_then(|candidate| candidate["port"].as_u64())
            .and_then(|number| u16::try_from(number).ok());
        let ready = slice["endpoints"]
            .as_array()?
            .iter()
            .find(|endpoint| endpoint.pointer("/conditions/ready") == Some(&Value::Bool(true)));
        let (Some(number), Some(endpoint)) = (slice_port, ready) else {
            continue;
        };
        let address = endpoint.pointer("/addresses/0")?.as_str()?.parse().ok()?;
        let pod = endpoint.pointer("/targetRef/name")?.as_str()?.to_owned();
        return Some(Backend {
            pod: PodRef {
                cluster: stream.to.cluster.clone(),
                kube_namespace: stream.to.kube_namespace.clone(),
                name: pod,
            },
            address: SocketAddr::new(address, number),
        });
    }
    None
}

/// The name of a port. The only port of a Service may have none, and is then called "" in its slices.
fn name_of(port: &Value) -> &str {
    port["name"].as_str().unwrap_or_default()
}
