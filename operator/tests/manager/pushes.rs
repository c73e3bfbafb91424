//! Pushes that fail, are skipped, or do not reach every device.

use sdwan_operator::core::SteeringPolicy;
use sdwan_operator::manager::ManagerError;
use serde_json::{Value, json};

use super::support::{FakeManager, Fault};
use super::{activations, business, reconciler, steer, steered};

fn failed_push() -> Value {
    json!({
        "data": [{ "host-name": "vsmart1", "statusId": "failure", "activity": ["commit failed"] }],
        "validation": { "statusId": "validation_success" }, "summary": { "status": "done" },
    })
}

#[tokio::test]
async fn a_failed_push_is_an_error_and_the_next_round_makes_up_for_it() {
    let (manager, mut reconciler) = steered().await;
    manager.shelf().task_results.push_back(failed_push());
    let error = reconciler
        .reconcile(&SteeringPolicy::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ManagerError::TaskFailed { ref reason, .. } if reason == "commit failed"),
        "{error}"
    );
    assert_eq!(manager.shelf().lock, None, "the lock is given back");
    assert!(manager.in_force().contains("10.2.0.5/32"));

    manager.take_writes();
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert_eq!(activations(&manager.take_writes()), 1);
    assert!(!manager.in_force().contains("10.2.0.5/32"));
    assert!(
        manager
            .list_names()
            .iter()
            .all(|name| !name.contains("edit-in-progress"))
    );
}

#[tokio::test]
async fn a_crash_between_edit_and_activation_is_made_up_for_by_the_successor() {
    let (manager, mut crashing) = steered().await;
    let call = "POST /dataservice/template/policy/vsmart/activate/";
    manager
        .shelf()
        .faults
        .push_back(Fault::new(call, 500, "crash here"));
    let next = steer(&[("business", "biz-internet", &["10.2.0.6"])]);
    crashing.reconcile(&next).await.unwrap_err();
    // A process that died would not have given its lock back.
    manager.shelf().lock = Some("of the dead".to_owned());
    manager.take_writes();

    reconciler(&manager).reconcile(&next).await.unwrap();
    assert_eq!(activations(&manager.take_writes()), 1);
    assert!(manager.in_force().contains("10.2.0.6/32"));
    assert_eq!(manager.shelf().lock, None);
    assert!(
        manager
            .list_names()
            .iter()
            .all(|name| !name.contains("edit-in-progress"))
    );
}

#[tokio::test]
async fn a_push_that_was_skipped_is_asked_for_again() {
    let manager = FakeManager::start().await;
    manager.shelf().task_results.push_back(json!({
        "data": [], "summary": { "status": "done" },
        "validation": {
            "statusId": "validation_failure", "activity": ["A vSmart policy operation is already in progress"]
        },
    }));
    reconciler(&manager).reconcile(&business()).await.unwrap();
    assert!(manager.in_force().contains("10.2.0.5/32"));
}

#[tokio::test]
async fn a_controller_that_is_offline_is_reported_until_it_is_back() {
    let (manager, mut reconciler) = steered().await;
    manager.shelf().task_results.push_back(json!({
        "data": [{ "host-name": "vsmart1", "statusId": "success_scheduled" }],
        "validation": { "statusId": "validation_success" }, "summary": { "status": "done" },
    }));
    manager.shelf().controller_offline = true;
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert_eq!(reconciler.waiting_for(), ["vsmart1"]);
    reconciler.forget();
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert_eq!(reconciler.waiting_for(), ["vsmart1"]);
    manager.shelf().controller_offline = false;
    reconciler.forget();
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert_eq!(reconciler.waiting_for(), [] as [&str; 0]);
}
