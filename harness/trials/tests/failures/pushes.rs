//! Pushes that do not get through: edges that refuse, locks, Controllers that are away, policies of others.

use netsim::manager::faults::Fault;
use netsim::manager::{Change, Controller, Event};
use pathproof_trials::{Fate, Wan, settings};
use rstest::rstest;
use sdwan_operator::manager::Backend;

use crate::steered;
use crate::support::admin::{foreign_policy, inventory, policies, push};
use crate::support::{COLORS, Trial, both_ways, events, eventually, failures, pushes, stays, writing};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_refuses_a_push_keeps_what_it_has_and_gets_the_next(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
) {
    let trial = Trial::start().await;
    let operator = steered(&trial, writing(backend)).await;
    let (since, mut activities) = (trial.wan.edges.count(), trial.wan.manager.activity());
    let faults = trial.wan.manager.faults();
    let sites = vec![200];
    faults.inject(Fault::FailPushes { count: None, sites });
    trial.endpoints("business", &["10.0.2.5", "10.0.2.6"]);
    eventually("two rounds failed", || failures(&operator, "task_failed") >= 2.0).await;
    let [request, reply] = both_ways("10.0.2.6").map(|packet| trial.fate(&packet));
    assert_eq!(
        [request, reply],
        [Fate::over("biz-internet"), Fate::over("default")]
    );
    faults.heal_all();
    trial.until_taken("10.0.2.6", "biz-internet").await;
    trial.never_left(since, "10.0.2.5", &["biz-internet"]);
    let refused = events(&mut activities);
    let refused = refused
        .iter()
        .filter(|event| matches!(event, Event::PushRefused { .. }));
    assert!(refused.count() >= 2);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_others_is_waited_for() {
    let trial = Trial::start().await;
    let operator = steered(&trial, settings()).await;
    let (since, faults) = (trial.wan.edges.count(), trial.wan.manager.faults());
    faults.inject(Fault::HoldLock {});
    trial.endpoints("business", &["10.0.2.6"]);
    eventually("it meets the lock", || faults.in_force()[0].felt > 0).await;
    stays("nothing is pushed", || trial.wan.edges.count() == since).await;
    faults.heal_all();
    trial.until_taken("10.0.2.6", "biz-internet").await;
    assert_eq!(failures(&operator, "busy"), 0.0, "waiting is no failure");
    operator.stop().await;
    inventory(&trial.wan.rest().await, Backend::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_controller_is_enough_and_without_any_the_edges_keep_what_they_have() {
    let second = Controller {
        host_name: "vsmart2".to_owned(),
        system_ip: [172, 16, 255, 6].into(),
    };
    let wan = Wan::configured(2, &COLORS, |config| config.controllers.push(second)).await;
    let trial = Trial::on(wan).await;
    let operator = steered(&trial, settings()).await;
    let faults = trial.wan.manager.faults();
    let controllers = vec!["vsmart2".to_owned()];
    faults.inject(Fault::LoseController { controllers });
    trial.endpoints("business", &["10.0.2.6"]);
    trial.until_taken("10.0.2.6", "biz-internet").await;

    let controllers = Vec::new();
    faults.inject(Fault::LoseController { controllers });
    let mut activities = trial.wan.manager.activity();
    let since = trial.wan.edges.count();
    trial.endpoints("business", &["10.0.2.6", "10.0.2.7"]);
    let mut told = Vec::new();
    while !told
        .iter()
        .any(|event| matches!(event, Event::TaskScheduled { .. }))
    {
        told.push(activities.next().await.unwrap().event);
    }
    stays("the edges are told nothing", || trial.wan.edges.count() == since).await;
    faults.heal_all();
    trial.until_taken("10.0.2.7", "biz-internet").await;
    trial.never_left(since, "10.0.2.6", &["biz-internet"]);
    assert_eq!(
        pushes(&events(&mut activities), Change::Activate),
        0,
        "nobody had to push again"
    );
    assert_eq!(failures(&operator, "task_failed"), 0.0);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_others_activated_a_moment_ago_is_not_replaced() {
    let trial = Trial::start().await;
    let rest = trial.wan.rest().await;
    // Without a resync the operator does not know of it.
    let operator = steered(&trial, settings()).await;
    let foreign = foreign_policy(&rest, "theirs").await;
    push(&rest, "activate", &foreign).await;
    assert!(trial.takes("10.0.2.5", "default"), "others had their way");
    let since = trial.wan.edges.count();
    trial.endpoints("business", &["10.0.2.5", "10.0.2.6"]);
    eventually("met twice", || failures(&operator, "foreign_policy") >= 2.0).await;
    assert_eq!(trial.wan.edges.count(), since, "theirs was touched");
    push(&rest, "deactivate", &foreign).await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    trial.until_taken("10.0.2.6", "biz-internet").await;
    operator.stop().await;
    inventory(&rest, Backend::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_of_others_that_is_active_stays_and_users_are_told() {
    let trial = Trial::start().await;
    trial.install();
    let rest = trial.wan.rest().await;
    let foreign = foreign_policy(&rest, "theirs").await;
    push(&rest, "activate", &foreign).await;
    let (theirs, before) = (
        trial.wan.edges.policy_of(100),
        inventory(&rest, Backend::Classic).await,
    );
    assert!(!theirs.data.is_empty());
    let since = trial.wan.edges.count();

    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let operator = trial.operator(settings()).await;
    eventually("told", || {
        trial.condition("business", "Programmed") == "False ForeignPolicy"
    })
    .await;
    eventually("tried again", || failures(&operator, "foreign_policy") >= 2.0).await;
    assert_eq!(
        inventory(&rest, Backend::Classic).await,
        before,
        "nothing was written"
    );
    assert_eq!(trial.wan.edges.count(), since);

    push(&rest, "deactivate", &foreign).await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    eventually("shown", || {
        trial.condition("business", "Programmed") == "True Programmed"
    })
    .await;
    assert_eq!(policies(&rest).await.len(), 2, "theirs is still there");
    operator.stop().await;
}
