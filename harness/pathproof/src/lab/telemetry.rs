//! What the edges of a lab tell the Manager.
//!
//! Owns the way from sessions, counters, routes and policies to the Manager's values, and the record of sessions that
//! change. Everything is read when it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use netsim::bfd::{News, SessionView, State, TunnelChange};
use netsim::fabric::Edge;
use netsim::fabric::edge::VpnRoutes;
use netsim::fabric::host::PacketCount;
use netsim::policy::SlaClass;
use netsim::telemetry::{
    PolicyReport, RouteReport, RoutingReport, Telemetry, TelemetryError, TlocReport, TunnelReport, VpnReport,
};
use serde_json::json;

use super::edges::LabEdges;
use crate::record::events::EventLog;

#[async_trait]
impl Telemetry for LabEdges {
    async fn tunnels(&self, site_id: u32) -> Result<Vec<TunnelReport>, TelemetryError> {
        let (position, edge) = self.edge_of(site_id)?;
        let carried = edge.packet_counts().await;
        let carried = carried.map_err(|error| failed(site_id, &error))?;
        let health = edge.all_health().await;
        let sessions = self.prober().sessions_of(position);
        let reports = sessions.iter().map(|view| {
            let key = (view.id.tunnel, view.id.remote);
            let met = health.get(&key).map(|health| health.met.clone());
            self.report(edge, view, met.unwrap_or_default(), &carried)
        });
        Ok(reports.collect())
    }

    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError> {
        let (_, edge) = self.edge_of(site_id)?;
        let told = edge.policy_in_force().await;
        let (policy, counts) = told.map_err(|error| failed(site_id, &error))?;
        Ok(PolicyReport { policy, counts })
    }

    async fn routing(&self, site_id: u32) -> Result<RoutingReport, TelemetryError> {
        let (position, edge) = self.edge_of(site_id)?;
        let told = edge.vpn_routes().await;
        let told = told.map_err(|error| failed(site_id, &error))?;
        let tlocs = edge.tunnels().iter().zip(&self.outside()[position]);
        let tlocs = tlocs.map(|(tunnel, outside)| TlocReport {
            color: tunnel.color.clone(),
            carried: outside.carried,
            address: outside.local,
            port: outside.port,
        });
        Ok(RoutingReport {
            tlocs: tlocs.collect(),
            vpns: told.into_iter().map(|routes| vpn_report(edge, routes)).collect(),
        })
    }
}

impl LabEdges {
    fn edge_of(&self, site_id: u32) -> Result<(usize, &Edge), TelemetryError> {
        let mut edges = self.edges().iter().enumerate();
        edges
            .find(|(_, edge)| edge.site_id() == site_id)
            .map(|(position, edge)| (position, edge.as_ref()))
            .ok_or_else(|| failed(site_id, &"no edge stands there"))
    }

    fn report(
        &self,
        edge: &Edge,
        view: &SessionView,
        met: BTreeSet<SlaClass>,
        carried: &BTreeMap<String, PacketCount>,
    ) -> TunnelReport {
        let SessionView { id, session } = view;
        let tunnel = &edge.tunnels()[id.tunnel];
        let remote = &tunnel.remotes[id.remote];
        let outside = &self.outside()[id.edge][id.tunnel];
        let devices = tunnel.devices.iter();
        let counts = devices.filter_map(|device| carried.get(&tunnel.interface(device, id.remote)));
        TunnelReport {
            remote_site_id: remote.site_id,
            color: tunnel.color.clone(),
            carried: outside.carried,
            underlay: (outside.local, outside.remotes[id.remote]),
            port: outside.port,
            mtu: tunnel.mtu,
            timing: session.timing(),
            state: session.state(),
            state_for: Instant::now().saturating_duration_since(session.since()),
            transitions: session.transitions(),
            statistics: session.statistics(),
            totals: session.totals(),
            hellos_sent: session.sent(),
            echoes_received: session.echoes(),
            met,
            traffic: counts.fold(PacketCount::default(), |sum, count| sum.plus(*count)),
        }
    }
}

/// The routes of an edge, with the TLOCs that they lead to.
fn vpn_report(edge: &Edge, routes: VpnRoutes) -> VpnReport {
    let received = routes.received.into_iter().map(|route| {
        let (tunnel, remote) = route.tunnel;
        let tunnel = &edge.tunnels()[tunnel];
        RouteReport {
            prefix: route.prefix,
            system_ip: tunnel.remotes[remote].system_ip,
            color: tunnel.color.clone(),
            hops: route.hops,
            resolved: route.resolved,
            chosen: route.chosen,
            installed: route.installed,
        }
    });
    VpnReport {
        service_vpn: routes.service_vpn,
        originated: routes.originated,
        received: received.collect(),
    }
}

/// Records that a session went up or down, or that a tunnel meets a class or no longer does, and what its edge made
/// of it.
pub(super) fn record(log: &EventLog, edges: &[Arc<Edge>], change: &TunnelChange) {
    let edge = &edges[change.id.edge];
    let tunnel = &edge.tunnels()[change.id.tunnel];
    let (what, class) = match &change.news {
        News::Session(transition) => match transition.to {
            State::Down => ("down", None),
            State::Up | State::Pending => ("up", None),
        },
        News::Class { class, met: true } => ("meets class", Some(&class.name)),
        News::Class { class, met: false } => ("violates class", Some(&class.name)),
    };
    let problem = change.applied.as_ref().err().map(ToString::to_string);
    let detail = json!({
        "site": edge.site_id(),
        "color": tunnel.color,
        "peer": tunnel.remotes[change.id.remote].system_ip,
        "class": class,
        "problem": problem,
    });
    log.note("bfd", what, detail);
}

fn failed(site_id: u32, reason: &dyn std::fmt::Display) -> TelemetryError {
    TelemetryError {
        site_id,
        reason: reason.to_string(),
    }
}
