//! One task: what the Manager does after it has answered, and how clients follow it.
//!
//! Owns the states of a task and their JSON. Starts nothing. Invariant: a finished task never changes again; a
//! Controller's `success` means that every edge took its policy, `success_scheduled` that they will.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::caller::Caller;

/// The system IP of the Manager itself.
pub(super) const MANAGER_SYSTEM_IP: &str = "172.16.255.4";

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It makes a vSmart policy active, or ends that.
    PushVsmartPolicy,
    /// It attaches the Controllers' feature template again.
    FeatureTemplate,
    /// It attaches the Controllers' CLI template again.
    CliTemplate,
}

impl Work {
    /// `action`, with which the ids of tasks begin.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::PushVsmartPolicy => "vsmart_policy_config",
            Self::FeatureTemplate => "push_feature_template_configuration",
            Self::CliTemplate => "push_file_template_configuration",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::PushVsmartPolicy => "Push vSmart Policy",
            Self::FeatureTemplate => "Push Feature Template Configuration",
            Self::CliTemplate => "Push CLI Template Configuration",
        }
    }
}

/// A device that a task is about, in a row of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host_name: String,
    pub(super) system_ip: Ipv4Addr,
    pub(super) site_id: u32,
    pub(super) uuid: String,
    pub(super) device_type: &'static str,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Answered, but not yet looked at: it has no rows.
    Accepted,
    /// It waits for its turn.
    Queued,
    /// Under way.
    Running,
    /// Over.
    Done { at_ms: u64 },
}

/// How far a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowStatus {
    /// Its turn has not come.
    Scheduled,
    /// Under way.
    InProgress,
    /// Every edge took its policy.
    Success,
    /// An edge did not, or the task was cancelled.
    Failure,
    /// It is offline, and will get the policy when it is back.
    SuccessScheduled,
}

impl RowStatus {
    fn id(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::InProgress => "in_progress",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::SuccessScheduled => "success_scheduled",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::InProgress => "In progress",
            Self::Success => "Success",
            Self::Failure => "Failure",
            Self::SuccessScheduled => "Done - Scheduled",
        }
    }
}

/// A task.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) id: String,
    work: Work,
    user: String,
    address: IpAddr,
    started_ms: u64,
    phase: Phase,
    is_cancelled: bool,
    /// Why it failed its validation.
    refusal: Option<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    target: Target,
    status: RowStatus,
    activity: Vec<String>,
}

impl Task {
    /// A task that has just been accepted.
    pub(super) fn accept(id: String, work: Work, caller: &Caller) -> Self {
        Self {
            id,
            work,
            user: caller.user.clone(),
            address: caller.address,
            started_ms: caller.at_ms,
            phase: Phase::Accepted,
            is_cancelled: false,
            refusal: None,
            rows: Vec::new(),
        }
    }

    /// A task that ended before it began.
    pub(super) fn refuse(id: String, work: Work, caller: &Caller, reason: &str) -> Self {
        Self {
            phase: Phase::Done { at_ms: caller.at_ms },
            refusal: Some(line(caller.at_ms, reason)),
            ..Self::accept(id, work, caller)
        }
    }

    /// Gives it its rows; its turn has not come.
    pub(super) fn queue(&mut self, targets: impl Iterator<Item = Target>) {
        self.phase = Phase::Queued;
        let row = |target| Row {
            target,
            status: RowStatus::Scheduled,
            activity: Vec::new(),
        };
        self.rows = targets.map(row).collect();
    }

    /// Its turn has come.
    pub(super) fn start(&mut self, at_ms: u64) {
        self.phase = Phase::Running;
        for row in &mut self.rows {
            row.status = RowStatus::InProgress;
        }
        self.note(at_ms, "Started processing of vSmart policy");
    }

    /// Adds a line to its activity.
    pub(super) fn note(&mut self, at_ms: u64, text: &str) {
        for row in &mut self.rows {
            row.activity.push(line(at_ms, text));
        }
    }

