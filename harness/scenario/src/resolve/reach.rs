//! Flows that no packet of can arrive, because the overlay has no way between their sites, and faults of links and
//! tunnels that are not there.
//!
//! Of flows only what is certain is refused: the client and every Pod that the Service selects are pinned to nodes, at
//! least one of them in the client's cluster, and none of those can be reached. Between clusters that may be meant so,
//! and in a mesh Pods of another cluster may answer for the Service of the same name.

use super::Resolved;
use crate::document::Notes;
use crate::model::{Cluster, Event, Flow, Manifest, Scope, ServiceRef, Topology};
use crate::overlay::{Graph, positions};

/// Notes flows between sites that no tunnels join.
pub(super) fn flows(
    notes: &mut Notes<'_>,
    flows: &Resolved<Flow>,
    objects: &[Manifest],
    topology: &Topology,
) {
    let graph = Graph::of(topology);
    for name in &flows.names {
        let Some(flow) = flows.values.get(&name.text) else {
            continue;
        };
        let from = (
            &flow.from.cluster,
            flow.from.kube_namespace.as_str(),
            flow.from.name.as_str(),
        );
        let client = object(objects, "Pod", from);
        let Some((cluster, from)) = client.and_then(|pod| place(topology, pod)) else {
            continue;
        };
        if in_mesh(topology, &flow.to) {
            continue;
        }
        let Some(servers) = servers(objects, &flow.to) else {
            continue;
        };
        let places: Option<Vec<_>> = servers.into_iter().map(|pod| place(topology, pod)).collect();
        let of_cluster = |(other, site): (&Cluster, usize)| (other.name == cluster.name).then_some(site);
        let mut sites = places.into_iter().flatten().filter_map(of_cluster).peekable();
        let service_vpns = graph.service_vpns.iter();
        let Some(service_vpn) = service_vpns.clone().position(|of| *of == cluster.service_vpn) else {
            continue;
        };
        let Some(first) = sites.peek().copied() else {
            continue;
        };
        if !sites.any(|site| graph.hops_to(service_vpn, site)[from].is_some()) {
            let (from, to) = (&topology.sites[from].name, &topology.sites[first].name);
            let message = format!(
                "flow `{}` cannot arrive: no tunnels lead from site `{from}` to site `{to}`",
                name.text
            );
            let hint = "join the sites in `overlay`, or make a site between them forward with `transit`";
            notes.error(name.span, message, hint);
        }
    }
}

/// Notes faults and healings of parts of a transport that are not there.
pub(super) fn events(notes: &mut Notes<'_>, events: &Resolved<Event>, topology: &Topology) {
    let graph = Graph::of(topology);
    for name in &events.names {
        let (transport, scope) = match events.values.get(&name.text) {
            Some(Event::Fault { transport, fault }) => (transport, fault.scope()),
            Some(Event::Heal { transport, scope }) => (transport, scope),
            Some(
                Event::Annotate { .. }
                | Event::DeleteService { .. }
                | Event::Readiness { .. }
                | Event::ManagerFault { .. }
                | Event::HealManager
                | Event::ApiFault { .. }
                | Event::HealApi { .. },
            )
            | None => continue,
        };
        for (missing, hint) in missing(transport, scope, topology, &graph) {
            notes.error(name.span, format!("event `{}` {missing}", name.text), hint);
        }
    }
}

/// What is not there of a part of a transport, after "event ..."; each with a hint.
pub(super) fn missing(
    transport: &str,
    scope: &Scope,
    topology: &Topology,
    graph: &Graph,
) -> Vec<(String, String)> {
    let named = scope.sites();
    let sites = topology.sites.iter().enumerate();
    let ends: Vec<_> = sites.filter(|(_, site)| named.contains(&&site.name)).collect();
    let loose = ends
        .iter()
        .filter(|(_, site)| !site.transports.iter().any(|name| name == transport));
    let links = loose.map(|(_, site)| {
        let message = format!(
            "needs a link that is not there: site `{}` does not attach to transport `{transport}`",
            site.name
        );
        let hint = format!("transports of the site: {}", site.transports.join(", "));
        (message, hint)
    });
    let links: Vec<_> = links.collect();
    let ([(a, first), (b, second)], true) = (ends.as_slice(), links.is_empty()) else {
        return links;
    };
    let is_meant = |position: usize| topology.transports[position].name == transport;
    let neighbours = graph.sites[*a].neighbours.iter();
    let mut joined = neighbours.filter(|neighbour| positions(neighbour.transports).any(is_meant));
    if joined.any(|neighbour| neighbour.site == *b) {
        return Vec::new();
    }
    let message = format!(
        "needs a tunnel that is not there: transport `{transport}` has none between sites `{}` and `{}`",
        first.name, second.name
    );
    let hint = "join the sites in `overlay`, or name two that have a tunnel on this transport";
    vec![(message, hint.to_owned())]
}

/// Whether a Service is in a cluster of a mesh.
fn in_mesh(topology: &Topology, service: &ServiceRef) -> bool {
    let mut clusters = topology.cluster_mesh.iter();
    clusters.any(|cluster| service.cluster.as_ref() == Some(cluster))
}

/// The Pods that a Service selects; `None` when it selects none of those in the manifests.
fn servers<'o>(objects: &'o [Manifest], service: &ServiceRef) -> Option<Vec<&'o Manifest>> {
    let name = (
        &service.cluster,
        service.kube_namespace.as_str(),
        service.name.as_str(),
    );
    let selector = object(objects, "Service", name)?
        .object
        .pointer("/spec/selector")?
        .as_object()
        .filter(|selector| !selector.is_empty())?;
    let is_selected = |pod: &&Manifest| {
        let labels = pod.object.pointer("/metadata/labels");
        pod.object["kind"] == "Pod"
            && pod.cluster == service.cluster
            && kube_namespace(pod) == service.kube_namespace
            && selector
                .iter()
                .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    Some(objects.iter().filter(is_selected).collect())
}

/// The object of that cluster, namespace and name.
fn object<'o>(
    objects: &'o [Manifest],
    kind: &str,
    (cluster, namespace, name): (&Option<String>, &str, &str),
) -> Option<&'o Manifest> {
    objects.iter().find(|manifest| {
        let object = &manifest.object;
        manifest.cluster == *cluster
            && object["kind"] == kind
            && object["metadata"]["name"] == name
            && kube_namespace(manifest) == namespace
    })
}

fn kube_namespace(manifest: &Manifest) -> &str {
    manifest.object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default")
}

/// The cluster and the position of the site of the node that a Pod is pinned to.
fn place<'t>(topology: &'t Topology, pod: &Manifest) -> Option<(&'t Cluster, usize)> {
    let spec = &pod.object["spec"];
    let pin = spec["nodeName"]
        .as_str()
        .or_else(|| spec["nodeSelector"]["kubernetes.io/hostname"].as_str())?;
    topology.clusters.iter().find_map(|cluster| {
        let node = cluster.nodes.iter().find(|node| node.name == pin)?;
        let site = topology.sites.iter().position(|site| site.name == node.site)?;
        Some((cluster, site))
    })
}
