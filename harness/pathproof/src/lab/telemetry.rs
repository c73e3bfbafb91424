//! What the edges of a lab tell the Manager.
//!
//! Owns the way from sessions, counters and policies to the Manager's values, and the record of sessions that
//! change. Everything is read when it is asked for.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use netsim::bfd::{SessionView, State, TunnelChange};
use netsim::fabric::Edge;
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
        let (peer, _) = &tunnel.remotes[id.remote];
        let is_peer = |other: &&Arc<Edge>| other.tunnels()[id.tunnel].device.address.addr() == peer.address;
        let remote = self.edges().iter().find(is_peer);
        let traffic = edge.packet_count(&tunnel.device.interface).await;
        Ok(TunnelReport {
            remote_site_id: remote.map_or(0, |edge| edge.site_id()),
            color: tunnel.color.clone(),
            underlay: (tunnel.device.local, peer.underlay),
            port: tunnel.device.port,
            mtu: tunnel.device.mtu,
            timing: session.timing(),
            state: session.state(),
            state_for: Instant::now().saturating_duration_since(session.since()),
            transitions: session.transitions(),
            statistics: session.statistics(),
            traffic: traffic.map_err(|error| failed(edge.site_id(), &error))?,
        })
    }
}

/// Records that a session went up or down, and what its edge made of it.
pub(super) fn record(log: &EventLog, edges: &[Arc<Edge>], change: &TunnelChange) {
    let edge = &edges[change.id.edge];
    let tunnel = &edge.tunnels()[change.id.tunnel];
    let what = match change.transition.to {
        State::Down => "down",
        State::Up | State::Pending => "up",
    };
    let peer = tunnel.remotes[change.id.remote].0.underlay;
    let problem = change.applied.as_ref().err().map(ToString::to_string);
    let detail = json!({
        "site": edge.site_id(),
        "color": tunnel.color,
        "peer": peer,
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
