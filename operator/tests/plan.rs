//! Dry runs: what would be written, in the order of the writes, and nothing is.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rstest::rstest;
use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Backend, Identity, Verb};
use serde_json::json;

use self::support::steering::{everything, steering};
use self::support::{FakeManager, text};

fn reconciler(manager: &FakeManager, backend: Backend) -> Reconciler {
    let identity = Identity {
        backend,
        ..Identity::default()
    };
    Reconciler::new(manager.client(), identity, ServiceType::default())
}

fn business(hosts: &[&str]) -> SteeringPolicy {
    steering(&[("business", "mpls", Mode::Strict, hosts)])
}

/// Writes that are no previews.
fn writes(manager: &FakeManager) -> Vec<String> {
    let mut writes = manager.take_writes();
    writes.retain(|call| !call.ends_with("/preview"));
    writes
}

/// The names of all lists and parcels.
fn names(manager: &FakeManager) -> Vec<String> {
    let shelf = manager.shelf();
    let lists = shelf.lists.values().map(|row| text(row, "name").to_owned());
    let parcels = shelf.groups.parcels.values();
    let parcels = parcels.map(|row| text(&row["payload"], "name").to_owned());
    lists.chain(parcels).collect()
}

#[rstest]
#[case::classic(Backend::Classic)]
#[case::policy_groups(Backend::PolicyGroups)]
#[tokio::test]
async fn a_plan_names_what_is_then_written(#[case] backend: Backend) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, backend);
    for policy in [everything(), business(&["10.2.0.5"]), SteeringPolicy::default()] {
        let plan = reconciler.plan(&policy).await.unwrap();
        assert_eq!(writes(&manager), Vec::<String>::new());
        reconciler.reconcile(&policy).await.unwrap();
        let names = names(&manager);
        for step in plan.steps.iter().filter(|step| step.kind.ends_with("list")) {
            assert_eq!(
                names.contains(&step.name),
                step.verb != Verb::Remove,
                "{step} {names:?}"
            );
        }
        manager.take_writes();
        let rest = reconciler.plan(&policy).await.unwrap();
        assert_eq!(rest.steps, []);
    }
}

#[tokio::test]
async fn a_plan_reads_like_the_writes() {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, Backend::Classic);
    reconciler.reconcile(&business(&["10.2.0.5"])).await.unwrap();
    let plan = reconciler
        .plan(&steering(&[
            ("business", "mpls", Mode::Strict, &["10.2.0.6"]),
            ("batch", "lte", Mode::Preferred, &["fd00:2::7"]),
        ]))
        .await
        .unwrap();
    insta::with_settings!({ filters => [("-[0-9a-v]{9}", "-DIGEST")] }, {
        insta::assert_snapshot!(plan);
    });
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["steps"][0]["verb"], "create");
    let edit = json["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["verb"] == "edit");
    assert_eq!(edit.unwrap()["added"], json!(["10.2.0.6/32"]));
}

#[tokio::test]
async fn a_plan_names_what_the_manager_refuses_beside_the_rest() {
    let manager = FakeManager::start().await;
    let call = "POST /dataservice/template/policy/list/dataprefix/preview";
    manager.shelf().refusing.push((call, "gold"));
    let policy = steering(&[
        ("business", "gold", Mode::Strict, &["10.2.0.5"]),
        ("batch", "lte", Mode::Strict, &["10.2.0.7"]),
    ]);
    let plan = reconciler(&manager, Backend::Classic)
        .plan(&policy)
        .await
        .unwrap();
    let [refused] = plan.refused.as_slice() else {
        panic!("{plan}");
    };
    assert!(
        refused.name.contains("gold") && refused.text.contains("cannot take gold"),
        "{plan}"
    );
    assert!(
        plan.previews.iter().any(|preview| preview.name.contains("lte")),
        "{plan}"
    );
    assert!(
        plan.to_string().contains("the Manager refuses ppo-t8080-gold"),
        "{plan}"
    );
}

#[tokio::test]
async fn an_interrupted_edit_is_part_of_the_plan() {
    let manager = FakeManager::start().await;
    let mut first = reconciler(&manager, Backend::Classic);
    first.reconcile(&business(&["10.2.0.5"])).await.unwrap();
    let mark = json!({
        "listId": "m", "name": "ppo-edit-in-progress", "description": support::MARK, "entries": [{ "vpn": "0" }],
    });
    manager
        .shelf()
        .lists
        .insert(("vpn".to_owned(), "m".to_owned()), mark);
    let plan = first.plan(&business(&["10.2.0.5"])).await.unwrap();
    let verbs: Vec<_> = plan.steps.iter().map(|step| step.verb).collect();
    assert_eq!(verbs, [Verb::Activate]);
}
