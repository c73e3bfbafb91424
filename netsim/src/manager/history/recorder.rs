//! The recorder: asks every edge once an interval, and makes rows of what it tells.
//!
//! Owns what was counted at the time before, since rows are of the time between. A session that settled no hello in an
//! interval, because probing is paused or nothing is known yet, has no row for it; the first row of a tunnel is of all
//! the time since its session began. An edge that does not answer has no rows until it does, and then one of all the
//! time between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::row::{Batch, Classes, EdgeNames, Row, Tunnel};
use crate::bfd::{State, Totals};
use crate::encap::Encapsulation;
use crate::fabric::host::PacketCount;
use crate::manager::Device;
use crate::manager::app::App;
use crate::manager::sla_classes;
use crate::policy::SlaClass;
use crate::sla::Means;
use crate::telemetry::{TelemetryError, TunnelReport};

/// Rounds are so far apart that no more rows are made.
pub(in crate::manager) const ROWS_PER_SECOND: u32 = 2000;

/// Records until it is dropped, in rounds that begin `interval` apart, or farther ([`ROWS_PER_SECOND`]).
pub(in crate::manager) async fn run(app: Arc<App>, interval: Duration) {
    let mut edges: Vec<Edge> = app.devices.iter().map(Edge::new).collect();
    loop {
        let began = tokio::time::Instant::now();
        let cycle_ms = app.now_ms();
        let mut rows = 0;
        for (edge, device) in edges.iter_mut().zip(&app.devices) {
            match edge.ask(&app, device, cycle_ms).await {
                Ok(batch) => {
                    rows += batch.rows.len();
                    app.history.record(batch);
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::debug!(error, "no statistics");
                }
            }
        }
        tokio::time::sleep_until(began + interval.max(apart(rows))).await;
    }
}

/// How far rounds of so many rows are apart at least.
fn apart(rows: usize) -> Duration {
    Duration::from_secs(1) / ROWS_PER_SECOND * u32::try_from(rows).unwrap_or(u32::MAX)
}

/// An edge, as it was at the time before.
struct Edge {
    names: Arc<EdgeNames>,
    /// By remote site and color.
    tunnels: BTreeMap<(u32, String), Before>,
    /// By the indexes of classes.
    classes: BTreeMap<Vec<usize>, Arc<Classes>>,
    /// What those are indexes of.
    in_force: Vec<SlaClass>,
}

/// A tunnel at the time before.
struct Before {
    tunnel: Arc<Tunnel>,
    totals: Totals,
    traffic: PacketCount,
}

impl Edge {
    fn new(device: &Device) -> Self {
        let names = EdgeNames {
            system_ip: device.system_ip.to_string().into(),
            host_name: device.host_name.as_str().into(),
            site_id: device.site_id,
        };
        Self {
            names: Arc::new(names),
            tunnels: BTreeMap::new(),
            classes: BTreeMap::new(),
            in_force: Vec::new(),
        }
    }

    async fn ask(&mut self, app: &App, device: &Device, cycle_ms: u64) -> Result<Batch, TelemetryError> {
        let reports = app.tunnels(device).await?;
        let policy = app.policy(device).await?.policy;
        self.follow(sla_classes::of(&policy));
        let rows = reports.iter().filter_map(|report| self.row(app, report));
        Ok(Batch {
            rows: rows.collect(),
            entry_ms: app.now_ms(),
            cycle_ms,
        })
    }

    /// The classes in force are these.
    fn follow(&mut self, in_force: Vec<SlaClass>) {
        if self.in_force != in_force {
            self.classes.clear();
            self.in_force = in_force;
        }
    }

    /// The row of a tunnel; none if no hello was settled.
    fn row(&mut self, app: &App, report: &TunnelReport) -> Option<Row> {
        let classes = self.met(report);
        let names = &self.names;
        let key = (report.remote_site_id, report.color.clone());
        let before = self.tunnels.entry(key).or_insert_with(|| Before {
            tunnel: Arc::new(tunnel(app, names, report)),
            totals: Totals::default(),
            traffic: PacketCount::default(),
        });
        let counted = report.totals.since(&before.totals);
        let hellos = counted.hellos();
        if hellos == 0 {
            return None;
        }
        let traffic = std::mem::replace(&mut before.traffic, report.traffic);
        before.totals = report.totals;
        let means = Means::of(&counted);
        let now = report.traffic;
        Some(Row {
            tunnel: before.tunnel.clone(),
            classes,
            sent_octets: now.sent_octets.saturating_sub(traffic.sent_octets),
            received_octets: now.received_octets.saturating_sub(traffic.received_octets),
            sent: saturated(now.sent.saturating_sub(traffic.sent)),
            received: saturated(now.received.saturating_sub(traffic.received)),
            total: saturated(hellos),
            lost: saturated(counted.lost),
            latency_us: means.latency.map(micros),
            jitter_us: means.jitter.map_or(0, micros),
            up: report.state == State::Up,
        })
    }

    fn met(&mut self, report: &TunnelReport) -> Arc<Classes> {
        let indexes = sla_classes::met(&self.in_force, &report.met);
        let classes = self.classes.entry(indexes).or_insert_with_key(|indexes| {
            let names = indexes
                .iter()
                .map(|index| sla_classes::name(&self.in_force, *index));
            Arc::new(Classes {
                indexes: sla_classes::list(indexes).into(),
                names: names.collect::<Vec<_>>().join(", ").into(),
            })
        });
        classes.clone()
    }
}

fn tunnel(app: &App, edge: &Arc<EdgeNames>, report: &TunnelReport) -> Tunnel {
    let color = &report.color;
    // An edge that the Manager does not manage has no name here.
    let remote = app.system_ip(report.remote_site_id).unwrap_or_default();
    let (local_address, remote_address) = report.underlay;
    Tunnel {
        edge: edge.clone(),
        name: format!("{}:{color}-{remote}:{color}", edge.system_ip).into(),
        remote_system_ip: remote.into(),
        color: color.as_str().into(),
        tunnel_color: format!("{color}:{color}").into(),
        underlay: (
            local_address.to_string().into(),
            remote_address.to_string().into(),
        ),
        port: report.port,
        proto: match report.carried.encapsulation {
            Encapsulation::Gre => "GRE",
            Encapsulation::Vxlan | Encapsulation::Wireguard | Encapsulation::Ipsec => "IPSEC",
        },
    }
}

fn saturated(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_of_many_rows_are_far_apart() {
        let seconds = [0, 400, 2_000, 79_600].map(|rows| apart(rows).as_secs_f64());
        assert_eq!(seconds, [0.0, 0.2, 1.0, 39.8]);
    }

    #[test]
    fn a_full_history_reaches_back_ten_minutes() {
        let rows = u32::try_from(crate::manager::history::ROWS_MAX).unwrap();
        assert!(rows / ROWS_PER_SECOND >= 600);
    }
}
