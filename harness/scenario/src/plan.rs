//! From a scenario to the plan of one run: every name, address and moment, chosen before anything is built.
//!
//! Owns what a run needs to know of its topology; the address plan is in `addresses`, tunnels and routes in `wan`,
//! streams and steps in `schedule`; `lookup` finds its parts. Pure: the same scenario and seed give the same plan. Invariants: no address
//! twice; interface names are made of positions, never of names in files, and so are at most 15 bytes long; edge `a`
//! has a remote `b` on a transport if and only if `b` has `a`; whichever tunnels fail, no choice among routes leads
//! in a circle.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use crate::model::{BfdTiming, DualNet, Encap, Fault, IpVersion, Scenario, SlaTiming, Topology};

mod addresses;
mod lookup;
mod schedule;
mod wan;

pub use schedule::{Action, StepPlan, StreamPlan};

use schedule::SplitMix;
pub(crate) use wan::uplink_interface;

/// UDP port of the first transport's VXLAN devices (RFC 7348 section 5); the others count up from it, because
/// the kernel takes one device for each pair of VNI and port.
const VXLAN_PORT: u16 = 4789;
/// UDP port of the first transport's WireGuard devices; the others count up from it, because the kernel's listen at
/// all addresses of an edge.
const WIREGUARD_PORT: u16 = 51820;
/// How long packets in flight may take to arrive after the senders stopped.
const DRAIN: Duration = Duration::from_millis(300);

/// The plan of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// What varies between runs of the same scenario.
    pub seed: u64,
    /// Marks the probes of this run.
    pub run_id: u64,
    /// Transports, in the order of the topology.
    pub transports: Vec<TransportPlan>,
    /// Positions of the transports for traffic that no policy matches, ascending, at least one; flows are shared
    /// over them.
    pub default_transports: Vec<usize>,
    /// How tunnels are probed.
    pub bfd: BfdPlan,
    /// How tunnels are judged.
    pub sla: SlaPlan,
    /// The service VPNs of the clusters, in the order of the topology.
    pub service_vpns: Vec<u16>,
    /// Pairs of service VPNs whose routes are in each other's routing tables, the smaller first. Not transitive.
    pub leaks: Vec<(u16, u16)>,
    /// WAN edges, one for each site, in the order of the topology.
    pub edges: Vec<EdgePlan>,
    /// Clusters, in the order of the topology.
    pub clusters: Vec<ClusterPlan>,
    /// Positions of the clusters that Cilium Cluster Mesh joins, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster_mesh: Vec<usize>,
    /// Nodes, cluster by cluster, in the order of the topology.
    pub nodes: Vec<NodePlan>,
    /// Probe streams; the position is the stream's number in probes.
    pub streams: Vec<StreamPlan>,
    /// What happens when.
    pub steps: Vec<StepPlan>,
    /// How long packets in flight may take to arrive after the senders stopped.
    #[serde(serialize_with = "as_millis", rename = "drain_ms")]
    pub drain: Duration,
}

/// How tunnels are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BfdPlan {
    /// Microseconds between hellos.
    pub hello_us: u64,
    /// So many hellos lost in a row take a tunnel down.
    pub multiplier: u8,
}

/// How tunnels are judged against SLA classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SlaPlan {
    /// Microseconds whose hellos make one value of loss, latency and jitter; at least one hello.
    pub poll_interval_us: u64,
    /// A tunnel is judged by the mean of so many values, 1 to 6.
    pub multiplier: u8,
    /// Microseconds that a tunnel which violated a class must meet it before it counts as meeting it again.
    pub hold_down_us: u64,
}

