//! `clusterMesh`: the clusters that Cilium Cluster Mesh joins.

use super::{CLUSTER, in_order, references};
use crate::document::{Entry, Notes, Value};
use crate::model::Topology;

/// The longest name of a cluster in a mesh, in bytes (`pkg/clustermesh/types` of cilium/cilium).
const NAME_MAX: usize = 32;
/// The name that Cilium keeps for clusters outside of any mesh.
const NAME_RESERVED: &str = "default";

/// The clusters of the mesh, in the order of the known ones.
pub(super) fn resolve(notes: &mut Notes<'_>, entry: Option<&Entry>, known: &[&str]) -> Vec<String> {
    let Some(entry) = entry else { return Vec::new() };
    let names = references(notes, &entry.value, &CLUSTER, known);
    if let Value::Sequence(items) = &entry.value.value {
        if let [one] = items.as_slice() {
            let message = "expected at least two clusters in the mesh, found one";
            notes.error(one.span, message, "name another, or remove the key");
        }
        for (item, name) in items.iter().filter_map(|item| Some((item, item.text()?))) {
            if known.contains(&name) && (name == NAME_RESERVED || name.len() > NAME_MAX) {
                let message = format!("a cluster of a mesh cannot be named `{name}`");
                let hint = format!(
                    "Cilium takes names of at most {NAME_MAX} characters, and not `{NAME_RESERVED}`; rename it"
                );
                notes.error(item.span, message, hint);
            }
        }
    }
    in_order(known, &names)
}

/// Notes clusters of the mesh whose pods have no routes to each other. With routes, their pod CIDRs are held apart
/// already.
pub(super) fn check(notes: &mut Notes<'_>, entry: Option<&Entry>, topology: &Topology) {
    let items = match entry.map(|entry| &entry.value.value) {
        Some(Value::Sequence(items)) => items.as_slice(),
        _ => return,
    };
    let named = items.iter().filter_map(|item| {
        let mut clusters = topology.clusters.iter();
        let cluster = clusters.find(|cluster| item.text() == Some(&cluster.name));
        Some((item.span, cluster?))
    });
    let named: Vec<_> = named.collect();
    for (position, (span, cluster)) in named.iter().enumerate() {
        let mut earlier = named[..position].iter().map(|(_, other)| other);
        let apart = earlier.find(|other| !topology.share_routes(other.service_vpn, cluster.service_vpn));
        if let Some(other) = apart {
            let (a, b) = (other.service_vpn, cluster.service_vpn);
            let message = format!(
                "cluster `{}` has no routes to cluster `{}` of its mesh: they are in service VPNs {b} and {a}",
                cluster.name, other.name,
            );
            let hint = format!("give both the same `serviceVpn`, or add `- between: [{a}, {b}]` to `leaks`");
            notes.error(*span, message, hint);
        }
    }
}
