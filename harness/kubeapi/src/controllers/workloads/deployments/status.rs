//! The status of a Deployment: its counts, and whether it is available and makes progress.
//!
//! Pure; the time is a parameter.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::sizes::Bounds;
use crate::object::{self, number, text};

/// What a look found and did.
pub(super) struct Findings<'a> {
    pub(super) new: Option<&'a Arc<Value>>,
    /// Whether this look made the new ReplicaSet.
    pub(super) created: bool,
    pub(super) old: &'a [Arc<Value>],
    pub(super) now: Timestamp,
}

/// The next status, and when it changes by time alone.
pub(super) fn next(deployment: &Value, findings: &Findings<'_>) -> (Value, Option<Timestamp>) {
    let mut status = counts(deployment, findings);
    let mut conditions = Conditions {
        list: object::items(deployment, "/status/conditions").to_vec(),
        now: object::whole_seconds(findings.now),
    };
    let available = number(&status, "/availableReplicas") >= Bounds::of(deployment).min_available();
    conditions.set_if_other(if available {
        (
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    });
    let mut due = None;
    if has_deadline(deployment) {
        due = progress(deployment, &status, findings, &mut conditions);
    } else {
        conditions.remove("Progressing");
    }
    let sets = findings.new.into_iter().chain(findings.old);
    match sets
        .filter_map(|set| object::condition(set, "ReplicaFailure"))
        .next()
    {
        Some(failure) => conditions.set_if_other((
            "ReplicaFailure",
            text(failure, "/status"),
            text(failure, "/reason"),
            text(failure, "/message"),
        )),
        None => conditions.remove("ReplicaFailure"),
    }
    if !conditions.list.is_empty() {
        status["conditions"] = Value::Array(conditions.list);
    }
    (status, due)
}

/// Whether all is as the Deployment asks for.
pub(super) fn is_complete(deployment: &Value, status: &Value) -> bool {
    let replicas = number(deployment, "/spec/replicas");
    ["/updatedReplicas", "/replicas", "/availableReplicas"]
        .iter()
        .all(|count| number(status, count) == replicas)
}

fn counts(deployment: &Value, findings: &Findings<'_>) -> Value {
    let sets: Vec<&Arc<Value>> = findings.new.into_iter().chain(findings.old).collect();
    let sum = |pointer: &str| sets.iter().map(|set| number(set, pointer)).sum::<i64>();
    let available = sum("/status/availableReplicas");
    let counts = [
        ("replicas", sum("/status/replicas")),
        (
            "updatedReplicas",
            findings.new.map_or(0, |set| number(set, "/status/replicas")),
        ),
        ("readyReplicas", sum("/status/readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", (sum("/spec/replicas") - available).max(0)),
    ];
    let mut status = Map::new();
    for (field, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        status.insert(field.to_owned(), json!(count));
    }
    status.insert(
        "observedGeneration".to_owned(),
        deployment["metadata"]["generation"].clone(),
    );
    if let Some(collisions) = deployment["status"].get("collisionCount") {
        status.insert("collisionCount".to_owned(), collisions.clone());
    }
    Value::Object(status)
}

/// The condition `Progressing`, and when its deadline is.
fn progress(
    deployment: &Value,
    status: &Value,
    findings: &Findings<'_>,
    conditions: &mut Conditions,
) -> Option<Timestamp> {
    let (subject, kind) = match findings.new {
        Some(set) => (object::name(set), "ReplicaSet"),
        None => (object::name(deployment), "Deployment"),
    };
    let current = conditions.reason("Progressing").to_owned();
    if deployment["spec"]["paused"] == true {
        if !matches!(&*current, "DeploymentPaused" | "ProgressDeadlineExceeded") {
            conditions.set((
                "Progressing",
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused",
            ));
        }
        return None;
    }
    if findings.created {
        let message = format!("Created new replica set {subject:?}");
        conditions.set(("Progressing", "True", "NewReplicaSetCreated", &message));
    } else if current == "DeploymentPaused" {
        let message = "Deployment is resumed";
        conditions.set(("Progressing", "Unknown", "DeploymentResumed", message));
    } else if current.is_empty() && findings.new.is_some() {
        let message = format!("Found new replica set {subject:?}");
        conditions.set(("Progressing", "True", "FoundNewReplicaSet", &message));
    }
    let settled = number(status, "/replicas") == number(status, "/updatedReplicas");
    if settled && current == "NewReplicaSetAvailable" && !findings.created {
        return None;
    }
    if is_complete(deployment, status) {
        let message = format!("{kind} {subject:?} has successfully progressed.");
        conditions.set_if_other(("Progressing", "True", "NewReplicaSetAvailable", &message));
        return None;
    }
    if has_progressed(&deployment["status"], status) {
        let message = format!("{kind} {subject:?} is progressing.");
        conditions.set(("Progressing", "True", "ReplicaSetUpdated", &message));
    }
    let deadline = deadline(deployment, conditions)?;
    if deadline <= findings.now {
        let message = format!("{kind} {subject:?} has timed out progressing.");
        conditions.set_if_other(("Progressing", "False", "ProgressDeadlineExceeded", &message));
        return None;
    }
    Some(deadline)
}

/// Upstream takes the largest number for no deadline at all.
fn has_deadline(deployment: &Value) -> bool {
    let deadline = deployment["spec"]["progressDeadlineSeconds"].as_i64();
    deadline.is_some_and(|seconds| seconds != i64::from(i32::MAX))
}

fn has_progressed(before: &Value, after: &Value) -> bool {
    let old = |status: &Value| number(status, "/replicas") - number(status, "/updatedReplicas");
    let grew = |pointer: &str| number(after, pointer) > number(before, pointer);
    old(after) < old(before)
        || ["/updatedReplicas", "/readyReplicas", "/availableReplicas"]
            .into_iter()
            .any(grew)
}

/// When the Deployment has gone too long without progress; `None` if that is so already.
fn deadline(deployment: &Value, conditions: &Conditions) -> Option<Timestamp> {
    let progressing = conditions.get("Progressing")?;
    if progressing["reason"] == "ProgressDeadlineExceeded" {
        return None;
    }
    let seconds = number(deployment, "/spec/progressDeadlineSeconds");
    let since = object::time(progressing, "/lastUpdateTime")?;
    since.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// Type, status, reason, message.
type Condition<'a> = (&'a str, &'a str, &'a str, &'a str);

struct Conditions {
    list: Vec<Value>,
    now: String,
}

impl Conditions {
    fn get(&self, kind: &str) -> Option<&Value> {
        self.list.iter().find(|condition| condition["type"] == kind)
    }

    fn reason(&self, kind: &str) -> &str {
        self.get(kind).map_or("", |condition| text(condition, "/reason"))
    }

    fn remove(&mut self, kind: &str) {
        self.list.retain(|condition| condition["type"] != kind);
    }

    /// Sets the condition, as updated now.
    fn set(&mut self, (kind, status, reason, message): Condition<'_>) {
        let current = self.get(kind).filter(|condition| condition["status"] == status);
        let since = current.map_or_else(|| json!(self.now), |same| same["lastTransitionTime"].clone());
        let condition = json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastUpdateTime": self.now, "lastTransitionTime": since,
        });
        match self.list.iter_mut().find(|condition| condition["type"] == kind) {
            Some(found) => *found = condition,
            None => self.list.push(condition),
        }
    }

    /// As [`Self::set`], unless the condition has that status and reason.
    fn set_if_other(&mut self, condition: Condition<'_>) {
        let (kind, status, reason, _) = condition;
        let same = |current: &Value| current["status"] == status && current["reason"] == reason;
        if !self.get(kind).is_some_and(same) {
            self.set(condition);
        }
    }
}

#[cfg(test)]
mod tests;
