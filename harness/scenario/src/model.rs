//! A resolved scenario: every reference followed, every value typed.
//!
//! Owns the vocabulary that planning, the lab and the verdict share. It knows nothing of YAML (see
//! [`crate::document`]) and nothing of addresses chosen for a run (see [`crate::plan`]).
//! Invariant: a value of [`Scenario`] is consistent; each name it uses is declared in it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::assertion::Assertion;
use crate::quantity::format_duration;

/// The 22 TLOC colors of Cisco Catalyst SD-WAN, in the order of the MIB's enumeration.
pub const COLORS: [&str; 22] = [
    "default",
    "mpls",
    "metro-ethernet",
    "biz-internet",
    "public-internet",
    "lte",
    "3g",
    "red",
    "green",
    "blue",
    "gold",
    "silver",
    "bronze",
    "custom1",
    "custom2",
    "custom3",
    "private1",
    "private2",
    "private3",
    "private4",
    "private5",
    "private6",
];

/// One of [`COLORS`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Color(String);

impl Color {
    /// The color of that name, or `None` when Cisco has no such color.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        COLORS.contains(&name).then(|| Self(name.to_owned()))
    }

    /// Its name as the Manager spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A whole scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    /// `metadata.name`: a DNS label.
    pub name: String,
    /// `metadata.purpose`: one line for people.
    pub purpose: String,
    /// `metadata.profile`, such as `core`.
    pub profile: String,
    /// `metadata.features`: what an implementation must claim for the scenario to run.
    pub features: Vec<String>,
    /// The topology.
    pub topology: Topology,
    /// Kubernetes objects to create before the operator starts, in order.
    pub manifests: Vec<serde_json::Value>,
    /// Flows by name.
    pub flows: BTreeMap<String, Flow>,
    /// Events by name.
    pub events: BTreeMap<String, Event>,
    /// What happens, in order. Begins with at least one [`Step::Start`]; ends with [`Step::Stop`].
    pub timeline: Vec<Step>,
    /// The assertions, in the order of the file.
    pub assertions: Vec<Assertion>,
}

/// Sites, transports and clusters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Topology {
    /// `metadata.name`.
    pub name: String,
    /// Transports by name, in the order of the file.
    pub transports: Vec<Transport>,
    /// The transport that traffic takes when no policy matches it.
    pub default_transport: String,
    /// How tunnels are probed.
    pub bfd: BfdTiming,
    /// Sites by name, in the order of the file.
    pub sites: Vec<Site>,
    /// Clusters, in the order of the file.
    pub clusters: Vec<Cluster>,
}

/// How often each tunnel is probed, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BfdTiming {
    /// Time between hellos, 10 ms to 300 s.
    pub hello: Duration,
    /// So many hellos lost in a row take a tunnel down, 1 to 60.
    pub multiplier: u8,
}

impl Default for BfdTiming {
    /// What suits a lab, whose runs take seconds: Cisco's own default is 1 s and 7.
    fn default() -> Self {
        Self {
            hello: Duration::from_millis(50),
            multiplier: 3,
        }
    }
}

/// A transport network: one underlay that each site's WAN edge attaches to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transport {
    /// Its name, such as `bizinternet`; tunnels over it are called `tunnel/<name>`.
    pub name: String,
    /// The color of the TLOCs on it; unique within a topology.
    pub color: Color,
    /// What is wrong with it from the beginning; at most one of a kind in each scope.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// Which part of a transport a fault is about.
///
/// The variants are in the order in which impairments go before each other: packets meet that of the narrowest
/// scope that they are in. Where both ends' sites are impaired, that of the sender's site goes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// What goes from one site to another.
    Direction {
        /// The sender's site.
        from: String,
        /// The receiver's site.
        to: String,
    },
    /// Both directions between two different sites, in the order of the alphabet.
    Tunnel(String, String),
    /// One site's link: both directions between it and every other site.
    Site(String),
    /// All of it.
    Whole,
}

/// Something wrong with a part of a transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// Packets are impaired; replaces what impaired the same scope before.
    Impair {
        /// Where.
        scope: Scope,
        /// By what.
        impairment: Impairment,
    },
    /// Sites' links to the transport are down; of a tunnel or a direction, which have no link of their own, the
    /// transport drops every packet.
    Cut {
        /// Where.
        scope: Scope,
    },
    /// Cut and whole in turns until it is healed, cut first.
    Flap {
        /// Where.
        scope: Scope,
        /// How long each cut lasts, 100 ms to 60 s.
        #[serde(serialize_with = "as_text")]
        down: Duration,
        /// How long it is whole in between, 100 ms to 60 s.
        #[serde(serialize_with = "as_text")]
        up: Duration,
    },
}

