//! What a plan has for whom.

use std::collections::BTreeMap;

use super::{NodePlan, Plan, TlocPlan};

impl Plan {
    /// The flows of the plan with the positions of their streams.
    #[must_use]
    pub fn streams_by_flow(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut flows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (position, stream) in self.streams.iter().enumerate() {
            flows.entry(&stream.flow).or_default().push(position);
        }
        flows
    }

    /// What an edge has on a transport, if it attaches to it.
    #[must_use]
    pub fn tloc(&self, edge: usize, transport: usize) -> Option<&TlocPlan> {
        let mut tlocs = self.edges[edge].tlocs.iter();
        tlocs.find(|tloc| tloc.transport == transport)
    }

    /// Positions among the TLOCs of an edge of those for traffic that no policy matches; at least one.
    pub fn default_tlocs(&self, edge: usize) -> impl Iterator<Item = usize> + '_ {
        let tlocs = self.edges[edge].tlocs.iter().enumerate();
        tlocs
            .filter(|(_, tloc)| self.default_transports.contains(&tloc.transport))
            .map(|(position, _)| position)
    }

    /// The service VPNs that tunnels between two edges carry: those that both have.
    pub fn shared_vpns(&self, edge: usize, other: usize) -> impl Iterator<Item = u16> + '_ {
        let others = &self.edges[other].service_vpns;
        let own = self.edges[edge].service_vpns.iter().copied();
        own.filter(|service_vpn| others.contains(service_vpn))
    }

    /// The nodes at an edge that its routing table of a service VPN has routes to, with their positions: those of
    /// the service VPN and of those leaked with it.
    pub fn local_nodes(&self, edge: usize, service_vpn: u16) -> impl Iterator<Item = (usize, &NodePlan)> {
        let is_leaked = move |other: u16| {
            let pair = (service_vpn.min(other), service_vpn.max(other));
            service_vpn == other || self.leaks.contains(&pair)
        };
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(move |(_, node)| node.edge == edge && is_leaked(node.service_vpn))
    }

    /// The position of a cluster that a reference names; `None` is the only one.
    ///
    /// # Panics
    /// When there is no such cluster, which the reader rules out.
    #[must_use]
    pub fn cluster(&self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        let mut clusters = self.clusters.iter();
        let position = clusters.position(|cluster| cluster.name == name);
        position.expect("the reader has checked that the cluster exists")
    }

    /// The largest packet of pods and nodes, in bytes: what every tunnel carries.
    ///
    /// # Panics
    /// Never: a topology has a transport.
    #[must_use]
    pub fn pod_mtu(&self) -> u32 {
        let mtus = self.transports.iter().map(|transport| transport.tunnel_mtu);
        mtus.min()
            .expect("the reader has checked that there is a transport")
    }
}
