//! What others have on the Manager, and what they do to the operator's objects.

use rstest::rstest;
use sdwan_operator::core::SteeringPolicy;
use sdwan_operator::manager::ManagerError;
use serde_json::json;

use super::support::{FakeManager, MARK, text};
use super::{activations, business, reconciler, steer, steered};

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
async fn an_owner_whose_name_begins_like_ours_is_another() {
    let (manager, _ours) = steered().await;
    for row in manager.shelf().definitions.values_mut() {
        row["description"] = json!(format!("{MARK}2"));
    }
    let error = reconciler(&manager).reconcile(&business()).await.unwrap_err();
    assert!(matches!(error, ManagerError::NameTaken { .. }), "{error}");
}
