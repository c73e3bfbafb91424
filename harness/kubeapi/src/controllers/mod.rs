//! The controllers that stand in for a cluster's control plane and kubelets.
//!
//! Each owns one kind of consequence: pods get nodes and run, Services get EndpointSlices, namespaces get their
//! ServiceAccount, aggregated roles their rules, workloads their pods, objects go with their owners, deleted namespaces and definitions are emptied. They write through
//! `api` like any client, and hear of every change, in order and without loss.

mod definitions;
pub(crate) mod endpoint_slices;
mod garbage;
mod lifecycle;
mod namespaces;
mod objects;
mod pods;
mod recorder;
mod role_aggregation;
mod scheduling;
mod service_accounts;
mod workloads;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::api::Api;
use crate::kubelet::Kubelet;
pub(crate) use objects::delete as remove_object;
pub(crate) use role_aggregation::settle;
pub(crate) use service_accounts::ensure_default;

/// Starts every controller on `tasks`; they end when it is dropped.
pub(crate) fn spawn(tasks: &mut JoinSet<()>, api: &Arc<Api>, kubelet: Arc<dyn Kubelet>) {
    // Subscribed before the first object exists, so no controller needs an initial list.
    tasks.spawn(namespaces::run(Arc::clone(api), api.store.subscribe()));
    tasks.spawn(definitions::run(Arc::clone(api), api.store.subscribe()));
    tasks.spawn(endpoint_slices::run(Arc::clone(api), api.store.subscribe()));
    tasks.spawn(service_accounts::run(Arc::clone(api), api.store.subscribe()));
    tasks.spawn(role_aggregation::run(Arc::clone(api), api.store.subscribe()));
    tasks.spawn(garbage::run(Arc::clone(api), api.store.subscribe()));
    tasks.spawn(workloads::run(Arc::clone(api), api.store.subscribe()));
    tasks.spawn(pods::run(Arc::clone(api), kubelet, api.store.subscribe()));
}
