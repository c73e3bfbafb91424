//! Kubernetes objects as facts: what of them steering depends on, and nothing else.
//!
//! Owns the translation. Invariant: nothing is judged here.

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Resource, ResourceExt};

use crate::api::{MANAGED_BY, MANAGED_BY_LABEL, SteeringPolicy};
use crate::core::{
    AnnotationPrefix, Change, Cluster, EndpointState, Intent, NamespaceView, ObjectRef, PolicyView,
    ServiceKind, ServicePort, ServiceView, SlicePort, SliceView,
};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// A kind of object that holds facts.
pub(super) trait Fact: Resource {
    /// The fact; `None` if the object holds none.
    fn fact(&self, cluster: &Cluster, prefix: &AnnotationPrefix) -> Option<Change>;

    /// That the object of this name holds no fact any more.
    fn gone(object: ObjectRef) -> Change;
}

impl Fact for Service {
    fn fact(&self, cluster: &Cluster, prefix: &AnnotationPrefix) -> Option<Change> {
        let spec = self.spec.as_ref();
        let kind = match spec.and_then(|spec| spec.type_.as_deref()) {
            Some("ExternalName") => ServiceKind::ExternalName,
            _ => ServiceKind::Endpoints,
        };
        let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let ports = ports.iter().filter_map(|port| {
            Some(ServicePort {
                name: port.name.clone().unwrap_or_default(),
                number: port.port.try_into().ok()?,
            })
        });
        Some(Change::Service(ServiceView {
            service: object(self, cluster),
            uid: self.uid().unwrap_or_default(),
            created: created(self),
            kind,
            ports: ports.collect(),
            intent: Intent::read(self.annotations(), prefix).transpose(),
        }))
    }

    fn gone(object: ObjectRef) -> Change {
        Change::ServiceGone(object)
    }
}

impl Fact for EndpointSlice {
    fn fact(&self, cluster: &Cluster, _: &AnnotationPrefix) -> Option<Change> {
        let service = self.labels().get(SERVICE_NAME_LABEL)?.clone();
        let endpoints = self.endpoints.iter().flat_map(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            let ready = conditions.and_then(|conditions| conditions.ready);
            let serving = conditions.and_then(|conditions| conditions.serving);
            let state = EndpointState::of(ready, serving);
            // Slices of type FQDN have names here, which no edge can match.
            let addresses = endpoint
                .addresses
                .iter()
                .filter_map(|address| address.parse().ok());
            addresses.map(move |address| (address, state))
        });
        let ports = self.ports.iter().flatten().filter_map(|port| {
            Some(SlicePort {
                name: port.name.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: port.port?.try_into().ok()?,
            })
        });
        Some(Change::Slice(SliceView {
            name: self.name_any(),
            service: ObjectRef {
                name: service,
                ..object(self, cluster)
            },
            endpoints: endpoints.collect(),
            ports: ports.collect(),
        }))
    }

    fn gone(object: ObjectRef) -> Change {
        Change::SliceGone(object)
    }
}

impl Fact for Namespace {
    fn fact(&self, cluster: &Cluster, prefix: &AnnotationPrefix) -> Option<Change> {
        Some(Change::Namespace(NamespaceView {
            cluster: cluster.clone(),
            name: self.name_any(),
            intent: Intent::read(self.annotations(), prefix).transpose()?,
        }))
    }

    fn gone(object: ObjectRef) -> Change {
        Change::NamespaceGone(object.cluster, object.name)
    }
}

impl Fact for SteeringPolicy {
    /// Those that the operator made of annotations say nothing new.
    fn fact(&self, cluster: &Cluster, _: &AnnotationPrefix) -> Option<Change> {
        let is_made = self
            .labels()
            .get(MANAGED_BY_LABEL)
            .is_some_and(|by| by == MANAGED_BY);
        let is_for_a_service = self
            .owner_references()
            .iter()
            .any(|owner| owner.kind == "Service");
        if is_made && is_for_a_service {
            return None;
        }
        Some(Change::Policy(PolicyView {
            name: self.name_any(),
            service: ObjectRef {
                name: self.spec.service_ref.name.clone(),
                ..object(self, cluster)
            },
            uid: self.uid().unwrap_or_default(),
            generation: self.metadata.generation.unwrap_or_default(),
            created: created(self),
            intent: self.spec.intent(),
        }))
    }

    fn gone(object: ObjectRef) -> Change {
        Change::PolicyGone(object)
    }
}

/// The name of an object; the namespace is empty for those that have none.
pub(super) fn object(object: &impl Resource, cluster: &Cluster) -> ObjectRef {
    let meta = object.meta();
    ObjectRef {
        cluster: cluster.clone(),
        kube_namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

fn created(object: &impl Resource) -> Option<i64> {
    object
        .meta()
        .creation_timestamp
        .as_ref()
        .map(|time| time.0.as_second())
}
