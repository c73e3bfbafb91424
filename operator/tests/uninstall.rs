//! Uninstalling: the Manager is as it was found, and nothing of others is touched.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rstest::rstest;
use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::ServiceType;
use sdwan_operator::manager::{Backend, Identity, ManagerError};
use serde_json::json;

use self::support::FakeManager;
use self::support::steering::everything;

fn identity(backend: Backend) -> Identity {
    Identity {
        backend,
        ..Identity::default()
    }
}

/// A Manager with objects of others, on which everything that can be asked for is steered.
async fn steered(backend: Backend) -> FakeManager {
    let manager = FakeManager::start().await;
    {
        let mut shelf = manager.shelf();
        let list = json!({ "listId": "x", "name": "ppo-not-marked", "description": "", "entries": [] });
        shelf.lists.insert(("site".to_owned(), "x".to_owned()), list);
        let policy =
            json!({ "policyId": "y", "policyName": "spare", "policyDefinition": { "assembly": [] } });
        shelf.policies.insert("y".to_owned(), policy);
        let profile = json!({ "profileId": "z", "profileName": "theirs", "description": "" });
        shelf
            .groups
            .profiles
            .insert(("policy-object".to_owned(), "z".to_owned()), profile);
    }
    let mut reconciler = Reconciler::new(manager.client(), identity(backend), ServiceType::default());
    reconciler.reconcile(&everything()).await.unwrap();
    manager.take_writes();
    manager
}

#[rstest]
#[case::classic(Backend::Classic)]
#[case::policy_groups(Backend::PolicyGroups)]
#[tokio::test]
async fn only_what_is_of_others_is_left(#[case] backend: Backend) {
    let manager = steered(backend).await;
    let uninstalled = manager.client().uninstall(&identity(backend)).await.unwrap();
    assert!(uninstalled.left.is_empty(), "{uninstalled:?}");
    assert!(uninstalled.removed.len() > 10, "{uninstalled:?}");
    {
        let shelf = manager.shelf();
        assert_eq!(
            (shelf.lists.len(), shelf.definitions.len(), shelf.policies.len()),
            (1, 0, 1)
        );
        let groups = &shelf.groups;
        assert_eq!(
            (groups.profiles.len(), groups.parcels.len(), groups.groups.len()),
            (1, 0, 0)
        );
        assert!(shelf.in_force.is_empty() && shelf.groups.in_force.is_empty());
        assert_eq!(shelf.active, None);
    }
    let again = manager.client().uninstall(&identity(backend)).await.unwrap();
    assert!(again.removed.is_empty(), "{again:?}");
}

#[tokio::test]
async fn a_policy_that_others_added_to_is_left_whole() {
    let manager = steered(Backend::Classic).await;
    let in_force = manager.in_force();
    for policy in manager.shelf().policies.values_mut() {
        let assembly = policy["policyDefinition"]["assembly"].as_array_mut().unwrap();
        assembly.push(json!({ "definitionId": "control-1", "type": "control", "entries": [] }));
    }
    let error = manager
        .client()
        .uninstall(&identity(Backend::Classic))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ManagerError::OthersInPolicy { ref others, .. } if others == &["control"]),
        "{error}"
    );
    assert_eq!(manager.take_writes(), Vec::<String>::new());
    assert_eq!(manager.in_force(), in_force);
}

#[tokio::test]
async fn a_group_that_others_added_to_is_left_whole() {
    let manager = steered(Backend::PolicyGroups).await;
    for group in manager.shelf().groups.groups.values_mut() {
        group["profiles"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "id": "z" }));
    }
    let error = manager
        .client()
        .uninstall(&identity(Backend::PolicyGroups))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("others added to it: profile z"),
        "{error}"
    );
    assert_eq!(manager.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_list_that_others_use_is_left_and_named() {
    let manager = steered(Backend::Classic).await;
    let (list, name) = {
        let shelf = manager.shelf();
        let mut lists = shelf.lists.iter();
        let ((_, id), row) = lists.find(|((kind, _), _)| kind == "sla").unwrap();
        (id.clone(), row["name"].as_str().unwrap().to_owned())
    };
    let theirs = json!({ "definitionId": "d", "name": "theirs", "sequences": [{ "ref": list }] });
    manager.shelf().definitions.insert("d".to_owned(), theirs);
    let uninstalled = manager
        .client()
        .uninstall(&identity(Backend::Classic))
        .await
        .unwrap();
    let left: Vec<_> = uninstalled.left.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(left, [format!("list {name}")]);
}
