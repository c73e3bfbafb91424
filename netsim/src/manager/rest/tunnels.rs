//! Real-time resources of one device: its sessions, and what they measured.
//!
//! Milliseconds are whole, as the product has them.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refusal, Shared, steering};
use crate::bfd;
use crate::encap::Encapsulation;
use crate::manager::Device;
use crate::manager::app::App;
use crate::manager::state::{self, LabState};
use crate::policy::SlaClass;
use crate::telemetry::TunnelReport;

/// How often the product judges tunnels by their statistics, unless configured.
const POLL_INTERVAL_MS: u64 = 600_000;

/// Which device is asked.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(rename = "deviceId")]
    device_id: String,
}

pub(super) type OneDevice = Result<Query<Which>, QueryRejection>;

/// `GET /dataservice/device/bfd/sessions?deviceId=`.
pub(super) async fn sessions(State(app): Shared, which: OneDevice) -> Answer {
    rows(&app, which, |app, device, tunnel| {
        let mut row = ends(app, device, tunnel);
        row["site-id"] = json!(tunnel.remote_site_id);
        row["system-ip"] = json!(system_ip(app, tunnel.remote_site_id));
        row["color"] = json!(tunnel.color);
        row["state"] = json!(if is_up(tunnel) { "up" } else { "down" });
        row["detect-multiplier"] = json!(tunnel.timing.multiplier.to_string());
        row["tx-interval"] = json!(millis(tunnel.timing.hello));
        row["transitions"] = json!(tunnel.transitions);
        row["uptime"] = json!(if is_up(tunnel) {
            uptime(tunnel.state_for)
        } else {
            "NA".to_owned()
        });
        if is_up(tunnel) {
            row["uptime-date"] = json!(app.now_ms().saturating_sub(millis(tunnel.state_for)));
        }
        row
    })
    .await
}

/// `GET /dataservice/device/bfd/summary?deviceId=`.
pub(super) async fn summary(State(app): Shared, which: OneDevice) -> Answer {
    let (device, tunnels) = ask(&app, which).await?;
    let flaps: u64 = tunnels.iter().map(|tunnel| tunnel.transitions).sum();
    Ok(Json(json!({ "data": [{
        "vdevice-name": device.system_ip,
        "vdevice-host-name": device.host_name,
        "bfd-sessions-total": tunnels.len(),
        "bfd-sessions-up": up(&tunnels),
        "bfd-sessions-max": tunnels.len(),
        "bfd-sessions-flap": flaps,
        "poll-interval": POLL_INTERVAL_MS,
    }]})))
}

/// `GET /dataservice/device/app-route/statistics?deviceId=`.
pub(super) async fn app_route(State(app): Shared, which: OneDevice) -> Answer {
    let (device, tunnels) = ask(&app, which).await?;
    let policy = app.telemetry.policy(device.site_id).await?.policy;
    let classes = steering::classes(&policy);
    let rows = tunnels.iter().map(|tunnel| {
        let statistics = &tunnel.statistics;
        let latency = statistics.latency.map_or(0, rounded_millis);
        let jitter = statistics.jitter.map_or(0, rounded_millis);
        let mut row = ends(&app, device, tunnel);
        row["index"] = json!(0);
        row["remote-system-ip"] = json!(system_ip(&app, tunnel.remote_site_id));
        row["remote-color"] = json!(tunnel.color);
        row["total-packets"] = json!(statistics.total);
        row["loss"] = json!(statistics.lost);
        row["average-latency"] = json!(latency);
        row["average-jitter"] = json!(jitter);
        row["mean-loss"] = json!(format!("{:.0}", statistics.loss_percent()));
        row["mean-latency"] = json!(latency.to_string());
        row["mean-jitter"] = json!(jitter.to_string());
        row["sla-class-index"] = json!(met_indexes(&classes, tunnel));
        row["tx-data-pkts"] = json!(tunnel.traffic.sent.to_string());
        row["rx-data-pkts"] = json!(tunnel.traffic.received.to_string());
        row
    });
    Ok(Json(json!({ "data": rows.collect::<Vec<_>>() })))
}

