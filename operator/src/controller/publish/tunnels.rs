//! WanTunnels: what the Manager reports of the tunnels of a color.
//!
//! Owns which are there and what their status says. Invariant: figures that differ only by noise are not written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::warn;

use super::super::custom::Custom;
use super::WRITE_PATIENCE;
use crate::api::{GROUP, MANAGED_BY, MANAGED_BY_LABEL, VERSION, WanTunnel, WanTunnelSpec, WanTunnelStatus};
use crate::core::{Color, Quality, TunnelReport, TunnelReports};

/// Loss that differs by less is the same, in millionths.
const LOSS_NOISE_PPM: u32 = 2_000;
/// Times that differ by less are the same …
const TIME_NOISE: Duration = Duration::from_millis(2);
/// … and so are those that differ by less than this part of the old one.
const TIME_NOISE_PART: u32 = 5;

pub(super) struct Tunnels {
    api: Api<WanTunnel>,
    copies: Custom<WanTunnel>,
    /// What was last written of each color.
    written: HashMap<Color, TunnelReport>,
}

impl Tunnels {
    pub(super) fn start(kubernetes: &Client, changed: &Arc<Notify>) -> Self {
        let api = Api::all(kubernetes.clone());
        Self {
            copies: Custom::start(api.clone(), changed.clone()),
            api,
            written: HashMap::new(),
        }
    }

    /// Writes what differs from the reports; whether all could be written.
    pub(super) async fn show(&mut self, reports: &TunnelReports, now: Timestamp) -> bool {
        let Some(copies) = self.copies.all() else {
            return true;
        };
        // Without any report nothing is known, so nothing is gone either.
        if reports.is_empty() {
            return true;
        }
        let is_there = |color: &Color| copies.iter().any(|copy| copy.name_any() == color.as_str());
        let mut done = true;
        for (color, report) in reports {
            let known = self.written.get(color).filter(|_| is_there(color));
            if known.is_some_and(|known| !is_news(known, report)) {
                continue;
            }
            match self.write(*color, report, now).await {
                Ok(()) => drop(self.written.insert(*color, report.clone())),
                Err(error) => {
                    warn!(%color, error = &error as &dyn std::error::Error, "tunnel not shown");
                    done = false;
                }
            }
        }
        let is_own = |copy: &WanTunnel| {
            copy.labels()
                .get(MANAGED_BY_LABEL)
                .is_some_and(|by| by == MANAGED_BY)
        };
        for copy in copies.iter().filter(|copy| is_own(copy)) {
            let name = copy.name_any();
            if reports.keys().all(|color| color.as_str() != name) {
                let deleted = self.api.delete(&name, &DeleteParams::default()).await;
                done &= deleted.is_ok();
            }
        }
        done
    }

    async fn write(&self, color: Color, report: &TunnelReport, now: Timestamp) -> kube::Result<()> {
        let (name, manner) = (color.as_str(), PatchParams::apply(MANAGED_BY).force());
        let spec = WanTunnelSpec {
            color: name.to_owned(),
        };
        let mut tunnel = WanTunnel::new(name, spec);
        tunnel.metadata.labels = Some([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())].into());
        let status = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "WanTunnel",
            "metadata": { "name": name }, "status": status(report, now),
        });
        let written = async {
            self.api.patch(name, &manner, &Patch::Apply(&tunnel)).await?;
            self.api.patch_status(name, &manner, &Patch::Apply(&status)).await
        };
        match timeout(WRITE_PATIENCE, written).await {
            Ok(written) => written.map(|_| ()),
            Err(elapsed) => Err(kube::Error::Service(elapsed.into())),
        }
    }
}

/// Whether a report says something else than the last one, beyond noise.
fn is_news(old: &TunnelReport, new: &TunnelReport) -> bool {
    (old.up, old.total) != (new.up, new.total)
        || match (&old.quality, &new.quality) {
            (Some(old), Some(new)) => differ(old, new),
            (None, None) => false,
            _ => true,
        }
}

fn differ(old: &Quality, new: &Quality) -> bool {
    let times_differ =
        |old: Duration, new: Duration| old.abs_diff(new) > TIME_NOISE.max(old / TIME_NOISE_PART);
    old.loss_ppm.abs_diff(new.loss_ppm) > LOSS_NOISE_PPM
        || times_differ(old.latency, new.latency)
        || times_differ(old.jitter, new.jitter)
}

/// The status that a report amounts to.
fn status(report: &TunnelReport, now: Timestamp) -> WanTunnelStatus {
    let ms = |time: Duration| format!("{:.1}ms", time.as_secs_f64() * 1000.0);
    WanTunnelStatus {
        state: Some(report.state().as_str().to_owned()),
        up: report.up,
        total: report.total,
        latency: report.quality.map(|quality| ms(quality.latency)),
        loss: report
            .quality
            .map(|quality| format!("{:.2}%", f64::from(quality.loss_ppm) / 10_000.0)),
        jitter: report.quality.map(|quality| ms(quality.jitter)),
        updated: Some(now.to_string()),
        conditions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(up: u32, loss_ppm: u32, latency_ms: u64, jitter_ms: u64) -> TunnelReport {
        TunnelReport {
            up,
            total: 4,
            quality: Some(Quality {
                loss_ppm,
                latency: Duration::from_millis(latency_ms),
                jitter: Duration::from_millis(jitter_ms),
            }),
            ..TunnelReport::default()
        }
    }

    #[test]
    fn only_what_is_more_than_noise_is_written_again() {
        let written = report(4, 1_000, 50, 5);
        for noise in [
            report(4, 2_500, 50, 5),
            report(4, 1_000, 59, 5),
            report(4, 1_000, 42, 7),
        ] {
            assert!(!is_news(&written, &noise), "{noise:?}");
        }
        let unmeasured = TunnelReport {
            quality: None,
            ..report(4, 0, 0, 0)
        };
        for news in [
            report(3, 1_000, 50, 5),
            report(4, 3_100, 50, 5),
            report(4, 1_000, 61, 5),
            report(4, 1_000, 50, 8),
            unmeasured,
        ] {
            assert!(is_news(&written, &news), "{news:?}");
        }
    }

    #[test]
    fn the_status_has_figures_that_people_read() {
        let status = status(&report(3, 1_500, 50, 5), Timestamp::UNIX_EPOCH);
        assert_eq!(status.state.as_deref(), Some("degraded"));
        assert_eq!((status.up, status.total), (3, 4));
        assert_eq!(status.latency.as_deref(), Some("50.0ms"));
        assert_eq!(status.loss.as_deref(), Some("0.15%"));
        assert_eq!(status.updated.as_deref(), Some("1970-01-01T00:00:00Z"));
    }
}
