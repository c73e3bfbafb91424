//! Tasks: what the Manager does after it has answered, and how clients follow it.
//!
//! Owns the states of a task and their JSON. Starts nothing. Invariant: a finished task never changes again, and a
//! success means that every edge took its policy.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::caller::Caller;

/// The Controller that stands between the Manager and the edges.
pub(super) const CONTROLLER_HOST_NAME: &str = "vsmart1";
/// Its system IP.
pub(super) const CONTROLLER_SYSTEM_IP: &str = "172.16.255.5";
/// Its UUID.
pub(super) const CONTROLLER_UUID: &str = "0b2e6a3c-3f0e-4a0e-9a52-6f5b1f0d7c05";
/// The system IP of the Manager itself.
pub(super) const MANAGER_SYSTEM_IP: &str = "172.16.255.4";

const ACTION: &str = "vsmart_policy_config";
const NAME: &str = "Push vSmart Policy";

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TaskState {
    /// Under way.
    InProgress,
    /// Every edge took its policy.
    Success,
    /// An edge did not.
    Failure,
    /// It never began.
    ValidationFailure,
}

impl TaskState {
    fn status_id(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Success => "success",
            Self::Failure | Self::ValidationFailure => "failure",
        }
    }

    fn status(&self) -> &'static str {
        match self {
            Self::InProgress => "In progress",
            Self::Success => "Success",
            Self::Failure | Self::ValidationFailure => "Failure",
        }
    }
}

/// A task.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) id: String,
    user: String,
    address: IpAddr,
    started_ms: u64,
    ended_ms: Option<u64>,
    state: TaskState,
    activity: Vec<String>,
}

impl Task {
    /// A task that has just begun.
    pub(super) fn begin(id: String, caller: &Caller) -> Self {
        let mut task = Self {
            id,
            user: caller.user.clone(),
            address: caller.address,
            started_ms: caller.at_ms,
            ended_ms: None,
            state: TaskState::InProgress,
            activity: Vec::new(),
        };
        task.note(caller.at_ms, "Started processing of vSmart policy");
        task
    }

    /// A task that ended before it began.
    pub(super) fn refuse(id: String, caller: &Caller, reason: &str) -> Self {
        let mut task = Self::begin(id, caller);
        task.activity.clear();
        task.end(TaskState::ValidationFailure, caller.at_ms, reason);
        task
    }

    /// Adds a line to its activity.
    pub(super) fn note(&mut self, at_ms: u64, line: &str) {
        self.activity.push(format!("[{}] {line}", clock_text(at_ms)));
    }

    /// Ends it.
    pub(super) fn end(&mut self, state: TaskState, at_ms: u64, line: &str) {
        self.note(at_ms, line);
        self.state = state;
        self.ended_ms = Some(at_ms);
    }

    /// Whether it is under way.
    pub(super) fn is_running(&self) -> bool {
        self.state == TaskState::InProgress
    }

    /// The answer to `device/action/status/{id}`.
    pub(super) fn status(&self) -> Value {
        let refused = self.state == TaskState::ValidationFailure;
        let data = if refused {
            Vec::new()
        } else {
            vec![self.controller_row()]
        };
        let mut summary = json!({
            "action": ACTION,
            "name": NAME,
            "detailsURL": "/dataservice/device/action/status",
            "startTime": self.started_ms.to_string(),
            "endTime": self.ended_ms.map_or_else(String::new, |at| at.to_string()),
            "userSessionUserName": self.user,
            "userSessionIP": self.address.to_string(),
            "tenantName": "DefaultTenant",
            "total": data.len(),
            "status": if self.is_running() { "in_progress" } else { "done" },
            "count": {},
        });
        if !refused {
            summary["count"] = json!({ self.state.status(): 1 });
        }
        json!({
            "data": data,
            "validation": self.validation(refused),
            "summary": summary,
            "isCancelEnabled": false,
            "isParallelExecutionEnabled": true,
        })
    }

    /// The row of `device/action/status/tasks`.
    pub(super) fn row(&self) -> Value {
        json!({
            "processId": self.id,
            "name": NAME,
            "action": ACTION,
            "detailsURL": "/dataservice/device/action/status",
            "status": if self.is_running() { "in_progress" } else { "done" },
            "startTime": self.started_ms,
            "endTime": self.ended_ms.unwrap_or(0),
            "userSessionUserName": self.user,
            "userSessionIP": self.address.to_string(),
            "tenantName": "DefaultTenant",
            "total": 1,
        })
    }

    fn controller_row(&self) -> Value {
        let current = match self.state {
            TaskState::InProgress => "Push vSmart Policy".to_owned(),
            _ => format!("Done - {NAME}"),
        };
        json!({
            "statusType": ACTION,
            "activity": self.activity,
            "vmanageIP": MANAGER_SYSTEM_IP,
            "system-ip": CONTROLLER_SYSTEM_IP,
            "host-name": CONTROLLER_HOST_NAME,
            "site-id": "0",
            "deviceID": CONTROLLER_UUID,
            "uuid": CONTROLLER_UUID,
            "statusId": self.state.status_id(),
            "status": self.state.status(),
            "currentActivity": current,
            "actionConfig": "{}",
            "processId": self.id,
            "device-type": "vsmart",
            "action": ACTION,
            "startTime": self.started_ms,
            "endTime": self.ended_ms.unwrap_or(0),
            "requestStatus": "received",
            "order": 0,
        })
    }

    fn validation(&self, refused: bool) -> Value {
        let activity: &[String] = if refused { &self.activity } else { &[] };
        json!({
            "statusId": if refused { "validation_failure" } else { "validation_success" },
            "status": if refused { "Validation failure" } else { "Validation success" },
            "activity": activity,
            "currentActivity": "Done - Validation",
            "system-ip": "Validation",
            "processId": self.id,
        })
    }
}

/// As the product writes the time into activity: `21-Jul-2026 10:00:00 UTC`.
fn clock_text(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|at| Timestamp::from_millisecond(at).ok());
    at.unwrap_or_default()
        .strftime("%d-%b-%Y %H:%M:%S UTC")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_task_is_in_progress_everywhere() {
        let status = Task::begin("t".to_owned(), &Caller::test("a")).status();
        assert_eq!(status["summary"]["status"], "in_progress");
        assert_eq!(status["data"][0]["statusId"], "in_progress");
        assert_eq!(status["validation"]["statusId"], "validation_success");
    }

    #[test]
    fn done_is_not_success() {
        let mut task = Task::begin("t".to_owned(), &Caller::test("a"));
        task.end(TaskState::Failure, 1_700_000_000_500, "site 2 did not take it");
        let status = task.status();
        assert_eq!(status["summary"]["status"], "done");
        assert_eq!(status["summary"]["count"], json!({"Failure": 1}));
        assert_eq!(status["data"][0]["statusId"], "failure");
        assert_eq!(
            status["data"][0]["activity"][1],
            "[14-Nov-2023 22:13:20 UTC] site 2 did not take it"
        );
    }

    #[test]
    fn a_refused_task_has_no_rows_and_a_failed_validation() {
        let status = Task::refuse("t".to_owned(), &Caller::test("a"), "busy").status();
        assert_eq!(status["data"], json!([]));
        assert_eq!(status["summary"]["status"], "done");
        assert_eq!(status["validation"]["statusId"], "validation_failure");
        assert_eq!(
            status["validation"]["activity"],
            json!(["[14-Nov-2023 22:13:20 UTC] busy"])
        );
    }
}
