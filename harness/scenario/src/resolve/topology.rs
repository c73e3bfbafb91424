//! Topology files: transports, sites, clusters.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cidr::{self, Range};
use super::fields::{Fields, Kind, integer, label, mismatch, named, string};
use super::{faults, unknown};
use crate::document::{Entry, Node, Notes};
use crate::model::{BfdTiming, COLORS, Cluster, Color, Node as ClusterNode, Site, Topology, Transport};
use crate::names;
use crate::quantity::{format_duration, parse_duration};

pub(super) const KEYS: [&str; 8] = [
    "apiVersion",
    "kind",
    "metadata",
    "transports",
    "defaultTransport",
    "bfd",
    "sites",
    "clusters",
];

/// The shortest and the longest time between hellos: a lab cannot keep the pace of much less, Cisco takes no more.
const HELLO: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(300));

pub(super) const TRANSPORT: Kind = Kind {
    singular: "transport",
    plural: "transports",
    is_word: false,
};
pub(super) const NODE: Kind = Kind {
    singular: "node",
    plural: "nodes",
    is_word: false,
};
pub(super) const SITE: Kind = Kind {
    singular: "site",
    plural: "sites",
    is_word: false,
};
const TRANSPORT_KEYS: [&str; 4] = ["color", "impair", "cut", "flap"];
const CLUSTER: Kind = Kind {
    singular: "cluster",
    plural: "clusters",
    is_word: false,
};

pub(super) fn resolve(notes: &mut Notes<'_>, fields: &Fields<'_>) -> Option<Topology> {
    let name = fields.required(notes, "metadata").and_then(|entry| {
        let metadata = Fields::of(notes, entry.key.span, &entry.value, "`metadata`", &["name"])?;
        let name = metadata.required(notes, "name")?;
        label(notes, &name.value, "the name of the topology")
    });
    let transports_entry = fields.required(notes, "transports");
    let sites_entry = fields.required(notes, "sites");
    let transports = transports_entry.map(|entry| transports(notes, entry, &keys(sites_entry)));
    let default_transport = fields.required(notes, "defaultTransport").and_then(|entry| {
        let text = string(notes, &entry.value, "the name of a transport")?;
        let declared = keys(transports_entry);
        if !declared.is_empty() && !declared.contains(&text) {
            unknown(
                notes,
                entry.value.span,
                text,
                &TRANSPORT,
                declared.iter().copied(),
            );
        }
        Some(text.to_owned())
    });
    let bfd = fields
        .optional("bfd")
        .map_or(Some(BfdTiming::default()), |entry| bfd(notes, entry));
    let sites = sites_entry.map(|entry| sites(notes, entry));
    let clusters_entry = fields.required(notes, "clusters");
    let clusters = clusters_entry.map(|entry| clusters(notes, entry, &keys(sites_entry)));
    Some(Topology {
        name: name?.to_owned(),
        transports: transports?,
        default_transport: default_transport?,
        bfd: bfd?,
        sites: sites?,
        clusters: clusters?,
    })
}

/// The names that a mapping declares, whether or not their values are in order.
fn keys(entry: Option<&Entry>) -> Vec<&str> {
    let entries = entry.and_then(|entry| entry.value.entries());
    entries
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.key.text.as_str())
        .collect()
}

fn transports(notes: &mut Notes<'_>, entry: &Entry, sites: &[&str]) -> Vec<Transport> {
    let mut first: BTreeMap<Color, &str> = BTreeMap::new();
    let mut transports = Vec::new();
    for entry in named(notes, entry, &TRANSPORT) {
        let name = &entry.key.text;
        let what = format!("transport `{name}`");
        let Some(fields) = Fields::of(notes, entry.key.span, &entry.value, &what, &TRANSPORT_KEYS) else {
            continue;
        };
        let faults = faults::in_topology(notes, &fields, sites);
        let Some(node) = fields.required(notes, "color").map(|entry| &entry.value) else {
            continue;
        };
        let Some(color) = color(notes, node) else { continue };
        match first.get(&color) {
            Some(other) => {
                let message = format!("color `{color}` is already that of transport `{other}`");
                notes.error(node.span, message, "a color names one transport; choose another");
            }
            None => {
                first.insert(color.clone(), name);
                transports.push(Transport {
                    name: name.clone(),
                    color,
                    faults,
                });
            }
        }
    }
    transports
}

fn bfd(notes: &mut Notes<'_>, entry: &Entry) -> Option<BfdTiming> {
    let keys = ["hello", "multiplier"];
    let fields = Fields::of(notes, entry.key.span, &entry.value, "`bfd`", &keys)?;
    let default = BfdTiming::default();
    let hello = fields
        .optional("hello")
        .map_or(Some(default.hello), |entry| hello(notes, &entry.value));
    let multiplier = fields
        .optional("multiplier")
        .map_or(Some(default.multiplier), |entry| {
            let multiplier = integer(notes, &entry.value, "a number of lost hellos", 1..=60)?;
            u8::try_from(multiplier).ok()
        });
    Some(BfdTiming {
        hello: hello?,
        multiplier: multiplier?,
    })
}

fn hello(notes: &mut Notes<'_>, node: &Node) -> Option<Duration> {
    let (shortest, longest) = (format_duration(HELLO.0), format_duration(HELLO.1));
    let form = format!("the time between hellos, {shortest} to {longest}");
    let text = string(notes, node, &form)?;
    match parse_duration(text) {
        Ok(hello) if (HELLO.0..=HELLO.1).contains(&hello) => Some(hello),
        Ok(_) => mismatch(notes, node, &form, None),
        Err(error) => {
            notes.error(
                node.span,
                error.to_string(),
                "a duration is a number and one of the units us, ms, s, m",
            );
            None
        }
    }
}

