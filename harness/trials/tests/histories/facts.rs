//! Facts: what Kubernetes says, as far as steering depends on it, and what it has said.
//!
//! Owns every version that each kind of object had, and since when. Invariant: the time of a version is before it was
//! written, so that nobody has seen it before its time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Annotations by what follows the prefix, and fields of a SteeringPolicy by the same words.
pub type Words = BTreeMap<String, String>;
/// Namespace and name.
pub type Name = (String, String);

/// A Service; each has the port `http` (80) and the port `metrics` (81).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// When it was created, as Kubernetes writes it.
    pub created: String,
    /// Its annotations.
    pub words: Words,
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The Service in the same namespace.
    pub service: String,
    /// The addresses of its endpoints.
    pub hosts: BTreeSet<IpAddr>,
    /// The ports of all of them.
    pub ports: Vec<Port>,
}

/// A port of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The name of the Service's port.
    pub name: &'static str,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'static str,
    /// The number.
    pub number: u16,
}

/// A SteeringPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// When it was created, as Kubernetes writes it.
    pub created: String,
    /// The Service in the same namespace.
    pub service: String,
    /// What it asks.
    pub words: Words,
}

/// All of it at one time, or what somebody may have seen of it whose watches do not keep step.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The Services.
    pub services: Arc<BTreeMap<Name, Service>>,
    /// Their EndpointSlices.
    pub slices: Arc<BTreeMap<Name, Slice>>,
    /// The annotations of namespaces.
    pub namespaces: Arc<BTreeMap<String, Words>>,
    /// The SteeringPolicies that people wrote.
    pub policies: Arc<BTreeMap<Name, Policy>>,
}

/// A position among the versions of each kind: Services, EndpointSlices, namespaces, SteeringPolicies.
pub type Position = [usize; 4];

/// The versions that one kind had.
#[derive(Debug)]
pub struct Versions<T>(Vec<(Instant, Arc<T>)>);

/// The versions that all kinds had.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// Of the Services.
    pub services: Versions<BTreeMap<Name, Service>>,
    /// Of the EndpointSlices.
    pub slices: Versions<BTreeMap<Name, Slice>>,
    /// Of the namespaces.
    pub namespaces: Versions<BTreeMap<String, Words>>,
    /// Of the SteeringPolicies.
    pub policies: Versions<BTreeMap<Name, Policy>>,
}

impl<T: Default> Default for Versions<T> {
    fn default() -> Self {
        Self(vec![(Instant::now(), Arc::default())])
    }
}

impl<T: Clone + PartialEq> Versions<T> {
    /// The newest.
    pub fn newest(&self) -> &Arc<T> {
        &self.0[self.0.len() - 1].1
    }

    /// Notes the next version, which differs by a change that was not written before this time.
    pub fn note(&mut self, before: Instant, change: impl FnOnce(&mut T)) {
        let mut next = T::clone(self.newest());
        change(&mut next);
        if next != **self.newest() {
            self.0.push((before, Arc::new(next)));
        }
    }

    /// The position of the newest that was written by then.
    fn at(&self, time: Instant) -> usize {
        self.0.partition_point(|(noted, _)| *noted <= time) - 1
    }
}

impl Chronicle {
    /// What holds now.
    pub fn now(&self) -> Facts {
        self.facts(self.newest())
    }

    /// The position of the newest versions.
    pub fn newest(&self) -> Position {
        self.at(Instant::now())
    }

    /// The position of the newest versions that were written by then.
    pub fn at(&self, time: Instant) -> Position {
        [
            self.services.at(time),
            self.slices.at(time),
            self.namespaces.at(time),
            self.policies.at(time),
        ]
    }

    /// The versions at a position.
    pub fn facts(&self, [services, slices, namespaces, policies]: Position) -> Facts {
        Facts {
            services: self.services.0[services].1.clone(),
            slices: self.slices.0[slices].1.clone(),
            namespaces: self.namespaces.0[namespaces].1.clone(),
            policies: self.policies.0[policies].1.clone(),
        }
    }
}
