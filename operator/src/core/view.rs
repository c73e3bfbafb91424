//! The view: the facts from Kubernetes and from the Manager that steering depends on.
//!
//! Owns plain values only; the controller fills them. Invariant: nothing here is judged, so a view can hold
//! protocols that cannot be steered and intents that contradict each other.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::annotations::AnnotationPrefix;
use super::choice::Choices;
use super::intent::{Intent, IntentError};
use super::tunnel::TunnelReports;

/// Everything that [`compile`](super::compile) looks at; order has no meaning, and nothing is named twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// How intents are to be understood.
    pub conventions: Conventions,
    /// The namespaces that have an annotation under the prefix.
    pub namespaces: Vec<NamespaceView>,
    /// All Services.
    pub services: Vec<ServiceView>,
    /// All EndpointSlices of Services.
    pub slices: Vec<SliceView>,
    /// The SteeringPolicy resources that people wrote, without those that the operator made of annotations.
    pub policies: Vec<PolicyView>,
    /// What the Manager reports of tunnels.
    pub tunnels: TunnelReports,
    /// The tunnels that were chosen for SLA classes before.
    pub choices: Choices,
}

/// How intents are to be understood: what the operator was started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conventions {
    /// The annotations that are read.
    pub annotation_prefix: AnnotationPrefix,
    /// The service VPNs of tenants.
    pub tenants: BTreeMap<String, u16>,
    /// The service VPN of each cluster's pods; Services of other clusters are not looked at.
    pub clusters: BTreeMap<Cluster, u16>,
    /// Which endpoints are steered.
    pub endpoints: Endpoints,
}

/// Which endpoints are steered.
///
/// An endpoint that is not ready yet, or terminates, has packets on their way too; hence all by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoints {
    /// All.
    #[default]
    All,
    /// Those that serve, which includes terminating ones that still do.
    Serving,
    /// Those that are ready.
    Ready,
}

/// The name of a cluster; empty for the only one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cluster(Arc<str>);

/// A namespace with defaults for its Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceView {
    /// Its cluster.
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
    /// What it asks for its Services, or why that cannot be told.
    pub intent: Result<Intent, IntentError>,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// Which Service.
    pub service: ServiceRef,
    /// Its UID.
    pub uid: String,
    /// When it was created, in seconds of the Unix epoch.
    pub created: Option<i64>,
    /// Where its endpoints come from.
    pub kind: ServiceKind,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// What its annotations ask for, or why that cannot be told; `None` if none is under the prefix.
    pub intent: Option<Result<Intent, IntentError>>,
}

/// Where the endpoints of a Service come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// From EndpointSlices: ClusterIP, headless, NodePort, LoadBalancer.
    #[default]
    Endpoints,
    /// From DNS: ExternalName.
    ExternalName,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its number, which clients connect to.
    pub number: u16,
}

/// The name of a Service.
pub type ServiceRef = ObjectRef;

/// The name of a namespaced object whose kind is clear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its cluster.
    pub cluster: Cluster,
    /// Its Kubernetes namespace.
    pub kube_namespace: String,
    /// Its name.
    pub name: String,
}

/// One EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceView {
    /// Its name, in the cluster and namespace of its Service.
    pub name: String,
    /// The Service that it belongs to.
    pub service: ServiceRef,
    /// The addresses of its endpoints, each with the state of its endpoint.
    pub endpoints: Vec<(IpAddr, EndpointState)>,
    /// Its ports: the numbers the endpoints listen on.
    pub ports: Vec<SlicePort>,
}

/// What an endpoint is up to; a later one includes the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointState {
    /// It does not serve.
    Present,
    /// It serves, though it may terminate.
    Serving,
    /// It takes new connections.
    Ready,
}

/// A port of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port; empty if it has none.
    pub name: String,
    /// The protocol as Kubernetes writes it, such as `TCP`.
    pub protocol: String,
    /// The number.
    pub port: u16,
}

/// A SteeringPolicy resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyView {
    /// Its name, in the cluster and namespace of its Service.
    pub name: String,
    /// The Service that it is for.
    pub service: ServiceRef,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// When it was created, in seconds of the Unix epoch.
    pub created: Option<i64>,
    /// What it asks for, or why that cannot be told.
    pub intent: Result<Intent, IntentError>,
}

impl SliceView {
    /// Its name with cluster and namespace.
    #[must_use]
    pub fn object(&self) -> ObjectRef {
        self.service.neighbour(&self.name)
    }
}

impl PolicyView {
    /// Its name with cluster and namespace.
    #[must_use]
    pub fn object(&self) -> ObjectRef {
        self.service.neighbour(&self.name)
    }
}

impl ObjectRef {
    /// The object of this name in the same namespace.
    fn neighbour(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
    }
}

impl Cluster {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self("".into())
    }
}

impl From<&str> for Cluster {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Endpoints {
    /// Whether an endpoint in this state is steered.
    #[must_use]
    pub fn include(self, state: EndpointState) -> bool {
        match self {
            Self::All => true,
            Self::Serving => state >= EndpointState::Serving,
            Self::Ready => state == EndpointState::Ready,
        }
    }
}

impl EndpointState {
    /// The state that conditions amount to; the API defines an unknown readiness as ready, and whoever is ready serves.
    #[must_use]
    pub fn of(ready: Option<bool>, serving: Option<bool>) -> Self {
        let ready = ready.unwrap_or(true);
        match (ready, serving.unwrap_or(ready)) {
            (true, _) => Self::Ready,
            (false, true) => Self::Serving,
            (false, false) => Self::Present,
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kube_namespace, self.name)?;
        match self.cluster.as_str() {
            "" => Ok(()),
            cluster => write!(f, " in {cluster}"),
        }
    }
}
