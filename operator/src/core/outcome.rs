//! Outcomes: what became of each intent.

use std::net::IpAddr;
use std::sync::Arc;

use super::choice::Compliance;
use super::color::Color;
use super::intent::{Intent, IntentError, PortKey};
use super::preference::Preference;
use super::rule::{Protocol, SteeringPolicy};
use super::view::ServiceRef;

/// What a view amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compiled {
    /// What the fabric shall do.
    pub policy: SteeringPolicy,
    /// What became of each intent; sorted by Service, then by subject. Shared, so that what did not change is cheap.
    pub outcomes: Vec<Arc<Outcome>>,
}

/// What became of one intent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// The Service that it is for.
    pub service: ServiceRef,
    /// Where it is written.
    pub subject: Subject,
    /// What is asked, with the defaults of the namespace; `None` if that cannot be told.
    pub intent: Option<Intent>,
    /// What follows.
    pub verdict: Result<Accepted, Refusal>,
}

/// Where an intent is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// In the annotations of the Service or its namespace.
    Annotations {
        /// The UID of the Service.
        uid: String,
    },
    /// In a SteeringPolicy resource in the Service's namespace.
    Policy {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
        /// The generation that was looked at.
        generation: i64,
    },
}

/// What is done for an intent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// The service VPN of the endpoints.
    pub service_vpn: u16,
    /// How many addresses of endpoints are steered; one that is in two EndpointSlices counts twice.
    pub endpoints: usize,
    /// The color that they take, by pin or by choice; `None` if there is none, or ports differ.
    pub tunnel: Option<Color>,
    /// The worst of the SLA classes; `None` if there is none.
    pub compliance: Option<Compliance>,
}

/// Why an intent gets no rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It cannot be understood.
    #[error(transparent)]
    Intent(#[from] IntentError),
    /// The defaults of the namespace cannot be understood.
    #[error("namespace `{kube_namespace}`: {error}")]
    Namespace {
        /// The namespace.
        kube_namespace: String,
        /// What is wrong with them.
        error: IntentError,
    },
    /// The namespace has defaults for single ports.
    #[error("namespace `{kube_namespace}`: a default for port `{port}`; accepted: defaults for all ports")]
    NamespacePort {
        /// The namespace.
        kube_namespace: String,
        /// The port.
        port: PortKey,
    },
    /// The Service has no such port.
    #[error("unknown port `{port}`; ports of the Service: {known}")]
    UnknownPort {
        /// The port as written.
        port: PortKey,
        /// The ports of the Service.
        known: String,
    },
    /// No service VPN is known for the tenant.
    #[error("unknown tenant `{tenant}`; known tenants: {known}")]
    UnknownTenant {
        /// The tenant as written.
        tenant: String,
        /// The tenants that the operator was started with.
        known: String,
    },
    /// A policy is for a Service that is not there.
    #[error("service {service} does not exist")]
    ServiceNotFound {
        /// The Service.
        service: ServiceRef,
    },
    /// The Service is only a name.
    #[error("the Service is of type ExternalName and has no endpoints that could be steered")]
    ExternalName,
    /// A port has a protocol that cannot be steered.
    #[error("protocol {protocol} cannot be steered; accepted: {}", Protocol::ACCEPTED)]
    UnsupportedProtocol {
        /// The protocol as Kubernetes writes it.
        protocol: String,
    },
    /// Two ports of the Service lead to the same port of an endpoint and ask for different things.
    #[error("ports of the Service that ask for different things lead to the same port {port}/{protocol}")]
    PortsDisagree {
        /// The protocol.
        protocol: Protocol,
        /// The port of the endpoints.
        port: u16,
    },
    /// Packets could take a tunnel in clear text.
    #[error("encryption is required, and {preference} could take a GRE tunnel of {color}")]
    NotEncrypted {
        /// What is asked.
        preference: Preference,
        /// The color.
        color: Color,
    },
    /// There is a SteeringPolicy for the same Service, which goes first.
    #[error("the SteeringPolicy `{policy}` is for the same Service and goes first")]
    Overruled {
        /// The name of that policy.
        policy: String,
    },
    /// An older Service has an endpoint in common and asks for something else.
    #[error(transparent)]
    Conflict(Box<Conflict>),
}

/// An older Service has an endpoint in common and asks for something else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("endpoint {host} port {port}/{protocol} is already steered to {held} by the older Service {winner}")]
pub struct Conflict {
    /// The older Service.
    pub winner: ServiceRef,
    /// What that Service asks for.
    pub held: Preference,
    /// The endpoint in common.
    pub host: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port.
    pub port: u16,
}

impl Refusal {
    /// One word for the `reason` of a Kubernetes Event or condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Intent(error) | Self::Namespace { error, .. } => error.reason(),
            Self::NamespacePort { .. } | Self::UnknownPort { .. } => "UnknownPort",
            Self::UnknownTenant { .. } => "UnknownTenant",
            Self::ServiceNotFound { .. } => "ServiceNotFound",
            Self::ExternalName => "ExternalName",
            Self::UnsupportedProtocol { .. } => "UnsupportedProtocol",
            Self::NotEncrypted { .. } => "NotEncrypted",
            Self::PortsDisagree { .. } => "PortsDisagree",
            Self::Overruled { .. } | Self::Conflict(_) => "Conflict",
        }
    }
}

impl IntentError {
    fn reason(&self) -> &'static str {
        match self {
            Self::UnknownColor { .. } => "UnknownColor",
            Self::UnknownValue { place, .. } => match place.key() {
                "mode" => "UnknownMode",
                "encryption" => "UnknownEncryption",
                _ => "UnknownAction",
            },
            Self::UnacceptableSla { .. } => "UnacceptableSla",
            Self::UnacceptableFallback { .. } => "UnacceptableFallback",
            Self::UnknownKey { .. } => "UnknownAnnotation",
            Self::TunnelMissing { .. } => "TunnelMissing",
        }
    }
}
