//! Tasks: the Manager's pushes to the Controllers.
//!
//! Owns polling and the verdict on a finished task. Invariant: a task is a success only if the validation and every
//! Controller say so; `done` alone means nothing.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::error::ManagerError;
use super::reply::is_lock;
use super::transport::ManagerClient;

const POLL_MIN: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_secs(1);

/// How a finished task ended, if it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every Controller has the policy, but for these, which are offline and get it when they are back.
    Pushed { waiting_for: Vec<String> },
    /// The push was skipped because of another operation.
    Skipped { reason: String },
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Running,
    Pushed { waiting_for: Vec<String> },
    Skipped { reason: String },
    Failed { device: String, reason: String },
}

#[derive(Debug, Default, Deserialize)]
struct TaskStatus {
    #[serde(default)]
    data: Vec<Step>,
    #[serde(default)]
    validation: Option<Step>,
    #[serde(default)]
    summary: Summary,
}

#[derive(Debug, Default, Deserialize)]
struct Summary {
    #[serde(default)]
    status: String,
}

#[derive(Debug, Default, Deserialize)]
struct Step {
    #[serde(default, rename = "statusId")]
    status_id: String,
    #[serde(default)]
    status: String,
    #[serde(default, rename = "host-name")]
    host_name: String,
    #[serde(default, rename = "currentActivity")]
    current_activity: String,
    #[serde(default)]
    activity: Vec<String>,
}

impl ManagerClient {
    /// Waits until a task has ended.
    pub(super) async fn await_task(&self, task: &str) -> Result<Outcome, ManagerError> {
        let started = Instant::now();
        let patience = self.patience.task;
        let mut pause = POLL_MIN;
        loop {
            let status: TaskStatus = self.get(&format!("device/action/status/{task}")).await?;
            match judge(&status) {
                Progress::Running if started.elapsed() + pause > patience => {
                    return Err(ManagerError::TaskTimeout {
                        task: task.to_owned(),
                        patience,
                    });
                }
                Progress::Running => sleep(pause).await,
                Progress::Pushed { waiting_for } => return Ok(Outcome::Pushed { waiting_for }),
                Progress::Skipped { reason } => return Ok(Outcome::Skipped { reason }),
                Progress::Failed { device, reason } => {
                    return Err(ManagerError::TaskFailed {
                        task: task.to_owned(),
                        device,
                        reason,
                    });
                }
            }
            pause = (pause * 2).min(POLL_MAX);
        }
    }
}

fn judge(task: &TaskStatus) -> Progress {
    if task.summary.status != "done" {
        return Progress::Running;
    }
    if let Some(validation) = &task.validation {
        if let Some(reason) = validation.activity.iter().find(|line| is_lock(line)) {
            return Progress::Skipped {
                reason: reason.clone(),
            };
        }
        if validation.status_id.contains("failure") {
            return Progress::Failed {
                device: "validation".to_owned(),
                reason: validation.reason(),
            };
        }
    }
    if task.data.is_empty() {
        // The rows can appear a moment after the summary.
        return Progress::Running;
    }
    let mut waiting_for = Vec::new();
    for step in &task.data {
        match step.status_id.as_str() {
            "success" => {}
            "success_scheduled" => waiting_for.push(step.host_name.clone()),
            _ => {
                return Progress::Failed {
                    device: step.host_name.clone(),
                    reason: step.reason(),
                };
            }
        }
    }
    Progress::Pushed { waiting_for }
}

impl Step {
    fn reason(&self) -> String {
        let texts = [
            self.activity.last(),
            Some(&self.current_activity),
            Some(&self.status),
            Some(&self.status_id),
        ];
        texts
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty())
            .cloned()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn step(host: &str, status: &str) -> serde_json::Value {
        json!({ "host-name": host, "statusId": status, "status": status, "activity": [format!("{host} said {status}")] })
    }

    fn pushed(waiting_for: &[&str]) -> Progress {
        Progress::Pushed {
            waiting_for: waiting_for.iter().map(ToString::to_string).collect(),
        }
    }

    fn failed(device: &str, reason: &str) -> Progress {
        Progress::Failed {
            device: device.to_owned(),
            reason: reason.to_owned(),
        }
    }

    #[rstest]
    #[case::running("in_progress", vec![step("c1", "success")], "validation_success", Progress::Running)]
    #[case::scheduled("scheduled", vec![], "validation_success", Progress::Running)]
    #[case::rows_not_there_yet("done", vec![], "validation_success", Progress::Running)]
    #[case::success("done", vec![step("c1", "success"), step("c2", "success")], "validation_success", pushed(&[]))]
    #[case::one_offline(
        "done", vec![step("c1", "success_scheduled"), step("c2", "success")], "validation_success", pushed(&["c1"])
    )]
    #[case::one_failed(
        "done", vec![step("c1", "success"), step("c2", "failure")], "validation_success",
        failed("c2", "c2 said failure")
    )]
    #[case::unknown_status(
        "done", vec![step("c1", "skipped")], "validation_success", failed("c1", "c1 said skipped")
    )]
    #[case::validation("done", vec![], "validation_failure", failed("validation", "v"))]
    fn done_is_judged_by_every_status(
        #[case] summary: &str,
        #[case] data: Vec<serde_json::Value>,
        #[case] validation: &str,
        #[case] expected: Progress,
    ) {
        let task = json!({
            "data": data, "summary": { "status": summary },
            "validation": { "statusId": validation, "activity": ["v"] },
        });
        let task: TaskStatus = serde_json::from_value(task).expect("a task");
        assert_eq!(judge(&task), expected);
    }

    #[test]
    fn a_busy_controller_means_that_the_push_was_skipped() {
        let busy = "Skipped: operation is already in progress on vsmart1";
        let task = json!({
            "summary": { "status": "done" },
            "validation": { "statusId": "validation_failure", "activity": ["checking", busy] },
        });
        let task: TaskStatus = serde_json::from_value(task).expect("a task");
        assert_eq!(
            judge(&task),
            Progress::Skipped {
                reason: busy.to_owned()
            }
        );
    }
}
