//! A resolved scenario: every reference followed, every value typed.
//!
//! Owns the vocabulary that planning, the lab and the verdict share. It knows nothing of YAML (see
//! [`crate::document`]) and nothing of addresses chosen for a run (see [`crate::plan`]).
//! Invariant: a value of [`Scenario`] is consistent; each name it uses is declared in it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::assertion::Assertion;
use crate::quantity::format_duration;

mod api;
mod manager;
mod topology;

pub use api::*;
pub use manager::*;
pub use topology::*;

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
    pub manifests: Vec<Manifest>,
    /// Flows by name.
    pub flows: BTreeMap<String, Flow>,
    /// Events by name.
    pub events: BTreeMap<String, Event>,
    /// What happens, in order. Begins with at least one [`Step::Start`]; ends with [`Step::Stop`].
    pub timeline: Vec<Step>,
    /// The assertions, in the order of the file.
    pub assertions: Vec<Assertion>,
}

impl Scenario {
    /// A scenario of this topology, and of its name, in which nothing happens.
    #[must_use]
    pub fn idle(topology: Topology) -> Self {
        Self {
            name: topology.name.clone(),
            purpose: String::new(),
            profile: String::new(),
            features: Vec::new(),
            topology,
            manifests: Vec::new(),
            flows: BTreeMap::new(),
            events: BTreeMap::new(),
            timeline: Vec::new(),
            assertions: Vec::new(),
        }
    }
}

/// A Kubernetes object to create.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// The cluster that it belongs to; `None` where the topology has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The object.
    pub object: serde_json::Value,
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

impl Scope {
    /// The sites that it names.
    #[must_use]
    pub fn sites(&self) -> Vec<&String> {
        match self {
            Self::Direction { from, to } => vec![from, to],
            Self::Tunnel(a, b) => vec![a, b],
            Self::Site(site) => vec![site],
            Self::Whole => Vec::new(),
        }
    }
}

impl Fault {
    /// Where it is.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        let (Self::Impair { scope, .. } | Self::Cut { scope } | Self::Flap { scope, .. }) = self;
        scope
    }
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
    /// The DSCP of requests, 0 to 63; replies have none.
    #[serde(skip_serializing_if = "is_zero")]
    pub dscp: u8,
}

/// Whether a DSCP is the one of unmarked packets, which plans and scenarios do not spell out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn is_zero(dscp: &u8) -> bool {
    *dscp == 0
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

/// `pod/<name>`, in namespace `default` unless written `pod/<namespace>/<name>`; `@<cluster>` follows where the
/// topology has several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PodRef {
    /// The cluster; `None` where the topology has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Kubernetes namespace.
    pub kube_namespace: String,
    /// Pod name.
    pub name: String,
}

/// `service/<name>`, in namespace `default` unless written `service/<namespace>/<name>`; `@<cluster>` follows where
/// the topology has several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ServiceRef {
    /// The cluster; `None` where the topology has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Kubernetes namespace.
    pub kube_namespace: String,
    /// Service name.
    pub name: String,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reference(
            f,
            "pod",
            (&self.kube_namespace, &self.name),
            self.cluster.as_deref(),
        )
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reference(
            f,
            "service",
            (&self.kube_namespace, &self.name),
            self.cluster.as_deref(),
        )
    }
}

fn write_reference(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    (kube_namespace, name): (&str, &str),
    cluster: Option<&str>,
) -> fmt::Result {
    match kube_namespace {
        "default" => write!(f, "{kind}/{name}"),
        _ => write!(f, "{kind}/{kube_namespace}/{name}"),
    }?;
    cluster.map_or(Ok(()), |cluster| write!(f, "@{cluster}"))
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
    /// The readiness probe of a pod says something else than before.
    Readiness {
        /// The pod.
        pod: PodRef,
        /// What the probe says from now on.
        probe: ReadinessProbe,
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
    /// Something goes wrong at the Manager.
    ManagerFault {
        /// What.
        fault: ManagerFault,
    },
    /// Ends everything that is wrong with the Manager.
    HealManager,
    /// Something goes wrong with the Kubernetes API of a cluster.
    ApiFault {
        /// The cluster; `None` where the topology has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        cluster: Option<String>,
        /// What.
        fault: ApiFault,
    },
    /// Ends everything that is wrong with the Kubernetes API of a cluster.
    HealApi {
        /// The cluster; `None` where the topology has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        cluster: Option<String>,
    },
}

/// What the readiness probe of a pod's containers says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReadinessProbe {
    /// They take traffic.
    Passes,
    /// They run, and take none.
    Fails,
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
    /// Begins this phase, which ends the one before.
    Phase(String),
    /// Stops all flows and drains.
    Stop,
}
