//! The view: the facts from Kubernetes that steering depends on.
//!
//! Owns plain values only; the controller fills them. Invariant: nothing here is judged, so a view can hold
//! protocols that cannot be steered and intents that contradict each other.

use std::fmt;
use std::net::IpAddr;

use super::intent::{Intent, IntentError};

/// Everything that [`compile`](super::compile) looks at; order has no meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The Services that have an annotation under the prefix.
    pub services: Vec<AnnotatedService>,
    /// The EndpointSlices, at least those of the Services above.
    pub slices: Vec<SliceView>,
}

/// A Service that asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotatedService {
    /// Which Service.
    pub service: ServiceRef,
    /// Its UID.
    pub uid: String,
    /// When it was created, in seconds of the Unix epoch.
    pub created: Option<i64>,
    /// What it asks for, or why that cannot be told.
    pub intent: Result<Intent, IntentError>,
}

/// The name of a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceRef {
    /// Its Kubernetes namespace.
    pub kube_namespace: String,
    /// Its name.
    pub name: String,
}

/// One EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceView {
    /// The Service that it belongs to.
    pub service: ServiceRef,
    /// The addresses of its ready endpoints.
    pub ready: Vec<IpAddr>,
    /// Its ports: the numbers the endpoints listen on.
    pub ports: Vec<SlicePort>,
}

/// A port of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// The protocol as Kubernetes writes it, such as `TCP`.
    pub protocol: String,
    /// The number.
    pub port: u16,
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kube_namespace, self.name)
    }
}
