//! One class of traffic that the Manager refuses, among others that it takes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rstest::rstest;
use sdwan_operator::controller::{Effect, Reconciler};
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Backend, Identity};
use serde_json::json;

use self::support::FakeManager;
use self::support::steering::steering;

const LISTS: [&str; 2] = [
    "POST /dataservice/template/policy/list/dataprefix",
    "POST /dataservice/v1/feature-profile/sdwan/policy-object/",
];

/// Writes of what says which tunnel is taken, by backend.
const SEQUENCES: [&[&str]; 2] = [
    &[
        "POST /dataservice/template/policy/definition/data",
        "PUT /dataservice/template/policy/definition/data",
    ],
    &[
        "POST /dataservice/v1/feature-profile/sdwan/application-priority/",
        "PUT /dataservice/v1/feature-profile/sdwan/application-priority/",
    ],
];

fn steer(services: &[(&str, &str, &[&str])]) -> SteeringPolicy {
    let strict = services
        .iter()
        .map(|&(name, color, hosts)| (name, color, Mode::Strict, hosts));
    steering(&strict.collect::<Vec<_>>())
}

fn reconciler(manager: &FakeManager, backend: Backend) -> Reconciler {
    let identity = Identity {
        backend,
        ..Identity::default()
    };
    Reconciler::new(manager.client(), identity, ServiceType::default())
}

/// Has a Manager refuse sequences with this in them; a color in quotes is no part of a list's name.
fn refuse_sequences(manager: &FakeManager, backend: Backend, word: &'static str) {
    let calls = SEQUENCES[usize::from(backend == Backend::PolicyGroups)];
    let refused = calls.iter().map(|call| (*call, word));
    manager.shelf().refusing.extend(refused);
}

/// What edges do at present, all in one text.
fn followed(manager: &FakeManager) -> String {
    let shelf = manager.shelf();
    let groups = shelf.groups.in_force.values().cloned();
    groups.chain([shelf.in_force.clone()]).collect()
}

/// The Manager's words for what is held back, with the color that is asked for.
fn held(reconciler: &Reconciler) -> Vec<String> {
    let held = reconciler.held_back();
    held.map(|held| {
        format!(
            "{} {}",
            held.rule.class.preference,
            held.words.as_deref().unwrap_or("?")
        )
    })
    .collect()
}

/// Reconciles as the loop does: until there is nothing more to try.
async fn settle(reconciler: &mut Reconciler, policy: &SteeringPolicy) -> usize {
    for round in 1.. {
        reconciler.reconcile(policy).await.unwrap();
        if !reconciler.has_more_to_try() {
            return round;
        }
    }
    unreachable!()
}

fn pushes(writes: &[String]) -> usize {
    let is_push = |call: &&String| call.contains("/activate/") || call.ends_with("/deploy");
    writes.iter().filter(is_push).count()
}

#[rstest]
#[tokio::test]
async fn the_others_are_programmed_and_the_words_are_kept(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
    #[values(true, false)] by_list: bool,
) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, backend);
    if by_list {
        manager.shelf().refusing.extend(LISTS.map(|call| (call, "gold")));
    } else {
        refuse_sequences(&manager, backend, "\"gold\"");
    }
    let policy = steer(&[
        ("batch", "mpls", &["10.2.0.7"]),
        ("business", "gold", &["10.2.0.5"]),
        ("bulk", "lte", &["10.2.0.8"]),
    ]);
    settle(&mut reconciler, &policy).await;
    let [held] = held(&reconciler).try_into().unwrap();
    assert!(
        held.contains("gold") && held.contains("cannot take gold"),
        "{held}"
    );
    let follows = followed(&manager);
    assert!(
        follows.contains("10.2.0.7") && follows.contains("10.2.0.8"),
        "{follows}"
    );
    assert!(!follows.contains("10.2.0.5"), "{follows}");

    manager.take_writes();
    assert_eq!(reconciler.reconcile(&policy).await.unwrap(), Effect::None);
    assert_eq!(
        manager.take_writes(),
        Vec::<String>::new(),
        "refused once is enough"
    );
    reconciler.forget();
    settle(&mut reconciler, &policy).await;
    assert_eq!(pushes(&manager.take_writes()), 0, "a retry disturbs nobody");

    manager.shelf().refusing.clear();
    reconciler.forget();
    settle(&mut reconciler, &policy).await;
    assert_eq!(reconciler.held_back().count(), 0);
    assert!(followed(&manager).contains("10.2.0.5"));
    assert_eq!(pushes(&manager.take_writes()), 1);
}

