//! The operator is killed between every two requests that it makes to the Manager: whenever that is, its successor has the
//! fabric as it shall be, with nothing left over.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use rstest::rstest;
use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Backend, Identity};

use self::support::FakeManager;
use self::support::steering::{everything, steering};

const HELD: &str = "10.2.0.5";

fn before() -> SteeringPolicy {
    steering(&[
        ("business", "biz-internet", Mode::Strict, &[HELD, "10.2.0.6"]),
        ("batch", "mpls", Mode::Preferred, &["10.2.0.7"]),
    ])
}

/// Lists that are edited, created and unused; sequences that come and go.
fn after() -> SteeringPolicy {
    steering(&[
        ("business", "biz-internet", Mode::Strict, &[HELD, "10.2.0.8"]),
        ("bulk", "lte", Mode::Preferred, &["10.2.0.7", "fd00:2::7"]),
    ])
}

fn nothing() -> SteeringPolicy {
    SteeringPolicy::default()
}

fn identity(backend: Backend) -> Identity {
    Identity {
        backend,
        ..Identity::default()
    }
}

fn reconciler(manager: &FakeManager, backend: Backend) -> Reconciler {
    Reconciler::new(manager.client(), identity(backend), ServiceType::default())
}

/// Runs until the Manager has done this many requests and then no more; whether it came to its end before.
async fn killed_after(manager: &FakeManager, requests: usize, work: impl Future<Output = ()>) -> bool {
    manager.shelf().cut = Some(requests);
    let dead = async {
        while manager.shelf().cut != Some(0) {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    let ended = tokio::select! {
        biased;
        () = work => true,
        () = dead => false,
    };
    manager.shelf().cut = None;
    ended
}

/// Everything of a Manager that does not depend on when its ids were given out.
fn state(manager: &FakeManager) -> BTreeMap<String, String> {
    let shelf = manager.shelf();
    let mut state = BTreeMap::from([
        ("in force".to_owned(), shelf.in_force.clone()),
        ("lock".to_owned(), format!("{:?}", shelf.lock)),
        ("policies".to_owned(), shelf.policies.len().to_string()),
        ("groups".to_owned(), shelf.groups.groups.len().to_string()),
        ("profiles".to_owned(), shelf.groups.profiles.len().to_string()),
    ]);
    for (edge, told) in &shelf.groups.in_force {
        let (_, says) = told.split_once('\n').unwrap();
        state.insert(edge.clone(), says.to_owned());
    }
    for row in shelf.lists.values() {
        state.insert(row["name"].to_string(), row["entries"].to_string());
    }
    for row in shelf.definitions.values() {
        state.insert(
            row["name"].to_string(),
            row["sequences"].as_array().unwrap().len().to_string(),
        );
    }
    for row in shelf.groups.parcels.values() {
        let entries = row["payload"]["data"]["entries"].to_string();
        state.insert(row["payload"]["name"].to_string(), entries);
    }
    state
}

/// What edges do at present, all in one text.
fn followed(manager: &FakeManager) -> String {
    let shelf = manager.shelf();
    let groups = shelf.groups.in_force.values().cloned();
    groups.chain([shelf.in_force.clone()]).collect()
}

#[rstest]
#[tokio::test]
async fn a_successor_finishes_what_was_begun(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
    #[values(
        (nothing(), before()),
        (before(), after()),
        (everything(), before()),
        (after(), nothing()),
    )]
    change: (SteeringPolicy, SteeringPolicy),
) {
    let (from, to) = change;
    let reference = FakeManager::start().await;
    let mut whole = reconciler(&reference, backend);
    whole.reconcile(&from).await.unwrap();
    whole.reconcile(&to).await.unwrap();
    let expected = state(&reference);
    let is_held = |policy: &SteeringPolicy| {
        policy
            .rules
            .iter()
            .any(|rule| rule.hosts().any(|host| host.to_string() == HELD))
    };
    let held = is_held(&from) && is_held(&to);

    for requests in 1.. {
        let manager = FakeManager::start().await;
        reconciler(&manager, backend).reconcile(&from).await.unwrap();
        let mut victim = reconciler(&manager, backend);
        let ended = killed_after(&manager, requests, async {
            victim.reconcile(&to).await.map(drop).unwrap()
        })
        .await;
        assert!(
            !held || followed(&manager).contains(HELD),
            "no steering after {requests} requests"
        );
        if ended {
            assert!(requests > 15, "only {requests} requests were made");
            break;
        }
        reconciler(&manager, backend).reconcile(&to).await.unwrap();
        assert_eq!(state(&manager), expected, "after {requests} requests");
        let mut third = reconciler(&manager, backend);
        manager.take_writes();
        third.reconcile(&to).await.unwrap();
        assert_eq!(
            manager.take_writes(),
            Vec::<String>::new(),
            "after {requests} requests"
        );
    }
}