    /// Ends it; each row has its own status and last line.
    pub(super) fn end(&mut self, at_ms: u64, row_end: impl Fn(&Target) -> (RowStatus, String)) {
        for row in &mut self.rows {
            let (status, text) = row_end(&row.target);
            row.status = status;
            row.activity.push(line(at_ms, &text));
        }
        self.phase = Phase::Done { at_ms };
    }

    /// Notes that someone wants it to end.
    pub(super) fn cancel(&mut self) {
        self.is_cancelled = true;
    }

    /// Whether it is not over.
    pub(super) fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Done { .. })
    }

    /// The answer to `device/action/status/{id}`; without `data` until there are rows.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "validation": self.validation(),
            "summary": self.summary(),
            "isCancelEnabled": self.is_running() && !self.is_cancelled,
            "isParallelExecutionEnabled": true,
        });
        if self.phase != Phase::Accepted {
            status["data"] = self.rows.iter().map(|row| self.target_row(row)).collect();
        }
        status
    }

    /// The row of `device/action/status/tasks`.
    pub(super) fn row(&self) -> Value {
        let mut row = self.head();
        row["processId"] = json!(self.id);
        row["startTime"] = json!(self.started_ms);
        row["endTime"] = json!(self.ended_ms().unwrap_or(0));
        row
    }

    fn summary(&self) -> Value {
        let mut count = BTreeMap::new();
        for row in &self.rows {
            *count.entry(row.status.text()).or_insert(0) += 1;
        }
        let mut summary = self.head();
        summary["startTime"] = json!(self.started_ms.to_string());
        summary["endTime"] = json!(self.ended_ms().map_or_else(String::new, |at| at.to_string()));
        summary["count"] = json!(count);
        summary
    }

    /// What the summary and the row of a task have in common.
    fn head(&self) -> Value {
        json!({
            "name": self.work.name(),
            "action": self.work.action(),
            "detailsURL": "/dataservice/device/action/status",
            "status": match self.phase {
                Phase::Accepted | Phase::Queued => "scheduled",
                Phase::Running => "in_progress",
                Phase::Done { .. } => "done",
            },
            "userSessionUserName": self.user,
            "userSessionIP": self.address.to_string(),
            "tenantName": "DefaultTenant",
            "total": self.rows.len(),
        })
    }

    fn ended_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Done { at_ms } => Some(at_ms),
            _ => None,
        }
    }

    fn target_row(&self, row: &Row) -> Value {
        let (name, target) = (self.work.name(), &row.target);
        let current = match row.status {
            RowStatus::Scheduled => "Scheduled".to_owned(),
            RowStatus::InProgress => name.to_owned(),
            RowStatus::Success | RowStatus::Failure => format!("Done - {name}"),
            RowStatus::SuccessScheduled => "Done - Scheduled".to_owned(),
        };
        json!({
            "statusType": self.work.action(),
            "activity": row.activity,
            "vmanageIP": MANAGER_SYSTEM_IP,
            "system-ip": target.system_ip,
            "host-name": target.host_name,
            "site-id": target.site_id.to_string(),
            "deviceID": target.uuid,
            "uuid": target.uuid,
            "statusId": row.status.id(),
            "status": row.status.text(),
            "currentActivity": current,
            "actionConfig": "{}",
            "processId": self.id,
            "device-type": target.device_type,
            "action": self.work.action(),
            "startTime": self.started_ms,
            "endTime": self.ended_ms().unwrap_or(0),
            "requestStatus": "received",
            "order": 0,
        })
    }

    fn validation(&self) -> Value {
        let (id, text) = match self.refusal {
            Some(_) => ("validation_failure", "Validation failure"),
            None => ("validation_success", "Validation success"),
        };
        json!({
            "statusId": id,
            "status": text,
            "activity": self.refusal.as_slice(),
            "currentActivity": "Done - Validation",
            "system-ip": "Validation",
            "processId": self.id,
        })
    }
}

/// A line of activity, with the time as the product writes it: `[21-Jul-2026 10:00:00 UTC] …`.
fn line(at_ms: u64, text: &str) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|at| Timestamp::from_millisecond(at).ok());
    let clock = at.unwrap_or_default().strftime("%d-%b-%Y %H:%M:%S UTC");
    format!("[{clock}] {text}")
}

#[cfg(test)]
mod tests;
