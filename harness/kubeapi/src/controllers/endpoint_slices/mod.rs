//! Keeps the EndpointSlices of every Service with a selector equal to its pods.
//!
//! Owns the slices that carry its `managed-by` label and no others. Level-triggered: a change only says which
//! Services to look at, and looking twice writes nothing.

mod desired;
mod packing;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use crate::api::{Api, DeleteOptions, Effect, Target};
use crate::object;
use crate::resources::Resource;
use crate::selector::LabelSelector;
use crate::status::{Reason, Status};
use crate::store::{Change, Key, State};
use crate::strategy::Part;
use desired::Family;
use packing::Slot;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
const SLICES: &str = "endpointslices.discovery.k8s.io";

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
        }
        "pods" => {
            let states = [Some(&change.object), change.previous.as_ref()];
            api.store.read(|state| {
                let services = state.scan("services", Some(&change.key.namespace));
                let selecting = services.filter(|(_, service)| {
                    let selects = |pod: &Arc<Value>| selector(service).is_some_and(|s| s.matches(pod));
                    states.into_iter().flatten().any(selects)
                });
                dirty.extend(selecting.map(|(key, _)| key.clone()));
            });
        }
        SLICES => {
            if let Some(service) = object::label(&change.object, SERVICE_NAME) {
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
    let resource = api
        .resources
        .at_path("discovery.k8s.io", "v1", "endpointslices")?;
    let (service, existing, pods) = api.store.read(|state| {
        let service = state.get("services", key).map(Arc::clone);
        let pods = service
            .as_deref()
            .and_then(selector)
            .map(|selector| selected(state, key, &selector));
        (service, own_slices(state, key), pods)
    });
    // The slices of a Service that is gone go by their owner.
    let Some(service) = service else { return Ok(()) };
    let Some(pods) = pods else {
        return existing
            .iter()
            .try_for_each(|slice| delete(api, &resource, slice));
    };
    for family in Family::ALL {
        let (mine, _): (Vec<_>, Vec<_>) = existing
            .iter()
            .cloned()
            .partition(|slice| slice["addressType"] == family.address_type());
        let slots = if family.is_of(&service) {
            packing::pack(mine, desired::groups(&service, &pods, family))
        } else {
            mine.into_iter().map(Slot::unused).collect()
        };
        for slot in slots {
            write(api, &resource, &service, family, slot)?;
        }
    }
    Ok(())
}

fn selected(state: &State, service: &Key, selector: &LabelSelector) -> Vec<Arc<Value>> {
    let pods = state.scan("pods", Some(&service.namespace)).map(|(_, pod)| pod);
    pods.filter(|pod| selector.matches(pod)).map(Arc::clone).collect()
}

fn own_slices(state: &State, service: &Key) -> Vec<Arc<Value>> {
    let is_own = |slice: &Value| {
        object::label(slice, SERVICE_NAME) == Some(&service.name)
            && object::label(slice, MANAGED_BY) == Some(CONTROLLER)
    };
    let slices = state
        .scan(SLICES, Some(&service.namespace))
        .map(|(_, slice)| slice);
    slices.filter(|slice| is_own(slice)).map(Arc::clone).collect()
}

fn write(
    api: &Api,
    resource: &Arc<Resource>,
    service: &Value,
    family: Family,
    slot: Slot,
) -> Result<(), Status> {
    match (&slot.existing, slot.is_needed) {
        (Some(slice), false) => delete(api, resource, slice),
        (None, false) => Ok(()),
        (Some(slice), true) => {
            let target = Target::new(resource, object::namespace(slice), object::name(slice));
            let written = api.modify(&target, Part::Main, Effect::Persist, |current| {
                let mut next = slice_of(service, family, &slot);
                next["metadata"]["name"] = current["metadata"]["name"].clone();
                Ok(next)
            });
            tolerate(Reason::NotFound, written)
        }
        (None, true) => {
            let slice = slice_of(service, family, &slot);
            create(api, resource, service, family, slice)
        }
    }
}

fn slice_of(service: &Value, family: Family, slot: &Slot) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels[SERVICE_NAME] = service["metadata"]["name"].clone();
    labels[MANAGED_BY] = json!(CONTROLLER);
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
        "addressType": family.address_type(), "ports": slot.ports, "endpoints": slot.endpoints,
    })
}

/// Names are drawn from the Service's own name, so that two runs of one scenario have the same ones.
fn create(
    api: &Api,
    resource: &Arc<Resource>,
    service: &Value,
    family: Family,
    mut slice: Value,
) -> Result<(), Status> {
    let (namespace, name) = (object::namespace(service), object::name(service));
    let candidates = (0u32..).map(|n| {
        let seed = object::fnv1a(&format!("{namespace}/{name}/{}/{n}", family.address_type()));
        format!("{name}-{}", object::suffix(seed))
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

fn delete(api: &Api, resource: &Arc<Resource>, slice: &Value) -> Result<(), Status> {
    let target = Target::new(resource, object::namespace(slice), object::name(slice));
    tolerate(
        Reason::NotFound,
        api.delete(&target, &DeleteOptions::default(), Effect::Persist),
    )
}

fn tolerate<T>(reason: Reason, result: Result<T, Status>) -> Result<(), Status> {
    match result {
        Err(error) if error.reason != reason => Err(error),
        _ => Ok(()),
    }
}
