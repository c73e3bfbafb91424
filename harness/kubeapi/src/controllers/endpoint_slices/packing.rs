//! Spreads endpoints over slices with as few writes as possible. Pure.
//!
//! The invariants: an endpoint stays in the slice it is in while that slice has its ports; no slice exceeds
//! [`MAX_ENDPOINTS`]; a Service without endpoints keeps one empty slice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::desired::Group;
use crate::object;

/// The default of kube-controller-manager's `--max-endpoints-per-slice`.
pub(super) const MAX_ENDPOINTS: usize = 100;

/// One slice as it should be, and the stored one it replaces.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) existing: Option<Arc<Value>>,
    pub(super) ports: Value,
    pub(super) endpoints: Vec<Value>,
    pub(super) is_needed: bool,
}

impl Slot {
    /// A stored slice that nothing needs any more.
    pub(super) fn unused(existing: Arc<Value>) -> Self {
        let ports = existing["ports"].clone();
        Slot {
            existing: Some(existing),
            ports,
            endpoints: Vec::new(),
            is_needed: false,
        }
    }

    fn new() -> Self {
        Slot {
            existing: None,
            ports: json!([]),
            endpoints: Vec::new(),
            is_needed: false,
        }
    }
}

pub(super) fn pack(existing: Vec<Arc<Value>>, groups: Vec<Group>) -> Vec<Slot> {
    let mut slots: Vec<Slot> = existing.into_iter().map(Slot::unused).collect();
    let unplaced: Vec<Group> = groups
        .into_iter()
        .map(|group| keep_in_place(&mut slots, group))
        .collect();
    for group in unplaced {
        place(&mut slots, group);
    }
    if slots.iter().all(|slot| !slot.is_needed) {
        if slots.is_empty() {
            slots.push(Slot::new());
        }
        slots[0].ports = json!([]);
        slots[0].is_needed = true;
    }
    slots
}

/// Puts the endpoints that are in a slice of their ports back into it; returns the others.
fn keep_in_place(slots: &mut [Slot], group: Group) -> Group {
    let names: Vec<String> = group.endpoints.iter().map(identity).collect();
    let mut rest: BTreeMap<String, (usize, Value)> = names
        .into_iter()
        .zip(group.endpoints.into_iter().enumerate())
        .collect();
    for slot in slots.iter_mut().filter(|slot| slot.ports == group.ports) {
        let Some(existing) = &slot.existing else { continue };
        for endpoint in object::items(existing, "/endpoints") {
            if let Some((_, endpoint)) = rest.remove(&identity(endpoint)) {
                slot.endpoints.push(endpoint);
                slot.is_needed = true;
            }
        }
    }
    let mut rest: Vec<(usize, Value)> = rest.into_values().collect();
    rest.sort_by_key(|(order, _)| *order);
    Group {
        ports: group.ports,
        endpoints: rest.into_iter().map(|(_, endpoint)| endpoint).collect(),
    }
}

/// Puts endpoints where there is room: in a slice of their ports, else an unused one, else a new one.
fn place(slots: &mut Vec<Slot>, group: Group) {
    for endpoint in group.endpoints {
        let has_room =
            |slot: &Slot| slot.is_needed && slot.ports == group.ports && slot.endpoints.len() < MAX_ENDPOINTS;
        let at = slots
            .iter()
            .position(has_room)
            .or_else(|| slots.iter().position(|slot| !slot.is_needed))
            .unwrap_or_else(|| {
                slots.push(Slot::new());
                slots.len() - 1
            });
        slots[at].ports = group.ports.clone();
        slots[at].is_needed = true;
        slots[at].endpoints.push(endpoint);
    }
}

/// What tells an endpoint from others: its pod, or its address where the pod is of another cluster.
fn identity(endpoint: &Value) -> String {
    match object::text(endpoint, "/targetRef/uid") {
        "" => object::text(endpoint, "/addresses/0").to_owned(),
        uid => uid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(uids: std::ops::Range<usize>) -> Vec<Value> {
        uids.map(|uid| json!({"targetRef": {"uid": uid.to_string()}}))
            .collect()
    }

    fn group(uids: std::ops::Range<usize>) -> Group {
        Group {
            ports: json!([{"port": 80}]),
            endpoints: endpoints(uids),
        }
    }

    fn stored(slots: &[Slot]) -> Vec<Arc<Value>> {
        let needed = slots.iter().filter(|slot| slot.is_needed);
        needed
            .map(|slot| Arc::new(json!({"ports": slot.ports, "endpoints": slot.endpoints})))
            .collect()
    }

    #[test]
    fn slices_fill_up_to_their_limit() {
        let slots = pack(Vec::new(), vec![group(0..MAX_ENDPOINTS + 1)]);
        assert_eq!(
            slots.iter().map(|slot| slot.endpoints.len()).collect::<Vec<_>>(),
            [MAX_ENDPOINTS, 1]
        );
    }

    #[test]
    fn a_removed_endpoint_touches_only_its_own_slice() {
        let before = stored(&pack(Vec::new(), vec![group(0..150)]));
        let mut remaining = group(0..150);
        remaining.endpoints.remove(3);
        let after = stored(&pack(before.clone(), vec![remaining]));
        assert_eq!(
            (after[0]["endpoints"].as_array().map(Vec::len), &after[1]),
            (Some(99), &before[1])
        );
    }

    #[test]
    fn a_service_without_endpoints_keeps_one_empty_slice_and_refills_it() {
        let full = stored(&pack(Vec::new(), vec![group(0..2)]));
        let emptied = pack(full.clone(), Vec::new());
        assert_eq!(
            (emptied.len(), emptied[0].endpoints.len(), emptied[0].is_needed),
            (1, 0, true)
        );
        let refilled = pack(stored(&emptied), vec![group(0..2)]);
        assert_eq!((refilled.len(), stored(&refilled)), (1, full));
        assert!(refilled[0].existing.is_some());
    }

    #[test]
    fn endpoints_with_different_ports_never_share_a_slice() {
        let other = Group {
            ports: json!([{"port": 81}]),
            endpoints: endpoints(5..6),
        };
        let slots = pack(Vec::new(), vec![group(0..1), other]);
        assert_eq!(
            slots
                .iter()
                .map(|slot| &slot.ports[0]["port"])
                .collect::<Vec<_>>(),
            [80, 81]
        );
    }
}
