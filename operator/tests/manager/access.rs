//! A Manager that is busy or locked, and sessions that it ends or refuses.

use rstest::rstest;
use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Identity, ManagerError};

use super::support::{FakeManager, Fault};
use super::{DEFINITION, activations, business, reconciler, steer, steered};

#[tokio::test]
async fn a_lock_is_waited_for() {
    let (manager, mut reconciler) = steered().await;
    manager
        .shelf()
        .faults
        .extend([Fault::locked(DEFINITION), Fault::locked(DEFINITION)]);
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    let writes = manager.take_writes();
    assert_eq!(
        writes.iter().filter(|call| call.starts_with(DEFINITION)).count(),
        3
    );
    assert_eq!(activations(&writes), 1);
}

#[tokio::test]
async fn a_lock_that_outlasts_the_patience_is_an_error() {
    let (manager, mut reconciler) = steered().await;
    manager.shelf().lock = Some("somebody".to_owned());
    let error = reconciler
        .reconcile(&SteeringPolicy::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ManagerError::Busy { ref reason, .. } if reason.contains("locked")),
        "{error}"
    );
    assert_eq!(manager.shelf().lock.as_deref(), Some("somebody"));
}

#[rstest]
#[case::rate_limit(429)]
#[case::unavailable(503)]
#[tokio::test]
async fn a_busy_manager_is_asked_again(#[case] status: u16) {
    let manager = FakeManager::start().await;
    let call = "POST /dataservice/template/policy/definition/data";
    let busy = Fault {
        headers: vec![("retry-after", "0")],
        ..Fault::new(call, status, "slow down")
    };
    manager.shelf().faults.push_back(busy);
    reconciler(&manager).reconcile(&business()).await.unwrap();
    assert!(manager.in_force().contains("10.2.0.5/32"));
}

#[rstest]
#[case::login_page(200, "<html><form action=\"/j_security_check\"></form></html>")]
#[case::redirect(302, "")]
#[case::unauthorized(401, "")]
#[case::token_mismatch(403, "SessionTokenFilter")]
#[tokio::test]
async fn an_expired_session_is_renewed_once(#[case] status: u16, #[case] body: &str) {
    let (manager, mut reconciler) = steered().await;
    manager.expire_session();
    manager.shelf().faults.push_back(Fault::new(
        "POST /dataservice/template/policy/list/",
        status,
        body,
    ));
    reconciler
        .reconcile(&steer(&[("batch", "mpls", &["10.2.0.7"])]))
        .await
        .unwrap();
    assert_eq!(manager.shelf().sessions.logins, 2);
    assert!(manager.in_force().contains("10.2.0.7/32"));
}

#[rstest]
#[case::form("POST /j_security_check", 429)]
#[case::token("GET /dataservice/client/token", 503)]
#[tokio::test]
async fn a_login_waits_for_a_busy_manager(#[case] call: &'static str, #[case] status: u16) {
    let manager = FakeManager::start().await;
    manager
        .shelf()
        .faults
        .push_back(Fault::new(call, status, "slow down"));
    reconciler(&manager).reconcile(&business()).await.unwrap();
    assert!(manager.in_force().contains("10.2.0.5/32"));
    manager
        .shelf()
        .faults
        .extend((0..100).map(|_| Fault::new(call, status, "slow down")));
    let error = reconciler(&manager).reconcile(&business()).await.unwrap_err();
    assert!(matches!(error, ManagerError::Busy { .. }), "{error}");
}

#[tokio::test]
async fn a_session_that_is_refused_when_fresh_is_an_error() {
    let manager = FakeManager::start().await;
    let forbidden = || Fault::new("GET /dataservice/device", 403, "no permission");
    manager.shelf().faults.extend([forbidden(), forbidden()]);
    let error = reconciler(&manager).reconcile(&business()).await.unwrap_err();
    assert!(matches!(error, ManagerError::SessionRefused { .. }), "{error}");
}

#[tokio::test]
async fn wrong_credentials_are_an_error_that_does_not_show_the_password() {
    let manager = FakeManager::start().await;
    let client = manager.client_with_password("hunter2");
    assert!(!format!("{client:?}").contains("hunter2"));
    let error = Reconciler::new(client, Identity::default(), ServiceType::default())
        .reconcile(&business())
        .await
        .unwrap_err();
    assert!(matches!(error, ManagerError::LoginRefused { .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"));
}
