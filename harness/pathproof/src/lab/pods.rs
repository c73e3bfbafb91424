//! Pods as namespaces: the kubelet of the embedded lab.
//!
//! Owns the pods' namespaces and addresses, one for each pod from its node's /24, lowest free first. A pod runs
//! no container: the probe agents open their sockets in its namespace. Invariant: an address is used by one pod
//! at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ipnet::IpNet;
use kubeapi::{Kubelet, KubeletError, PodAddress};
use netsim::fabric::{Forwarding, Host, HostError, LinkEnd, TABLE_MAIN};
use scenario::plan::NodePlan;
use serde_json::Value;

use super::network::{default_route, nth_address, of_v4, pod_gateways, pod_macs};

/// All pods of a lab.
#[derive(Debug)]
pub struct Pods {
    nodes: Vec<(NodePlan, Arc<Host>)>,
    /// The largest packet of pods, in bytes.
    mtu: u32,
    running: Mutex<BTreeMap<PodKey, Pod>>,
    next_number: AtomicU32,
}

type PodKey = (String, String);

#[derive(Debug, Clone)]
struct Pod {
    uid: String,
    address: Ipv4Addr,
    /// `None` while it is being wired.
    host: Option<Arc<Host>>,
}

/// Why a pod could not be started.
#[derive(Debug, thiserror::Error)]
enum PodError {
    #[error("start pod `{pod}` on node `{node}`: the lab has no such node")]
    NoNode { pod: String, node: String },
    #[error("start pod `{pod}`: all addresses of node `{node}` are in use")]
    NoAddress { pod: String, node: String },
    #[error("read field `{field}` of a pod")]
    Field { field: &'static str },
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Pods {
    /// No pods yet, on these nodes, their largest packet of `mtu` bytes.
    #[must_use]
    pub fn new(nodes: Vec<(NodePlan, Arc<Host>)>, mtu: u32) -> Self {
        Self {
            nodes,
            mtu,
            running: Mutex::default(),
            next_number: AtomicU32::new(0),
        }
    }

    /// The host of a running pod.
    #[must_use]
    pub fn host(&self, kube_namespace: &str, name: &str) -> Option<Arc<Host>> {
        let key = (kube_namespace.to_owned(), name.to_owned());
        self.locked().get(&key).and_then(|pod| pod.host.clone())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<PodKey, Pod>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self, pod: &Value) -> Result<Vec<IpAddr>, PodError> {
        let kube_namespace = text(pod, "/metadata/namespace", "metadata.namespace")?;
        let name = text(pod, "/metadata/name", "metadata.name")?;
        let uid = text(pod, "/metadata/uid", "metadata.uid")?;
        let node_name = text(pod, "/spec/nodeName", "spec.nodeName")?;
        let found = self.nodes.iter().find(|(plan, _)| plan.name == node_name);
        let (plan, node) = found.ok_or_else(|| PodError::NoNode {
            pod: name.to_owned(),
            node: node_name.to_owned(),
        })?;
        let key = (kube_namespace.to_owned(), name.to_owned());
        let address = self.reserve(&key, uid, plan)?;
        match self.wire(name, address, plan, node).await {
            Ok(host) => {
                if let Some(pod) = self.locked().get_mut(&key) {
                    pod.host = Some(Arc::new(host));
                }
                Ok(addresses(plan, address))
            }
            Err(error) => {
                self.locked().remove(&key);
                Err(error.into())
            }
        }
    }

    fn reserve(&self, key: &PodKey, uid: &str, node: &NodePlan) -> Result<Ipv4Addr, PodError> {
        let mut running = self.locked();
        let used: BTreeSet<Ipv4Addr> = running.values().map(|pod| pod.address).collect();
        // The first is the pods' gateway.
        let mut free = of_v4(node.pod_cidr).hosts().skip(1);
        let free = free.find(|address| !used.contains(address));
        let address = free.ok_or_else(|| PodError::NoAddress {
            pod: key.1.clone(),
            node: node.name.clone(),
        })?;
        running.insert(
            key.clone(),
            Pod {
                uid: uid.to_owned(),
                address,
                host: None,
            },
        );
        Ok(address)
    }

    async fn wire(
        &self,
        name: &str,
        address: Ipv4Addr,
        plan: &NodePlan,
        node: &Host,
    ) -> Result<Host, HostError> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (pod_mac, node_mac) = pod_macs(number);
        let node_interface = format!("lxc{number}");
        let host = Host::create_speaking(name, Forwarding::Off, node.families()).await?;
        let addresses = addresses(plan, address);
        let near = LinkEnd {
            interface: "eth0".to_owned(),
            mac: pod_mac,
            addresses: addresses.iter().map(|address| IpNet::from(*address)).collect(),
        };
        let far = LinkEnd {
            interface: node_interface.clone(),
            mac: node_mac,
            addresses: vec![],
        };
        host.link(&near, node, &far, self.mtu).await?;
        for gateway in pod_gateways(plan) {
            host.add_neighbour("eth0", gateway, node_mac).await?;
            host.add_route(TABLE_MAIN, default_route(gateway.into()), "eth0", Some(gateway))
                .await?;
        }
        for address in addresses {
            node.add_neighbour(&node_interface, address, pod_mac).await?;
            node.add_route(TABLE_MAIN, address.into(), &node_interface, None)
                .await?;
        }
        Ok(host)
    }
}

/// All addresses of a pod of that IPv4 address: in each other family the one at the same place in the node's
/// prefix.
fn addresses(node: &NodePlan, address: Ipv4Addr) -> Vec<IpAddr> {
    let offset = u32::from(address) - u32::from(of_v4(node.pod_cidr).network());
    node.pod_cidr.iter().map(|net| nth_address(net, offset)).collect()
}

#[async_trait]
impl Kubelet for Pods {
    async fn start_pod(&self, pod: &Value) -> Result<PodAddress, KubeletError> {
        let ips = self.start(pod).await.map_err(KubeletError::new)?;
        Ok(PodAddress { ips })
    }

    async fn stop_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), KubeletError> {
        // The namespace goes when its last socket does, and its veth and the node's route with it.
        let key = (namespace.to_owned(), name.to_owned());
        let mut running = self.locked();
        if running.get(&key).is_some_and(|pod| pod.uid == uid) {
            running.remove(&key);
        }
        Ok(())
    }
}

fn text<'a>(object: &'a Value, pointer: &str, field: &'static str) -> Result<&'a str, PodError> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or(PodError::Field { field })
}