/// A transport: an underlay router between the edges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransportPlan {
    /// Its name in the topology.
    pub name: String,
    /// The color of the TLOCs on it.
    pub color: String,
    /// How tunnels over it wrap packets.
    pub encap: Encap,
    /// The IP version of its addresses.
    pub underlay: IpVersion,
    /// Its largest packet, in bytes.
    pub mtu: u32,
    /// The largest packet that its tunnels carry, in bytes: `mtu` less what the encapsulation adds at most.
    pub tunnel_mtu: u32,
    /// UDP port of the VXLAN devices on it.
    pub vxlan_port: u16,
    /// UDP port of the WireGuard devices on it, where there may be any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wireguard_port: Option<u16>,
    /// What is wrong with it from the beginning; at most one of a kind in each scope.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// A WAN edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgePlan {
    /// The site's name.
    pub site: String,
    /// The site id that the Manager knows.
    pub site_id: u32,
    /// The device's system IP.
    pub system_ip: Ipv4Addr,
    /// Whether it forwards between other edges.
    pub is_transit: bool,
    /// The service VPNs that it has a routing table for, in the order of [`Plan::service_vpns`].
    pub service_vpns: Vec<u16>,
    /// One for each transport that it attaches to, in the order of the transports.
    pub tlocs: Vec<TlocPlan>,
    /// The inspection service of its site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection: Option<InspectionPlan>,
}

/// A host that takes copies of packets, on a link of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectionPlan {
    /// The edge's interface towards it.
    pub interface: String,
    /// The edge's addresses on that link, of the IP versions that the edge's service VPNs carry.
    pub edge_address: DualNet,
    /// Its own addresses on that link.
    pub address: DualNet,
}

/// Where an edge meets a transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlocPlan {
    /// Position of the transport.
    pub transport: usize,
    /// The uplink's interface name.
    pub uplink: String,
    /// The uplink's address, of the transport's IP version.
    pub uplink_address: IpNet,
    /// The router's address on that link.
    pub router_address: IpNet,
    /// The WireGuard device that the tunnels run in, where the transport's encapsulation may need one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wireguard: Option<WireguardPlan>,
    /// One device for each of the edge's service VPNs, in their order.
    pub tunnels: Vec<TunnelPlan>,
    /// The edges at the other ends of the tunnels, ascending.
    pub remotes: Vec<RemotePlan>,
}

/// The WireGuard device of an edge on one transport. Its keys are made when the lab is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WireguardPlan {
    /// Its interface name.
    pub interface: String,
    /// Its address inside, between which the tunnels run.
    pub address: Ipv4Addr,
}

/// The tunnel device of an edge for one service VPN on one transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TunnelPlan {
    /// The service VPN, also the VXLAN network identifier and the GRE key.
    pub service_vpn: u16,
    /// Its interface name. With GRE each remote has an interface of its own: this name, `r` and the position of the
    /// remote among [`TlocPlan::remotes`].
    pub interface: String,
    /// Its inner addresses: of IPv4 always, of IPv6 when pods of the service VPN, or of one leaked with it, have it.
    pub address: DualNet,
}

/// The other end of a tunnel, and what is behind it. The tunnel carries [`Plan::shared_vpns`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemotePlan {
    /// Position of the edge.
    pub edge: usize,
    /// What can be reached through it, service VPN by service VPN.
    pub prefixes: Vec<PrefixPlan>,
}

/// A route through a remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrefixPlan {
    /// The service VPN in whose routing table the route is, and whose tunnel device it leads to.
    pub service_vpn: u16,
    /// Pods of a node of that service VPN, or of one leaked with it.
    pub prefix: IpNet,
    /// How many tunnels are on the way: 1 when the node is at the remote's site, else one more than the remote's
    /// shortest way. Fewer are better; of equal ones all are used.
    pub hops: u16,
}

/// A Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterPlan {
    /// Its name.
    pub name: String,
    /// The service VPN that carries its traffic.
    pub service_vpn: u16,
    /// Its ClusterIP ranges.
    pub service_cidr: DualNet,
}

