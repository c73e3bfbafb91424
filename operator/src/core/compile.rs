//! Compilation: from a view to steering rules.
//!
//! Owns the steering model and the rule for contradictions. Knows nothing of the Manager's objects.
//!
//! Invariant: a destination (address, protocol, port) is steered by at most one preference. Where Services
//! contradict each other the oldest wins and the others are rejected, so an existing Service cannot be
//! re-steered by a newer one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use super::color::Color;
use super::intent::{Intent, IntentError, Mode};
use super::view::{AnnotatedService, ServiceRef, SliceView, View};

/// What a view amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compiled {
    /// What the fabric shall do.
    pub policy: SteeringPolicy,
    /// The Services that get no rule, and why; sorted by Service.
    pub rejections: Vec<Rejection>,
}

/// All steering, as rules over classes of traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SteeringPolicy {
    /// Sorted; no two rules have the same class (preference, protocol, port, family, direction).
    pub rules: Vec<SteeringRule>,
}

/// One class of traffic and the tunnel it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteeringRule {
    /// Which traffic.
    pub flow: Flow,
    /// Which tunnel.
    pub prefer: Preference,
}

/// The traffic of one direction between anyone and a group of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Towards the endpoints, or from them.
    pub direction: Direction,
    /// The family of all hosts.
    pub family: Family,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of the endpoints.
    pub port: u16,
    /// The addresses of the endpoints; never empty.
    pub hosts: BTreeSet<IpAddr>,
}

/// A tunnel, and what happens without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Preference {
    /// The color of the tunnel.
    pub color: Color,
    /// What happens while it is down.
    pub mode: Mode,
}

/// Which way traffic goes, seen from the endpoints of a Service.
///
/// Policy acts on the edge of the sender: requests are matched by destination at the client's site, replies by
/// source at the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the endpoints.
    Replies,
    /// Towards the endpoints.
    Requests,
}

/// The address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A protocol that can be steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A Service that gets no rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// The Service.
    pub service: ServiceRef,
    /// Its UID.
    pub uid: String,
    /// Why.
    pub refusal: Refusal,
}

/// Why a Service gets no rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Its annotations are not an intent.
    #[error(transparent)]
    Intent(#[from] IntentError),
    /// A port has a protocol that cannot be steered.
    #[error("protocol {protocol} cannot be steered; accepted: TCP, UDP")]
    UnsupportedProtocol {
        /// The protocol as Kubernetes writes it.
        protocol: String,
    },
    /// An older Service has an endpoint in common and asks for something else.
    #[error(
        "endpoint {host} port {port}/{protocol} is already steered to {} ({}) by the older Service {winner}",
        held.color, held.mode.as_str()
    )]
    Conflict {
        /// The older Service.
        winner: ServiceRef,
        /// What that Service asks for.
        held: Preference,
        /// The endpoint in common.
        host: IpAddr,
        /// Its protocol.
        protocol: Protocol,
        /// Its port.
        port: u16,
    },
}

type Destination = (IpAddr, Protocol, u16);

/// Compiles a view to the rules for the fabric.
#[must_use]
pub fn compile(view: &View) -> Compiled {
    let mut slices: HashMap<&ServiceRef, Vec<&SliceView>> = HashMap::new();
    for slice in &view.slices {
        slices.entry(&slice.service).or_default().push(slice);
    }
    let mut services: Vec<_> = view.services.iter().collect();
    services.sort_by_key(|annotated| (annotated.created, &annotated.service));

    let mut claims: BTreeMap<Destination, (Preference, &ServiceRef)> = BTreeMap::new();
    let mut rejections = Vec::new();
    for annotated in services {
        let own_slices = slices.get(&annotated.service).map_or(&[][..], Vec::as_slice);
        match claim(annotated, own_slices, &claims) {
            Ok((preference, destinations)) => {
                claims.extend(
                    destinations
                        .into_iter()
                        .map(|to| (to, (preference, &annotated.service))),
                );
            }
            Err(refusal) => rejections.push(Rejection {
                service: annotated.service.clone(),
                uid: annotated.uid.clone(),
                refusal,
            }),
        }
    }
    rejections.sort_by(|a, b| a.service.cmp(&b.service));
    Compiled {
        policy: group(claims),
        rejections,
    }
}

fn claim(
    annotated: &AnnotatedService,
    slices: &[&SliceView],
    claims: &BTreeMap<Destination, (Preference, &ServiceRef)>,
) -> Result<(Preference, BTreeSet<Destination>), Refusal> {
    let preference = Preference::from(annotated.intent.clone()?);
    let destinations = destinations(slices)?;
    for &(host, protocol, port) in &destinations {
        if let Some(&(held, winner)) = claims.get(&(host, protocol, port))
            && held != preference
        {
            return Err(Refusal::Conflict {
                winner: winner.clone(),
                held,
                host,
                protocol,
                port,
            });
        }
    }
    Ok((preference, destinations))
}

fn destinations(slices: &[&SliceView]) -> Result<BTreeSet<Destination>, Refusal> {
    let mut destinations = BTreeSet::new();
    // Sorted, so that the refusal names the same protocol whatever the order of slices and ports.
    let mut unsupported = BTreeSet::new();
    for slice in slices {
        for port in &slice.ports {
            match Protocol::from_kubernetes(&port.protocol) {
                Some(protocol) => {
                    destinations.extend(slice.ready.iter().map(|&host| (host, protocol, port.port)));
                }
                None => {
                    unsupported.insert(&port.protocol);
                }
            }
        }
    }
    match unsupported.first() {
        Some(&protocol) => Err(Refusal::UnsupportedProtocol {
            protocol: protocol.clone(),
        }),
        None => Ok(destinations),
    }
}

fn group(claims: BTreeMap<Destination, (Preference, &ServiceRef)>) -> SteeringPolicy {
    let mut groups: BTreeMap<(Preference, Protocol, u16, Family), BTreeSet<IpAddr>> = BTreeMap::new();
    for ((host, protocol, port), (preference, _)) in claims {
        groups
            .entry((preference, protocol, port, Family::of(host)))
            .or_default()
            .insert(host);
    }
    let rules = groups
        .into_iter()
        .flat_map(|((prefer, protocol, port, family), hosts)| {
            [Direction::Replies, Direction::Requests].map(|direction| SteeringRule {
                flow: Flow {
                    direction,
                    family,
                    protocol,
                    port,
                    hosts: hosts.clone(),
                },
                prefer,
            })
        })
        .collect();
    SteeringPolicy { rules }
}

impl From<Intent> for Preference {
    fn from(intent: Intent) -> Self {
        Self {
            color: intent.tunnel,
            mode: intent.mode,
        }
    }
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(host: IpAddr) -> Self {
        match host {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl Protocol {
    fn from_kubernetes(name: &str) -> Option<Self> {
        match name {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            _ => None,
        }
    }

    /// The number in the IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Refusal {
    /// One word for the `reason` of a Kubernetes Event.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Intent(IntentError::UnknownColor { .. }) => "UnknownColor",
            Self::Intent(IntentError::UnknownMode { .. }) => "UnknownMode",
            Self::Intent(IntentError::UnknownKey { .. }) => "UnknownAnnotation",
            Self::Intent(IntentError::TunnelMissing { .. }) => "TunnelMissing",
            Self::UnsupportedProtocol { .. } => "UnsupportedProtocol",
            Self::Conflict { .. } => "Conflict",
        }
    }
}