#[rstest]
#[tokio::test]
async fn what_is_in_force_stays_until_the_manager_takes_the_new(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
    #[values(true, false)] by_list: bool,
) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, backend);
    let before = steer(&[
        ("business", "biz-internet", &["10.2.0.5", "10.2.0.6"]),
        ("batch", "mpls", &["10.2.0.7"]),
    ]);
    reconciler.reconcile(&before).await.unwrap();
    if by_list {
        manager.shelf().refusing.extend(LISTS.map(|call| (call, "gold")));
    } else {
        refuse_sequences(&manager, backend, "\"gold\"");
    }
    // One endpoint is gone and one is new; the other Service changes beside it.
    let after = steer(&[
        ("business", "gold", &["10.2.0.6", "10.2.0.9"]),
        ("batch", "lte", &["10.2.0.7"]),
    ]);
    settle(&mut reconciler, &after).await;
    let follows = followed(&manager);
    assert!(
        follows.contains("biz-internet") && follows.contains("10.2.0.6"),
        "{follows}"
    );
    assert!(follows.contains("lte") && !follows.contains("mpls"), "{follows}");
    assert!(
        !follows.contains("10.2.0.5") && !follows.contains("10.2.0.9"),
        "{follows}"
    );
    let shelf_lock = manager.shelf().lock.clone();
    assert_eq!(shelf_lock, None);
    assert!(
        !manager
            .list_names()
            .iter()
            .any(|name| name.contains("edit-in-progress"))
    );

    // A class that the Manager takes is another one, and tried at once.
    let better = steer(&[
        ("business", "silver", &["10.2.0.6", "10.2.0.9"]),
        ("batch", "lte", &["10.2.0.7"]),
    ]);
    reconciler.reconcile(&better).await.unwrap();
    assert_eq!(held(&reconciler), Vec::<String>::new());
    let follows = followed(&manager);
    assert!(
        follows.contains("silver") && follows.contains("10.2.0.9"),
        "{follows}"
    );
    assert!(!follows.contains("biz-internet"), "{follows}");
}

#[rstest]
#[tokio::test]
async fn an_endpoint_that_is_refused_leaves_those_before_it(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, backend);
    let with = |hosts: &[&str]| steer(&[("business", "mpls", hosts), ("batch", "lte", &["10.2.0.7"])]);
    reconciler.reconcile(&with(&["10.2.0.5"])).await.unwrap();
    let edits = [
        "PUT /dataservice/template/policy/list/",
        "PUT /dataservice/v1/feature-profile/",
    ];
    manager
        .shelf()
        .refusing
        .extend(edits.map(|call| (call, "10.66.")));
    settle(&mut reconciler, &with(&["10.2.0.5", "10.66.0.1"])).await;
    assert_eq!(reconciler.held_back().count(), 1);
    assert!(followed(&manager).contains("10.2.0.5"));
    // Other endpoints are another list, which is tried at once.
    reconciler
        .reconcile(&with(&["10.2.0.5", "10.2.0.6"]))
        .await
        .unwrap();
    assert_eq!(reconciler.held_back().count(), 0);
    assert!(followed(&manager).contains("10.2.0.6"));
}

#[rstest]
#[tokio::test]
async fn those_among_many_are_found_by_halves(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, backend);
    refuse_sequences(&manager, backend, "\"gold\"");
    refuse_sequences(&manager, backend, "\"custom1\"");
    let colors = [
        "3g",
        "biz-internet",
        "blue",
        "bronze",
        "custom1",
        "custom2",
        "custom3",
        "default",
        "gold",
        "green",
        "lte",
        "metro-ethernet",
        "mpls",
        "private1",
        "private2",
        "public-internet",
        "red",
        "silver",
    ];
    let hosts: Vec<String> = (0..colors.len()).map(|n| format!("10.2.1.{n}")).collect();
    let hosts: Vec<[&str; 1]> = hosts.iter().map(|host| [host.as_str()]).collect();
    let services = colors
        .iter()
        .zip(&hosts)
        .map(|(color, hosts)| (*color, *color, hosts.as_slice()));
    let policy = steer(&services.collect::<Vec<_>>());
    let rounds = settle(&mut reconciler, &policy).await;
    assert!(rounds <= 20, "{rounds} rounds");
    let held = held(&reconciler);
    assert_eq!(held.len(), 2, "{held:?}");
    assert!(held.iter().all(|held| held.contains("cannot take")), "{held:?}");
    let follows = followed(&manager);
    let is_steered = |host: &str| {
        ["/32", ","]
            .iter()
            .any(|end| follows.contains(&format!("{host}{end}")))
    };
    let steered = hosts.iter().filter(|[host]| is_steered(host));
    assert_eq!(steered.count(), colors.len() - 2, "{follows}");
}

