//! How well sites are connected, by the sessions of their edges.

use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use super::asked::data;
use super::{Answer, Refusal, Shared, devices, statistics, tunnels};
use crate::manager::app::App;
use crate::telemetry::TunnelReport;

/// How well a site is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connectivity {
    /// All of its sessions are up.
    Full,
    /// Some are.
    Partial,
    /// None is, or its edge does not answer.
    None,
}

impl Connectivity {
    const ALL: [Self; 3] = [Self::Full, Self::Partial, Self::None];

    fn of(tunnels: Option<&[TunnelReport]>) -> Self {
        let tunnels = tunnels.unwrap_or_default();
        match tunnels::up(tunnels) {
            0 => Self::None,
            up if up == tunnels.len() => Self::Full,
            _ => Self::Partial,
        }
    }

    fn parse(state: &str) -> Result<Self, Refusal> {
        let found = Self::ALL.into_iter().find(|known| known.state() == state);
        found.ok_or_else(|| Refusal::Parameter {
            name: "state",
            found: state.to_owned(),
            form: "siteup, sitepartial or sitedown",
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Full => "Full WAN Connectivity",
            Self::Partial => "Partial WAN Connectivity",
            Self::None => "No WAN Connectivity",
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::Full => "up",
            Self::Partial => "warning",
            Self::None => "error",
        }
    }

    /// As paths name it.
    fn state(self) -> &'static str {
        match self {
            Self::Full => "siteup",
            Self::Partial => "sitepartial",
            Self::None => "sitedown",
        }
    }
}

/// `GET /dataservice/device/bfd/sites/summary`; `vpnId` and `isCached` say nothing.
pub(super) async fn summary(State(app): Shared) -> Answer {
    let sites = sites(&app).await;
    let statuses = Connectivity::ALL.map(|connectivity| {
        let count = sites.iter().filter(|(is, _)| *is == connectivity).count();
        json!({
            "name": connectivity.name(),
            "status": connectivity.status(),
            "message": format!("{count} {}", connectivity.name()),
            "detailsURL": format!("/dataservice/device/bfd/sites/detail?state={}", connectivity.state()),
            "count": count,
        })
    });
    let is_whole = sites.iter().all(|(is, _)| *is == Connectivity::Full);
    let row = json!({
        "count": sites.len(),
        "detailsURL": "",
        "status": if is_whole { "up" } else { "error" },
        "statusList": statuses,
    });
    Ok(data(&app, vec![row]))
}

/// `GET /dataservice/device/bfd/sites/detail?state=`: the edges of the sites in that state, or of all.
pub(super) async fn detail(State(app): Shared, uri: Uri) -> Answer {
    let parameters = statistics::parameters(&uri)?;
    let wanted = parameters.get("state").map(|state| Connectivity::parse(state));
    let wanted = wanted.transpose()?;
    let mut sites = sites(&app).await;
    sites.retain(|(connectivity, _)| wanted.is_none_or(|wanted| wanted == *connectivity));
    Ok(data(&app, sites.into_iter().map(|(_, row)| row).collect()))
}

/// Each site, with the row of its edge.
async fn sites(app: &App) -> Vec<(Connectivity, Value)> {
    let mut sites = Vec::with_capacity(app.devices.len());
    for device in &app.devices {
        let tunnels = devices::answer(app, device).await;
        let mut row = devices::edge(app, device, tunnels.as_deref());
        row["bfdSessions"] = json!(tunnels.as_ref().map_or(0, Vec::len).to_string());
        sites.push((Connectivity::of(tunnels.as_deref()), row));
    }
    sites
}
