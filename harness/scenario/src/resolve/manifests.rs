//! Kubernetes manifests: from files or written out in the scenario.
//!
//! Only what a scenario relies on is checked here; the rest of an object is the API server's business.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Fields, integer, label, list, string};
use super::{Reading, topology, unknown};
use crate::document::{Entry, Node, Notes, Source, Span, to_json};
use crate::model::{Manifest, PodRef, Protocol, ServiceRef, Topology};
use crate::names;

/// What the manifests declare.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) manifests: Vec<Manifest>,
    pub(super) pods: BTreeSet<PodRef>,
    pub(super) services: BTreeMap<ServiceRef, BTreeSet<(Protocol, u16)>>,
    /// Whether all manifests could be read, so that what is not in the inventory does not exist.
    pub(super) is_complete: bool,
    /// The clusters of the topology; none where it could not be read.
    clusters: Vec<String>,
    /// File and line of each object by cluster, kind, namespace and name.
    places: BTreeMap<(Option<String>, String, String, String), String>,
}

impl Reading<'_> {
    pub(super) fn manifests(
        &mut self,
        source: &Source,
        entry: &Entry,
        topology: Option<&Topology>,
    ) -> Inventory {
        const FORM: &str = "a list of manifests, each `file: PATH` or `object: {…}`";
        let mut inventory = Inventory {
            is_complete: true,
            clusters: topology.map_or_else(Vec::new, |topology| {
                topology
                    .clusters
                    .iter()
                    .map(|cluster| cluster.name.clone())
                    .collect()
            }),
            ..Inventory::default()
        };
        let mut notes = Notes::new(source, &mut self.diagnostics);
        let Some(items) = list(&mut notes, &entry.value, FORM) else {
            inventory.is_complete = false;
            return inventory;
        };
        for item in items {
            let mut notes = Notes::new(source, &mut self.diagnostics);
            let before = notes.count();
            const KEYS: [&str; 3] = ["file", "object", "cluster"];
            let Some(fields) = Fields::of(&mut notes, item.span, item, "a manifest", &KEYS) else {
                inventory.is_complete = false;
                continue;
            };
            let place = "a manifest: add `cluster: NAME`";
            let cluster = inventory.cluster_of(&mut notes, item.span, fields.optional("cluster"), place);
            let Some(cluster) = cluster else {
                inventory.is_complete = false;
                continue;
            };
            match (fields.optional("file"), fields.optional("object")) {
                (Some(file), None) => {
                    const FORM: &str = "the path of a file of manifests, relative to this file";
                    match self.referenced(source, &file.value, FORM) {
                        Some(file) => {
                            let mut notes = Notes::new(&file.source, &mut self.diagnostics);
                            for object in &file.documents {
                                inventory.add(&mut notes, object, (topology, cluster.as_ref()));
                            }
                        }
                        None => inventory.is_complete = false,
                    }
                }
                (None, Some(object)) => {
                    inventory.add(&mut notes, &object.value, (topology, cluster.as_ref()));
                }
                _ if notes.count() == before => {
                    let message = "expected either `file` or `object` in a manifest";
                    notes.error(item.span, message, "write one of them in each item of the list");
                    inventory.is_complete = false;
                }
                _ => inventory.is_complete = false,
            }
        }
        inventory
    }
}

impl Inventory {
    /// The cluster that `cluster: NAME` names, or has to: `place` says where it goes. The inner `None` is the only one of
    /// the topology.
    pub(super) fn cluster_of(
        &self,
        notes: &mut Notes<'_>,
        span: Span,
        entry: Option<&Entry>,
        place: &str,
    ) -> Option<Option<String>> {
        let Some(entry) = entry else {
            return self.cluster(notes, span, None, place);
        };
        let name = string(notes, &entry.value, "the name of a cluster")?;
        self.cluster(notes, entry.value.span, Some(name), "")
    }

    /// The cluster that is named, or has to be: `place` says where the name goes. The inner `None` is the only one
    /// of the topology.
    pub(super) fn cluster(
        &self,
        notes: &mut Notes<'_>,
        span: Span,
        name: Option<&str>,
        place: &str,
    ) -> Option<Option<String>> {
        let known = || self.clusters.iter().map(String::as_str);
        match name {
            None if self.clusters.len() > 1 => {
                let message = "missing the cluster: the topology has several";
                let names: Vec<&str> = known().collect();
                notes.error(
                    span,
                    message,
                    format!("name one in {place}; clusters: {}", names.join(", ")),
                );
                None
            }
            Some(name) if !self.clusters.is_empty() && !known().any(|cluster| cluster == name) => {
                let clusters: Vec<&str> = known().collect();
                unknown(notes, span, name, &topology::CLUSTER, clusters.iter().copied());
                None
            }
            Some(name) if self.clusters.len() != 1 => Some(Some(name.to_owned())),
            _ => Some(None),
        }
    }

