//! The rows of the history.
//!
//! Owns how a row is kept, small, and the value that it has in each [`Field`]. Figures are those of one interval:
//! counters are differences, means are over the hellos that were settled in it.

use std::sync::Arc;
use std::time::Duration;

use super::field::{Datum, Field, Record};

/// What one edge told at one time.
#[derive(Debug)]
pub(in crate::manager) struct Batch {
    /// When, in milliseconds since the Unix epoch.
    pub(in crate::manager) entry_ms: u64,
    /// When the round began that it was asked in; the same for all edges of a round.
    pub(in crate::manager) cycle_ms: u64,
    /// One for each tunnel.
    pub(in crate::manager) rows: Vec<Row>,
}

/// A tunnel during one interval.
#[derive(Debug, Clone)]
pub(in crate::manager) struct Row {
    /// The tunnel.
    pub(in crate::manager) tunnel: Arc<Tunnel>,
    /// The classes that it met at the end.
    pub(in crate::manager) classes: Arc<Classes>,
    /// Octets sent.
    pub(in crate::manager) sent_octets: u64,
    /// Octets received.
    pub(in crate::manager) received_octets: u64,
    /// Packets sent.
    pub(in crate::manager) sent: u32,
    /// Packets received.
    pub(in crate::manager) received: u32,
    /// Hellos that were settled.
    pub(in crate::manager) total: u32,
    /// Those lost.
    pub(in crate::manager) lost: u32,
    /// Mean latency in microseconds; none without an echo.
    pub(in crate::manager) latency_us: Option<u32>,
    /// Mean difference in latency of neighbours, in microseconds.
    pub(in crate::manager) jitter_us: u32,
    /// Whether its session was up at the end.
    pub(in crate::manager) up: bool,
}

/// A tunnel, as all its rows have it.
#[derive(Debug)]
pub(in crate::manager) struct Tunnel {
    /// Whose it is.
    pub(in crate::manager) edge: Arc<EdgeNames>,
    /// `10.0.0.1:mpls-10.0.0.2:mpls`.
    pub(in crate::manager) name: Box<str>,
    /// The system IP of the remote edge.
    pub(in crate::manager) remote_system_ip: Box<str>,
    /// Color of both TLOCs.
    pub(in crate::manager) color: Box<str>,
    /// `mpls:mpls`.
    pub(in crate::manager) tunnel_color: Box<str>,
    /// Outer addresses, local and remote.
    pub(in crate::manager) underlay: (Box<str>, Box<str>),
    /// Outer port, the same on both sides.
    pub(in crate::manager) port: u16,
    /// `IPSEC` or `GRE`.
    pub(in crate::manager) proto: &'static str,
}

/// An edge, as all its tunnels have it.
#[derive(Debug)]
pub(in crate::manager) struct EdgeNames {
    /// Its system IP.
    pub(in crate::manager) system_ip: Box<str>,
    /// Its name.
    pub(in crate::manager) host_name: Box<str>,
    /// Its site.
    pub(in crate::manager) site_id: u32,
}

/// SLA classes that are met.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::manager) struct Classes {
    /// Their indexes: `0,2`.
    pub(in crate::manager) indexes: Box<str>,
    /// Their names: `__all_tunnels__, voice`.
    pub(in crate::manager) names: Box<str>,
}

/// A row of a batch, which it keeps alive.
#[derive(Debug, Clone)]
pub(in crate::manager) struct RowRef {
    batch: Arc<Batch>,
    position: usize,
}

/// The rows of a batch.
pub(in crate::manager) fn rows(batch: &Arc<Batch>) -> impl Iterator<Item = RowRef> {
    (0..batch.rows.len()).map(|position| RowRef {
        batch: batch.clone(),
        position,
    })
}

impl RowRef {
    /// What was told together with it.
    pub(in crate::manager) fn batch(&self) -> &Batch {
        &self.batch
    }

    fn row(&self) -> &Row {
        &self.batch.rows[self.position]
    }
}

impl Record for RowRef {
    fn datum(&self, field: Field) -> Datum<'_> {
        let row = self.row();
        let tunnel = &*row.tunnel;
        let text = match field {
            Field::VdeviceName | Field::LocalSystemIp | Field::VmanageSystemIp => &tunnel.edge.system_ip,
            Field::HostName => &tunnel.edge.host_name,
            Field::DeviceModel => DEVICE_MODEL,
            Field::RemoteSystemIp => &tunnel.remote_system_ip,
            Field::LocalColor | Field::RemoteColor => &tunnel.color,
            Field::TunnelColor => &tunnel.tunnel_color,
            Field::Name => &tunnel.name,
            Field::SrcIp => &tunnel.underlay.0,
            Field::DstIp => &tunnel.underlay.1,
            Field::Proto => tunnel.proto,
            Field::SlaClassList => &row.classes.indexes,
            Field::SlaClassNames => &row.classes.names,
            Field::AppProbeClass => "None",
            Field::State if row.up => "Up",
            Field::State => "Down",
            Field::Tenant => "default",
            number => return Datum::Number(figure(self.batch(), row, number)),
        };
        Datum::Text(text)
    }
}

