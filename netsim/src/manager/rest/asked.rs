//! Which device a real-time resource is asked of, and which of its rows.
//!
//! Owns the query `deviceId=SYSTEM-IP`, beside which `KEY=VALUE` takes only rows with that value; keys that rows do not
//! have say nothing.

use std::net::Ipv4Addr;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde_json::{Value, json};

use super::{Answer, Refusal};
use crate::manager::Device;
use crate::manager::app::App;

/// The query of a resource of devices.
pub(super) struct Asked {
    device_ids: Vec<String>,
    filters: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(Refusal::Query)?
            .0;
        let (device_ids, filters): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(key, _)| key == "deviceId");
        Ok(Self {
            device_ids: device_ids.into_iter().map(|(_, id)| id).collect(),
            filters,
        })
    }
}

impl Asked {
    /// The one WAN edge that is asked.
    pub(super) fn device<'a>(&self, app: &'a App) -> Result<&'a Device, Refusal> {
        let [device_id] = self.device_ids.as_slice() else {
            return Err(Refusal::NoDeviceId);
        };
        let asked: Option<Ipv4Addr> = device_id.parse().ok();
        let mut devices = app.devices.iter();
        let device = devices.find(|device| Some(device.system_ip) == asked);
        device.ok_or_else(|| Refusal::NoDevice(device_id.clone()))
    }

    /// The devices that it names.
    pub(super) fn device_ids(&self) -> &[String] {
        &self.device_ids
    }

    /// Whether it asks for a device, which it does for all unless it names some.
    pub(super) fn takes_device(&self, device_id: &str) -> bool {
        self.device_ids.is_empty() || self.device_ids.iter().any(|id| id == device_id)
    }

    /// Those of the rows that are asked for, as an answer.
    pub(super) fn answer(&self, app: &App, rows: impl IntoIterator<Item = Value>) -> Answer {
        let rows = rows.into_iter().filter(|row| self.takes(row));
        Ok(data(app, rows.collect()))
    }

    fn takes(&self, row: &Value) -> bool {
        self.filters.iter().all(|(key, wanted)| match row.get(key) {
            None => true,
            Some(Value::String(found)) => found == wanted,
            Some(found) => found.to_string() == *wanted,
        })
    }
}

/// Rows, as all lists of the product are answered.
pub(super) fn data(app: &App, rows: Vec<Value>) -> Json<Value> {
    Json(json!({ "header": { "generatedOn": app.now_ms() }, "data": rows }))
}

/// What every row of a device begins with; `key` tells it from the others of the device.
pub(super) fn stamp(app: &App, device: &Device, key: &str) -> Value {
    json!({
        "vdevice-name": device.system_ip,
        "vdevice-host-name": device.host_name,
        "vdevice-dataKey": format!("{}-{key}", device.system_ip),
        "lastupdated": app.now_ms(),
    })
}
