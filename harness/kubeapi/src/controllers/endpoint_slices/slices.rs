//! The slices of one Service, family and source, as they are written.

use std::sync::Arc;

use serde_json::{Value, json};

use super::desired::{Family, Group};
use super::packing::{self, Slot};
use crate::api::{Api, Effect, Target};
use crate::controllers::objects::delete;
use crate::object;
use crate::resources::Resource;
use crate::status::{Reason, Status};
use crate::store::State;
use crate::strategy::Part;

pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const STORAGE: &str = "endpointslices.discovery.k8s.io";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";
const SOURCE_CLUSTER: &str = "multicluster.kubernetes.io/source-cluster";

/// Where the endpoints of slices come from. Each source owns its slices and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    /// The pods that the Service selects.
    Pods,
    /// The Service of the same name in this cluster.
    Cluster(&'a str),
}

/// The slices of a Service in one family, from one source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slices<'a> {
    pub(crate) service: &'a Value,
    pub(crate) family: Family,
    pub(crate) source: Source<'a>,
}

impl<'a> Source<'a> {
    /// The `managed-by` label: of kube-controller-manager, and of Cilium's operator.
    fn manager(self) -> &'static str {
        match self {
            Source::Pods => "endpointslice-controller.k8s.io",
            Source::Cluster(_) => "endpointslice-mesh-controller.cilium.io",
        }
    }

    /// The source of a slice, if it is one of these.
    pub(crate) fn of(slice: &'a Value) -> Option<Self> {
        let cluster = object::label(slice, SOURCE_CLUSTER).map(Source::Cluster);
        [Some(Source::Pods), cluster]
            .into_iter()
            .flatten()
            .find(|source| object::label(slice, MANAGED_BY) == Some(source.manager()))
    }
}

/// The slices of the Service, whoever owns them.
pub(crate) fn of_service<'a>(
    state: &'a State,
    namespace: &'a str,
    name: &'a str,
) -> impl Iterator<Item = Arc<Value>> {
    let slices = state.scan(STORAGE, Some(namespace)).map(|(_, slice)| slice);
    slices.filter(move |slice| object::label(slice, SERVICE_NAME) == Some(name))
}

impl Slices<'_> {
    /// Makes these slices, which are `existing`, hold the endpoints of `groups`.
    pub(crate) fn replace(
        &self,
        api: &Api,
        existing: Vec<Arc<Value>>,
        groups: Vec<Group>,
    ) -> Result<(), Status> {
        let resource = api
            .resources
            .at_path("discovery.k8s.io", "v1", "endpointslices")?;
        for slot in packing::pack(existing, groups) {
            self.write(api, &resource, &slot)?;
        }
        Ok(())
    }

    fn write(&self, api: &Api, resource: &Arc<Resource>, slot: &Slot) -> Result<(), Status> {
        match (&slot.existing, slot.is_needed) {
            (Some(slice), false) => delete(api, slice).map(drop),
            (None, false) => Ok(()),
            (Some(slice), true) => {
                let target = Target::new(resource, object::namespace(slice), object::name(slice));
                let written = api.modify(&target, Part::Main, Effect::Persist, |current| {
                    let mut next = self.slice(slot);
                    next["metadata"]["name"] = current["metadata"]["name"].clone();
                    Ok(next)
                });
                match written {
                    Err(error) if error.reason != Reason::NotFound => Err(error),
                    _ => Ok(()),
                }
            }
            (None, true) => self.create(api, resource, self.slice(slot)),
        }
    }

    fn slice(&self, slot: &Slot) -> Value {
        let service = self.service;
        let mut labels = service["metadata"]["labels"].clone();
        if !labels.is_object() {
            labels = json!({});
        }
        labels[SERVICE_NAME] = service["metadata"]["name"].clone();
        labels[MANAGED_BY] = json!(self.source.manager());
        if let Source::Cluster(cluster) = self.source {
            labels[SOURCE_CLUSTER] = json!(cluster);
        }
        if service["spec"]["clusterIP"] == "None" {
            labels[HEADLESS] = json!("");
        }
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": service["metadata"]["namespace"], "labels": labels,
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Service", "name": service["metadata"]["name"],
                    "uid": service["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "addressType": self.family.address_type(), "ports": slot.ports, "endpoints": slot.endpoints,
        })
    }

    /// Names are drawn from the Service's own name, so that two runs of one scenario have the same ones.
    fn create(&self, api: &Api, resource: &Arc<Resource>, mut slice: Value) -> Result<(), Status> {
        let (namespace, name) = (object::namespace(self.service), object::name(self.service));
        let base = match self.source {
            Source::Pods => name.to_owned(),
            Source::Cluster(cluster) => format!("{name}-{cluster}"),
        };
        let candidates = (0u32..).map(|n| {
            let text = format!("{namespace}/{base}/{}/{n}", self.family.address_type());
            format!("{base}-{}", object::suffix(object::fnv1a(&text)))
        });
        for candidate in candidates {
            slice["metadata"]["name"] = json!(candidate);
            match api.create(resource, namespace, slice.clone(), Effect::Persist) {
                Err(taken) if taken.reason == Reason::AlreadyExists => {}
                // The namespace is going, and the Service with it.
                Err(refused) if refused.reason == Reason::Forbidden => return Ok(()),
                other => return other.map(drop),
            }
        }
        Ok(())
    }
}