/// A Kubernetes node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// Position of its cluster.
    pub cluster: usize,
    /// The service VPN of its cluster.
    pub service_vpn: u16,
    /// Position of its edge.
    pub edge: usize,
    /// The edge's interface towards it.
    pub edge_interface: String,
    /// The edge's addresses on that link, of the IP versions of the pods.
    pub edge_address: DualNet,
    /// Its own addresses on that link, its InternalIPs.
    pub address: DualNet,
    /// Its pods' addresses: a /24 of IPv4, a /64 of IPv6.
    pub pod_cidr: DualNet,
}

/// Why a topology does not fit into the address plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Too many sites.
    #[error(
        "plan topology `{topology}`: it has {count} sites, the address plan holds {}",
        addresses::EDGES_MAX
    )]
    Sites {
        /// The topology.
        topology: String,
        /// How many it has.
        count: usize,
    },
    /// Too many pairs of transport and service VPN, each of which is a network of tunnel devices.
    #[error(
        "plan topology `{topology}`: it has {count} pairs of transport and service VPN, the address plan holds \
         {holds} with so many sites"
    )]
    Tunnels {
        /// The topology.
        topology: String,
        /// How many it has.
        count: usize,
        /// How many fit.
        holds: usize,
    },
}

/// Chooses everything that a run needs.
///
/// # Errors
/// [`PlanError`] when the topology is too large.
///
/// # Panics
/// When the scenario is not consistent, which [`crate::read`] rules out.
pub fn plan(scenario: &Scenario, seed: u64) -> Result<Plan, PlanError> {
    let topology = &scenario.topology;
    let mut random = SplitMix(seed);
    let nodes = addresses::nodes(topology);
    Ok(Plan {
        scenario: scenario.name.clone(),
        seed,
        run_id: random.next(),
        transports: transports(topology),
        default_transports: default_transports(topology),
        bfd: bfd(topology.bfd),
        sla: sla(topology.sla),
        service_vpns: topology.service_vpns(),
        leaks: topology.leaks.clone(),
        edges: wan::edges(topology, &nodes)?,
        clusters: topology
            .clusters
            .iter()
            .map(|cluster| ClusterPlan {
                name: cluster.name.clone(),
                service_vpn: cluster.service_vpn,
                service_cidr: cluster.service_cidr,
            })
            .collect(),
        cluster_mesh: cluster_mesh(topology),
        nodes,
        streams: schedule::streams(scenario, &mut random),
        steps: schedule::steps(&scenario.timeline),
        drain: DRAIN,
    })
}

fn transports(topology: &Topology) -> Vec<TransportPlan> {
    (0..)
        .zip(&topology.transports)
        .map(|(number, transport)| TransportPlan {
            name: transport.name.clone(),
            color: transport.color.to_string(),
            encap: transport.encap,
            underlay: transport.underlay,
            mtu: transport.mtu,
            tunnel_mtu: transport.encap.tunnel_mtu(transport.mtu, transport.underlay),
            vxlan_port: VXLAN_PORT + number,
            wireguard_port: transport
                .encap
                .may_be_wireguard()
                .then_some(WIREGUARD_PORT + number),
            faults: transport.faults.clone(),
        })
        .collect()
}

fn default_transports(topology: &Topology) -> Vec<usize> {
    let is_default = |position: &usize| {
        topology
            .default_transports
            .contains(&topology.transports[*position].name)
    };
    (0..topology.transports.len()).filter(is_default).collect()
}

fn cluster_mesh(topology: &Topology) -> Vec<usize> {
    let clusters = topology.clusters.iter().enumerate();
    let members = clusters.filter(|(_, cluster)| topology.cluster_mesh.contains(&cluster.name));
    members.map(|(position, _)| position).collect()
}

fn bfd(timing: BfdTiming) -> BfdPlan {
    BfdPlan {
        hello_us: micros(timing.hello),
        multiplier: timing.multiplier,
    }
}

fn sla(timing: SlaTiming) -> SlaPlan {
    SlaPlan {
        poll_interval_us: micros(timing.poll_interval),
        multiplier: timing.multiplier,
        hold_down_us: micros(timing.hold_down),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("the reader has checked that it is a day at most")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a timeline is minutes long at most")
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}
