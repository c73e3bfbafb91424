//! Whether the points that an assertion names are there, and whether probes can be told at them.

use crate::assertion::{PatternKind, PointKind, PointPattern};
use crate::document::{Notes, Span};
use crate::model::{Encap, Scenario, Topology};
use crate::names;
use crate::plan::{self, Plan};
use crate::resolve::fields::Kind;
use crate::resolve::{topology, unknown};

const INTERFACE: Kind = Kind {
    singular: "interface",
    plural: "interfaces of WAN edges",
    is_word: false,
};

/// Notes a pattern that means no point, or one where packets are encrypted.
pub(super) fn check(notes: &mut Notes<'_>, span: Span, pattern: &PointPattern, topology: &Topology) -> bool {
    let (kind, known) = candidates(pattern.kind, topology);
    let matches = known.iter().any(|name| names::glob_matches(&pattern.glob, name));
    if !matches && pattern.glob.contains(['*', '?']) {
        let hint = format!("known {}: {}", kind.plural, known.join(", "));
        notes.error(
            span,
            format!("`{}` matches no {}", pattern.glob, kind.singular),
            hint,
        );
    } else if !matches {
        unknown(notes, span, &pattern.glob, kind, known.iter().map(String::as_str));
    }
    matches && has_service_vpn(notes, span, pattern, topology) && is_in_clear(notes, span, pattern, topology)
}

/// The names that a pattern of this kind chooses from.
fn candidates(kind: PatternKind, topology: &Topology) -> (&'static Kind, Vec<String>) {
    match kind {
        PatternKind::Of(PointKind::Tunnel | PointKind::Underlay) => {
            let transports = topology.transports.iter();
            (&topology::TRANSPORT, transports.map(|t| t.name.clone()).collect())
        }
        PatternKind::Of(PointKind::Inspection) => {
            let sites = topology.sites.iter().filter(|site| site.has_inspection);
            (
                &topology::INSPECTION,
                sites.map(|site| site.name.clone()).collect(),
            )
        }
        PatternKind::Of(PointKind::Node) => {
            let nodes = topology.clusters.iter().flat_map(|cluster| &cluster.nodes);
            (&topology::NODE, nodes.map(|node| node.name.clone()).collect())
        }
        PatternKind::If => (&INTERFACE, interfaces(topology)),
    }
}

fn has_service_vpn(notes: &mut Notes<'_>, span: Span, pattern: &PointPattern, topology: &Topology) -> bool {
    let service_vpns = topology.service_vpns();
    let Some(asked) = pattern.service_vpn.filter(|asked| !service_vpns.contains(asked)) else {
        return true;
    };
    let known: Vec<String> = service_vpns.iter().map(ToString::to_string).collect();
    let hint = format!("known service VPNs: {}", known.join(", "));
    notes.error(span, format!("unknown service VPN `{asked}`"), hint);
    false
}

/// A claim about an uplink on which no probe can be told would hold of anything.
fn is_in_clear(notes: &mut Notes<'_>, span: Span, pattern: &PointPattern, topology: &Topology) -> bool {
    let mut transports = topology.transports.iter().enumerate();
    let encrypted = transports.find(|(position, transport)| {
        let name = match pattern.kind {
            PatternKind::Of(PointKind::Underlay) => transport.name.clone(),
            PatternKind::If => plan::uplink_interface(*position),
            PatternKind::Of(_) => return false,
        };
        transport.encap.is_encrypted() && names::glob_matches(&pattern.glob, &name)
    });
    let Some((_, transport)) = encrypted else {
        return true;
    };
    let name = &transport.name;
    let point = match pattern.kind {
        PatternKind::If => pattern.to_string(),
        PatternKind::Of(_) => format!("underlay/{name}"),
    };
    let message = format!("transport `{name}` is encrypted: no probe can be told on `{point}`");
    let hint = format!("say `tunnel/{name}`, where packets are still in clear");
    notes.error(span, message, hint);
    false
}

/// The interfaces of all WAN edges at which packets are captured, each name once; none when there is no plan, which is
/// reported when the plan is made.
fn interfaces(topology: &Topology) -> Vec<String> {
    let Ok(plan) = plan::plan(&Scenario::idle(topology.clone()), 0) else {
        return Vec::new();
    };
    let mut interfaces = tunnel_interfaces(&plan);
    let tlocs = plan.edges.iter().flat_map(|edge| &edge.tlocs);
    interfaces.extend(tlocs.map(|tloc| tloc.uplink.clone()));
    interfaces.extend(plan.nodes.iter().map(|node| node.edge_interface.clone()));
    let inspections = plan.edges.iter().flat_map(|edge| &edge.inspection);
    interfaces.extend(inspections.map(|inspection| inspection.interface.clone()));
    interfaces.sort_unstable();
    interfaces.dedup();
    interfaces
}

/// With GRE there is an interface for each remote, numbered in their order.
fn tunnel_interfaces(plan: &Plan) -> Vec<String> {
    let mut interfaces = Vec::new();
    for tloc in plan.edges.iter().flat_map(|edge| &edge.tlocs) {
        let is_gre = plan.transports[tloc.transport].encap == Encap::Gre;
        for tunnel in &tloc.tunnels {
            if is_gre {
                let remotes = 0..tloc.remotes.len();
                interfaces.extend(remotes.map(|remote| format!("{}r{remote}", tunnel.interface)));
            } else {
                interfaces.push(tunnel.interface.clone());
            }
        }
    }
    interfaces
}
