//! Watches on Services and EndpointSlices of all namespaces.
//!
//! Owns the local copies of one cluster, and their translation to a [`View`]. Invariant: every change is told to
//! [`Changes`] after it is in the copies.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tracing::warn;

use super::backoff::Backoff;
use super::changes::Changes;
use crate::core::{AnnotatedService, AnnotationPrefix, Intent, ServiceRef, SlicePort, SliceView, View};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Running watches; dropping it ends them.
pub(super) struct Watches {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    tasks: [JoinHandle<()>; 2],
}

impl Watches {
    pub(super) fn start(kubernetes: &Client, changes: &Arc<Changes>) -> Self {
        let (services, services_task) = start_watch(Api::all(kubernetes.clone()), changes.clone());
        let (slices, slices_task) = start_watch(Api::all(kubernetes.clone()), changes.clone());
        Self {
            services,
            slices,
            tasks: [services_task, slices_task],
        }
    }

    /// Waits until both initial lists are here.
    pub(super) async fn complete(&self) {
        for ready in [
            self.services.wait_until_ready().await,
            self.slices.wait_until_ready().await,
        ] {
            ready.expect("the watch tasks live as long as self");
        }
    }

    /// Whether a watch has ended, which it never should.
    pub(super) fn have_ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// The facts of this moment.
    pub(super) fn view(&self, prefix: &AnnotationPrefix) -> View {
        let services: Vec<_> = self
            .services
            .state()
            .iter()
            .filter_map(|service| annotated(service, prefix))
            .collect();
        let names: HashSet<&ServiceRef> = services.iter().map(|annotated| &annotated.service).collect();
        let slices = self.slices.state();
        let slices = slices
            .iter()
            .filter_map(|slice| Some((owner_of(slice)?, slice)))
            .filter(|(service, _)| names.contains(service))
            .map(|(service, slice)| slice_view(service, slice))
            .collect();
        View { services, slices }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn start_watch<K>(api: Api<K>, changes: Arc<Changes>) -> (Store<K>, JoinHandle<()>)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    let (reader, writer) = store();
    let task = tokio::spawn(async move {
        let events = watcher(api, watcher::Config::default())
            .modify(|object| object.managed_fields_mut().clear())
            .reflect(writer)
            .backoff(Backoff::default());
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                // The list is not in the store before it is complete.
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Ok(_) => changes.arrived(),
                Err(error) => warn!(
                    kind = %K::kind(&K::DynamicType::default()),
                    error = &error as &dyn std::error::Error,
                    "watch interrupted"
                ),
            }
        }
    });
    (reader, task)
}

fn annotated(service: &Service, prefix: &AnnotationPrefix) -> Option<AnnotatedService> {
    let intent = Intent::read(service.annotations(), prefix).transpose()?;
    Some(AnnotatedService {
        service: ServiceRef {
            kube_namespace: service.namespace()?,
            name: service.name_any(),
        },
        uid: service.uid().unwrap_or_default(),
        created: service.creation_timestamp().map(|time| time.0.as_second()),
        intent,
    })
}

fn owner_of(slice: &EndpointSlice) -> Option<ServiceRef> {
    let name = slice.labels().get(SERVICE_NAME_LABEL)?.clone();
    Some(ServiceRef {
        kube_namespace: slice.namespace()?,
        name,
    })
}

fn slice_view(service: ServiceRef, slice: &EndpointSlice) -> SliceView {
    // The API defines an unknown readiness as ready.
    let is_ready = |conditions: Option<bool>| conditions.unwrap_or(true);
    let ready = slice
        .endpoints
        .iter()
        .filter(|endpoint| {
            is_ready(
                endpoint
                    .conditions
                    .as_ref()
                    .and_then(|conditions| conditions.ready),
            )
        })
        .flat_map(|endpoint| &endpoint.addresses)
        // Slices of type FQDN have names here, which no edge can match.
        .filter_map(|address| address.parse().ok())
        .collect();
    let ports = slice
        .ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some(SlicePort {
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: port.port?.try_into().ok()?,
            })
        })
        .collect();
    SliceView {
        service,
        ready,
        ports,
    }
}
