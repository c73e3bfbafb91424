//! Keeps the EndpointSlices of every Service with a selector equal to its pods, and its Endpoints with them.
//!
//! Owns the slices that carry its `managed-by` label and no others, and the Endpoints of such Services. Level-triggered: a change only says which
//! Services to look at, and looking twice writes nothing.

mod desired;
mod endpoints;
mod packing;
mod slices;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use super::objects::delete;
use crate::api::Api;
use crate::object;
use crate::selector::LabelSelector;
use crate::status::Status;
use crate::store::{Change, ChangeKind, Key, State};
pub(crate) use desired::{Family, Group};
use slices::{SERVICE_NAME, STORAGE};
pub(crate) use slices::{Slices, Source, of_service};

pub(super) async fn run(api: Arc<Api>, mut changes: UnboundedReceiver<Arc<Change>>) {
    while let Some(first) = changes.recv().await {
        let mut dirty = BTreeSet::new();
        let mut next = Some(first);
        while let Some(change) = next {
            affected(&api, &change, &mut dirty);
            next = changes.try_recv().ok();
        }
        for service in &dirty {
            if let Err(error) = sync(&api, service) {
                warn!(kube_namespace = service.namespace, service = service.name, %error, "sync endpoint slices");
            }
        }
    }
}

/// The Services whose slices a change can touch.
fn affected(api: &Api, change: &Change, dirty: &mut BTreeSet<Key>) {
    match &*change.storage {
        "services" => {
            dirty.insert(change.key.clone());
            if change.kind == ChangeKind::Deleted
                && let Err(error) = endpoints::remove(api, &change.key)
            {
                let (kube_namespace, service) = (&change.key.namespace, &change.key.name);
                warn!(kube_namespace, service, %error, "remove endpoints");
            }
        }
        "endpoints" if change.kind != ChangeKind::Added => {
            dirty.insert(change.key.clone());
        }
        "pods" => {
            let states = [Some(change.object()), change.previous()];
            api.store.read(|state| {
                let services = state.scan("services", Some(&change.key.namespace));
                let selecting = services.filter(|(_, service)| {
                    let selects = |pod: &Arc<Value>| selector(service).is_some_and(|s| s.matches(pod));
                    states.iter().flatten().any(selects)
                });
                dirty.extend(selecting.map(|(key, _)| key.clone()));
            });
        }
        STORAGE => {
            if let Some(service) = object::label(&change.object(), SERVICE_NAME) {
                dirty.insert(Key::new(&change.key.namespace, service));
            }
        }
        _ => {}
    }
}

/// The pods of a Service; none if it has no selector or is only a name.
fn selector(service: &Value) -> Option<LabelSelector> {
    let selector = LabelSelector::from_pairs(object::entries(service, "/spec/selector"));
    (!selector.0.is_empty() && service["spec"]["type"] != "ExternalName").then_some(selector)
}

fn sync(api: &Api, key: &Key) -> Result<(), Status> {
    let (service, existing, pods) = api.store.read(|state| {
        let service = state.get("services", key);
        let pods = service
            .as_deref()
            .and_then(selector)
            .map(|selector| selected(state, key, &selector));
        let slices = slices::of_service(state, &key.namespace, &key.name);
        let own = slices.filter(|slice| Source::of(slice) == Some(Source::Pods));
        (service, own.collect::<Vec<_>>(), pods)
    });
    // The slices of a Service that is gone go by their owner.
    let Some(service) = service else { return Ok(()) };
    let Some(pods) = pods else {
        return existing.iter().try_for_each(|slice| delete(api, slice).map(drop));
    };
    for family in Family::ALL {
        let mine = existing.iter().filter(|slice| family.is_of_slice(slice));
        let mine: Vec<Arc<Value>> = mine.map(Arc::clone).collect();
        if family.is_of(&service) {
            let slices = Slices {
                service: &service,
                family,
                source: Source::Pods,
            };
            slices.replace(api, mine, desired::groups(&service, &pods, family))?;
        } else {
            mine.iter().try_for_each(|slice| delete(api, slice).map(drop))?;
        }
    }
    endpoints::replace(api, &service, &pods)
}

fn selected(state: &State, service: &Key, selector: &LabelSelector) -> Vec<Arc<Value>> {
    let pods = state.scan("pods", Some(&service.namespace)).map(|(_, pod)| pod);
    pods.filter(|pod| selector.matches(pod)).collect()
}
