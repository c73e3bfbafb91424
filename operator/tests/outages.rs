//! What the operator makes of a Manager that is away, torn off or hidden behind a gateway.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use rstest::rstest;
use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Identity, ManagerError};

use self::support::steering::steering;
use self::support::{FakeManager, Fault, text};

const PAGE: &str = "<!DOCTYPE html><html><title>Be right back</title></html>";

/// What steers one Service, whose endpoint has this address.
fn business(host: &str) -> SteeringPolicy {
    steering(&[("business", "biz-internet", Mode::Strict, &[host])])
}

fn reconciler(manager: &FakeManager) -> Reconciler {
    Reconciler::new(manager.client(), Identity::default(), ServiceType::default())
}

/// Every object is there once, the policy is in force, and no edit is left open.
fn is_whole(manager: &FakeManager, host: &str) {
    assert!(manager.in_force().contains(&format!("{host}/32")));
    let shelf = manager.shelf();
    let rows = shelf.lists.values().chain(shelf.definitions.values());
    let names: Vec<&str> = rows.map(|row| text(row, "name")).collect();
    let different: BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len(), "{names:?}");
    assert!(!names.contains(&"ppo-edit-in-progress"), "{names:?}");
    assert_eq!((shelf.policies.len(), shelf.lock.as_deref()), (1, None));
}

#[rstest]
#[case::timeout(408, "")]
#[case::rate_limit(429, "")]
#[case::internal(500, "oops")]
#[case::bad_gateway(502, PAGE)]
#[case::unavailable(503, PAGE)]
#[case::gateway_timeout(504, PAGE)]
#[case::page(200, PAGE)]
#[tokio::test]
async fn a_read_or_a_login_that_is_not_answered_is_repeated(#[case] status: u16, #[case] body: &str) {
    let manager = FakeManager::start().await;
    for call in [
        "POST /j_security_check",
        "GET /dataservice/client/token",
        "GET /dataservice/device",
        "GET /dataservice/template/policy/vsmart",
        "GET /dataservice/device/action/status/",
    ] {
        manager.shelf().faults.push_back(Fault::new(call, status, body));
    }
    reconciler(&manager)
        .reconcile(&business("10.2.0.5"))
        .await
        .unwrap();
    is_whole(&manager, "10.2.0.5");
    assert_eq!(manager.shelf().sessions.logins, 1);
    assert!(manager.shelf().faults.is_empty());
}

#[tokio::test]
async fn what_may_be_done_twice_is_repeated_when_its_answer_is_torn() {
    let manager = FakeManager::start().await;
    manager.shelf().torn.extend([
        "POST /j_security_check",
        "GET /dataservice/device",
        "GET /dataservice/device/action/status/",
        "DELETE /dataservice/template/policy/list/vpn/",
    ]);
    reconciler(&manager)
        .reconcile(&business("10.2.0.5"))
        .await
        .unwrap();
    is_whole(&manager, "10.2.0.5");
    assert!(manager.shelf().torn.is_empty());
}

#[rstest]
#[case::list("POST /dataservice/template/policy/list/dataprefix")]
#[case::mark("POST /dataservice/template/policy/list/vpn")]
#[case::definition("POST /dataservice/template/policy/definition/data")]
#[case::policy("POST /dataservice/template/policy/vsmart")]
#[case::activation("POST /dataservice/template/policy/vsmart/activate/")]
#[tokio::test]
async fn a_creation_whose_answer_is_torn_is_found_by_its_name(#[case] call: &'static str) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager);
    manager.shelf().torn.push_back(call);
    let error = reconciler.reconcile(&business("10.2.0.5")).await.unwrap_err();
    assert!(matches!(error, ManagerError::Transport { .. }), "{error}");
    reconciler.reconcile(&business("10.2.0.5")).await.unwrap();
    is_whole(&manager, "10.2.0.5");
}

#[rstest]
#[case::list("PUT /dataservice/template/policy/list/dataprefix/")]
#[case::policy("PUT /dataservice/template/policy/vsmart/central/")]
#[case::activation("POST /dataservice/template/policy/vsmart/activate/central/")]
#[tokio::test]
async fn an_edit_whose_answer_is_torn_is_brought_to_an_end(#[case] call: &'static str) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager);
    reconciler.reconcile(&business("10.2.0.5")).await.unwrap();
    manager.shelf().torn.push_back(call);
    let error = reconciler.reconcile(&business("10.2.0.6")).await.unwrap_err();
    assert!(matches!(error, ManagerError::Transport { .. }), "{error}");
    reconciler.reconcile(&business("10.2.0.6")).await.unwrap();
    is_whole(&manager, "10.2.0.6");
}

#[rstest]
#[case::bad_gateway(502, PAGE)]
#[case::page(200, PAGE)]
#[tokio::test]
async fn a_write_that_may_have_been_done_is_not_repeated_blindly(#[case] status: u16, #[case] body: &str) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager);
    let call = "POST /dataservice/template/policy/definition/data";
    manager.shelf().faults.push_back(Fault::new(call, status, body));
    let error = reconciler.reconcile(&business("10.2.0.5")).await.unwrap_err();
    assert!(
        matches!(error, ManagerError::Unclear { ref reason, .. } if reason.contains("a page of HTML")),
        "{error}"
    );
    let writes = manager.take_writes();
    assert_eq!(writes.iter().filter(|write| write.starts_with(call)).count(), 1);
    reconciler.reconcile(&business("10.2.0.5")).await.unwrap();
    is_whole(&manager, "10.2.0.5");
}

#[rstest]
#[case::mark("POST /dataservice/template/policy/list/vpn")]
#[case::list("PUT /dataservice/template/policy/list/dataprefix/")]
#[case::policy("PUT /dataservice/template/policy/vsmart/central/")]
#[case::activation("POST /dataservice/template/policy/vsmart/activate/central/")]
#[case::task("GET /dataservice/device/action/status/")]
#[tokio::test]
async fn an_edit_goes_on_in_a_new_session(#[case] call: &'static str) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager);
    reconciler.reconcile(&business("10.2.0.5")).await.unwrap();
    let expired = Fault {
        headers: vec![(
            "set-cookie",
            "JSESSIONID=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        )],
        ..Fault::new(call, 403, "SessionTokenFilter")
    };
    manager.shelf().faults.push_back(expired);
    reconciler.reconcile(&business("10.2.0.6")).await.unwrap();
    is_whole(&manager, "10.2.0.6");
    assert_eq!(manager.shelf().sessions.logins, 2);
}

#[tokio::test]
async fn a_page_that_stays_may_be_a_login_page_after_all() {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager);
    let call = "GET /dataservice/device";
    let pages = (0..20).map(|_| Fault::new(call, 200, PAGE));
    manager.shelf().faults.extend(pages);
    let error = reconciler.reconcile(&business("10.2.0.5")).await.unwrap_err();
    assert!(
        matches!(error, ManagerError::Busy { ref reason, .. } if reason.contains("a page of HTML")),
        "{error}"
    );
    manager.shelf().faults.clear();
    reconciler.reconcile(&business("10.2.0.5")).await.unwrap();
    assert_eq!(manager.shelf().sessions.logins, 2);
}
