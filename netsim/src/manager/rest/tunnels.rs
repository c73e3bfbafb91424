//! Real-time resources of one device: its sessions, and what they measured.
//!
//! Milliseconds are whole, as the product has them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::asked::{Asked, data, stamp};
use super::{Answer, Refusal, Shared};
use crate::bfd::{self, PACKET_LEN};
use crate::encap::Encapsulation;
use crate::manager::Device;
use crate::manager::app::App;
use crate::manager::history::row::whole_millis;
use crate::manager::sla_classes;
use crate::manager::state::{self, LabState};
use crate::telemetry::{TlocReport, TunnelReport};

/// How often the product judges tunnels by their statistics, unless configured.
const POLL_INTERVAL_MS: u64 = 600_000;
/// Octets of a hello or echo with its UDP and IPv4 headers (RFC 768, RFC 791).
const HELLO_OCTETS: u64 = PACKET_LEN as u64 + 8 + 20;

/// `GET /dataservice/device/bfd/sessions?deviceId=`.
pub(super) async fn sessions(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let tunnels = app.tunnels(device).await?;
    asked.answer(&app, tunnels.iter().map(|tunnel| session(&app, device, tunnel)))
}

/// A session, as `bfd/sessions` and the state feed have it.
pub(super) fn session(app: &App, device: &Device, tunnel: &TunnelReport) -> Value {
    let mut row = ends(app, device, tunnel);
    row["site-id"] = json!(tunnel.remote_site_id);
    row["system-ip"] = json!(app.system_ip(tunnel.remote_site_id));
    row["color"] = json!(tunnel.color);
    row["state"] = json!(if is_up(tunnel) { "up" } else { "down" });
    row["detect-multiplier"] = json!(tunnel.timing.multiplier.to_string());
    row["tx-interval"] = json!(whole_millis(tunnel.timing.hello));
    row["transitions"] = json!(tunnel.transitions);
    row["uptime"] = json!(if is_up(tunnel) {
        uptime(tunnel.state_for)
    } else {
        "NA".to_owned()
    });
    if is_up(tunnel) {
        row["uptime-date"] = json!(app.now_ms().saturating_sub(whole_millis(tunnel.state_for)));
    }
    row
}

/// `GET /dataservice/device/bfd/summary?deviceId=`.
pub(super) async fn summary(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let tunnels = app.tunnels(device).await?;
    let flaps: u64 = tunnels.iter().map(|tunnel| tunnel.transitions).sum();
    let mut row = stamp(&app, device, "summary");
    row["bfd-sessions-total"] = json!(tunnels.len());
    row["bfd-sessions-up"] = json!(up(&tunnels));
    row["bfd-sessions-max"] = json!(tunnels.len());
    row["bfd-sessions-flap"] = json!(flaps);
    row["poll-interval"] = json!(POLL_INTERVAL_MS);
    asked.answer(&app, [row])
}

/// `GET /dataservice/device/app-route/statistics?deviceId=`.
pub(super) async fn app_route(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let tunnels = app.tunnels(device).await?;
    let classes = sla_classes::of(&app.policy(device).await?.policy);
    let rows = tunnels.iter().map(|tunnel| {
        let statistics = &tunnel.statistics;
        let latency = statistics.latency.map_or(0, rounded_millis);
        let jitter = statistics.jitter.map_or(0, rounded_millis);
        let mut row = ends(&app, device, tunnel);
        row["index"] = json!(0);
        row["remote-system-ip"] = json!(app.system_ip(tunnel.remote_site_id));
        row["remote-color"] = json!(tunnel.color);
        row["total-packets"] = json!(statistics.total);
        row["loss"] = json!(statistics.lost);
        row["average-latency"] = json!(latency);
        row["average-jitter"] = json!(jitter);
        row["mean-loss"] = json!(format!("{:.0}", statistics.loss_percent()));
        row["mean-latency"] = json!(latency.to_string());
        row["mean-jitter"] = json!(jitter.to_string());
        let met = sla_classes::met(&classes, &tunnel.met);
        row["sla-class-index"] = json!(sla_classes::list(&met));
        row["tx-data-pkts"] = json!(tunnel.traffic.sent.to_string());
        row["rx-data-pkts"] = json!(tunnel.traffic.received.to_string());
        row
    });
    asked.answer(&app, rows)
}

/// `GET /dataservice/device/tunnel/statistics?deviceId=`.
pub(super) async fn statistics(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let tunnels = app.tunnels(device).await?;
    let rows = tunnels.iter().map(|tunnel| {
        let mut row = outer(&app, device, tunnel);
        row["system-ip"] = json!(app.system_ip(tunnel.remote_site_id));
        row["local-color"] = json!(tunnel.color);
        row["remote-color"] = json!(tunnel.color);
        row["tunnel-mtu"] = json!(tunnel.mtu);
        row["tx_pkts"] = json!(tunnel.traffic.sent.to_string());
        row["tx_octets"] = json!(tunnel.traffic.sent_octets.to_string());
        row["rx_pkts"] = json!(tunnel.traffic.received.to_string());
        row["rx_octets"] = json!(tunnel.traffic.received_octets.to_string());
        row
    });
    asked.answer(&app, rows)
}