#[rstest]
#[case::classic(Backend::Classic)]
#[case::policy_groups(Backend::PolicyGroups)]
#[tokio::test]
async fn an_uninstall_that_was_killed_is_finished_by_the_next(#[case] backend: Backend) {
    let untouched = state(&FakeManager::start().await);
    for requests in 1.. {
        let manager = FakeManager::start().await;
        reconciler(&manager, backend).reconcile(&before()).await.unwrap();
        let (victim, identity) = (manager.client(), identity(backend));
        let uninstall = async {
            victim.uninstall(&identity).await.unwrap();
        };
        let ended = killed_after(&manager, requests, uninstall).await;
        if ended {
            assert!(requests > 15, "only {requests} requests were made");
            assert_eq!(state(&manager), untouched);
            break;
        }
        let uninstalled = manager.client().uninstall(&identity).await.unwrap();
        assert!(uninstalled.left.is_empty(), "{uninstalled:?}");
        assert_eq!(state(&manager), untouched, "after {requests} requests");
    }
}

#[rstest]
#[case::classic(Backend::Classic)]
#[case::policy_groups(Backend::PolicyGroups)]
#[tokio::test]
async fn what_the_manager_refuses_disturbs_nobody_wherever_the_operator_is_killed(#[case] backend: Backend) {
    let to = steering(&[
        ("business", "gold", Mode::Strict, &[HELD, "10.2.0.8"]),
        ("batch", "lte", Mode::Preferred, &["10.2.0.7"]),
    ]);
    let refuse = |manager: &FakeManager| {
        let calls = ["PUT /dataservice/template", "PUT /dataservice/v1"];
        manager
            .shelf()
            .refusing
            .extend(calls.map(|call| (call, "\"gold\"")));
    };
    async fn settle(mut reconciler: Reconciler, policy: &SteeringPolicy) {
        reconciler.reconcile(policy).await.unwrap();
        while reconciler.has_more_to_try() {
            reconciler.reconcile(policy).await.unwrap();
        }
    }
    let reference = FakeManager::start().await;
    reconciler(&reference, backend)
        .reconcile(&before())
        .await
        .unwrap();
    refuse(&reference);
    settle(reconciler(&reference, backend), &to).await;
    let expected = state(&reference);
    for requests in 1.. {
        let manager = FakeManager::start().await;
        reconciler(&manager, backend).reconcile(&before()).await.unwrap();
        refuse(&manager);
        let victim = reconciler(&manager, backend);
        let ended = killed_after(&manager, requests, settle(victim, &to)).await;
        let follows = followed(&manager);
        assert!(
            follows.contains(HELD) && follows.contains("biz-internet") && !follows.contains("gold"),
            "after {requests} requests: {follows}"
        );
        if ended {
            assert!(requests > 30, "only {requests} requests were made");
            break;
        }
        settle(reconciler(&manager, backend), &to).await;
        assert_eq!(state(&manager), expected, "after {requests} requests");
    }
}
