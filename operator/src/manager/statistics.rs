//! Statistics: what the Manager reports of the tunnels.
//!
//! Owns reading and condensing it: two requests for a fabric of up to thousands of tunnels, however many edges it has.
//! The sessions come from the state feed, the figures from the newest row of each tunnel. Invariant: only tunnels whose
//! session is up count for the figures of their color.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::error::ManagerError;
use super::transport::ManagerClient;
use super::wire::Rows;
use crate::core::{Color, Encapsulation, Quality, TunnelReport, TunnelReports};

/// Sessions in one page of the state feed.
const PAGE: usize = 1000;
/// Rows of statistics that a Manager gives at a time.
const ROWS_MAX: usize = 10_000;
/// Rows of each tunnel that are asked for, so that the newest of all are among them though they do not come in step.
const ROWS_PER_TUNNEL: usize = 3;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SessionRow {
    vdevice_name: String,
    system_ip: String,
    local_color: String,
    color: String,
    #[serde(default)]
    proto: String,
    #[serde(default)]
    state: String,
}

#[derive(Debug, Deserialize)]
struct SessionPage {
    data: Vec<SessionRow>,
    #[serde(default, rename = "pageInfo")]
    info: PageInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageInfo {
    end_id: Option<String>,
    more_entries: bool,
}

/// A row of tunnel statistics.
#[derive(Debug, Deserialize)]
struct FigureRow {
    local_system_ip: String,
    remote_system_ip: String,
    local_color: String,
    remote_color: String,
    #[serde(default)]
    loss_percentage: f64,
    #[serde(default)]
    latency: f64,
    #[serde(default)]
    jitter: f64,
}

/// A tunnel by its ends: system IP and color of the near one, then of the far one.
type Ends<'a> = [&'a str; 4];

impl ManagerClient {
    /// What is known of the tunnels, by color.
    ///
    /// # Errors
    /// [`ManagerError`] if the Manager cannot be reached or does not answer as its API promises.
    pub async fn tunnels(&self) -> Result<TunnelReports, ManagerError> {
        let sessions = self.bfd_sessions().await?;
        if sessions.is_empty() {
            return Ok(TunnelReports::new());
        }
        let size = (sessions.len() * ROWS_PER_TUNNEL).min(ROWS_MAX);
        let query = json!({
            "query": {
                "condition": "AND",
                "rules": [{ "value": ["1"], "field": "entry_time", "type": "date", "operator": "last_n_hours" }],
            },
            "fields": [
                "local_system_ip", "remote_system_ip", "local_color", "remote_color",
                "loss_percentage", "latency", "jitter",
            ],
            "sort": [{ "field": "entry_time", "order": "desc" }],
            "size": size,
        });
        let figures: Rows<FigureRow> = self.post("statistics/approute", &query).await?;
        Ok(condense(&sessions, &figures.data))
    }

    async fn bfd_sessions(&self) -> Result<Vec<SessionRow>, ManagerError> {
        let mut sessions = Vec::new();
        let mut path = format!("data/device/state/BFDSessions?count={PAGE}");
        loop {
            let page: SessionPage = self.get(&path).await?;
            let ended = page.data.is_empty() || !page.info.more_entries;
            sessions.extend(page.data);
            match page.info.end_id {
                Some(next) if !ended => {
                    path = format!("data/device/state/BFDSessions?count={PAGE}&startId={next}");
                }
                _ => return Ok(sessions),
            }
        }
    }
}

/// Reports by local color; colors that Cisco does not have are left out.
fn condense(sessions: &[SessionRow], newest_first: &[FigureRow]) -> TunnelReports {
    let mut figures: HashMap<Ends<'_>, &FigureRow> = HashMap::new();
    for row in newest_first {
        figures.entry(row.ends()).or_insert(row);
    }
    let mut reports = TunnelReports::new();
    let mut measured: BTreeMap<Color, Vec<&FigureRow>> = BTreeMap::new();
    for session in sessions {
        let Ok(color) = session.local_color.parse::<Color>() else {
            continue;
        };
        let report: &mut TunnelReport = reports.entry(color).or_default();
        report.total += 1;
        report.encapsulations.extend(session.encapsulation());
        if session.state.eq_ignore_ascii_case("up") {
            report.up += 1;
            measured
                .entry(color)
                .or_default()
                .extend(figures.get(&session.ends()));
        }
    }
    for (color, rows) in measured {
        if let Some(report) = reports.get_mut(&color) {
            report.quality = mean(&rows);
        }
    }
    reports
}

