//! What the operator says to a Manager, against a stateful stand-in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rstest::rstest;
use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Identity, ManagerError};
use serde_json::{Value, json};

use self::support::steering::steering;
use self::support::{FakeManager, Fault, MARK, text};

const DEFINITION: &str = "PUT /dataservice/template/policy/definition/data/";

fn steer(services: &[(&str, &str, &[&str])]) -> SteeringPolicy {
    let strict = services
        .iter()
        .map(|&(name, color, hosts)| (name, color, Mode::Strict, hosts));
    steering(&strict.collect::<Vec<_>>())
}

fn business() -> SteeringPolicy {
    steer(&[("business", "biz-internet", &["10.2.0.5"])])
}

fn reconciler(manager: &FakeManager) -> Reconciler {
    Reconciler::new(manager.client(), Identity::default(), ServiceType::default())
}

/// A Manager on which `business` is steered, by a reconciler that is still there.
async fn steered() -> (FakeManager, Reconciler) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager);
    reconciler.reconcile(&business()).await.unwrap();
    manager.take_writes();
    (manager, reconciler)
}

fn activations(writes: &[String]) -> usize {
    writes.iter().filter(|call| call.contains("/activate/")).count()
}

fn position(writes: &[String], start: &str) -> usize {
    writes
        .iter()
        .position(|call| call.starts_with(start))
        .unwrap_or_else(|| panic!("no {start} in {writes:#?}"))
}