/// The indexes of the classes that a tunnel meets, as `0,2`; every tunnel meets that of index 0.
fn met_indexes(classes: &[SlaClass], tunnel: &TunnelReport) -> String {
    let met = (1..).zip(classes).filter(|(_, class)| tunnel.met.contains(class));
    let indexes = std::iter::once(0).chain(met.map(|(index, _)| index));
    indexes
        .map(|index: u32| index.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

/// `GET /dataservice/device/tunnel/statistics?deviceId=`.
pub(super) async fn statistics(State(app): Shared, which: OneDevice) -> Answer {
    rows(&app, which, |app, device, tunnel| {
        let ends = ends(app, device, tunnel);
        json!({
            "vdevice-name": ends["vdevice-name"],
            "vdevice-host-name": ends["vdevice-host-name"],
            "tunnel-protocol": ends["proto"],
            "source-ip": ends["src-ip"],
            "dest-ip": ends["dst-ip"],
            "source-port": ends["src-port"],
            "dest-port": ends["dst-port"],
            "system-ip": system_ip(app, tunnel.remote_site_id),
            "local-color": tunnel.color,
            "remote-color": tunnel.color,
            "tunnel-mtu": tunnel.mtu,
            "tx_pkts": tunnel.traffic.sent.to_string(),
            "tx_octets": tunnel.traffic.sent_octets.to_string(),
            "rx_pkts": tunnel.traffic.received.to_string(),
            "rx_octets": tunnel.traffic.received_octets.to_string(),
        })
    })
    .await
}

/// `GET /pathproof/v1/state`: the lab's own, not the product's.
pub(super) async fn lab_state(State(app): Shared) -> Result<Json<LabState>, Refusal> {
    let mut sites = Vec::with_capacity(app.devices.len());
    for device in &app.devices {
        let tunnels = app.telemetry.tunnels(device.site_id).await?;
        let policy = app.telemetry.policy(device.site_id).await?;
        sites.push(state::site(device, &tunnels, &policy));
    }
    Ok(Json(LabState { sites }))
}

/// How many of these have a session that is up.
pub(super) fn up(tunnels: &[TunnelReport]) -> usize {
    tunnels.iter().filter(|tunnel| is_up(tunnel)).count()
}

async fn rows(app: &App, which: OneDevice, row: impl Fn(&App, &Device, &TunnelReport) -> Value) -> Answer {
    let (device, tunnels) = ask(app, which).await?;
    let rows: Vec<Value> = tunnels.iter().map(|tunnel| row(app, device, tunnel)).collect();
    Ok(Json(json!({ "data": rows })))
}

async fn ask(app: &App, which: OneDevice) -> Result<(&Device, Vec<TunnelReport>), Refusal> {
    let device = device(app, which)?;
    Ok((device, app.telemetry.tunnels(device.site_id).await?))
}

/// The device that is asked.
pub(super) fn device(app: &App, which: OneDevice) -> Result<&Device, Refusal> {
    let Query(Which { device_id }) = which.map_err(Refusal::Query)?;
    let asked = |device: &&Device| device.system_ip.to_string() == device_id;
    let device = app.devices.iter().find(asked);
    device.ok_or(Refusal::NoDevice(device_id))
}

/// What all rows of tunnels have: the device, and where the tunnel begins and ends.
fn ends(app: &App, device: &Device, tunnel: &TunnelReport) -> Value {
    let (local, remote) = tunnel.underlay;
    json!({
        "vdevice-name": device.system_ip,
        "vdevice-host-name": device.host_name,
        "local-color": tunnel.color,
        "src-ip": local,
        "dst-ip": remote,
        "src-port": tunnel.port,
        "dst-port": tunnel.port,
        "proto": proto(tunnel.carried.encapsulation),
        "lastupdated": app.now_ms(),
    })
}

/// The product has these two: what is not GRE goes by its usual one.
fn proto(encapsulation: Encapsulation) -> &'static str {
    match encapsulation {
        Encapsulation::Gre => "gre",
        Encapsulation::Vxlan | Encapsulation::Wireguard | Encapsulation::Ipsec => "ipsec",
    }
}

fn system_ip(app: &App, site_id: u32) -> Option<String> {
    let device = app.devices.iter().find(|device| device.site_id == site_id);
    device.map(|device| device.system_ip.to_string())
}

fn is_up(tunnel: &TunnelReport) -> bool {
    tunnel.state == bfd::State::Up
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn rounded_millis(duration: Duration) -> u64 {
    millis(duration + Duration::from_micros(500))
}

/// Days, hours, minutes and seconds.
fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    format!(
        "{}:{:02}:{:02}:{:02}",
        hours / 24,
        hours % 24,
        minutes % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_read_as_those_of_the_product() {
        assert_eq!(uptime(Duration::from_millis(59_999)), "0:00:00:59");
        let duration = Duration::from_secs(((25 * 24 + 3) * 60 + 4) * 60 + 5);
        assert_eq!(uptime(duration), "25:03:04:05");
    }

    #[test]
    fn milliseconds_are_rounded_to_the_nearest() {
        let rounded = [499, 500, 1_499, 1_500].map(|micros| rounded_millis(Duration::from_micros(micros)));
        assert_eq!(rounded, [0, 1, 1, 2]);
    }
}
