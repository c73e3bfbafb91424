//! What the edges of a lab tell the Manager.
//!
//! Owns the way from sessions, counters and policies to the Manager's values, and the record of sessions that
//! change. Everything is read when it is asked for.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use netsim::bfd::{News, SessionView, State, TunnelChange};
use netsim::fabric::Edge;
use netsim::fabric::host::PacketCount;
use netsim::telemetry::{PolicyReport, Telemetry, TelemetryError, TunnelReport};
use serde_json::json;

use super::edges::LabEdges;
use crate::record::events::EventLog;

#[async_trait]
impl Telemetry for LabEdges {
    async fn tunnels(&self, site_id: u32) -> Result<Vec<TunnelReport>, TelemetryError> {
        let (position, edge) = self.edge_of(site_id)?;
        let mut reports = Vec::new();
        for view in self.prober().sessions() {
            if view.id.edge == position {
                reports.push(self.report(edge, &view).await?);
            }
        }
        Ok(reports)
    }

    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError> {
        let (_, edge) = self.edge_of(site_id)?;
        let told = edge.policy_in_force().await;
        let (policy, counts) = told.map_err(|error| failed(site_id, &error))?;
        Ok(PolicyReport { policy, counts })
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

    async fn report(&self, edge: &Edge, view: &SessionView) -> Result<TunnelReport, TelemetryError> {
        let SessionView { id, session } = view;
        let tunnel = &edge.tunnels()[id.tunnel];
        let remote = &tunnel.remotes[id.remote];
        let outside = &self.outside()[id.edge][id.tunnel];
        let mut traffic = PacketCount::default();
        for device in &tunnel.devices {
            let counted = edge.packet_count(&tunnel.interface(device, id.remote)).await;
            traffic = traffic.plus(counted.map_err(|error| failed(edge.site_id(), &error))?);
        }
        let health = edge.health((id.tunnel, id.remote)).await;
        Ok(TunnelReport {
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
            met: health.met,
            traffic,
        })
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
