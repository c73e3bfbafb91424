//! From a scenario to the plan of one run: every name, address and moment, chosen before anything is built.
//!
//! Owns the address plan of the embedded lab. Pure: the same scenario and seed give the same plan.
//!
//! | what | where from |
//! |---|---|
//! | uplink of edge `e` on transport `t` | `100.(64+t).0.0/16`, the /31 number `e`: router even, edge odd (RFC 6598 space) |
//! | tunnel device of edge `e` on transport `t` | `198.18.(8t).0/21`, host `e+1` (RFC 2544 space) |
//! | link of node `n` to its edge | `172.20.0.0/14`, the /30 number `n`: edge `.1`, node `.2` |
//! | system IP of edge `e` | `10.255.0.0/16`, host `e+1`; an identifier, never routed |
//! | pods of node `n` | the /24 number `n` of the cluster's pod CIDR; gateway `.1` |

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::model::{Cluster, Fault, PodRef, Protocol, Scenario, ServiceRef, Step};

/// UDP port of the first transport's VXLAN devices (RFC 7348 section 5); the others count up from it, because
/// the kernel takes one device for each pair of VNI and port.
const VXLAN_PORT: u16 = 4789;
/// How long packets in flight may take to arrive after the senders stopped.
const DRAIN: Duration = Duration::from_millis(300);
/// Most edges that the address plan holds.
const EDGES_MAX: usize = 2000;

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
    /// Position of the transport for traffic that no policy matches.
    pub default_transport: usize,
    /// How tunnels are probed.
    pub bfd: BfdPlan,
    /// The service VPN, also the VXLAN network identifier.
    pub service_vpn: u16,
    /// WAN edges, one for each site, in the order of the topology.
    pub edges: Vec<EdgePlan>,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's ClusterIP range.
    pub service_cidr: Ipv4Net,
    /// Nodes, in the order of the topology.
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

/// A transport: an underlay router between the edges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransportPlan {
    /// Its name in the topology.
    pub name: String,
    /// The color of the TLOCs on it.
    pub color: String,
    /// UDP port of the VXLAN devices on it.
    pub vxlan_port: u16,
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
    /// One uplink and one tunnel device for each transport, in the order of the transports.
    pub tlocs: Vec<TlocPlan>,
}

/// Where an edge meets a transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlocPlan {
    /// The uplink's interface name.
    pub uplink: String,
    /// The uplink's address.
    pub uplink_address: Ipv4Net,
    /// The router's address on that link.
    pub router_address: Ipv4Net,
    /// The VXLAN device's interface name.
    pub tunnel: String,
    /// The VXLAN device's inner address.
    pub tunnel_address: Ipv4Net,
}

/// A Kubernetes node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// Position of its edge.
    pub edge: usize,
    /// The edge's interface towards it.
    pub edge_interface: String,
    /// The edge's address on that link.
    pub edge_address: Ipv4Net,
    /// Its own address on that link, its InternalIP.
    pub address: Ipv4Net,
    /// Its pods' addresses.
    pub pod_cidr: Ipv4Net,
}

/// One 5-tuple of probes, before the Service is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamPlan {
    /// The flow's name.
    pub flow: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The client.
    pub from: PodRef,
    /// The Service called.
    pub to: ServiceRef,
    /// The Service port called.
    pub service_port: u16,
    /// Time between probes, in microseconds.
    pub interval_us: u64,
    /// When the first probe goes, after the flow's start, in microseconds; spreads the streams.
    pub phase_us: u64,
    /// Payload of a probe, in bytes.
    pub size_bytes: u16,
}

/// Something that happens at a moment of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepPlan {
    /// Milliseconds since the first step.
    pub at_ms: u64,
    /// What happens.
    pub action: Action,
}

/// What happens in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// These flows start.
    Start(Vec<String>),
    /// This event fires.
    Fire(String),
    /// All senders stop.
    Stop,
}

/// Why the embedded lab cannot carry a scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The embedded lab has one Kubernetes API.
    #[error("plan topology `{topology}`: it has {count} clusters, the embedded lab takes one")]
    Clusters {
        /// The topology.
        topology: String,
        /// How many it has.
        count: usize,
    },
    /// The address plan is full.
    #[error("plan topology `{topology}`: it has {count} sites, the address plan holds {EDGES_MAX}")]
    Sites {
        /// The topology.
        topology: String,
        /// How many it has.
        count: usize,
    },
}

