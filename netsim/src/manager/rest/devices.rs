//! The inventory: WAN edges, the Controller, the Manager.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};

use super::asked::Asked;
use super::login::VERSION;
use super::refusal::Refusal;
use super::tunnels;
use super::{Answer, Shared};
use crate::manager::app::App;
use crate::manager::history::row::DEVICE_MODEL;
use crate::manager::task::MANAGER_SYSTEM_IP;
use crate::manager::{Controller, Device};
use crate::telemetry::TunnelReport;

/// What differs between rows.
struct Row<'a> {
    host_name: &'a str,
    system_ip: &'a str,
    site_id: u32,
    uuid: &'a str,
    personality: &'a str,
    device_model: &'a str,
}

/// `GET /dataservice/device`; `deviceId=` and the name of any other column take the rows with that value.
pub(super) async fn inventory(State(app): Shared, asked: Asked) -> Answer {
    asked.answer(&app, rows(&app, &asked).await)
}

/// `GET /dataservice/device/reachable`: as the inventory, of what answers.
pub(super) async fn reachable(State(app): Shared, asked: Asked) -> Answer {
    let mut rows = rows(&app, &asked).await;
    rows.retain(|row| row["reachability"] == "reachable");
    asked.answer(&app, rows)
}

/// `GET /dataservice/device/system/info`: as the inventory, of devices that all have to exist.
pub(super) async fn system_info(State(app): Shared, asked: Asked) -> Answer {
    let rows = rows(&app, &asked).await;
    let is_found = |id: &&String| rows.iter().any(|row| row["deviceId"] == **id);
    if let Some(unknown) = asked.device_ids().iter().find(|id| !is_found(id)) {
        return Err(Refusal::NoDevice(unknown.clone()));
    }
    asked.answer(&app, rows)
}

/// `GET /dataservice/system/device/{category}`: WAN edges or controllers as they were entered.
pub(super) async fn details(
    State(app): Shared,
    Path(category): Path<String>,
    uri: Uri,
    asked: Asked,
) -> Answer {
    let are_edges = match category.as_str() {
        "vedges" => true,
        "controllers" => false,
        _ => return Err(Refusal::NoPath(uri.path().to_owned())),
    };
    let mut rows = rows(&app, &asked).await;
    rows.retain(|row| (row["personality"] == "vedge") == are_edges);
    for row in &mut rows {
        row["chasisNumber"] = row["uuid"].clone();
        row["deviceModel"] = row["device-model"].clone();
        row["deviceType"] = row["device-type"].clone();
        row["configOperationMode"] = json!("vmanage");
        row["deviceIP"] = row["system-ip"].clone();
    }
    asked.answer(&app, rows)
}

/// The Manager, the Controllers and the edges, as far as they are asked for.
async fn rows(app: &App, asked: &Asked) -> Vec<Value> {
    let mut rows = vec![row(
        app.started_ms,
        &Row {
            host_name: "vmanage",
            system_ip: MANAGER_SYSTEM_IP,
            site_id: 0,
            uuid: "6d5c0d4b-9d0c-4a2f-8a51-2f6f0c1e7a04",
            personality: "vmanage",
            device_model: "vmanage",
        },
    )];
    rows.extend(app.controllers.all().iter().map(|it| controller(app, it)));
    rows.retain(|row| row["system-ip"].as_str().is_some_and(|ip| asked.takes_device(ip)));
    for device in &app.devices {
        if asked.takes_device(&device.system_ip.to_string()) {
            let tunnels = answer(app, device).await;
            rows.push(edge(app, device, tunnels.as_deref()));
        }
    }
    rows
}

fn controller(app: &App, controller: &Controller) -> Value {
    let row = row(
        app.started_ms,
        &Row {
            host_name: &controller.host_name,
            system_ip: &controller.system_ip.to_string(),
            site_id: 0,
            uuid: &controller.uuid().to_string(),
            personality: "vsmart",
            device_model: "vsmart",
        },
    );
    if app.controllers.is_online(controller) {
        row
    } else {
        unreachable(row)
    }
}

