//! A Kubernetes API that breaks its watches, or has forgotten.

use std::time::Duration;

use kubeapi::{Answer, Fault, Requests, Verb};
use pathproof_trials::settings;
use rstest::rstest;

use crate::steered;
use crate::support::{Trial, eventually, stays};

#[rstest]
#[case::resumed(&[])]
#[case::listed_again(&[Fault::Compact])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_no_watch_runs_is_seen_afterwards(#[case] meanwhile: &[Fault]) {
    let trial = Trial::start().await;
    let operator = steered(&trial, settings()).await;
    trial.service("batch", &[("tunnel", "mpls")], &["10.0.2.6"]);
    trial.until_taken("10.0.2.6", "mpls").await;

    let (since, faults) = (trial.wan.edges.count(), trial.cluster.faults());
    let verbs = vec![Verb::Watch];
    let requests = Requests {
        verbs,
        ..Requests::default()
    };
    let refusing = Fault::Answer {
        with: Answer::ServiceUnavailable,
        requests: requests.clone(),
    };
    let refusing = faults.inject(refusing).unwrap();
    let dropped = faults.inject(Fault::DropWatches { requests }).unwrap();
    assert!(faults.struck(dropped) >= Some(3));
    trial.cluster.delete_service("batch");
    trial.endpoints("business", &["10.0.2.5", "10.0.2.7"]);
    trial.service("late", &[("tunnel", "mpls")], &["10.0.2.8"]);
    stays("nothing is known of it", || {
        trial.takes("10.0.2.6", "mpls") && trial.takes("10.0.2.5", "biz-internet")
    })
    .await;
    let meanwhile: Vec<_> = meanwhile
        .iter()
        .map(|fault| faults.inject(fault.clone()).unwrap())
        .collect();
    faults.heal(refusing);
    for (host, color) in [
        ("10.0.2.6", "default"),
        ("10.0.2.7", "biz-internet"),
        ("10.0.2.8", "mpls"),
    ] {
        trial.until_taken(host, color).await;
    }
    for fault in meanwhile {
        assert!(faults.struck(fault) > Some(0), "nobody met what was forgotten");
    }
    trial.never_left(since, "10.0.2.5", &["biz-internet"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steering_stays_while_the_cluster_is_away_also_over_a_restart() {
    let trial = Trial::start().await;
    let first = steered(&trial, settings()).await;
    let (since, faults) = (trial.wan.edges.count(), trial.cluster.faults());
    let down = faults.inject(Fault::Down).unwrap();
    first.kill();
    let second = trial.operator(settings()).await;
    stays("it does nothing", || {
        trial.wan.edges.count() == since && trial.takes("10.0.2.5", "biz-internet")
    })
    .await;
    trial.endpoints("business", &["10.0.2.6"]);
    faults.heal(down);
    trial.until_taken("10.0.2.6", "biz-internet").await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steering_does_not_wait_for_what_is_shown_of_it() {
    let trial = Trial::start().await;
    trial.install();
    let requests = Requests {
        verbs: vec![Verb::Create, Verb::Patch],
        ..Requests::default()
    };
    let by = Duration::from_secs(60);
    let faults = trial.cluster.faults();
    let slow = faults.inject(Fault::Delay { by, requests }).unwrap();
    let operator = steered(&trial, settings()).await;
    trial.service("mistyped", &[("tunnel", "mlps")], &["10.0.2.7"]);
    trial.endpoints("business", &["10.0.2.5", "10.0.2.6"]);
    trial.until_taken("10.0.2.6", "biz-internet").await;
    assert_eq!(
        trial.condition("business", "Programmed"),
        "",
        "nothing is shown yet"
    );
    faults.heal(slow);
    eventually("shown", || {
        trial.condition("business", "Programmed") == "True Programmed"
    })
    .await;
    eventually("told", || trial.reasons("mistyped") == ["UnknownColor"]).await;
    operator.stop().await;
}