/// `GET /dataservice/device/tunnel/bfd_statistics?deviceId=`: hellos sent, and echoes of them received.
pub(super) async fn bfd_statistics(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let tunnels = app.tunnels(device).await?;
    let rows = tunnels.iter().map(|tunnel| {
        let mut row = outer(&app, device, tunnel);
        for (way, packets) in [("tx", tunnel.hellos_sent), ("rx", tunnel.echoes_received)] {
            row[format!("bfd-echo-{way}-pkts")] = json!(packets.to_string());
            row[format!("bfd-echo-{way}-octets")] = json!((packets * HELLO_OCTETS).to_string());
            // The path MTU is not probed.
            row[format!("bfd-pmtu-{way}-pkts")] = json!("0");
            row[format!("bfd-pmtu-{way}-octets")] = json!("0");
        }
        row
    });
    asked.answer(&app, rows)
}

/// What no tunnel here does, such as forward error correction: no rows.
pub(super) async fn unused(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    app.tunnels(device).await?;
    asked.answer(&app, [])
}

/// `GET /pathproof/v1/state`: the lab's own, not the product's.
pub(super) async fn lab_state(State(app): Shared) -> Result<Json<LabState>, Refusal> {
    let mut sites = Vec::with_capacity(app.devices.len());
    for device in &app.devices {
        let tunnels = app.tunnels(device).await?;
        let policy = app.policy(device).await?;
        sites.push(state::site(device, &tunnels, &policy));
    }
    Ok(Json(LabState { sites }))
}

/// `GET /dataservice/device/tloc?deviceId=`: each TLOC with its sessions.
pub(super) async fn tlocs(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let tunnels = app.tunnels(device).await?;
    let routing = app.routing(device).await?;
    let rows = routing.tlocs.iter().map(|tloc| {
        let of_tloc = tunnels.iter().filter(|tunnel| tunnel.color == tloc.color);
        let sessions: Vec<&TunnelReport> = of_tloc.collect();
        let up = sessions.iter().filter(|tunnel| is_up(tunnel)).count();
        let mut row = stamp(&app, device, &tloc.color);
        row["system-ip"] = json!(device.system_ip);
        row["site-id"] = json!(device.site_id.to_string());
        row["color"] = json!(tloc.color);
        row["encap"] = json!(proto(tloc.carried.encapsulation));
        row["private-ip"] = json!(tloc.address);
        row["private-port"] = json!(tloc.port);
        row["bfdSessionsUp"] = json!(up);
        row["bfdSessionsDown"] = json!(sessions.len() - up);
        row["sessions-total"] = json!(sessions.len());
        row
    });
    Ok(data(&app, rows.collect()))
}

/// `GET /dataservice/device/bfd/state/device/tlocInterfaceMap?deviceId=`: the interface of each TLOC, by color. Edges
/// have no interfaces to name; the names count them.
pub(super) async fn interfaces(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let routing = app.routing(device).await?;
    let named = |(number, tloc): (usize, &TlocReport)| {
        let name = format!("GigabitEthernet{}", number + 1);
        (tloc.color.clone(), json!(name))
    };
    let interfaces: Map<String, Value> = routing.tlocs.iter().enumerate().map(named).collect();
    Ok(Json(json!({ "intfList": interfaces })))
}

/// How many of these have a session that is up.
pub(super) fn up(tunnels: &[TunnelReport]) -> usize {
    tunnels.iter().filter(|tunnel| is_up(tunnel)).count()
}

/// Whether the session of a tunnel is up.
pub(super) fn is_up(tunnel: &TunnelReport) -> bool {
    tunnel.state == bfd::State::Up
}

/// What tells a tunnel of an edge from its others.
fn key(app: &App, tunnel: &TunnelReport) -> String {
    let remote = app.system_ip(tunnel.remote_site_id).unwrap_or_default();
    let color = &tunnel.color;
    format!("{color}-{remote}-{color}-{}", proto(tunnel.carried.encapsulation))
}

/// The device, and where the tunnel begins and ends, as rows of sessions have it.
fn ends(app: &App, device: &Device, tunnel: &TunnelReport) -> Value {
    let (local, remote) = tunnel.underlay;
    let mut row = stamp(app, device, &key(app, tunnel));
    row["local-color"] = json!(tunnel.color);
    row["src-ip"] = json!(local);
    row["dst-ip"] = json!(remote);
    row["src-port"] = json!(tunnel.port);
    row["dst-port"] = json!(tunnel.port);
    row["proto"] = json!(proto(tunnel.carried.encapsulation));
    row
}

/// As [`ends`], as rows of tunnels have it.
fn outer(app: &App, device: &Device, tunnel: &TunnelReport) -> Value {
    let (local, remote) = tunnel.underlay;
    let mut row = stamp(app, device, &key(app, tunnel));
    row["tunnel-protocol"] = json!(proto(tunnel.carried.encapsulation));
    row["source-ip"] = json!(local);
    row["dest-ip"] = json!(remote);
    row["source-port"] = json!(tunnel.port);
    row["dest-port"] = json!(tunnel.port);
    row
}

/// The product has these two: what is not GRE goes by its usual one.
pub(super) fn proto(encapsulation: Encapsulation) -> &'static str {
    match encapsulation {
        Encapsulation::Gre => "gre",
        Encapsulation::Vxlan | Encapsulation::Wireguard | Encapsulation::Ipsec => "ipsec",
    }
}

fn rounded_millis(duration: Duration) -> u64 {
    whole_millis(duration + Duration::from_micros(500))
}

/// Days, hours, minutes and seconds.
pub(super) fn uptime(duration: Duration) -> String {
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
