//! Real-time resources of one device about OMP: what its edge advertises and what it received.
//!
//! Routes are those that the edge's kernel has, and those that it could have; there is no OMP on the wire. The peers of an
//! edge are the Controllers, which pass on to every edge what the edges have; one that the Manager does not reach is
//! down to the edges too, and what it told them stays (graceful restart).

use axum::extract::State;
use serde_json::{Value, json};

use super::asked::{Asked, stamp};
use super::tunnels::{is_up, uptime};
use super::{Answer, Shared};
use crate::fabric::edge::OriginatedRoute;
use crate::manager::app::App;
use crate::manager::task::MANAGER_SYSTEM_IP;
use crate::manager::{Controller, Device};
use crate::telemetry::{RouteReport, TlocReport};

/// The encapsulation of all TLOCs, as policies know them.
const ENCAP: &str = "ipsec";

/// `GET /dataservice/device/omp/peers?deviceId=`.
pub(super) async fn peers(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    asked.answer(&app, edge_peers(&app, device))
}

/// The peers of an edge.
pub(super) fn edge_peers(app: &App, device: &Device) -> Vec<Value> {
    let controllers = app.controllers.all().iter();
    controllers
        .map(|controller| peer(app, device, controller))
        .collect()
}

fn peer(app: &App, device: &Device, controller: &Controller) -> Value {
    let mut row = stamp(app, device, &controller.system_ip.to_string());
    row["peer"] = json!(controller.system_ip);
    row["type"] = json!("vsmart");
    row["site-id"] = json!("0");
    row["domain-id"] = json!("1");
    row["state"] = json!(state(app, controller));
    row["legit"] = json!("yes");
    row["refresh"] = json!("supported");
    row["up-time"] = json!(uptime(app.age()));
    row["up-time-date"] = json!(app.started_ms);
    row
}

fn state(app: &App, controller: &Controller) -> &'static str {
    if app.controllers.is_online(controller) {
        "up"
    } else {
        "down"
    }
}

/// Whom an edge has its routes from.
fn from_peer(app: &App) -> Value {
    let controllers = app.controllers.all();
    let online = controllers.iter().find(|it| app.controllers.is_online(it));
    json!(online.or(controllers.first()).map(|it| it.system_ip))
}

/// `GET /dataservice/device/control/connections?deviceId=`: to the Controllers and the Manager.
pub(super) async fn control_connections(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    asked.answer(&app, connections(&app, device))
}

/// The control connections of an edge.
pub(super) fn connections(app: &App, device: &Device) -> Vec<Value> {
    let color = device.colors.first().map_or("default", String::as_str);
    let controllers = app.controllers.all().iter();
    let controllers = controllers.map(|it| ("vsmart", it.system_ip.to_string(), state(app, it)));
    let manager = ("vmanage", MANAGER_SYSTEM_IP.to_owned(), "up");
    let rows = controllers.chain([manager]).map(|(peer_type, system_ip, state)| {
        let mut row = stamp(app, device, &format!("{color}-{system_ip}-{color}"));
        row["instance"] = json!(0);
        row["peer-type"] = json!(peer_type);
        row["protocol"] = json!("dtls");
        row["system-ip"] = json!(system_ip);
        row["site-id"] = json!(0);
        row["domain-id"] = json!(1);
        row["local-color"] = json!(color);
        row["remote-color"] = json!("default");
        row["state"] = json!(state);
        row["uptime"] = json!(uptime(app.age()));
        row["uptime-date"] = json!(app.started_ms);
        row
    });
    rows.collect()
}

/// `GET /dataservice/device/omp/summary?deviceId=`.
pub(super) async fn summary(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let routing = app.routing(device).await?;
    let tunnels = app.tunnels(device).await?;
    let policy = app.policy(device).await?.policy;
    let received = || routing.vpns.iter().flat_map(|vpn| &vpn.received);
    let originated: usize = routing.vpns.iter().map(|vpn| vpn.originated.len()).sum();
    let has_policy = !policy.app_route.is_empty() || !policy.data.is_empty();
    let counts = [
        ("routes-received", received().count()),
        (
            "routes-installed",
            received().filter(|route| route.installed).count(),
        ),
        ("routes-sent", originated * routing.tlocs.len()),
        ("tlocs-received", tunnels.len()),
        ("tlocs-installed", tunnels.len()),
        ("tlocs-sent", routing.tlocs.len()),
        ("policy-received", usize::from(has_policy)),
        ("services-received", 0),
        ("services-installed", 0),
        ("services-sent", 0),
        ("vsmart-peers", app.controllers.online()),
    ];
    let mut row = stamp(&app, device, "summary");
    row["operstate"] = json!("UP");
    row["adminstate"] = json!("UP");
    row["devicetype"] = json!("vedge");
    row["ompuptime"] = json!(uptime(app.age()));
    for (name, count) in counts {
        row[name] = json!(count.to_string());
    }
    asked.answer(&app, [row])
}

/// `GET /dataservice/device/omp/routes/received?deviceId=`: a row for each prefix and TLOC. `status` has `C` where
/// routing chose it, `I` where the kernel has it, `R` where the tunnel to the TLOC is up, and is `Inv U` without any.
pub(super) async fn routes_received(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let routing = app.routing(device).await?;
    let vpns = routing.vpns.iter();
    let routes = vpns.flat_map(|vpn| vpn.received.iter().map(|route| (vpn.service_vpn, route)));
    asked.answer(
        &app,
        (1..)
            .zip(routes)
            .map(|(path_id, (service_vpn, route))| received(&app, device, service_vpn, route, path_id)),
    )
}

