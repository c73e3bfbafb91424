//! From a Service port to the pods behind it, as Cilium's load balancer sees them.
//!
//! Owns the rules: ready endpoints of IPv4; those of other clusters of a mesh, where the Service is global in both and
//! shared there, whatever EndpointSlices say of them; and the Service's affinity. Only [`Said::by`] asks an API.

use std::net::SocketAddr;
use std::sync::Arc;

use kubeapi::{Affinity, Collection, GlobalService, Local, ObjectRef};
use scenario::model::{PodRef, Protocol, ServiceRef};
use scenario::plan::StreamPlan;
use serde_json::Value;

/// Cilium's load balancer passes over slices that show endpoints of other clusters: it has those endpoints from their
/// clusters.
const NOT_OF_MESH: &str = "endpointslice.kubernetes.io/managed-by!=endpointslice-mesh-controller.cilium.io";

/// Where probes to a Service go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) pod: PodRef,
    pub(super) address: SocketAddr,
}

/// What a cluster says of a Service.
pub(super) struct Said {
    /// The cluster; `None` where the topology has one.
    pub(super) cluster: Option<String>,
    pub(super) service: Arc<Value>,
    /// Its slices, without those of other clusters.
    pub(super) slices: Vec<Arc<Value>>,
}

/// The ready backends of a Service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backends {
    own: Vec<Backend>,
    of_others: Vec<Backend>,
    affinity: Affinity,
}

/// The object that a reference names.
pub(super) fn object_of(service: &ServiceRef) -> ObjectRef {
    ObjectRef::namespaced("v1", "Service", &service.kube_namespace, &service.name)
}

impl Said {
    /// What a cluster says of the Service of that namespace and name; `None` if it has none.
    pub(super) fn by(api: &Local, cluster: Option<String>, service: &ServiceRef) -> Option<Self> {
        let slices = Collection::all("discovery.k8s.io/v1", "EndpointSlice")
            .in_namespace(&service.kube_namespace)
            .labelled(&format!(
                "kubernetes.io/service-name={},{NOT_OF_MESH}",
                service.name
            ));
        Some(Self {
            cluster,
            service: api.get(&object_of(service)).ok()?,
            slices: api.list(&slices).unwrap_or_default(),
        })
    }
}

impl Backends {
    /// The backends of a stream, by what the cluster of its Service says of that, and other clusters of its mesh.
    pub(super) fn of(stream: &StreamPlan, own: &Said, others: &[Said]) -> Self {
        let global = GlobalService::of(&own.service);
        let is_shared = |said: &&Said| GlobalService::of(&said.service).is_some_and(|other| other.is_shared);
        let others = others.iter().filter(|_| global.is_some()).filter(is_shared);
        let name = port_name(&own.service, stream);
        let ready = |said| ready(stream, name, said);
        Self {
            own: ready(own),
            of_others: others.flat_map(ready).collect(),
            affinity: global.map_or(Affinity::None, |global| global.affinity),
        }
    }

    /// Whether that one is ready.
    pub(super) fn contains(&self, backend: &Backend) -> bool {
        self.own.contains(backend) || self.of_others.contains(backend)
    }

    /// The one for a stream of that number. Streams take turns, so that equal runs choose equally.
    pub(super) fn choose(&self, number: usize) -> Option<&Backend> {
        let (own, others) = (&self.own[..], &self.of_others[..]);
        let pools = match self.affinity {
            Affinity::None => [own, others],
            Affinity::Local if own.is_empty() => [&[], others],
            Affinity::Remote if !others.is_empty() => [&[], others],
            Affinity::Local | Affinity::Remote => [own, &[]],
        };
        let count = pools[0].len() + pools[1].len();
        pools.into_iter().flatten().nth(number.checked_rem(count)?)
    }
}

/// The name of the Service's port that a stream calls. Backends are matched by it, because the number may be another in
/// each cluster.
fn port_name<'s>(service: &'s Value, stream: &StreamPlan) -> Option<&'s str> {
    let ports = service.pointer("/spec/ports")?.as_array()?;
    let is_called = |port: &&Value| {
        port["port"] == stream.service_port && port["protocol"] == protocol_name(stream.protocol)
    };
    ports.iter().find(is_called).map(name_of)
}

/// The ready endpoints that a cluster has for a port of that name.
fn ready(stream: &StreamPlan, port_name: Option<&str>, said: &Said) -> Vec<Backend> {
    let mut backends = Vec::new();
    let of_v4 = said.slices.iter().filter(|slice| slice["addressType"] == "IPv4");
    for slice in of_v4 {
        let mut ports = items(slice, "ports");
        let port = ports.find(|port| {
            Some(name_of(port)) == port_name && port["protocol"] == protocol_name(stream.protocol)
        });
        let number = port.and_then(|port| u16::try_from(port["port"].as_u64()?).ok());
        let Some(number) = number else { continue };
        let ready = items(slice, "endpoints").filter(|endpoint| endpoint["conditions"]["ready"] == true);
        backends.extend(ready.filter_map(|endpoint| {
            let address = endpoint.pointer("/addresses/0")?.as_str()?.parse().ok()?;
            Some(Backend {
                pod: PodRef {
                    cluster: said.cluster.clone(),
                    kube_namespace: stream.to.kube_namespace.clone(),
                    name: endpoint.pointer("/targetRef/name")?.as_str()?.to_owned(),
                },
                address: SocketAddr::new(address, number),
            })
        }));
    }
    backends
}

fn items<'v>(object: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    object[key].as_array().into_iter().flatten()
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "UDP",
        Protocol::Tcp => "TCP",
    }
}

/// The name of a port. The only port of a Service may have none, and is then called "" in its slices.
fn name_of(port: &Value) -> &str {
    port["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
