//! Edits of what is in force.

use std::time::Duration;

use netsim::manager::faults::{Fault, GatewayAnswer, Requests};
use netsim::manager::{Change, Event};
use pathproof_trials::settings;
use sdwan_operator::controller::Settings;

use crate::support::{Trial, events, eventually, failures, pushes, stays};

/// The policy is deactivated for the time of each edit, and with it that of everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_leaves_nobody_without_a_policy() {
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    trial.service("batch", &[("tunnel", "mpls")], &["10.0.2.50"]);
    let operator = trial.operator(settings()).await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    trial.until_taken("10.0.2.50", "mpls").await;

    let (since, mut activities) = (trial.wan.edges.count(), trial.wan.manager.activity());
    for last in 6..16 {
        let added = format!("10.0.2.{last}");
        trial.endpoints("business", &["10.0.2.5", &added]);
        trial.until_taken(&added, "biz-internet").await;
    }
    trial.tunnel("batch", "biz-internet");
    trial.until_taken("10.0.2.50", "biz-internet").await;
    operator.stop().await;

    trial.never_left(since, "10.0.2.5", &["biz-internet"]);
    trial.never_left(since, "10.0.2.50", &["biz-internet", "mpls"]);
    let happened = events(&mut activities);
    assert_eq!(pushes(&happened, Change::Deactivate), 0, "{happened:?}");
    assert_eq!(pushes(&happened, Change::Activate), 11, "one for each change");
}

/// Each endpoint of a rollout is an edit of its own, with two pushes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_of_fifty_endpoints_is_few_activations_that_keep_their_interval() {
    const INTERVAL: Duration = Duration::from_millis(100);
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "mpls")], &["10.0.2.1"]);
    let mut activities = trial.wan.manager.activity();
    let min_interval = INTERVAL;
    let operator = trial
        .operator(Settings {
            min_interval,
            ..settings()
        })
        .await;
    trial.until_taken("10.0.2.1", "mpls").await;

    let hosts: Vec<String> = (1..=50).map(|last| format!("10.0.2.{last}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    for count in 1..=hosts.len() {
        trial.endpoints("business", &hosts[..count]);
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    trial.until_taken("10.0.2.50", "mpls").await;
    operator.stop().await;

    let mut begun = Vec::new();
    while let Some(activity) = activities.try_next() {
        if matches!(activity.event, Event::PushStarted { .. }) {
            begun.push(activity.at);
        }
    }
    assert!(begun.len() >= 2, "{} pushes", begun.len());
    for pair in begun.windows(2) {
        let apart = pair[1].duration_since(pair[0]).unwrap();
        assert!(apart >= INTERVAL, "pushes {apart:?} apart");
    }
}

/// An error is logged and the event counts as done: between edit and activation, that leaves the network as it is then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_fails_before_its_activation_is_made_up_for() {
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let operator = trial.operator(settings()).await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    let since = trial.wan.edges.count();
    let faults = trial.wan.manager.faults();
    faults.inject(Fault::AnswerRequests {
        answer: GatewayAnswer::InternalError,
        requests: Requests {
            method: Some("POST".to_owned()),
            path: Some("/dataservice/template/policy/vsmart/activate".to_owned()),
            ..Requests::default()
        },
    });
    trial.endpoints("business", &["10.0.2.5", "10.0.2.6"]);
    eventually("two rounds failed", || failures(&operator, "unclear") >= 2.0).await;
    assert!(trial.takes("10.0.2.5", "biz-internet") && trial.takes("10.0.2.6", "default"));
    // Nothing happens in the cluster any more.
    faults.heal_all();
    trial.until_taken("10.0.2.6", "biz-internet").await;
    trial.never_left(since, "10.0.2.5", &["biz-internet"]);
    let edges = &trial.wan.edges;
    let settled = edges.count();
    stays("nothing is left to do", || edges.count() == settled).await;
    operator.stop().await;
}