fn received(app: &App, device: &Device, service_vpn: u16, route: &RouteReport, path_id: u32) -> Value {
    let RouteReport { prefix, color, .. } = route;
    let key = format!("{service_vpn}-{prefix}-{}-{color}", route.system_ip);
    let mut row = stamp(app, device, &key);
    row["overlay-id"] = json!("1");
    row["vpn-id"] = json!(service_vpn.to_string());
    row["prefix"] = json!(prefix);
    row["from-peer"] = from_peer(app);
    row["path-id"] = json!(path_id.to_string());
    // What tells the VPN on the wire: the VXLAN network identifier or the GRE key.
    row["label"] = json!(service_vpn.to_string());
    row["status"] = json!(status(route));
    row["protocol"] = json!("connected");
    row["metric"] = json!("0");
    row["ip"] = json!(route.system_ip);
    row["color"] = json!(color);
    row["encap"] = json!(ENCAP);
    // The edge does not know whose prefix a hub forwards.
    if route.hops == 1 {
        row["originator"] = json!(route.system_ip);
        let remote = app
            .devices
            .iter()
            .find(|other| other.system_ip == route.system_ip);
        row["site-id"] = json!(remote.map(|other| other.site_id.to_string()));
    }
    row
}

fn status(route: &RouteReport) -> String {
    let flags = [(route.chosen, "C"), (route.installed, "I"), (route.resolved, "R")];
    let set: Vec<_> = flags
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, flag)| flag)
        .collect();
    if set.is_empty() {
        return "Inv U".to_owned();
    }
    set.join(" ")
}

/// `GET /dataservice/device/omp/routes/advertised?deviceId=`: a row for each prefix of the site and TLOC of its edge.
pub(super) async fn routes_advertised(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let routing = app.routing(device).await?;
    let tlocs = &routing.tlocs;
    let routes = routing.vpns.iter().flat_map(|vpn| {
        let own = vpn.originated.iter();
        own.flat_map(move |route| tlocs.iter().map(move |tloc| (vpn.service_vpn, route, tloc)))
    });
    asked.answer(
        &app,
        (1..).zip(routes).map(|(path_id, (service_vpn, route, tloc))| {
            advertised(&app, device, (service_vpn, route, tloc), path_id)
        }),
    )
}

fn advertised(
    app: &App,
    device: &Device,
    (service_vpn, route, tloc): (u16, &OriginatedRoute, &TlocReport),
    path_id: u32,
) -> Value {
    let OriginatedRoute { prefix, leaked_from } = route;
    let mut row = stamp(app, device, &format!("{service_vpn}-{prefix}-{}", tloc.color));
    row["overlay-id"] = json!("1");
    row["vpn-id"] = json!(service_vpn.to_string());
    row["prefix"] = json!(prefix);
    row["to-peer"] = from_peer(app);
    row["path-id"] = json!(path_id.to_string());
    row["label"] = json!(service_vpn.to_string());
    row["originator"] = json!(device.system_ip);
    row["protocol"] = json!("connected");
    row["metric"] = json!("0");
    row["ip"] = json!(device.system_ip);
    row["color"] = json!(tloc.color);
    row["encap"] = json!(ENCAP);
    row["site-id"] = json!(device.site_id.to_string());
    if let Some(from) = leaked_from {
        row["leaked-from-vpn"] = json!(from.to_string());
    }
    row
}

/// `GET /dataservice/device/omp/tlocs/received?deviceId=`: the TLOCs at the other ends of its tunnels.
pub(super) async fn tlocs_received(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let tunnels = app.tunnels(device).await?;
    let rows = tunnels.iter().map(|tunnel| {
        let system_ip = app.system_ip(tunnel.remote_site_id).unwrap_or_default();
        let mut row = tloc(&app, device, (&system_ip, tunnel.remote_site_id, &tunnel.color));
        row["from-peer"] = from_peer(&app);
        row["status"] = json!("C I R");
        row["bfd-status"] = json!(if is_up(tunnel) { "up" } else { "down" });
        place(&mut row, &tunnel.underlay.1, tunnel.port);
        row
    });
    asked.answer(&app, rows)
}

/// `GET /dataservice/device/omp/tlocs/advertised?deviceId=`: its own TLOCs.
pub(super) async fn tlocs_advertised(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let routing = app.routing(device).await?;
    let system_ip = device.system_ip.to_string();
    let rows = routing.tlocs.iter().map(|own| {
        let mut row = tloc(&app, device, (&system_ip, device.site_id, &own.color));
        row["to-peer"] = from_peer(&app);
        place(&mut row, &own.address, own.port);
        row
    });
    asked.answer(&app, rows)
}

fn tloc(app: &App, device: &Device, (system_ip, site_id, color): (&str, u32, &str)) -> Value {
    let mut row = stamp(app, device, &format!("{system_ip}-{color}-{ENCAP}"));
    row["ip"] = json!(system_ip);
    row["originator"] = json!(system_ip);
    row["site-id"] = json!(site_id.to_string());
    row["color"] = json!(color);
    row["encap"] = json!(ENCAP);
    // No TLOC is preferred to another, and none carries more: tunnels are chosen by policy.
    row["preference"] = json!("0");
    row["weight"] = json!("1");
    row
}

/// Where a TLOC is on its transport: nothing translates addresses there.
fn place(row: &mut Value, address: &std::net::IpAddr, port: u16) {
    for scope in ["private", "public"] {
        row[format!("{scope}-ip")] = json!(address);
        row[format!("{scope}-port")] = json!(port.to_string());
    }
}
