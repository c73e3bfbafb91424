//! The statistics of tunnels over time, by the color that they begin at.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::asked::data;
use super::statistics::{Search, apart, figure, mean_figures, number};
use super::{Answer, Refusal, Shared};
use crate::manager::history::aggregation::Aggregation;
use crate::manager::history::field::{Datum, Field, Record};
use crate::manager::history::query::Filter;

/// How many colors there are in an answer.
const LIMIT: u64 = 5;

/// `GET /dataservice/statistics/approute/transport/summary/{type}?query=&limit=&site-id=`: the means of the worst colors
/// in every half hour.
pub(super) async fn summary(State(app): Shared, Path(by): Path<String>, search: Search) -> Answer {
    let filter = Filter::parse(&search.body)?;
    apart(app, move |app| {
        let limit = number(&search.parameters, "limit")?.unwrap_or(LIMIT);
        let site = number(&search.parameters, "site-id")?.map(|site| site as f64);
        let mut found = app.history.select(&filter, app.now_ms());
        found.retain(|row| site.is_none_or(|site| row.datum(Field::SiteId) == Datum::Number(site)));
        let mut worst = means(Some(figure(&by)?))?.of(&found);
        worst.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut rows = means(None)?.of(&found);
        let color = Field::LocalColor.name();
        rows.retain(|row| worst.iter().any(|worst| worst[color] == row[color]));
        for row in &mut rows {
            row["color"] = row[color].clone();
            row["summary_time"] = row[Field::EntryTime.name()].clone();
        }
        Ok(data(app, rows))
    })
    .await
}

/// The means of each color, of which the worst come first, or those of each half hour.
fn means(by: Option<Field>) -> Result<Aggregation, Refusal> {
    let groups = [Field::LocalColor, Field::AppProbeClass].map(|field| json!({ "property": field.name() }));
    let metrics: Vec<Value> = mean_figures(by).collect();
    let mut aggregation = json!({ "field": groups, "metrics": metrics });
    if by.is_none() {
        let time = Field::EntryTime.name();
        aggregation["histogram"] = json!({ "property": time, "type": "minute", "interval": 30 });
    }
    Ok(Aggregation::parse(&json!({ "aggregation": aggregation }))?)
}
