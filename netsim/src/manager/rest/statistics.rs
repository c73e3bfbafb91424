//! The statistics of tunnels over time: queries, aggregations, pages.
//!
//! Owns the translation between HTTP and the `history`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::Uri;
use serde_json::{Map, Value, json};

use super::asked::data;
use super::{Answer, JsonBody, Refusal, Shared};
use crate::manager::app::App;
use crate::manager::history::aggregation::Aggregation;
use crate::manager::history::field::{Datum, Field, Record};
use crate::manager::history::query::{Filter, SIZE_MAX, View};
use crate::manager::history::row::RowRef;
use crate::manager::history::scroll::Page;

/// By what tunnels are compared.
const FIGURES: [Field; 4] = [
    Field::Latency,
    Field::Jitter,
    Field::LossPercentage,
    Field::VqoeScore,
];
const MINUTE_MS: u64 = 60 * 1000;

/// The parameters of a path; of several of one name the last.
pub(super) type Parameters = BTreeMap<String, String>;

/// What is searched for.
pub(super) struct Search {
    pub(super) parameters: Parameters,
    /// What a POST has as its body, and a GET in its `query`; an empty object without it.
    pub(super) body: Value,
}

impl<S: Send + Sync> FromRequest<S> for Search {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let parameters = parameters(request.uri())?;
        let body = if request.method().is_safe() {
            match parameters.get("query").filter(|query| !query.is_empty()) {
                None => json!({}),
                Some(query) => serde_json::from_str(query).map_err(Refusal::Malformed)?,
            }
        } else {
            JsonBody::from_request(request, state).await?.0
        };
        Ok(Self { parameters, body })
    }
}

/// Runs a search apart from what must not wait: among a million rows it takes some hundred milliseconds.
pub(super) async fn apart(app: Arc<App>, search: impl FnOnce(&App) -> Answer + Send + 'static) -> Answer {
    let searched = tokio::task::spawn_blocking(move || search(&app)).await;
    searched.expect("a search does not panic, and nobody cancels it")
}

/// `GET` and `POST /dataservice/statistics/approute`.
pub(super) async fn rows(State(app): Shared, search: Search) -> Answer {
    apart(app, move |app| {
        let (view, mut found) = select(app, &search.body)?;
        found.truncate(view.size);
        let rows: Vec<Value> = found.iter().map(|row| view.row(row)).collect();
        let mut info = Map::new();
        add_span(&mut info, &found);
        let Json(mut answer) = data(app, rows);
        answer["header"]["fields"] = fields_json();
        answer["pageInfo"] = Value::Object(info);
        Ok(Json(answer))
    })
    .await
}

/// What a body asks for: how to show it, and all rows in its order.
fn select(app: &App, body: &Value) -> Result<(View, Vec<RowRef>), Refusal> {
    let (filter, view) = (Filter::parse(body)?, View::parse(body)?);
    let mut found = app.history.select(&filter, app.now_ms());
    view.sort(&mut found);
    Ok((view, found))
}

/// `GET` and `POST /dataservice/statistics/approute/doccount`.
pub(super) async fn count(State(app): Shared, search: Search) -> Answer {
    apart(app, move |app| {
        let found = app.history.select(&Filter::parse(&search.body)?, app.now_ms());
        Ok(Json(json!({ "count": found.len() })))
    })
    .await
}

/// `GET` and `POST /dataservice/statistics/approute/aggregation`, and those of `fec/aggregation`.
pub(super) async fn aggregation(State(app): Shared, search: Search) -> Answer {
    apart(app, move |app| {
        let (filter, aggregation) = (Filter::parse(&search.body)?, Aggregation::parse(&search.body)?);
        let found = app.history.select(&filter, app.now_ms());
        Ok(data(app, aggregation.of(&found)))
    })
    .await
}

/// `GET` and `POST /dataservice/statistics/approute/page?scrollId=&count=`.
pub(super) async fn page(State(app): Shared, search: Search) -> Answer {
    apart(app, move |app| {
        let page = match scrolled(app, &search.parameters)? {
            Some(page) => page,
            None => {
                let (view, found) = select(app, &search.body)?;
                begin(app, &search.parameters, view, found)?
            }
        };
        Ok(page_answer(app, &page))
    })
    .await
}

