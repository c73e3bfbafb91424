//! The steering model: classes of traffic, the endpoints of each, and the way they take.
//!
//! Knows nothing of the Manager's objects. Invariant: the hosts of a class are spread over its buckets by the host
//! and the number of hosts alone, so that a host that comes or goes changes one bucket.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::choice::Choice;
use super::preference::Preference;

/// Addresses of endpoints; shared, because most of them stay as they are from round to round.
pub type Hosts = Arc<BTreeSet<IpAddr>>;

/// All steering, as rules over classes of traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SteeringPolicy {
    /// Sorted by class; no two rules have the same. Shared, as most rules stay as they are.
    pub rules: Vec<Arc<SteeringRule>>,
}

/// One class of traffic, its endpoints, and what their traffic takes at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteeringRule {
    /// Which traffic, and what is asked for it.
    pub class: Class,
    /// The endpoints; each bucket is a list on the Manager. As many as a power of two, and none is empty but in passing.
    pub buckets: Vec<Hosts>,
    /// The tunnel that is chosen, if the class has an SLA.
    pub choice: Option<Choice>,
    /// The encapsulations that the tunnels of the path may have.
    pub encapsulations: Encapsulations,
}

/// A class of traffic: that between anyone and its endpoints, in both directions.
///
/// Policy acts on the edge of the sender: requests are matched by destination at the client's site, replies by
/// source at the server's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// The service VPN of the endpoints.
    pub service_vpn: u16,
    /// What is asked for it.
    pub preference: Preference,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of the endpoints.
    pub port: u16,
    /// The family of all hosts.
    pub family: Family,
}

/// Which encapsulations a path may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulations {
    /// IPsec only.
    Ipsec,
    /// IPsec and GRE.
    IpsecAndGre,
}

/// Which way traffic goes, seen from the endpoints of a Service.
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
    /// SCTP.
    Sctp,
}

impl SteeringRule {
    /// All endpoints.
    pub fn hosts(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.buckets.iter().flat_map(|bucket| bucket.iter().copied())
    }
}

impl Encapsulations {
    /// As the Manager writes them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipsec => "ipsec",
            Self::IpsecAndGre => "ipsec gre",
        }
    }
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Replies, Self::Requests];
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
    /// The protocols by the names that Kubernetes has for them.
    pub(super) const ACCEPTED: &'static str = "TCP, UDP, SCTP";

    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The protocol that Kubernetes calls by this name.
    #[must_use]
    pub fn from_kubernetes(name: &str) -> Option<Self> {
        match name {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// The protocol with this number in the IP header.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }

    /// The number in the IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service_vpn,
            preference,
            protocol,
            port,
            ..
        } = self;
        write!(
            f,
            "{preference} for {protocol} port {port} in service VPN {service_vpn}"
        )
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
