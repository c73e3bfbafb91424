//! Whether a pod is ready: its containers are, and everybody who has a say in it.
//!
//! Pure. Owns the condition `Ready` as it follows from `ContainersReady` and from the conditions that the pod's
//! `readinessGates` name.

use serde_json::{Value, json};

use crate::object::{self, items, text};
use crate::status::Status;

/// What a readiness probe of the containers says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// They take traffic.
    Ready,
    /// They run and take none.
    NotReady,
}

/// Notes what the probes of all containers say, with what follows from it.
pub(crate) fn report(pod: &mut Value, readiness: Readiness) -> Result<(), Status> {
    let is_ready = readiness == Readiness::Ready;
    let unready = containers_message(pod);
    let status = object::map_mut(pod, "status")?;
    let statuses = status.get_mut("containerStatuses").and_then(Value::as_array_mut);
    for container in statuses.into_iter().flatten() {
        container["ready"] = json!(is_ready);
    }
    object::set_condition(
        status,
        if is_ready {
            json!({"type": "ContainersReady", "status": "True"})
        } else {
            not_true("ContainersReady", "ContainersNotReady", &unready)
        },
    );
    settle(pod)
}

/// Sets the condition `Ready` by what it follows from.
pub(crate) fn settle(pod: &mut Value) -> Result<(), Status> {
    let ready = if object::condition_is_true(pod, "ContainersReady") {
        match closed_gates(pod) {
            messages if messages.is_empty() => json!({"type": "Ready", "status": "True"}),
            messages => not_true("Ready", "ReadinessGatesNotReady", &messages.join(", ")),
        }
    } else {
        not_true("Ready", "ContainersNotReady", &containers_message(pod))
    };
    object::set_condition(object::map_mut(pod, "status")?, ready);
    Ok(())
}

/// Which gates of the pod are open, to tell when one moves.
pub(crate) fn open_gates(pod: &Value) -> Vec<bool> {
    let gates = items(pod, "/spec/readinessGates").iter();
    gates
        .map(|gate| object::condition_is_true(pod, text(gate, "/conditionType")))
        .collect()
}

fn not_true(kind: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": "False", "reason": reason, "message": message})
}

fn containers_message(pod: &Value) -> String {
    let containers = items(pod, "/spec/containers").iter();
    let names: Vec<&str> = containers.map(|container| text(container, "/name")).collect();
    format!("containers with unready status: [{}]", names.join(" "))
}

fn closed_gates(pod: &Value) -> Vec<String> {
    let gates = items(pod, "/spec/readinessGates").iter();
    let closed = gates.filter_map(|gate| {
        let kind = text(gate, "/conditionType");
        match object::condition(pod, kind) {
            None => Some(format!(
                "corresponding condition of pod readiness gate {kind:?} does not exist."
            )),
            Some(condition) if condition["status"] == "True" => None,
            Some(condition) => Some(format!(
                "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                text(condition, "/status")
            )),
        }
    });
    closed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready_condition(pod: &Value) -> (&str, &str) {
        let ready = object::condition(pod, "Ready").expect("set");
        (text(ready, "/status"), text(ready, "/message"))
    }

    #[test]
    fn a_pod_is_ready_when_its_containers_are_and_its_gates_are_open() {
        let mut pod = json!({
            "spec": {"containers": [{"name": "main"}], "readinessGates": [{"conditionType": "example.com/lb"}]},
            "status": {"containerStatuses": [{"name": "main", "ready": false}]},
        });
        report(&mut pod, Readiness::Ready).expect("an object");
        assert_eq!(
            ready_condition(&pod),
            (
                "False",
                "corresponding condition of pod readiness gate \"example.com/lb\" does not exist."
            )
        );
        let status = pod["status"].as_object_mut().expect("an object");
        object::set_condition(status, json!({"type": "example.com/lb", "status": "True"}));
        settle(&mut pod).expect("an object");
        assert_eq!(ready_condition(&pod).0, "True");
        report(&mut pod, Readiness::NotReady).expect("an object");
        assert_eq!(
            (
                ready_condition(&pod),
                &pod["status"]["containerStatuses"][0]["ready"]
            ),
            (("False", "containers with unready status: [main]"), &json!(false))
        );
    }
}
