//! Watches on Services and EndpointSlices of all namespaces.
//!
//! Owns the local copies of one cluster, and their translation to a [`View`]. Invariant: every change is told to
//! [`Changes`] after it is in the copies.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use super::backoff::Backoff;
use super::changes::Changes;
use super::failures::Failures;
use crate::core::{
    AnnotationPrefix, Cluster, EndpointState, Intent, ServiceKind, ServicePort, ServiceRef, ServiceView,
    SlicePort, SliceView, View,
};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Running watches; dropping it ends them.
pub(super) struct Watches {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    failures: Arc<Failures>,
    tasks: [JoinHandle<()>; 2],
}

impl Watches {
    pub(super) fn start(kubernetes: &Client, changes: &Arc<Changes>) -> Self {
        let failures = Arc::new(Failures::default());
        let (services, services_task) =
            start_watch(Api::all(kubernetes.clone()), changes.clone(), failures.clone());
        let (slices, slices_task) =
            start_watch(Api::all(kubernetes.clone()), changes.clone(), failures.clone());
        Self {
            services,
            slices,
            failures,
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

    /// Whether both initial lists were here once.
    pub(super) fn is_complete(&self) -> bool {
        let services = self.services.wait_until_ready().now_or_never();
        services.is_some() && self.slices.wait_until_ready().now_or_never().is_some()
    }

    /// Why the cluster cannot be reached, if it cannot for some time.
    pub(super) fn trouble(&self) -> Option<String> {
        self.failures.lasting(Instant::now())
    }

    /// Whether a watch has ended, which it never should.
    pub(super) fn have_ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Adds the facts of this moment.
    pub(super) fn add_to(&self, view: &mut View, cluster: &Cluster) {
        let prefix = &view.conventions.annotation_prefix;
        let services = self.services.state();
        let services = services
            .iter()
            .filter_map(|service| service_view(service, cluster, prefix));
        view.services.extend(services);
        let slices = self.slices.state();
        let slices = slices.iter().filter_map(|slice| slice_view(slice, cluster));
        view.slices.extend(slices);
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn start_watch<K>(api: Api<K>, changes: Arc<Changes>, failures: Arc<Failures>) -> (Store<K>, JoinHandle<()>)
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
            if event.is_ok() {
                failures.clear();
            }
            match event {
                // The list is not in the store before it is complete.
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Ok(_) => changes.arrived(),
                Err(error) => {
                    failures.add(error.to_string(), Instant::now());
                    warn!(
                        kind = %K::kind(&K::DynamicType::default()),
                        error = &error as &dyn std::error::Error,
                        "watch interrupted"
                    );
                }
            }
        }
    });
    (reader, task)
}

fn service_view(service: &Service, cluster: &Cluster, prefix: &AnnotationPrefix) -> Option<ServiceView> {
    let spec = service.spec.as_ref();
    let is_external = spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        Some(ServicePort {
            name: port.name.clone().unwrap_or_default(),
            number: port.port.try_into().ok()?,
        })
    };
    Some(ServiceView {
        service: ServiceRef {
            cluster: cluster.clone(),
            kube_namespace: service.namespace()?,
            name: service.name_any(),
        },
        uid: service.uid().unwrap_or_default(),
        created: service.creation_timestamp().map(|time| time.0.as_second()),
        kind: if is_external {
            ServiceKind::ExternalName
        } else {
            ServiceKind::Endpoints
        },
        ports: ports.iter().filter_map(port).collect(),
        intent: Intent::read(service.annotations(), prefix).transpose(),
    })
}

fn slice_view(slice: &EndpointSlice, cluster: &Cluster) -> Option<SliceView> {
    let endpoints = slice.endpoints.iter().flat_map(|endpoint| {
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
    let ports = slice.ports.iter().flatten().filter_map(|port| {
        Some(SlicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: port.port?.try_into().ok()?,
        })
    });
    Some(SliceView {
        name: slice.name_any(),
        service: ServiceRef {
            cluster: cluster.clone(),
            kube_namespace: slice.namespace()?,
            name: slice.labels().get(SERVICE_NAME_LABEL)?.clone(),
        },
        endpoints: endpoints.collect(),
        ports: ports.collect(),
    })
}