/// Has a Manager refuse the next push: at its start, or in the validation of its task.
fn refuse_push(manager: &FakeManager, backend: Backend, by_task: bool) {
    let mut shelf = manager.shelf();
    if by_task {
        shelf.task_results.push_back(json!({
            "data": [], "summary": { "status": "done" },
            "validation": { "statusId": "validation_failure", "activity": ["it does not compile"] },
        }));
        return;
    }
    let call = match backend {
        Backend::Classic => "POST /dataservice/template/policy/vsmart/activate/central/",
        Backend::PolicyGroups => "POST /dataservice/v1/policy-group/",
    };
    let refusal = support::refusal("it does not compile");
    shelf.faults.push_back(support::Fault::new(call, 400, refusal));
}

#[rstest]
#[tokio::test]
async fn a_push_that_is_refused_is_traced_to_what_is_new_and_rarely_tried_again(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
    #[values(true, false)] by_task: bool,
) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, backend);
    let before = steer(&[("business", "biz-internet", &["10.2.0.5"])]);
    reconciler.reconcile(&before).await.unwrap();
    let in_force = followed(&manager);
    refuse_push(&manager, backend, by_task);
    let gold = steer(&[("business", "gold", &["10.2.0.5"])]);
    assert_eq!(reconciler.reconcile(&gold).await.unwrap(), Effect::Activated);
    assert_eq!(followed(&manager), in_force);
    let [held] = held(&reconciler).try_into().unwrap();
    assert!(held.contains("it does not compile"), "{held}");

    let both = steer(&[
        ("business", "gold", &["10.2.0.5"]),
        ("batch", "mpls", &["10.2.0.7"]),
    ]);
    settle(&mut reconciler, &both).await;
    assert!(followed(&manager).contains("10.2.0.7"), "beside it");
    manager.take_writes();
    let mut tried = Vec::new();
    for resync in 1..=16 {
        refuse_push(&manager, backend, by_task);
        reconciler.forget();
        settle(&mut reconciler, &both).await;
        let pushed = pushes(&manager.take_writes()) > 0;
        tried.extend(pushed.then_some(resync));
        let mut shelf = manager.shelf();
        shelf.faults.clear();
        shelf.task_results.clear();
    }
    assert_eq!(tried, [1, 3, 7, 15]);
    assert!(!followed(&manager).contains("gold"));
    for _ in 0..16 {
        reconciler.forget();
        settle(&mut reconciler, &both).await;
    }
    assert!(followed(&manager).contains("gold"));
}

#[rstest]
#[tokio::test]
async fn what_is_in_force_is_known_after_a_round_that_broke_off(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
) {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, backend);
    let before = steer(&[("business", "biz-internet", &["10.2.0.5"])]);
    reconciler.reconcile(&before).await.unwrap();
    let in_force = followed(&manager);
    refuse_push(&manager, backend, true);
    refuse_sequences(&manager, backend, "biz-internet");
    let gold = steer(&[("business", "gold", &["10.2.0.5"])]);
    // What was stored cannot be taken back at first.
    reconciler.reconcile(&gold).await.unwrap_err();
    manager.shelf().refusing.clear();
    settle(&mut reconciler, &gold).await;
    assert_eq!(followed(&manager), in_force);
    assert_eq!(reconciler.held_back().count(), 1);
}

#[tokio::test]
async fn a_refusal_that_is_nobodys_fails_the_round() {
    let manager = FakeManager::start().await;
    let mut reconciler = reconciler(&manager, Backend::Classic);
    let call = "POST /dataservice/template/policy/list/site";
    manager.shelf().refusing.push((call, "100"));
    let policy = steer(&[("business", "biz-internet", &["10.2.0.5"])]);
    let error = reconciler.reconcile(&policy).await.unwrap_err();
    assert!(error.to_string().contains("cannot take 100"), "{error}");
    manager.shelf().refusing.clear();
    reconciler.forget();
    settle(&mut reconciler, &policy).await;
    assert!(manager.in_force().contains("10.2.0.5/32"));
}