    fn add(
        &mut self,
        notes: &mut Notes<'_>,
        object: &Node,
        (topology, cluster): (Option<&Topology>, Option<&String>),
    ) {
        let Some(header) = header(notes, object) else {
            self.is_complete = false;
            return;
        };
        let key = (
            cluster.cloned(),
            header.kind.to_owned(),
            header.kube_namespace.clone(),
            header.name.clone(),
        );
        if let Some(place) = self.places.get(&key) {
            let message = format!("duplicate {} `{}` in namespace `{}`", key.1, key.3, key.2);
            notes.error(
                header.place.span,
                message,
                format!("it is already at {place}; rename or remove one"),
            );
            return;
        }
        let place = format!("{}:{}", notes.source.file, header.place.span.line);
        self.places.insert(key, place);
        let (kube_namespace, name) = (header.kube_namespace, header.name);
        match (header.api_version, header.kind) {
            ("v1", "Pod") => {
                check_node(notes, object, topology, cluster);
                self.pods.insert(PodRef {
                    cluster: cluster.cloned(),
                    kube_namespace,
                    name,
                });
            }
            ("v1", "Service") => {
                let ports = service_ports(notes, object);
                let service = ServiceRef {
                    cluster: cluster.cloned(),
                    kube_namespace,
                    name,
                };
                self.services.insert(service, ports);
            }
            _ => {}
        }
        self.manifests.push(Manifest {
            cluster: cluster.cloned(),
            object: to_json(object, notes),
        });
    }
}

struct Header<'n> {
    api_version: &'n str,
    kind: &'n str,
    kube_namespace: String,
    name: String,
    /// Where the name stands.
    place: &'n Node,
}

fn header<'n>(notes: &mut Notes<'_>, object: &'n Node) -> Option<Header<'n>> {
    let mut field = |path: &[&str], form: &str| match object.at(path) {
        Some(node) => string(notes, node, form).map(|text| (node, text)),
        None => {
            let found = if object.entries().is_some() {
                "none".to_owned()
            } else {
                object.describe()
            };
            let message = format!(
                "expected a Kubernetes object with `{}`, found {found}",
                path.join(".")
            );
            notes.error(
                object.span,
                message,
                "each object has apiVersion, kind and metadata.name",
            );
            None
        }
    };
    let api_version = field(&["apiVersion"], "an API version such as `v1`");
    let kind = field(&["kind"], "a kind such as `Service`");
    let name = field(&["metadata", "name"], "the name of the object");
    let ((_, api_version), (_, kind), (place, name)) = (api_version?, kind?, name?);
    if !names::is_dns_subdomain(name) {
        let message = format!("expected the name of the {kind}, found `{name}`");
        notes.error(
            place.span,
            message,
            "a name is made of a-z, 0-9, - and ., as RFC 1123 has it",
        );
        return None;
    }
    let kube_namespace = match object.at(&["metadata", "namespace"]) {
        Some(node) => label(notes, node, "the name of a namespace")?,
        None => "default",
    };
    Some(Header {
        api_version,
        kind,
        kube_namespace: kube_namespace.to_owned(),
        name: name.to_owned(),
        place,
    })
}

/// Notes a pod that is pinned to a node that its cluster does not have.
fn check_node(notes: &mut Notes<'_>, pod: &Node, topology: Option<&Topology>, cluster: Option<&String>) {
    const PINS: [&[&str]; 2] = [
        &["spec", "nodeName"],
        &["spec", "nodeSelector", "kubernetes.io/hostname"],
    ];
    let Some(topology) = topology else { return };
    let nodes = topology
        .clusters
        .iter()
        .filter(|of| cluster.is_none_or(|cluster| of.name == *cluster))
        .flat_map(|cluster| &cluster.nodes)
        .map(|node| node.name.as_str());
    for pin in PINS.iter().filter_map(|path| pod.at(path)) {
        // A name that is no string is refused when the object is turned into JSON, or by the API server.
        let Some(name) = pin.text() else { continue };
        if !nodes.clone().any(|node| node == name) {
            unknown(notes, pin.span, name, &topology::NODE, nodes.clone());
        }
    }
}

fn service_ports(notes: &mut Notes<'_>, service: &Node) -> BTreeSet<(Protocol, u16)> {
    let mut ports = BTreeSet::new();
    let Some(items) = service
        .at(&["spec", "ports"])
        .and_then(|node| list(notes, node, "a list of ports"))
    else {
        return ports;
    };
    for item in items {
        let Some(port) = item.at(&["port"]) else {
            notes.error(
                item.span,
                "missing key `port` in a port of a Service",
                "add `port: …`",
            );
            continue;
        };
        let number = integer(notes, port, "a port", 1..=65535).and_then(|number| u16::try_from(number).ok());
        // Kubernetes takes a port without a protocol for TCP.
        let protocol = match item.at(&["protocol"]) {
            Some(node) => match string(notes, node, "a protocol such as `UDP`") {
                Some("UDP") => Protocol::Udp,
                Some("TCP") => Protocol::Tcp,
                _ => continue,
            },
            None => Protocol::Tcp,
        };
        ports.extend(number.map(|number| (protocol, number)));
    }
    ports
}