fn mean(rows: &[&FigureRow]) -> Option<Quality> {
    if rows.is_empty() {
        return None;
    }
    let count = rows.iter().fold(0.0, |count, _| count + 1.0);
    let mean = |of: fn(&FigureRow) -> f64| rows.iter().map(|row| of(row)).sum::<f64>() / count;
    let milliseconds = |ms: f64| Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default();
    Some(Quality {
        loss_ppm: parts_per_million(mean(|row| row.loss_percentage)),
        latency: milliseconds(mean(|row| row.latency)),
        jitter: milliseconds(mean(|row| row.jitter)),
    })
}

fn parts_per_million(percent: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is brought into the range first"
    )]
    let ppm = (percent.clamp(0.0, 100.0) * 10_000.0).round() as u32;
    ppm
}

impl SessionRow {
    fn ends(&self) -> Ends<'_> {
        [
            &self.vdevice_name,
            &self.local_color,
            &self.system_ip,
            &self.color,
        ]
    }

    fn encapsulation(&self) -> Option<Encapsulation> {
        match self.proto.to_ascii_lowercase().as_str() {
            "ipsec" => Some(Encapsulation::Ipsec),
            "gre" => Some(Encapsulation::Gre),
            _ => None,
        }
    }
}

impl FigureRow {
    fn ends(&self) -> Ends<'_> {
        [
            &self.local_system_ip,
            &self.local_color,
            &self.remote_system_ip,
            &self.remote_color,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(near: &str, far: &str, color: &str, proto: &str, state: &str) -> SessionRow {
        SessionRow {
            vdevice_name: near.to_owned(),
            system_ip: far.to_owned(),
            local_color: color.to_owned(),
            color: color.to_owned(),
            proto: proto.to_owned(),
            state: state.to_owned(),
        }
    }

    fn figures(near: &str, far: &str, color: &str, loss: f64, latency: f64) -> FigureRow {
        FigureRow {
            local_system_ip: near.to_owned(),
            remote_system_ip: far.to_owned(),
            local_color: color.to_owned(),
            remote_color: color.to_owned(),
            loss_percentage: loss,
            latency,
            jitter: 1.0,
        }
    }

    #[test]
    fn figures_are_means_of_the_newest_rows_of_what_is_up() {
        let sessions = [
            session("1", "2", "mpls", "ipsec", "up"),
            session("2", "1", "mpls", "ipsec", "up"),
            session("1", "3", "mpls", "gre", "down"),
            session("1", "2", "lte", "ipsec", "down"),
            session("1", "2", "gold", "ipsec", "up"),
            session("1", "2", "no-such-color", "ipsec", "up"),
        ];
        let rows = [
            figures("1", "2", "mpls", 1.0, 10.0),
            figures("2", "1", "mpls", 0.0, 20.0),
            figures("1", "2", "mpls", 90.0, 900.0),
            figures("1", "3", "mpls", 100.0, 0.0),
            figures("1", "2", "lte", 100.0, 0.0),
        ];
        let reports = condense(&sessions, &rows);
        let colors: Vec<_> = reports.keys().map(|color| color.as_str()).collect();
        assert_eq!(colors.len(), 3, "{colors:?}");
        let report = |color: &str| &reports[&color.parse::<Color>().unwrap()];
        assert_eq!(
            *report("mpls"),
            TunnelReport {
                up: 2,
                total: 3,
                encapsulations: [Encapsulation::Ipsec, Encapsulation::Gre].into(),
                quality: Some(Quality {
                    loss_ppm: 5_000,
                    latency: Duration::from_millis(15),
                    jitter: Duration::from_millis(1),
                }),
            }
        );
        assert_eq!((report("lte").up, report("lte").quality), (0, None));
        assert_eq!((report("gold").up, report("gold").quality), (1, None));
    }
}
