//! Tasks: the Manager's pushes to Controllers and edges.
//!
//! Owns starting them, polling and the verdict on a finished task. Invariant: a task is a success only if the validation and every
//! Controller say so; `done` alone means nothing.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::error::{ManagerError, VALIDATION};
use super::reply::is_lock;
use super::transport::ManagerClient;
use super::wire::TaskStarted;

const POLL_MIN: Duration = Duration::from_millis(4);
const POLL_MAX: Duration = Duration::from_secs(1);
const SKIPPED_DELAY_MIN: Duration = Duration::from_millis(100);
const SKIPPED_DELAY_MAX: Duration = Duration::from_secs(2);

/// The request that starts a push.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) path: String,
    pub(super) body: Value,
    /// What is asked instead if the lock of the edit ran out; the edit itself is stored.
    pub(super) if_expired: Option<(String, Value)>,
}

/// How a finished task ended, if it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// Every device has the policy, but for these, which are offline and get it when they are back.
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
    /// Starts a push, once more while it is skipped, and waits until it has ended.
    ///
    /// Returns the devices that are offline, and get what was pushed when they are back.
    pub(super) async fn push(&self, start: &Start) -> Result<Vec<String>, ManagerError> {
        let started = Instant::now();
        let mut delay = SKIPPED_DELAY_MIN;
        loop {
            let task = self.start(start).await?;
            info!(task, "push started");
            let reason = match self.await_task(&task).await? {
                Outcome::Pushed { waiting_for } => {
                    let elapsed = started.elapsed();
                    if waiting_for.is_empty() {
                        info!(task, ?elapsed, "push done");
                    } else {
                        warn!(
                            task,
                            ?elapsed,
                            ?waiting_for,
                            "push scheduled, devices are offline"
                        );
                    }
                    return Ok(waiting_for);
                }
                Outcome::Skipped { reason } => reason,
            };
            let patience = self.patience.busy;
            if started.elapsed() + delay > patience {
                return Err(ManagerError::PushSkipped {
                    task,
                    patience,
                    reason,
                });
            }
            debug!(task, reason, "push skipped, trying again");
            sleep(delay).await;
            delay = (delay * 2).min(SKIPPED_DELAY_MAX);
        }
    }

    async fn start(&self, start: &Start) -> Result<String, ManagerError> {
        let mut started: Result<TaskStarted, _> = self.post(&start.path, &start.body).await;
        if let (Err(ManagerError::Refused { message, .. }), Some((path, body))) =
            (&started, &start.if_expired)
            && message.contains("edit request has expired")
        {
            started = self.post(path, body).await;
        }
        Ok(started?.id)
    }

    /// Waits until a task has ended.
    async fn await_task(&self, task: &str) -> Result<Outcome, ManagerError> {
        let started = Instant::now();
        let patience = self.patience.task;
        let mut pause = POLL_MIN;
        loop {
            // Before the first look, too: a push takes longer than the answer to its start.
            sleep(pause).await;
            let status: TaskStatus = self.get(&format!("device/action/status/{task}")).await?;
            match judge(&status) {
                Progress::Running if started.elapsed() + pause > patience => {
                    return Err(ManagerError::TaskTimeout {
                        task: task.to_owned(),
                        patience,
                    });
                }
                Progress::Running => pause = (pause * 2).min(POLL_MAX),
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
                device: VALIDATION.to_owned(),
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
