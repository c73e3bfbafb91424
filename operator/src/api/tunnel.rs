//! The WanTunnel resource.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tunnels of one color, as the Manager reports them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "sdwan.pathproof.dev",
    version = "v1alpha1",
    kind = "WanTunnel",
    shortname = "wt",
    category = "sdwan",
    status = "WanTunnelStatus",
    derive = "PartialEq",
    doc = "The tunnels of one color, as the SD-WAN Manager reports them. Made and kept by the operator.",
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Up","type":"integer","jsonPath":".status.up"}"#,
    printcolumn = r#"{"name":"Total","type":"integer","jsonPath":".status.total"}"#,
    printcolumn = r#"{"name":"Latency","type":"string","jsonPath":".status.latency"}"#,
    printcolumn = r#"{"name":"Loss","type":"string","jsonPath":".status.loss"}"#,
    printcolumn = r#"{"name":"Jitter","type":"string","jsonPath":".status.jitter"}"#,
    printcolumn = r#"{"name":"Updated","type":"date","jsonPath":".status.updated"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct WanTunnelSpec {
    /// The color; the name of the resource.
    pub color: String,
}

/// What the Manager reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WanTunnelStatus {
    /// `up`, `degraded` (some BFD sessions are down) or `down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// BFD sessions that are up.
    #[serde(default)]
    pub up: u32,
    /// BFD sessions in all.
    #[serde(default)]
    pub total: u32,
    /// Mean round-trip time, such as `12.5ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
    /// Mean loss, such as `0.1%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Mean jitter, such as `2ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// When it was last reported, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