fn unreachable(mut row: Value) -> Value {
    row["reachability"] = json!("unreachable");
    row["status"] = json!("error");
    row["state"] = json!("red");
    row
}

/// An edge with its tunnels; one that does not answer is not reachable.
pub(super) fn edge(app: &App, device: &Device, tunnels: Option<&[TunnelReport]>) -> Value {
    let mut edge = row(
        app.started_ms,
        &Row {
            host_name: &device.host_name,
            system_ip: &device.system_ip.to_string(),
            site_id: device.site_id,
            uuid: &device.uuid(),
            personality: "vedge",
            device_model: DEVICE_MODEL,
        },
    );
    edge["colors"] = json!(device.colors);
    let Some(tunnels) = tunnels else {
        edge["controlConnections"] = json!("0");
        return unreachable(edge);
    };
    edge["bfdSessionsUp"] = json!(tunnels::up(tunnels));
    // One to the Manager, one to each Controller.
    edge["controlConnections"] = json!((1 + app.controllers.online()).to_string());
    edge
}

/// `GET /dataservice/device/monitor`.
pub(super) async fn monitor(State(app): Shared, asked: Asked) -> Answer {
    let Json(inventory) = inventory(State(app.clone()), asked).await?;
    let rows = inventory["data"].as_array().into_iter().flatten();
    let columns = [
        "system-ip",
        "host-name",
        "site-id",
        "personality",
        "reachability",
        "status",
        "uuid",
    ];
    let rows = rows.map(|row| {
        columns
            .iter()
            .map(|column| ((*column).to_owned(), row[column].clone()))
            .collect()
    });
    Ok(super::asked::data(&app, rows.collect()))
}

/// `GET /dataservice/device/counters`: of WAN edges.
pub(super) async fn counters(State(app): Shared, asked: Asked) -> Answer {
    let mut rows = Vec::new();
    for device in &app.devices {
        if !asked.takes_device(&device.system_ip.to_string()) {
            continue;
        }
        let tunnels = answer(&app, device).await;
        let expected = app.controllers.all().len();
        let connected = tunnels.as_ref().map_or(0, |_| app.controllers.online());
        let tunnels = tunnels.unwrap_or_default();
        let up = tunnels::up(&tunnels);
        rows.push(json!({
            "system-ip": device.system_ip,
            "number-vsmart-control-connections": connected,
            "expectedControlConnections": expected,
            "ompPeersUp": connected,
            "ompPeersDown": expected - connected,
            "bfdSessionsUp": up,
            "bfdSessionsDown": tunnels.len() - up,
            "isMTEdge": false,
            "rebootCount": 0,
            "crashCount": 0,
        }));
    }
    asked.answer(&app, rows)
}

/// The tunnels of an edge, if it answers.
pub(super) async fn answer(app: &App, device: &Device) -> Option<Vec<TunnelReport>> {
    let told = app.tunnels(device).await;
    told.inspect_err(|error| tracing::debug!(%error, "an edge does not answer"))
        .ok()
}

/// `GET /dataservice/template/policy/vsmart/connectivity/status`.
pub(super) async fn controllers(State(app): Shared) -> Json<Value> {
    let rows = app.controllers.all().iter().map(|controller| {
        json!({
            "deviceUUID": controller.uuid(),
            "operationMode": "vmanage",
            "deviceIp": controller.system_ip,
            "local-system-ip": controller.system_ip,
            "isOnline": app.controllers.is_online(controller),
        })
    });
    Json(json!({ "data": rows.collect::<Vec<_>>() }))
}

fn row(started_ms: u64, row: &Row<'_>) -> Value {
    json!({
        "deviceId": row.system_ip,
        "system-ip": row.system_ip,
        "local-system-ip": row.system_ip,
        "host-name": row.host_name,
        "site-id": row.site_id.to_string(),
        "uuid": row.uuid,
        "personality": row.personality,
        "device-type": row.personality,
        "device-model": row.device_model,
        "reachability": "reachable",
        "status": "normal",
        "state": "green",
        "validity": "valid",
        "certificate-validity": "Valid",
        "isDeviceGeoData": false,
        "version": VERSION,
        "lastupdated": started_ms,
        "uptime-date": started_ms,
    })
}
