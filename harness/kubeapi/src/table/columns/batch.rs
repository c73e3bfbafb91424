//! Jobs and what starts them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age_at, containers, or_none, selector};
use crate::object::{self, text};
use crate::table::age;

pub(super) const JOB: &[Column] = &[
    NAME,
    Column::new("Status", |job| json!(job_status(job))),
    Column::new("Completions", |job| {
        let succeeded = job["status"]["succeeded"].as_i64().unwrap_or_default();
        let wanted = job["spec"]["completions"].as_i64();
        json!(match wanted {
            Some(wanted) => format!("{succeeded}/{wanted}"),
            None => format!("{succeeded}/1 of {}", job["spec"]["parallelism"]),
        })
    }),
    Column::new("Duration", |job| {
        let started = text(job, "/status/startTime");
        let ended = text(job, "/status/completionTime").parse();
        json!(match started {
            "" => String::new(),
            started => age::since(started, ended.unwrap_or_else(|_| Timestamp::now())),
        })
    }),
    AGE,
    Column::new("Containers", |job| containers(&job["spec"]["template"], "name")).wide(),
    Column::new("Images", |job| containers(&job["spec"]["template"], "image")).wide(),
    Column::new("Selector", |job| selector(&job["spec"]["selector"])).wide(),
];

fn job_status(job: &Value) -> &'static str {
    let is = |condition: &str| object::condition_is_true(job, condition);
    if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if object::is_terminating(job) {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else {
        "Running"
    }
}

pub(super) const CRON_JOB: &[Column] = &[
    NAME,
    Column::new("Schedule", |job| json!(text(job, "/spec/schedule"))),
    Column::new("Timezone", |job| or_none(text(job, "/spec/timeZone"))),
    Column::flag("Suspend", |job| {
        json!(if job["spec"]["suspend"] == true {
            "True"
        } else {
            "False"
        })
    }),
    Column::number("Active", |job| json!(object::items(job, "/status/active").len())),
    Column::new("Last Schedule", |job| {
        match text(job, "/status/lastScheduleTime") {
            "" => json!("<none>"),
            _ => json!(age_at(job, "/status/lastScheduleTime")),
        }
    }),
    AGE,
    Column::new("Containers", |job| {
        containers(&job["spec"]["jobTemplate"]["spec"]["template"], "name")
    })
    .wide(),
    Column::new("Images", |job| {
        containers(&job["spec"]["jobTemplate"]["spec"]["template"], "image")
    })
    .wide(),
    Column::new("Selector", |job| {
        selector(&job["spec"]["jobTemplate"]["spec"]["selector"])
    })
    .wide(),
];