/// What is wrong with a transport or a part of it, in each direction; at least one field is not as in the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Impairment {
    /// How much later packets arrive.
    #[serde(serialize_with = "as_text")]
    pub delay: Duration,
    /// How far from `delay` the delay of a packet may be, either way; at most `delay`.
    #[serde(serialize_with = "as_text")]
    pub jitter: Duration,
    /// Which packets are lost.
    pub loss: Loss,
    /// Bits a second.
    pub rate_bps: Option<u64>,
    /// Share of packets that skip the delay.
    pub reorder: Share,
    /// Share of packets that arrive twice.
    pub duplicate: Share,
    /// Share of packets with one bit flipped behind the IP header.
    pub corrupt: Share,
    /// Longest packet on the underlay that passes, octets from the IP header on; longer ones are lost, silently.
    pub mtu: Option<u16>,
}

fn as_text<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

/// A share of packets, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Share(pub u32);

/// Which packets a transport loses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each with the same probability.
    Random(Share),
    /// All, in bursts (Gilbert's model).
    Burst {
        /// Probability that a packet finds the line turned bad.
        enter: Share,
        /// Probability that a packet finds the line good again.
        leave: Share,
    },
    /// All, always.
    All,
}

/// A site: one WAN edge and the nodes behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// The site id that the Manager knows, 1 to 4294967295; unique.
    pub id: u32,
}

/// A Kubernetes cluster whose nodes sit at sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The pod CIDR; each node gets a /24 of it in order.
    pub pod_cidr: Ipv4Net,
    /// The ClusterIP range.
    pub service_cidr: Ipv4Net,
    /// The service VPN that carries its traffic, 1-511 or 513-65527; also the VXLAN VNI.
    pub service_vpn: u16,
    /// Nodes, in the order of the file.
    pub nodes: Vec<Node>,
}

/// A Kubernetes node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name, unique in the topology.
    pub name: String,
    /// The site that it stands at.
    pub site: String,
}

/// Probe traffic from a pod to a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// The client pod.
    pub from: PodRef,
    /// The Service that it calls.
    pub to: ServiceRef,
    /// One stream for each transport protocol and Service port; at least one.
    pub streams: Vec<Stream>,
    /// Probes a second for each stream, 1 to 10000.
    pub rate_pps: u32,
    /// Payload of a probe in bytes, 64 to 1200.
    pub size_bytes: u16,
}

/// One 5-tuple of a flow, before addresses are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Stream {
    /// Its transport protocol.
    pub protocol: Protocol,
    /// The Service port (not the target port).
    pub service_port: u16,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 768.
    Udp,
    /// RFC 9293.
    Tcp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// `pod/<name>`, in namespace `default` unless written `pod/<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PodRef {
    /// Kubernetes namespace.
    pub kube_namespace: String,
    /// Pod name.
    pub name: String,
}

/// `service/<name>`, in namespace `default` unless written `service/<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ServiceRef {
    /// Kubernetes namespace.
    pub kube_namespace: String,
    /// Service name.
    pub name: String,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reference(f, "pod", &self.kube_namespace, &self.name)
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reference(f, "service", &self.kube_namespace, &self.name)
    }
}

fn write_reference(f: &mut fmt::Formatter<'_>, kind: &str, kube_namespace: &str, name: &str) -> fmt::Result {
    match kube_namespace {
        "default" => write!(f, "{kind}/{name}"),
        _ => write!(f, "{kind}/{kube_namespace}/{name}"),
    }
}

/// Something that happens at a moment of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Event {
    /// Sets or removes annotations of a Service, as `kubectl annotate` does.
    Annotate {
        /// The Service.
        service: ServiceRef,
        /// `Some(value)` sets the annotation, `None` removes it.
        annotations: BTreeMap<String, Option<String>>,
    },
    /// Deletes a Service, as `kubectl delete service` does.
    DeleteService {
        /// The Service.
        service: ServiceRef,
    },
    /// Something goes wrong with a transport.
    Fault {
        /// The transport.
        transport: String,
        /// What.
        fault: Fault,
    },
    /// Ends what was done to a part of a transport and to the parts of that: no impairment, every link up.
    Heal {
        /// The transport.
        transport: String,
        /// Which part of it.
        scope: Scope,
    },
}

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Step {
    /// Starts these flows.
    Start(Vec<String>),
    /// Lets this much time pass.
    Wait(Duration),
    /// Fires this event.
    Fire(String),
    /// Stops all flows and drains.
    Stop,
}