/// Chooses everything that a run needs.
///
/// # Errors
/// [`PlanError`] when the embedded lab cannot carry the scenario.
///
/// # Panics
/// When the scenario is not consistent, which [`crate::read`] rules out.
pub fn plan(scenario: &Scenario, seed: u64) -> Result<Plan, PlanError> {
    let topology = &scenario.topology;
    let [cluster] = topology.clusters.as_slice() else {
        return Err(PlanError::Clusters {
            topology: topology.name.clone(),
            count: topology.clusters.len(),
        });
    };
    if topology.sites.len() > EDGES_MAX {
        return Err(PlanError::Sites {
            topology: topology.name.clone(),
            count: topology.sites.len(),
        });
    }
    let transports: Vec<TransportPlan> = (VXLAN_PORT..)
        .zip(&topology.transports)
        .map(|(vxlan_port, transport)| TransportPlan {
            name: transport.name.clone(),
            color: transport.color.to_string(),
            vxlan_port,
            faults: transport.faults.clone(),
        })
        .collect();
    let default_transport = transports
        .iter()
        .position(|transport| transport.name == topology.default_transport)
        .expect("the reader has checked that the default transport exists");
    let mut random = SplitMix(seed);
    Ok(Plan {
        scenario: scenario.name.clone(),
        seed,
        run_id: random.next(),
        default_transport,
        bfd: BfdPlan {
            hello_us: u64::try_from(topology.bfd.hello.as_micros())
                .expect("the reader has checked that a hello is seconds at most"),
            multiplier: topology.bfd.multiplier,
        },
        service_vpn: cluster.service_vpn,
        edges: edges(scenario, transports.len()),
        transports,
        cluster: cluster.name.clone(),
        service_cidr: cluster.service_cidr,
        nodes: nodes(scenario, cluster),
        streams: streams(scenario, &mut random),
        steps: steps(&scenario.timeline),
        drain: DRAIN,
    })
}

fn edges(scenario: &Scenario, transports: usize) -> Vec<EdgePlan> {
    (0_u32..)
        .zip(&scenario.topology.sites)
        .map(|(edge, site)| EdgePlan {
            site: site.name.clone(),
            site_id: site.id,
            system_ip: Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 255, 0, 1)) + edge),
            tlocs: (0..transports).map(|transport| tloc(edge, transport)).collect(),
        })
        .collect()
}

fn tloc(edge: u32, transport: usize) -> TlocPlan {
    let number = u8::try_from(transport).expect("there are 22 colors");
    let underlay = u32::from(Ipv4Addr::new(100, 64 + number, 0, 0)) + 2 * edge;
    let overlay = u32::from(Ipv4Addr::new(198, 18, 8 * number, 1)) + edge;
    TlocPlan {
        uplink: format!("wan{transport}"),
        uplink_address: net(underlay + 1, 31),
        router_address: net(underlay, 31),
        tunnel: format!("tun{transport}"),
        tunnel_address: net(overlay, 21),
    }
}

fn nodes(scenario: &Scenario, cluster: &Cluster) -> Vec<NodePlan> {
    let sites = &scenario.topology.sites;
    let pods = cluster
        .pod_cidr
        .subnets(24)
        .expect("the reader has checked that a /24 fits");
    (0_u32..)
        .zip(cluster.nodes.iter().zip(pods))
        .map(|(number, (node, pod_cidr))| {
            let link = u32::from(Ipv4Addr::new(172, 20, 0, 0)) + 4 * number;
            NodePlan {
                name: node.name.clone(),
                edge: sites
                    .iter()
                    .position(|site| site.name == node.site)
                    .expect("the reader has checked that the site exists"),
                edge_interface: format!("lan{number}"),
                edge_address: net(link + 1, 30),
                address: net(link + 2, 30),
                pod_cidr,
            }
        })
        .collect()
}

fn streams(scenario: &Scenario, random: &mut SplitMix) -> Vec<StreamPlan> {
    let mut streams = Vec::new();
    for (name, flow) in &scenario.flows {
        for stream in &flow.streams {
            let interval_us = 1_000_000 / u64::from(flow.rate_pps);
            streams.push(StreamPlan {
                flow: name.clone(),
                protocol: stream.protocol,
                from: flow.from.clone(),
                to: flow.to.clone(),
                service_port: stream.service_port,
                interval_us,
                phase_us: random.next() % interval_us,
                size_bytes: flow.size_bytes,
            });
        }
    }
    streams
}

fn steps(timeline: &[Step]) -> Vec<StepPlan> {
    let mut at = Duration::ZERO;
    let mut steps = Vec::new();
    for step in timeline {
        let action = match step {
            Step::Wait(duration) => {
                at += *duration;
                continue;
            }
            Step::Start(flows) => Action::Start(flows.clone()),
            Step::Fire(event) => Action::Fire(event.clone()),
            Step::Stop => Action::Stop,
        };
        steps.push(StepPlan {
            at_ms: millis(at),
            action,
        });
    }
    steps
}

fn net(address: u32, prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new(address.into(), prefix_len).expect("prefix lengths here are below 33")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a timeline is minutes long at most")
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}

/// `SplitMix64`, the seeder of the xoshiro generators (Steele, Lea and Flood, OOPSLA 2014): small, and the same
/// on every machine.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

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
}
