//! Bulk data: the statistics of all edges between two times, and the state of all edges.
//!
//! Statistics go by scrolls, as pages of queries do. State goes by numbers: that of a row is its place among those of its
//! edge, counted on from [`STRIDE`] times the place of the edge, so each page asks only the edges that it shows.

use axum::extract::{Path, State};
use axum::http::Uri;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::asked::data;
use super::statistics::{Parameters, apart, begin, page_answer, page_size, parameters, scrolled};
use super::{Answer, Refusal, Shared, omp, tunnels};
use crate::manager::Device;
use crate::manager::app::App;
use crate::manager::history::query::{Filter, SIZE_MAX, View, parse_time};
use crate::manager::history::row::RowRef;

/// More rows than any edge has.
const STRIDE: u64 = 1_000_000;

/// `GET /dataservice/data/device/statistics/{type}?startDate=&endDate=&timeZone=&count=&scrollId=`.
pub(super) async fn statistics(State(app): Shared, Path(of): Path<String>, uri: Uri) -> Answer {
    if of != "approutestatsstatistics" {
        return Err(Refusal::Parameter {
            name: "the type of statistics",
            found: of,
            form: "approutestatsstatistics",
        });
    }
    let parameters = parameters(&uri)?;
    apart(app, move |app| {
        let page = match scrolled(app, &parameters)? {
            Some(page) => page,
            None => begin(app, &parameters, View::default(), span(app, &parameters)?)?,
        };
        Ok(page_answer(app, &page))
    })
    .await
}

/// The rows between two times.
fn span(app: &App, parameters: &Parameters) -> Result<Vec<RowRef>, Refusal> {
    let zone = zone(parameters)?;
    let start = time(parameters, "startDate", &zone)?.unwrap_or(0);
    let end = time(parameters, "endDate", &zone)?.unwrap_or_else(|| app.now_ms());
    Ok(app.history.select(&Filter::between(start, end), app.now_ms()))
}

fn zone(parameters: &Parameters) -> Result<TimeZone, Refusal> {
    match parameters.get("timeZone").map(String::as_str) {
        None | Some("UTC" | "GMT" | "") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|_| Refusal::Parameter {
            name: "timeZone",
            found: name.to_owned(),
            form: "a time zone such as UTC or Europe/Berlin",
        }),
    }
}

fn time(parameters: &Parameters, name: &'static str, zone: &TimeZone) -> Result<Option<u64>, Refusal> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    parse_time(text, zone)
        .map(Some)
        .ok_or_else(|| Refusal::Parameter {
            name,
            found: text.clone(),
            form: "a time such as 2026-01-31T09:30:00",
        })
}

/// `GET /dataservice/data/device/state/{type}?startId=&count=`; edges that do not answer are left out.
pub(super) async fn state(State(app): Shared, Path(of): Path<String>, uri: Uri) -> Answer {
    let feed = match of.as_str() {
        "BFDSessions" => Feed::Sessions,
        "OMPPeer" => Feed::Peers,
        "ControlConnection" => Feed::Connections,
        _ => {
            return Err(Refusal::Parameter {
                name: "the type of state",
                found: of,
                form: "BFDSessions, OMPPeer or ControlConnection",
            });
        }
    };
    let parameters = parameters(&uri)?;
    let count = page_size(&parameters)?.unwrap_or(SIZE_MAX);
    let start = parameters.get("startId").filter(|id| !id.is_empty());
    let start: u64 = start.map_or(Ok(0), |id| {
        id.parse().map_err(|_| Refusal::Parameter {
            name: "startId",
            found: id.clone(),
            form: "0 or the endId of the page before",
        })
    })?;
    let (rows, end) = feed.page(&app, start, count).await;
    let edges = u64::try_from(app.devices.len()).unwrap_or(u64::MAX);
    let mut answer = data(&app, rows).0;
    answer["pageInfo"] = json!({
        "startId": start.to_string(),
        "endId": end.to_string(),
        "moreEntries": end < edges * STRIDE,
        "count": answer["data"].as_array().map_or(0, Vec::len),
    });
    Ok(axum::Json(answer))
}

/// Which state of edges.
#[derive(Clone, Copy)]
enum Feed {
    Sessions,
    Peers,
    Connections,
}

impl Feed {
    /// At most `count` rows from the number `start` on, and the number of that after them.
    async fn page(self, app: &App, start: u64, count: usize) -> (Vec<Value>, u64) {
        let (mut rows, mut next) = (Vec::new(), start);
        while rows.len() < count {
            let Some(device) = usize::try_from(next / STRIDE)
                .ok()
                .and_then(|edge| app.devices.get(edge))
            else {
                break;
            };
            let of_edge = self.rows(app, device).await;
            let given = usize::try_from(next % STRIDE).unwrap_or(usize::MAX);
            let wanted = count - rows.len();
            let left = of_edge.len().saturating_sub(given);
            let numbers = next..;
            let taken = of_edge.into_iter().skip(given).take(wanted).zip(numbers);
            rows.extend(taken.map(|(mut row, number)| {
                row["recordId"] = json!(number.to_string());
                row["vmanage-system-ip"] = json!(device.system_ip);
                row
            }));
            next = if left > wanted {
                next + u64::try_from(wanted).unwrap_or(u64::MAX)
            } else {
                (next / STRIDE + 1) * STRIDE
            };
        }
        (rows, next)
    }

    async fn rows(self, app: &App, device: &Device) -> Vec<Value> {
        match self {
            Self::Sessions => {
                let tunnels = app.tunnels(device).await.unwrap_or_default();
                let rows = tunnels.iter().map(|tunnel| tunnels::session(app, device, tunnel));
                rows.collect()
            }
            Self::Peers => omp::edge_peers(app, device),
            Self::Connections => omp::connections(app, device),
        }
    }
}
