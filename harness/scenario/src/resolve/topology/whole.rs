//! What can only be seen with the whole topology in view: sites that nothing reaches, tunnels too narrow for pods,
//! clusters of a mesh without routes to each other, system IPs among pods, faults of links and tunnels that are not
//! there. Runs when its parts are in order.

use std::net::Ipv4Addr;

use super::{cidr, mesh, named_entry};
use crate::document::{Entry, Notes, Span};
use crate::model::{IpVersion, Topology, Transport};
use crate::overlay::Graph;
use crate::resolve::fields::Fields;
use crate::resolve::{faults, reach};

pub(super) fn check(notes: &mut Notes<'_>, fields: &Fields<'_>, topology: &Topology) {
    let entries = |key: &str| fields.optional(key).and_then(|entry| entry.value.entries());
    let transports = entries("transports").unwrap_or_default();
    for (entry, transport) in transports.iter().zip(&topology.transports) {
        mtu(notes, entry, topology, transport);
    }
    mesh::check(notes, fields.optional("clusterMesh"), topology);
    let graph = Graph::of(topology);
    for (entry, transport) in transports.iter().zip(&topology.transports) {
        for ((kind, node), fault) in faults::places(entry).zip(&transport.faults) {
            for (missing, hint) in reach::missing(&transport.name, fault.scope(), topology, &graph) {
                notes.error(node.span, format!("`{}` {missing}", kind.key.text), hint);
            }
        }
    }
    let sites = entries("sites").unwrap_or_default();
    for (position, (entry, site)) in sites.iter().zip(&topology.sites).enumerate() {
        let is_default = |name| topology.default_transports.contains(name);
        if !site.transports.iter().any(is_default) {
            let message = format!("site `{}` attaches to no default transport", site.name);
            let hint = format!(
                "traffic that no policy matches could not leave it; add {} to `defaultTransport`, or attach it to {}",
                backquoted(&site.transports),
                backquoted(&topology.default_transports),
            );
            notes.error(part(entry, "transports"), message, hint);
        } else if topology.sites.len() > 1 && graph.sites[position].neighbours.is_empty() {
            let hint = "a tunnel needs another site with a transport and a service VPN in common, and the overlay \
                        must join them";
            notes.error(
                entry.key.span,
                format!("site `{}` has no tunnel", site.name),
                hint,
            );
        }
        if let Some(address) = site.system_ip {
            system_ip(notes, part(entry, "systemIp"), topology, address);
        }
    }
}

/// Where the value of a key stands, or what it would belong to.
fn part(entry: &Entry, key: &str) -> Span {
    named_entry(Some(entry), key).map_or(entry.key.span, |part| part.value.span)
}

fn mtu(notes: &mut Notes<'_>, entry: &Entry, topology: &Topology, transport: &Transport) {
    let has_v6 = topology
        .clusters
        .iter()
        .any(|cluster| cluster.pod_cidr.v6.is_some());
    let pods = if has_v6 { IpVersion::V6 } else { IpVersion::V4 };
    let carried = |mtu: u32| transport.encap.tunnel_mtu(mtu, transport.underlay);
    if carried(transport.mtu) < pods.mtu_min() {
        let needed = (pods.mtu_min()..).find(|mtu| carried(*mtu) >= pods.mtu_min());
        let needed = needed.expect("an encapsulation takes less than 200 bytes");
        let message = format!(
            "tunnels over transport `{}` carry packets of {} bytes, {pods} pods need {}",
            transport.name,
            carried(transport.mtu),
            pods.mtu_min(),
        );
        let taken = needed - pods.mtu_min();
        let hint = format!("the encapsulation takes {taken} bytes; choose an `mtu` of {needed} or more");
        notes.error(part(entry, "mtu"), message, hint);
    }
}

fn system_ip(notes: &mut Notes<'_>, place: Span, topology: &Topology, address: Ipv4Addr) {
    for cluster in &topology.clusters {
        let ranges = cluster.pod_cidr.iter().chain(cluster.service_cidr.iter());
        for range in ranges.filter(|range| cidr::holds(*range, address)) {
            let message = format!("system IP {address} is in {range} of cluster `{}`", cluster.name);
            notes.error(
                place,
                message,
                "choose an address that no pod or Service can have",
            );
        }
    }
}

fn backquoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}