/// The next page of the scroll that is named, if one is.
pub(super) fn scrolled(app: &App, parameters: &Parameters) -> Result<Option<Page>, Refusal> {
    let Some(id) = parameters.get("scrollId").filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let count = page_size(parameters)?;
    let page = app.history.scrolls().next(id, count, Instant::now());
    page.map(Some).ok_or_else(|| Refusal::Parameter {
        name: "scrollId",
        found: id.clone(),
        form: "that of a scroll with more rows, used within 5 min",
    })
}

/// The first page of a new scroll.
pub(super) fn begin(
    app: &App,
    parameters: &Parameters,
    mut view: View,
    found: Vec<RowRef>,
) -> Result<Page, Refusal> {
    view.size = page_size(parameters)?.unwrap_or(view.size.max(1));
    Ok(app.history.scrolls().begin(found, view, Instant::now()))
}

/// A page, and how to get the next.
pub(super) fn page_answer(app: &App, page: &Page) -> Json<Value> {
    let rows = page.rows.iter().map(|row| page.view.row(row)).collect();
    let mut info = Map::new();
    info.insert("scrollId".to_owned(), page.scroll_id.as_str().into());
    info.insert("hasMoreData".to_owned(), page.has_more.into());
    add_span(&mut info, &page.rows);
    let Json(mut answer) = data(app, rows);
    answer["pageInfo"] = Value::Object(info);
    Json(answer)
}

/// `count`, `startTime` and `endTime` of rows.
fn add_span(info: &mut Map<String, Value>, rows: &[RowRef]) {
    let times = || rows.iter().map(|row| row.batch().entry_ms);
    info.insert("count".to_owned(), rows.len().into());
    info.insert("startTime".to_owned(), times().min().into());
    info.insert("endTime".to_owned(), times().max().into());
}

/// The number of rows of a page: 1 to [`SIZE_MAX`].
pub(super) fn page_size(parameters: &Parameters) -> Result<Option<usize>, Refusal> {
    let Some(text) = parameters.get("count") else {
        return Ok(None);
    };
    let count = text.parse().ok().filter(|count| (1..=SIZE_MAX).contains(count));
    count.map(Some).ok_or_else(|| Refusal::Parameter {
        name: "count",
        found: text.clone(),
        form: "1 to 10000",
    })
}

/// `GET /dataservice/statistics/approute/fields`.
pub(super) async fn fields() -> Json<Value> {
    Json(fields_json())
}

fn fields_json() -> Value {
    let fields = Field::ALL.iter();
    fields
        .map(|field| json!({ "property": field.name(), "dataType": field.kind().name() }))
        .collect()
}

/// `GET /dataservice/statistics/approute/query/fields`.
pub(super) async fn query_fields() -> Json<Value> {
    let fields = Field::ALL.iter();
    let fields = fields.map(|field| {
        json!({
            "property": field.name(),
            "name": field.name(),
            "dataType": field.kind().name(),
            "isRequired": *field == Field::EntryTime,
        })
    });
    Json(fields.collect())
}

/// That of [`FIGURES`] with a name.
pub(super) fn figure(name: &str) -> Result<Field, Refusal> {
    let figure = FIGURES.into_iter().find(|field| field.name() == name);
    figure.ok_or_else(|| Refusal::Parameter {
        name: "type",
        found: name.to_owned(),
        form: "latency, jitter, loss_percentage or vqoe_score",
    })
}

/// `GET /dataservice/statistics/approute/tunnels/health/{type}?limit=&last_n_hours=&site-id=`: the worst tunnels by
/// their means of that time, 3 h unless said otherwise, with the state that was recorded last.
pub(super) async fn health(State(app): Shared, Path(by): Path<String>, search: Search) -> Answer {
    let parameters = search.parameters;
    let minutes = number(&parameters, "last_n_minutes")?;
    let hours = number(&parameters, "last_n_hours")?;
    let span_ms = match minutes {
        Some(minutes) => minutes.saturating_mul(MINUTE_MS),
        None => hours.unwrap_or(3).saturating_mul(60 * MINUTE_MS),
    };
    let now = app.now_ms();
    let filter = Filter::between(now.saturating_sub(span_ms), now);
    apart(app, move |app| worst(app, figure(&by)?, &filter, &parameters)).await
}

