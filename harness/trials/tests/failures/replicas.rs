//! Two replicas, one lease, and an API that keeps it from one of them or writes wrong times.

use std::time::{Duration, Instant};

use kubeapi::{Answer, Fault, ObjectRef, Requests, Skew};
use netsim::manager::faults::Fault as ManagerFault;
use netsim::manager::{Change, Event};
use pathproof_trials::{Operator, settings};
use rstest::rstest;
use sdwan_operator::controller::{Contest, Settings, Timing};

use crate::support::{DEADLINE, Trial, events, eventually, pushes, stays};

const NAME: &str = "sdwan-operator";
/// Long enough for a machine that has much else to do.
const LEASE: Duration = Duration::from_secs(5);

/// A replica, whose user in the cluster is called as it is.
async fn replica(trial: &Trial, identity: &str) -> Operator {
    let timing = Timing::new(LEASE, Duration::from_secs(4), Duration::from_millis(50));
    let contest = Contest {
        kube_namespace: "default".to_owned(),
        name: NAME.to_owned(),
        identity: identity.to_owned(),
        timing: timing.unwrap(),
    };
    let contest = Some(contest);
    let client = trial.cluster.client_of_user(identity).await;
    trial.operator_as(
        client,
        Settings {
            contest,
            ..settings()
        },
    )
}

fn leads(operator: &Operator) -> bool {
    operator.metric("sdwan_operator_leader") == 1.0
}

fn activations(operator: &Operator) -> f64 {
    operator.metric("sdwan_operator_activations_total")
}

fn holder(trial: &Trial) -> String {
    let lease = ObjectRef::namespaced("coordination.k8s.io/v1", "Lease", "default", NAME);
    let lease = trial.cluster.api.get(&lease).unwrap();
    lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

/// The requests of a replica for leases.
fn lease_requests(user: &str) -> Requests {
    Requests {
        resources: vec!["leases.coordination.k8s.io".to_owned()],
        user: Some(user.to_owned()),
        ..Requests::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_loses_its_lease_under_way_has_stopped_before_another_writes() {
    let trial = Trial::start().await;
    let mut activities = trial.wan.manager.activity();
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let first = replica(&trial, "first").await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    let second = replica(&trial, "second").await;
    stays("the second stands by", || leads(&first) && !leads(&second)).await;

    let started = Instant::now();
    let requests = lease_requests("first");
    let with = Answer::InternalError;
    trial
        .cluster
        .faults()
        .inject(Fault::Answer { with, requests })
        .unwrap();
    // What the first pushes then takes longer than its lease.
    let (by_ms, count) = (6000, Some(1));
    let faults = trial.wan.manager.faults();
    faults.inject(ManagerFault::DelayTasks { by_ms, count });
    // Endpoints come and go all the while, so that whoever leads always has something to write.
    let mut by_first = None;
    for last in (6..100).cycle() {
        trial.endpoints("business", &["10.0.2.5", &format!("10.0.2.{last}")]);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!(leads(&first) && leads(&second)), "both lead");
        assert!(started.elapsed() < DEADLINE, "the second never writes");
        if leads(&second) {
            by_first.get_or_insert_with(|| activations(&first));
            if activations(&second) > 3.0 {
                break;
            }
        }
    }
    trial.endpoints("business", &["10.0.2.5", "10.0.2.200"]);
    trial.until_taken("10.0.2.200", "biz-internet").await;
    assert_eq!(holder(&trial), "second");
    assert_eq!(Some(activations(&first)), by_first, "the first wrote on");
    trial.never_left(2, "10.0.2.5", &["biz-internet"]);
    first.stop().await;
    second.stop().await;

    let happened = events(&mut activities);
    assert_eq!(pushes(&happened, Change::Deactivate), 0);
    let refused = |event: &&Event| matches!(event, Event::PushRefused { .. });
    assert_eq!(happened.iter().filter(refused).count(), 0);
}

#[rstest]
#[case::ahead(Skew::Ahead)]
#[case::behind(Skew::Behind)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_wrong_neither_take_a_lease_nor_keep_it(#[case] skew: impl Fn(Duration) -> Skew) {
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let first = replica(&trial, "first").await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    let second = replica(&trial, "second").await;
    let clock = skew(Duration::from_secs(3600));
    let requests = lease_requests("first");
    let skewed = trial
        .cluster
        .faults()
        .inject(Fault::SkewLeases { clock, requests })
        .unwrap();
    let started = Instant::now();
    while started.elapsed() < LEASE + Duration::from_millis(200) {
        assert!(leads(&first) && !leads(&second));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        trial.cluster.faults().struck(skewed) > Some(3),
        "renewed with wrong times"
    );
    first.kill();
    trial.endpoints("business", &["10.0.2.6"]);
    eventually("the second leads", || leads(&second)).await;
    trial.until_taken("10.0.2.6", "biz-internet").await;
    assert_eq!(holder(&trial), "second");
    second.stop().await;
}