/// The model of all edges.
pub(in crate::manager) const DEVICE_MODEL: &str = "vedge-C8000V";

/// The value of a field that holds no text.
fn figure(batch: &Batch, row: &Row, field: Field) -> f64 {
    match field {
        Field::EntryTime => batch.entry_ms as f64,
        Field::CycleTime => batch.cycle_ms as f64,
        Field::SrcPort | Field::DstPort => row.tunnel.port.into(),
        Field::Total => row.total.into(),
        Field::Loss => row.lost.into(),
        Field::LossPercentage => rounded(row.loss() * 100.0, 1000.0),
        Field::Latency => rounded(f64::from(row.latency_us.unwrap_or(0)) / 1000.0, 1.0),
        Field::Jitter => rounded(f64::from(row.jitter_us) / 1000.0, 1.0),
        Field::VqoeScore => row.vqoe(),
        Field::TxPkts => row.sent.into(),
        Field::RxPkts => row.received.into(),
        Field::TxOctets => row.sent_octets as f64,
        Field::RxOctets => row.received_octets as f64,
        Field::SiteId => row.tunnel.edge.site_id.into(),
        // Packets are not protected, so none is recovered; texts are not asked here.
        _ => 0.0,
    }
}

impl Row {
    /// The part of the hellos that was lost.
    fn loss(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        f64::from(self.lost) / f64::from(self.total)
    }

    /// Quality for people, 0 to 10, with one decimal: the E-model (ITU-T G.107) as Cole and Rosenbluth reduced it to
    /// delay and loss for G.711, of which R = 94.2 is 10; twice the jitter counts as delay. Without an echo it is 0.
    fn vqoe(&self) -> f64 {
        const BEST: f64 = 94.2;
        let Some(latency) = self.latency_us else {
            return 0.0;
        };
        let delay_ms = (f64::from(latency) + 2.0 * f64::from(self.jitter_us)) / 1000.0;
        let delayed = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
        let lossy = 30.0 * (1.0 + 15.0 * self.loss()).ln();
        rounded((BEST - delayed - lossy).max(0.0) / BEST * 10.0, 10.0)
    }
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// Whole milliseconds.
pub(in crate::manager) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row of the tunnel to edge `remote`.
    pub(in crate::manager::history) fn row(remote: u8) -> Row {
        let edge = EdgeNames {
            system_ip: "10.0.0.1".into(),
            host_name: "edge-1".into(),
            site_id: 1,
        };
        let tunnel = Tunnel {
            edge: Arc::new(edge),
            name: format!("10.0.0.1:mpls-10.0.1.{remote}:mpls").into(),
            remote_system_ip: format!("10.0.1.{remote}").into(),
            color: "mpls".into(),
            tunnel_color: "mpls:mpls".into(),
            underlay: ("100.64.0.1".into(), "100.64.0.2".into()),
            port: 12346,
            proto: "IPSEC",
        };
        let classes = Classes {
            indexes: "0".into(),
            names: "__all_tunnels__".into(),
        };
        Row {
            tunnel: Arc::new(tunnel),
            classes: Arc::new(classes),
            sent_octets: 0,
            received_octets: 0,
            sent: 0,
            received: 0,
            total: 664,
            lost: 2,
            latency_us: Some(20_400),
            jitter_us: 1_500,
            up: true,
        }
    }

    /// What an edge told at a time.
    pub(in crate::manager::history) fn batch(entry_ms: u64, rows: Vec<Row>) -> Batch {
        Batch {
            entry_ms,
            cycle_ms: entry_ms,
            rows,
        }
    }

    #[test]
    fn a_row_is_small() {
        assert_eq!(size_of::<Row>(), 64);
    }

    #[test]
    fn values_are_of_the_kind_that_their_field_has() {
        let batch = Arc::new(batch(5, vec![row(2)]));
        let row = rows(&batch).next().unwrap();
        for field in Field::ALL {
            let is_text = matches!(row.datum(*field), Datum::Text(_));
            assert_eq!(
                is_text,
                field.kind() == super::super::field::Kind::Text,
                "{field:?}"
            );
        }
        let shown = [
            Field::LossPercentage,
            Field::Latency,
            Field::Jitter,
            Field::EntryTime,
        ]
        .map(|field| row.datum(field).json().to_string());
        assert_eq!(shown, ["0.301", "20", "2", "5"]);
    }

    #[test]
    fn quality_falls_with_delay_and_loss() {
        let quality = |latency_ms: Option<u32>, lost: u32| {
            let row = Row {
                latency_us: latency_ms.map(|millis| millis * 1000),
                lost,
                total: 100,
                jitter_us: 0,
                ..row(2)
            };
            row.vqoe()
        };
        let falling = [
            quality(Some(0), 0),
            quality(Some(100), 0),
            quality(Some(100), 2),
            quality(Some(400), 2),
            quality(Some(400), 10),
            quality(None, 100),
        ];
        // R = 94.2 - 0.024 d - 0.11 max(d - 177.3, 0) - 30 ln(1 + 15 e), by hand.
        assert_eq!(falling, [10.0, 9.7, 8.9, 5.5, 3.5, 0.0]);
    }
}