/// `GET /dataservice/statistics/approute/tunnels/summary/{type}?query=&limit=&site-id=`: as [`health`], of the rows that
/// a query takes.
pub(super) async fn summary(State(app): Shared, Path(by): Path<String>, search: Search) -> Answer {
    let filter = Filter::parse(&search.body)?;
    apart(app, move |app| {
        worst(app, figure(&by)?, &filter, &search.parameters)
    })
    .await
}

fn worst(app: &App, by: Field, filter: &Filter, parameters: &Parameters) -> Answer {
    const LIMIT: u64 = 10;
    let limit = number(parameters, "limit")?.unwrap_or(LIMIT);
    let device = parameters.get("deviceIP").or_else(|| parameters.get("deviceId"));
    let site = number(parameters, "site-id")?.map(|site| site as f64);
    let mut found = app.history.select(filter, app.now_ms());
    found.retain(|row| {
        site.is_none_or(|site| row.datum(Field::SiteId) == Datum::Number(site))
            && device.is_none_or(|device| row.datum(Field::VdeviceName) == Datum::Text(device))
    });
    // The latest are first.
    let mut latest: BTreeMap<String, &RowRef> = BTreeMap::new();
    for row in &found {
        if let Datum::Text(name) = row.datum(Field::Name) {
            latest.entry(name.to_owned()).or_insert(row);
        }
    }
    let mut tunnels = means(by)?.of(&found);
    tunnels.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    for tunnel in &mut tunnels {
        let row = tunnel["name"].as_str().and_then(|name| latest.get(name));
        for field in [Field::EntryTime, Field::State] {
            tunnel[field.name()] = row.map_or(Value::Null, |row| row.datum(field).json());
        }
        tunnel["health"] = json!(health_color(tunnel[Field::VqoeScore.name()].as_f64()));
    }
    Ok(data(app, tunnels))
}

/// The product's pages have tunnels in these colors; by what is ours.
fn health_color(vqoe: Option<f64>) -> &'static str {
    match vqoe {
        Some(score) if score >= 8.0 => "green",
        Some(score) if score >= 5.0 => "yellow",
        Some(_) | None => "red",
    }
}

/// The means of each tunnel, the worst first.
fn means(by: Field) -> Result<Aggregation, Refusal> {
    let names = [
        Field::Name,
        Field::VdeviceName,
        Field::HostName,
        Field::LocalSystemIp,
        Field::RemoteSystemIp,
        Field::LocalColor,
        Field::RemoteColor,
        Field::AppProbeClass,
    ];
    let names: Vec<Value> = names
        .iter()
        .map(|field| json!({ "property": field.name() }))
        .collect();
    let sums = [Field::TxOctets, Field::RxOctets];
    let sums = sums.map(|field| json!({ "property": field.name(), "type": "sum" }));
    let metrics: Vec<Value> = mean_figures(Some(by)).chain(sums).collect();
    let body = json!({ "aggregation": { "field": names, "metrics": metrics } });
    Ok(Aggregation::parse(&body)?)
}

/// The metrics of an aggregation: the mean of each figure, by one of which the worst come first.
pub(super) fn mean_figures(by: Option<Field>) -> impl Iterator<Item = Value> {
    FIGURES.into_iter().map(move |field| {
        let mut mean = json!({ "property": field.name(), "type": "avg" });
        if by == Some(field) {
            mean["order"] = json!(if field == Field::VqoeScore { "asc" } else { "desc" });
        }
        mean
    })
}

/// A parameter that is a number, if it is given.
pub(super) fn number(parameters: &Parameters, name: &'static str) -> Result<Option<u64>, Refusal> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| Refusal::Parameter {
        name,
        found: text.clone(),
        form: "a whole number, 0 or more",
    })
}

/// The parameters of a request.
pub(super) fn parameters(uri: &Uri) -> Result<Parameters, Refusal> {
    Ok(Query::<Parameters>::try_from_uri(uri).map_err(Refusal::Query)?.0)
}