#[tokio::test]
async fn the_first_intent_builds_lists_definition_policy_and_activates_once() {
    let manager = FakeManager::start().await;
    reconciler(&manager).reconcile(&business()).await.unwrap();
    let writes = manager.take_writes();
    let definition = position(&writes, "POST /dataservice/template/policy/definition/data");
    let policy = writes
        .iter()
        .position(|call| call == "POST /dataservice/template/policy/vsmart")
        .unwrap();
    let activation = position(&writes, "POST /dataservice/template/policy/vsmart/activate/");
    assert!(
        writes[..definition]
            .iter()
            .all(|call| call.starts_with("POST /dataservice/template/policy/list/"))
    );
    assert_eq!((policy, activation), (definition + 1, definition + 2));
    assert_eq!(activations(&writes), 1);
    insta::assert_snapshot!(manager.in_force(), @r"
    sites 100 200 vpn 10 service
    sourceDataPrefixList 10.2.0.5/32, sourcePort 8080, protocol 6, biz-internet restrict
    destinationDataPrefixList 10.2.0.5/32, destinationPort 8080, protocol 6, biz-internet restrict
    default accept
    ");
}

#[tokio::test]
async fn an_edit_of_the_active_policy_is_one_locked_edit_with_one_activation() {
    let (manager, mut reconciler) = steered().await;
    let policy = steer(&[
        ("business", "biz-internet", &["10.2.0.6", "fd00:2::6"]),
        ("batch", "mpls", &["10.2.0.7"]),
    ]);
    reconciler.reconcile(&policy).await.unwrap();
    let writes = manager.take_writes();
    let steps = [
        position(&writes, "POST /dataservice/template/policy/list/dataprefix"),
        position(&writes, "PUT /dataservice/template/policy/list/dataprefix/"),
        position(&writes, DEFINITION),
        position(&writes, "PUT /dataservice/template/policy/vsmart/central/"),
        position(
            &writes,
            "POST /dataservice/template/policy/vsmart/activate/central/",
        ),
    ];
    assert!(steps.is_sorted(), "{writes:#?}");
    assert_eq!(activations(&writes), 1);
    assert_eq!(manager.shelf().lock, None);
    insta::assert_snapshot!(manager.in_force(), @r"
    sites 100 200 vpn 10 service
    sourceDataPrefixList 10.2.0.6/32, sourcePort 8080, protocol 6, biz-internet restrict
    destinationDataPrefixList 10.2.0.6/32, destinationPort 8080, protocol 6, biz-internet restrict
    sourceDataIpv6PrefixList fd00:2::6/128, sourcePort 8080, protocol 6, biz-internet restrict
    destinationDataIpv6PrefixList fd00:2::6/128, destinationPort 8080, protocol 6, biz-internet restrict
    sourceDataPrefixList 10.2.0.7/32, sourcePort 8080, protocol 6, mpls restrict
    destinationDataPrefixList 10.2.0.7/32, destinationPort 8080, protocol 6, mpls restrict
    default accept
    ");
}

#[tokio::test]
async fn a_second_round_and_a_restart_write_nothing() {
    let (manager, mut first) = steered().await;
    first.reconcile(&business()).await.unwrap();
    first.forget();
    first.reconcile(&business()).await.unwrap();
    reconciler(&manager).reconcile(&business()).await.unwrap();
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn without_any_intent_ever_nothing_is_written() {
    let manager = FakeManager::start().await;
    reconciler(&manager)
        .reconcile(&SteeringPolicy::default())
        .await
        .unwrap();
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_last_intent_gone_leaves_an_active_policy_without_sequences() {
    let (manager, mut reconciler) = steered().await;
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    let writes = manager.take_writes();
    assert_eq!(activations(&writes), 1);
    assert!(
        position(&writes, "DELETE") > position(&writes, "POST /dataservice/template/policy/vsmart/activate/")
    );
    assert!(manager.shelf().active.is_some());
    insta::assert_snapshot!(manager.in_force(), @r"
    sites 100 200 vpn 10 service
    default accept
    ");
    assert!(
        manager
            .list_names()
            .iter()
            .all(|name| name.contains("sites") || name.contains("vpn10"))
    );

    reconciler.reconcile(&business()).await.unwrap();
    assert_eq!(activations(&manager.take_writes()), 1);
    assert!(manager.in_force().contains("10.2.0.5/32"));
}

#[tokio::test]
async fn a_restart_removes_the_rules_of_services_that_are_gone() {
    let (manager, _crashed) = steered().await;
    reconciler(&manager)
        .reconcile(&SteeringPolicy::default())
        .await
        .unwrap();
    assert!(!manager.in_force().contains("10.2.0.5/32"));
    assert!(manager.list_names().iter().all(|name| !name.contains("t8080")));
}

#[tokio::test]
async fn foreign_objects_are_never_touched() {
    let manager = FakeManager::start().await;
    let foreign = {
        let mut shelf = manager.shelf();
        for (kind, name, description) in [
            ("dataprefix", "branch-printers", ""),
            ("dataprefix", "ppo-looks-like-ours", "Desc Not Required"),
            ("dataprefix", "other-t8080", "managed by sdwan-operator/other"),
        ] {
            let id = shelf.id();
            let row = json!({
                "listId": id, "name": name, "description": description, "type": "dataPrefix",
                "entries": [{ "ipPrefix": "10.9.0.0/16" }],
            });
            shelf.lists.insert((kind.to_owned(), id), row);
        }
        let id = shelf.id();
        shelf.policies.insert(
            id.clone(),
            json!({ "policyId": id, "policyName": "spare", "policyDefinition": { "assembly": [] } }),
        );
        (shelf.lists.clone(), shelf.policies.clone())
    };
    let mut reconciler = reconciler(&manager);
    reconciler.reconcile(&business()).await.unwrap();
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    let shelf = manager.shelf();
    assert!(
        foreign
            .0
            .iter()
            .all(|(key, row)| shelf.lists.get(key) == Some(row))
    );
    assert!(
        foreign
            .1
            .iter()
            .all(|(key, row)| shelf.policies.get(key) == Some(row))
    );
}

#[tokio::test]
async fn an_active_policy_of_somebody_else_is_not_replaced() {
    let manager = FakeManager::start().await;
    {
        let mut shelf = manager.shelf();
        let policy =
            json!({ "policyId": "p", "policyName": "central", "policyDefinition": { "assembly": [] } });
        shelf.policies.insert("p".to_owned(), policy);
        shelf.active = Some("p".to_owned());
    }
    let error = reconciler(&manager).reconcile(&business()).await.unwrap_err();
    assert!(
        matches!(error, ManagerError::ForeignPolicyActive { ref active, .. } if active == "central"),
        "{error}"
    );
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_policy_that_others_activated_since_the_last_look_is_not_replaced() {
    let (manager, mut reconciler) = steered().await;
    {
        let mut shelf = manager.shelf();
        let policy = json!({ "policyId": "p", "policyName": "central", "policyDefinition": "{}" });
        shelf.policies.insert("p".to_owned(), policy);
        shelf.active = Some("p".to_owned());
    }
    let elsewhere = steer(&[("business", "biz-internet", &["10.2.0.9"])]);
    let error = reconciler.reconcile(&elsewhere).await.unwrap_err();
    assert!(
        matches!(error, ManagerError::ForeignPolicyActive { ref active, .. } if active == "central"),
        "{error}"
    );
    assert_eq!(activations(&manager.take_writes()), 0);
}

#[tokio::test]
async fn a_policy_name_that_is_taken_is_an_error_before_any_write() {
    let manager = FakeManager::start().await;
    let policy =
        json!({ "policyId": "p", "policyName": "k8s-steering", "policyDefinition": { "assembly": [] } });
    manager.shelf().policies.insert("p".to_owned(), policy);
    let error = reconciler(&manager).reconcile(&business()).await.unwrap_err();
    assert!(matches!(error, ManagerError::NameTaken { .. }), "{error}");
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn what_others_added_to_the_policy_stays_in_it() {
    let (manager, mut reconciler) = steered().await;
    let theirs = json!({ "definitionId": "control-1", "type": "control", "entries": [] });
    for policy in manager.shelf().policies.values_mut() {
        policy["policyDefinition"]["assembly"]
            .as_array_mut()
            .unwrap()
            .insert(0, theirs.clone());
    }
    reconciler.forget();
    reconciler.reconcile(&business()).await.unwrap();
    assert_eq!(manager.take_writes(), Vec::<String>::new());
    manager.shelf().sites.push("300");
    reconciler.forget();
    reconciler.reconcile(&business()).await.unwrap();
    let shelf = manager.shelf();
    let policy = shelf.policies.values().next().unwrap();
    assert_eq!(policy["policyDefinition"]["assembly"][0], theirs);
    assert!(
        shelf.in_force.starts_with("sites 100 200 300 vpn 10"),
        "{}",
        shelf.in_force
    );
}

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

#[rstest]
#[case::list(|manager: &FakeManager| {
    let mut shelf = manager.shelf();
    let list = shelf.lists.values_mut().find(|row| text(row, "name").contains("t8080")).unwrap();
    list["entries"] = json!([{ "ipPrefix": "0.0.0.0/0" }]);
})]
#[case::default_action(|manager: &FakeManager| {
    for definition in manager.shelf().definitions.values_mut() {
        definition["defaultAction"]["type"] = json!("drop");
    }
})]
#[case::restrict_removed(|manager: &FakeManager| {
    for definition in manager.shelf().definitions.values_mut() {
        let tlocs = definition.pointer_mut("/sequences/0/actions/0/parameter/0/value").unwrap();
        tlocs.as_object_mut().unwrap().remove("restrict");
    }
})]
#[case::sequence_added(|manager: &FakeManager| {
    for definition in manager.shelf().definitions.values_mut() {
        let sequences = definition["sequences"].as_array_mut().unwrap();
        sequences.insert(0, json!({ "sequenceId": 0, "match": { "entries": [] }, "actions": [] }));
    }
})]
#[case::direction(|manager: &FakeManager| {
    for policy in manager.shelf().policies.values_mut() {
        policy["policyDefinition"]["assembly"][0]["entries"][0]["direction"] = json!("tunnel");
    }
})]
#[case::deactivated(|manager: &FakeManager| manager.shelf().active = None)]
#[tokio::test]
async fn what_others_changed_is_repaired_at_the_resync(#[case] change: impl Fn(&FakeManager)) {
    let (manager, mut reconciler) = steered().await;
    let before = manager.in_force();
    change(&manager);
    manager.shelf().in_force.clear();
    reconciler.forget();
    reconciler.reconcile(&business()).await.unwrap();
    assert_eq!(activations(&manager.take_writes()), 1);
    assert_eq!(manager.in_force(), before);
    reconciler.forget();
    reconciler.reconcile(&business()).await.unwrap();
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_list_that_somebody_uses_is_kept_without_an_error() {
    let (manager, mut reconciler) = steered().await;
    {
        let mut shelf = manager.shelf();
        let (_, list) = shelf
            .lists
            .keys()
            .find(|(kind, _)| kind == "dataprefix")
            .unwrap()
            .clone();
        let theirs = json!({ "definitionId": "d", "name": "theirs", "sequences": [{ "ref": list }] });
        shelf.definitions.insert("d".to_owned(), theirs);
    }
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert!(manager.list_names().iter().any(|name| name.contains("t8080")));
    assert!(!manager.in_force().contains("10.2.0.5/32"));
}

#[tokio::test]
async fn a_fabric_without_wan_edges_is_an_error() {
    let manager = FakeManager::start().await;
    manager.shelf().sites.clear();
    let error = reconciler(&manager).reconcile(&business()).await.unwrap_err();
    assert!(matches!(error, ManagerError::NoWanEdges), "{error}");
    reconciler(&manager)
        .reconcile(&SteeringPolicy::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn own_objects_carry_the_mark() {
    let (manager, _reconciler) = steered().await;
    let shelf = manager.shelf();
    assert!(
        shelf
            .lists
            .values()
            .chain(shelf.definitions.values())
            .all(|row| text(row, "description") == MARK)
    );
    assert!(
        shelf
            .policies
            .values()
            .all(|row| text(row, "policyDescription") == MARK)
    );
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

#[tokio::test]
async fn an_owner_whose_name_begins_like_ours_is_another() {
    let (manager, _ours) = steered().await;
    for row in manager.shelf().definitions.values_mut() {
        row["description"] = json!(format!("{MARK}2"));
    }
    let error = reconciler(&manager).reconcile(&business()).await.unwrap_err();
    assert!(matches!(error, ManagerError::NameTaken { .. }), "{error}");
}

#[tokio::test]
async fn the_tunnels_of_many_pages_become_one_report_for_each_color() {
    let manager = FakeManager::start().await;
    let session = |near: &str, state: &str| {
        json!({
            "vdevice-name": near, "system-ip": "9", "local-color": "mpls", "color": "mpls", "proto": "ipsec", "state": state,
        })
    };
    let pages = [
        (
            "GET /dataservice/data/device/state/BFDSessions?count=1000",
            "1",
            json!({ "endId": "7", "moreEntries": true }),
        ),
        (
            "GET /dataservice/data/device/state/BFDSessions?count=1000&startId=7",
            "2",
            json!({ "endId": "8", "moreEntries": false }),
        ),
    ];
    for (call, near, info) in pages {
        let page = json!({ "data": [session(near, "up"), session(near, "down")], "pageInfo": info });
        manager.shelf().canned.insert(call, page);
    }
    let row = json!({
        "local_system_ip": "2", "remote_system_ip": "9", "local_color": "mpls", "remote_color": "mpls",
        "loss_percentage": 1.5, "latency": 20, "jitter": 3,
    });
    let call = "POST /dataservice/statistics/approute";
    manager.shelf().canned.insert(call, json!({ "data": [row] }));
    let reports = manager.client().tunnels().await.unwrap();
    let report = &reports[&"mpls".parse().unwrap()];
    assert_eq!((reports.len(), report.up, report.total), (1, 2, 4));
    assert_eq!(report.quality.unwrap().loss_ppm, 15_000);
}
