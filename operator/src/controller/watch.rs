//! Watches on Services and EndpointSlices of all namespaces.
//!
//! Owns the local copies, the wake-up, and the translation to a [`View`]. Invariant: a wake-up is never lost; it
//! says only that something changed, never what.

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
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::backoff::Backoff;
use super::{BURST_MAX, QUIET};
use crate::core::{
    AnnotationPrefix, Cluster, Conventions, EndpointState, Intent, ServiceKind, ServicePort, ServiceRef,
    ServiceView, SlicePort, SliceView, View,
};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Running watches; dropping it ends them.
pub(super) struct Watches {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    changed: Arc<Notify>,
    tasks: [JoinHandle<()>; 2],
}

impl Watches {
    pub(super) fn start(kubernetes: &Client) -> Self {
        let changed = Arc::new(Notify::new());
        let (services, services_task) = start_watch(Api::all(kubernetes.clone()), changed.clone());
        let (slices, slices_task) = start_watch(Api::all(kubernetes.clone()), changed.clone());
        Self {
            services,
            slices,
            changed,
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

    /// Waits for a change, and for the end of the burst that it may be part of.
    pub(super) async fn settled(&self) {
        self.changed.notified().await;
        let burst_end = Instant::now() + BURST_MAX;
        loop {
            let quiet_end = (Instant::now() + QUIET).min(burst_end);
            tokio::select! {
                biased;
                () = sleep_until(quiet_end) => {
                    return;
                }
                () = self.changed.notified() => {}
            }
        }
    }

    /// The facts of this moment.
    pub(super) fn view(&self, conventions: &Conventions) -> View {
        let services = self.services.state();
        let services = services
            .iter()
            .filter_map(|service| service_view(service, &conventions.annotation_prefix));
        let slices = self.slices.state();
        let slices = slices.iter().filter_map(|slice| slice_view(slice));
        View {
            conventions: conventions.clone(),
            services: services.collect(),
            slices: slices.collect(),
            ..View::default()
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn start_watch<K>(api: Api<K>, changed: Arc<Notify>) -> (Store<K>, JoinHandle<()>)
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
                Ok(_) => changed.notify_one(),
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

fn service_view(service: &Service, prefix: &AnnotationPrefix) -> Option<ServiceView> {
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
            cluster: Cluster::default(),
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

fn slice_view(slice: &EndpointSlice) -> Option<SliceView> {
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
            cluster: Cluster::default(),
            kube_namespace: slice.namespace()?,
            name: slice.labels().get(SERVICE_NAME_LABEL)?.clone(),
        },
        endpoints: endpoints.collect(),
        ports: ports.collect(),
    })
}
