//! `clusters` and `leaks`: who shares addresses with whom.

use std::collections::{BTreeMap, BTreeSet};

use super::cidr::{self, Range, RangeKind};
use super::{CLUSTER, NODE, SITE, is_declared, keys};
use crate::document::{Entry, Node, Notes, Span};
use crate::model::{Cluster, Node as ClusterNode};
use crate::resolve::fields::{Fields, integer, list, named, string};

/// Service VPNs that have routes to each other.
pub(super) struct Leaks(Vec<Leak>);

struct Leak {
    /// The smaller one first.
    pair: (u16, u16),
    /// Where the two stand, in that order.
    spans: (Span, Span),
}

impl Leaks {
    /// As in the model.
    pub(super) fn pairs(&self) -> Vec<(u16, u16)> {
        let pairs: BTreeSet<(u16, u16)> = self.0.iter().map(|leak| leak.pair).collect();
        pairs.into_iter().collect()
    }

    /// Those with routes to this one, itself too.
    fn of(&self, service_vpn: u16) -> BTreeSet<u16> {
        let others = self.0.iter().filter_map(|leak| match leak.pair {
            (a, b) if a == service_vpn => Some(b),
            (a, b) if b == service_vpn => Some(a),
            _ => None,
        });
        others.chain([service_vpn]).collect()
    }

    /// Whether routes of both are in one routing table.
    pub(super) fn meet(&self, a: u16, b: u16) -> bool {
        !self.of(a).is_disjoint(&self.of(b))
    }
}

/// `leaks`, not yet compared with the service VPNs that there are.
pub(super) fn leaks(notes: &mut Notes<'_>, entry: Option<&Entry>) -> Leaks {
    let mut leaks: Vec<Leak> = Vec::new();
    let items = entry.and_then(|entry| list(notes, &entry.value, "a list of `between: [VPN, VPN]`"));
    for item in items.unwrap_or_default() {
        let Some(leak) = leak(notes, item) else { continue };
        if let Some(first) = leaks.iter().find(|first| first.pair == leak.pair) {
            let message = format!(
                "service VPNs {} and {} are leaked twice",
                leak.pair.0, leak.pair.1
            );
            let hint = format!("they are already on line {}; remove one", first.spans.0.line);
            notes.error(item.span, message, hint);
        } else {
            leaks.push(leak);
        }
    }
    Leaks(leaks)
}

fn leak(notes: &mut Notes<'_>, item: &Node) -> Option<Leak> {
    const FORM: &str = "two service VPNs";
    let fields = Fields::of(notes, item.span, item, "a leak", &["between"])?;
    let node = &fields.required(notes, "between")?.value;
    let vpns = list(notes, node, &format!("a list of {FORM}"))?;
    let [a, b] = vpns else {
        let message = format!("expected {FORM}, found {}", vpns.len());
        notes.error(node.span, message, "write `between: [10, 20]`");
        return None;
    };
    let ends = (service_vpn(notes, a), service_vpn(notes, b));
    let ((vpn_a, span_a), (vpn_b, span_b)) = ((ends.0?, a.span), (ends.1?, b.span));
    if vpn_a == vpn_b {
        let message = format!("service VPN {vpn_a} cannot be leaked to itself");
        notes.error(
            span_b,
            message,
            "all routes of a service VPN are in it already; name another",
        );
        return None;
    }
    Some(if vpn_a < vpn_b {
        Leak {
            pair: (vpn_a, vpn_b),
            spans: (span_a, span_b),
        }
    } else {
        Leak {
            pair: (vpn_b, vpn_a),
            spans: (span_b, span_a),
        }
    })
}

pub(super) fn resolve(notes: &mut Notes<'_>, entry: &Entry, sites: &[&str], leaks: &Leaks) -> Vec<Cluster> {
    let mut node_places: BTreeMap<String, usize> = BTreeMap::new();
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut ranges: Vec<Range> = Vec::new();
    for entry in named(notes, entry, &CLUSTER) {
        let Some(cluster) = cluster(notes, entry, sites, &mut node_places) else {
            continue;
        };
        for (key, nets, kind) in [
            ("podCidr", cluster.pod_cidr, RangeKind::Pods),
            ("serviceCidr", cluster.service_cidr, RangeKind::Services),
        ] {
            let place = super::named_entry(Some(entry), key).map_or(entry.key.span, |entry| entry.value.span);
            for net in nets.iter() {
                let range = Range {
                    net,
                    span: place,
                    cluster: cluster.name.clone(),
                    kind,
                    service_vpn: cluster.service_vpn,
                };
                cidr::check_overlap(notes, &ranges, &range, |a, b| leaks.meet(a, b));
                ranges.push(range);
            }
        }
        clusters.push(cluster);
    }
    // A cluster that is not in order may be the one with the service VPN in question.
    if clusters.len() == keys(Some(entry)).len() {
        check_leaks(notes, leaks, &clusters);
    }
    clusters
}

fn check_leaks(notes: &mut Notes<'_>, leaks: &Leaks, clusters: &[Cluster]) {
    let known: BTreeSet<u16> = clusters.iter().map(|cluster| cluster.service_vpn).collect();
    let names: Vec<String> = known.iter().map(ToString::to_string).collect();
    for leak in &leaks.0 {
        for (service_vpn, span) in [(leak.pair.0, leak.spans.0), (leak.pair.1, leak.spans.1)] {
            if !known.contains(&service_vpn) {
                let hint = format!("service VPNs of the clusters: {}", names.join(", "));
                notes.error(span, format!("unknown service VPN {service_vpn}"), hint);
            }
        }
    }
}

fn cluster(
    notes: &mut Notes<'_>,
    entry: &Entry,
    sites: &[&str],
    node_places: &mut BTreeMap<String, usize>,
) -> Option<Cluster> {
    const KEYS: [&str; 4] = ["podCidr", "serviceCidr", "serviceVpn", "nodes"];
    let name = &entry.key.text;
    let what = format!("cluster `{name}`");
    let fields = Fields::of(notes, entry.key.span, &entry.value, &what, &KEYS)?;
    let pods = fields.required(notes, "podCidr").map(|entry| &entry.value);
    let pod_cidr = pods.and_then(|node| cidr::parse(notes, node, RangeKind::Pods));
    let services = fields.required(notes, "serviceCidr").map(|entry| &entry.value);
    let service_cidr = services.and_then(|node| cidr::parse(notes, node, RangeKind::Services));
    let service_vpn = fields
        .required(notes, "serviceVpn")
        .and_then(|entry| service_vpn(notes, &entry.value));
    let nodes = fields
        .required(notes, "nodes")
        .map(|entry| nodes(notes, entry, sites, node_places));
    if let (Some(net), Some(node), Some(nodes)) = (pod_cidr, pods, &nodes) {
        cidr::check_room_for_nodes(notes, node.span, net, nodes.len());
    }
    if let (Some(pods), Some(service_cidr), Some(node)) = (pod_cidr, service_cidr, services) {
        cidr::check_versions(notes, node.span, pods, service_cidr);
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
        is_declared(notes, node, site, &SITE, sites);
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