fn color(notes: &mut Notes<'_>, node: &Node) -> Option<Color> {
    let text = string(notes, node, "a TLOC color")?;
    let color = Color::parse(text);
    if color.is_none() {
        let hint = names::suggestion(text, "colors", COLORS);
        notes.error(node.span, format!("unknown color `{text}`"), hint);
    }
    color
}

fn sites(notes: &mut Notes<'_>, entry: &Entry) -> Vec<Site> {
    let mut first: BTreeMap<u32, &str> = BTreeMap::new();
    let mut sites = Vec::new();
    for entry in named(notes, entry, &SITE) {
        let name = &entry.key.text;
        let what = format!("site `{name}`");
        let Some(fields) = Fields::of(notes, entry.key.span, &entry.value, &what, &["id"]) else {
            continue;
        };
        let Some(node) = fields.required(notes, "id").map(|entry| &entry.value) else {
            continue;
        };
        let id = integer(notes, node, "a site id", 1..=i64::from(u32::MAX));
        let Some(id) = id.and_then(|id| u32::try_from(id).ok()) else {
            continue;
        };
        match first.get(&id) {
            Some(other) => {
                notes.error(
                    node.span,
                    format!("site id {id} is already that of site `{other}`"),
                    "choose another",
                );
            }
            None => {
                first.insert(id, name);
                sites.push(Site {
                    name: name.clone(),
                    id,
                });
            }
        }
    }
    sites
}

fn clusters(notes: &mut Notes<'_>, entry: &Entry, sites: &[&str]) -> Vec<Cluster> {
    let mut node_places: BTreeMap<String, usize> = BTreeMap::new();
    let mut ranges: Vec<Range> = Vec::new();
    let mut clusters = Vec::new();
    for entry in named(notes, entry, &CLUSTER) {
        clusters.extend(cluster(notes, entry, sites, &mut node_places, &mut ranges));
    }
    clusters
}

fn cluster(
    notes: &mut Notes<'_>,
    entry: &Entry,
    sites: &[&str],
    node_places: &mut BTreeMap<String, usize>,
    ranges: &mut Vec<Range>,
) -> Option<Cluster> {
    const KEYS: [&str; 4] = ["podCidr", "serviceCidr", "serviceVpn", "nodes"];
    let name = &entry.key.text;
    let fields = Fields::of(
        notes,
        entry.key.span,
        &entry.value,
        &format!("cluster `{name}`"),
        &KEYS,
    )?;
    let pod_node = fields.required(notes, "podCidr").map(|entry| &entry.value);
    let pod_cidr = pod_node.and_then(|node| cidr::parse(notes, node, "10.244.0.0/16"));
    let service_node = fields.required(notes, "serviceCidr").map(|entry| &entry.value);
    let service_cidr = service_node.and_then(|node| cidr::parse(notes, node, "10.96.0.0/16"));
    let service_vpn = fields
        .required(notes, "serviceVpn")
        .and_then(|entry| service_vpn(notes, &entry.value));
    let nodes = fields
        .required(notes, "nodes")
        .map(|entry| nodes(notes, entry, sites, node_places));

    if let (Some(net), Some(node), Some(nodes)) = (pod_cidr, pod_node, &nodes) {
        cidr::check_room_for_nodes(notes, node.span, net, nodes.len());
    }
    if let (Some(net), Some(node)) = (service_cidr, service_node) {
        cidr::check_service_prefix(notes, node.span, net);
    }
    for (net, node, is_service) in [(pod_cidr, pod_node, false), (service_cidr, service_node, true)] {
        if let (Some(net), Some(node), Some(service_vpn)) = (net, node, service_vpn) {
            let range = Range {
                net,
                span: node.span,
                cluster: name.clone(),
                is_service,
                service_vpn,
            };
            cidr::check_overlap(notes, ranges, &range);
            ranges.push(range);
        }
    }
    Some(Cluster {
        name: name.clone(),
        pod_cidr: pod_cidr?,
        service_cidr: service_cidr?,
        service_vpn: service_vpn?,
        nodes: nodes?,
    })
}

fn nodes(
    notes: &mut Notes<'_>,
    entry: &Entry,
    sites: &[&str],
    places: &mut BTreeMap<String, usize>,
) -> Vec<ClusterNode> {
    let mut nodes = Vec::new();
    for entry in named(notes, entry, &NODE) {
        let name = &entry.key.text;
        if let Some(line) = places.get(name) {
            let hint = format!("`{name}` is already on line {line}; node names are unique in a topology");
            notes.error(entry.key.span, format!("duplicate node `{name}`"), hint);
            continue;
        }
        places.insert(name.clone(), entry.key.span.line);
        let what = format!("node `{name}`");
        let Some(fields) = Fields::of(notes, entry.key.span, &entry.value, &what, &["site"]) else {
            continue;
        };
        let Some(node) = fields.required(notes, "site").map(|entry| &entry.value) else {
            continue;
        };
        let Some(site) = string(notes, node, "the name of a site") else {
            continue;
        };
        // Without any site to choose from, that is the problem, and it is reported where sites belong.
        if !sites.is_empty() && !sites.contains(&site) {
            unknown(notes, node.span, site, &SITE, sites.iter().copied());
        }
        nodes.push(ClusterNode {
            name: name.clone(),
            site: site.to_owned(),
        });
    }
    nodes
}

fn service_vpn(notes: &mut Notes<'_>, node: &Node) -> Option<u16> {
    let vpn = integer(notes, node, "a service VPN", 1..=65527)?;
    if vpn == 512 {
        notes.error(
            node.span,
            "expected a service VPN, found 512, the management VPN",
            "choose 1-511 or 513-65527",
        );
        return None;
    }
    u16::try_from(vpn).ok()
}
