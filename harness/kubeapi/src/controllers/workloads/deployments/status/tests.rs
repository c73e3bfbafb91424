use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn deployment(status: Value) -> Value {
    json!({
        "metadata": {"name": "web", "generation": 2},
        "spec": {"replicas": 4, "progressDeadlineSeconds": 60, "strategy": {
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1},
        }},
        "status": status,
    })
}

fn set(size: i64, available: i64) -> Arc<Value> {
    let status = json!({"replicas": size, "readyReplicas": available, "availableReplicas": available});
    Arc::new(json!({"metadata": {"name": "web-1"}, "spec": {"replicas": size}, "status": status}))
}

fn look(deployment: &Value, set: &Arc<Value>, time: &str) -> (Value, Option<Timestamp>) {
    let findings = Findings {
        new: Some(set),
        created: false,
        old: &[],
        now: at(time),
    };
    next(deployment, &findings)
}

fn reasons(status: &Value) -> Vec<(&str, &str)> {
    let conditions = object::items(status, "/conditions").iter();
    conditions
        .map(|condition| (text(condition, "/status"), text(condition, "/reason")))
        .collect()
}

#[test]
fn a_rollout_goes_from_found_through_updated_to_available() {
    let (status, due) = look(&deployment(json!({})), &set(4, 0), "2026-01-01T00:00:00Z");
    assert_eq!(
        reasons(&status),
        [
            ("False", "MinimumReplicasUnavailable"),
            ("True", "ReplicaSetUpdated")
        ]
    );
    assert_eq!(due, Some(at("2026-01-01T00:01:00Z")));
    assert_eq!(
        (&status["unavailableReplicas"], &status["observedGeneration"]),
        (&json!(4), &json!(2))
    );

    let (status, due) = look(&deployment(status), &set(4, 3), "2026-01-01T00:00:30Z");
    assert_eq!(
        reasons(&status),
        [
            ("True", "MinimumReplicasAvailable"),
            ("True", "ReplicaSetUpdated")
        ]
    );
    assert_eq!(due, Some(at("2026-01-01T00:01:30Z")));

    let (status, due) = look(&deployment(status), &set(4, 4), "2026-01-01T00:00:40Z");
    assert_eq!(
        (reasons(&status)[1], due),
        (("True", "NewReplicaSetAvailable"), None)
    );
    let settled = status.clone();
    let again = look(&deployment(status), &set(4, 4), "2026-01-01T00:09:00Z");
    assert_eq!(again, (settled, None));
}

#[test]
fn a_rollout_that_stands_still_times_out_and_recovers() {
    let (status, _) = look(&deployment(json!({})), &set(4, 1), "2026-01-01T00:00:00Z");
    let (still, due) = look(&deployment(status), &set(4, 1), "2026-01-01T00:00:59Z");
    assert_eq!(due, Some(at("2026-01-01T00:01:00Z")));
    let (late, due) = look(&deployment(still), &set(4, 1), "2026-01-01T00:01:00Z");
    assert_eq!(
        (reasons(&late)[1], due),
        (("False", "ProgressDeadlineExceeded"), None)
    );
    let (moving, due) = look(&deployment(late), &set(4, 2), "2026-01-01T00:02:00Z");
    assert_eq!(reasons(&moving)[1], ("True", "ReplicaSetUpdated"));
    assert_eq!(due, Some(at("2026-01-01T00:03:00Z")));
}

#[test]
fn a_paused_rollout_has_no_deadline() {
    let mut paused = deployment(json!({}));
    paused["spec"]["paused"] = json!(true);
    let (status, due) = look(&paused, &set(4, 1), "2026-01-01T00:00:00Z");
    assert_eq!(
        (reasons(&status)[1], due),
        (("Unknown", "DeploymentPaused"), None)
    );
    let (resumed, _) = look(&deployment(status), &set(4, 1), "2026-01-01T00:10:00Z");
    assert_eq!(reasons(&resumed)[1], ("Unknown", "DeploymentResumed"));
}
