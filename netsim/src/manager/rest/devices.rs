//! The inventory: WAN edges, the Controller, the Manager.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::login::VERSION;
use super::tunnels;
use super::{Answer, Shared};
use crate::manager::Controller;
use crate::manager::app::App;
use crate::manager::task::MANAGER_SYSTEM_IP;

/// What differs between rows.
struct Row<'a> {
    host_name: &'a str,
    system_ip: &'a str,
    site_id: u32,
    uuid: &'a str,
    personality: &'a str,
    device_type: &'a str,
    device_model: &'a str,
}

/// `GET /dataservice/device`.
pub(super) async fn inventory(State(app): Shared) -> Answer {
    let mut rows = vec![row(
        app.started_ms,
        &Row {
            host_name: "vmanage",
            system_ip: MANAGER_SYSTEM_IP,
            site_id: 0,
            uuid: "6d5c0d4b-9d0c-4a2f-8a51-2f6f0c1e7a04",
            personality: "vmanage",
            device_type: "vmanage",
            device_model: "vmanage",
        },
    )];
    rows.extend(app.controllers.all().iter().map(|it| controller(&app, it)));
    for device in &app.devices {
        let mut edge = row(
            app.started_ms,
            &Row {
                host_name: &device.host_name,
                system_ip: &device.system_ip.to_string(),
                site_id: device.site_id,
                uuid: &format!("C8K-{}", device.system_ip),
                personality: "vedge",
                device_type: "vedge",
                device_model: "vedge-C8000V",
            },
        );
        // One to the Manager, one to each Controller.
        edge["controlConnections"] = json!((1 + app.controllers.online()).to_string());
        edge["colors"] = json!(device.colors);
        let tunnels = app.telemetry.tunnels(device.site_id).await?;
        edge["bfdSessionsUp"] = json!(tunnels::up(&tunnels));
        rows.push(edge);
    }
    Ok(Json(json!({ "data": rows })))
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

fn controller(app: &App, controller: &Controller) -> Value {
    let mut row = row(
        app.started_ms,
        &Row {
            host_name: &controller.host_name,
            system_ip: &controller.system_ip.to_string(),
            site_id: 0,
            uuid: &controller.uuid().to_string(),
            personality: "vsmart",
            device_type: "vsmart",
            device_model: "vsmart",
        },
    );
    if !app.controllers.is_online(controller) {
        row["reachability"] = json!("unreachable");
        row["status"] = json!("error");
        row["state"] = json!("red");
    }
    row
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
        "device-type": row.device_type,
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
