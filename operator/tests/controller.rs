//! The whole loop, between an in-process cluster and a stand-in for the Manager.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::path::PathBuf;
use std::time::Duration;

use sdwan_operator::controller::{self, Settings};
use sdwan_operator::core::{Cluster, Conventions, ServiceType};
use sdwan_operator::manager::Identity;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::cluster::FakeCluster;
use self::support::{FakeManager, Fault, refusal};

struct Operator {
    task: JoinHandle<std::io::Result<()>>,
    stop: oneshot::Sender<()>,
    ready_file: PathBuf,
    _folder: tempfile::TempDir,
}

fn settings(resync: Duration, ready_file: Option<PathBuf>) -> Settings {
    Settings {
        conventions: Conventions {
            clusters: [(Cluster::default(), 10)].into(),
            ..Conventions::default()
        },
        inspection: ServiceType::default(),
        identity: Identity::default(),
        resync,
        ready_file,
    }
}

impl Operator {
    fn start(cluster: &FakeCluster, manager: &FakeManager, resync: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ready_file = folder.path().join("ready");
        let settings = settings(resync, Some(ready_file.clone()));
        let (stop, stopped) = oneshot::channel();
        let run = controller::run(cluster.client(), manager.client(), settings, async {
            stopped.await.ok();
        });
        Self {
            task: tokio::spawn(run),
            stop,
            ready_file,
            _folder: folder,
        }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }
}

const NEVER: Duration = Duration::from_secs(3600);

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), poll)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// Gives what must not happen a fair chance to happen.
async fn stays(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(200), poll)
            .await
            .is_err(),
        "no longer: {what}"
    );
}

async fn ready(operator: &Operator) {
    eventually("ready", || operator.ready_file.exists()).await;
}

#[tokio::test]
async fn an_annotation_steers_and_its_removal_ends_that() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert_eq!(manager.take_writes(), Vec::<String>::new());

    cluster.service("business", &[("tunnel", "bizinternet")]);
    eventually("steered", || {
        manager
            .in_force()
            .contains("destinationDataPrefixList 10.2.0.5/32,")
    })
    .await;
    // What is not ready yet has packets on their way too.
    cluster.endpoints("business", &["10.2.0.5", "!10.2.0.6"]);
    eventually("both steered", || {
        manager.in_force().contains("10.2.0.5/32 10.2.0.6/32")
    })
    .await;
    cluster.service("business", &[]);
    eventually("not steered", || {
        manager.in_force() == "sites 100 200 vpn 10 service\ndefault accept\n"
    })
    .await;
    operator.stop().await;
    assert_eq!(
        manager.take_writes().last().map(String::as_str),
        Some("POST /logout")
    );
}

#[tokio::test]
async fn a_deleted_service_is_not_steered_any_more() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert!(
        manager.in_force().contains("mpls restrict"),
        "ready means steered"
    );
    cluster.delete_service("business");
    eventually("not steered", || !manager.in_force().contains("mpls")).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_refused_annotation_becomes_one_event_and_changes_nothing() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "business-class")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    // Further rounds must not repeat it.
    cluster.endpoints("business", &["10.2.0.6"]);
    cluster.service("other", &[("tunnel", "mpls")]);
    cluster.endpoints("other", &["10.2.0.7"]);
    eventually("the other is steered", || {
        manager.in_force().contains("10.2.0.7/32")
    })
    .await;
    operator.stop().await;

    assert!(!manager.in_force().contains("10.2.0.6"));
    let events = cluster.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["type"], "Warning");
    assert_eq!(events[0]["reason"], "UnknownColor");
    assert_eq!(events[0]["regarding"]["name"], "business");
    let note = events[0]["note"].as_str().unwrap();
    assert!(
        note.contains("unknown color `business-class`; known colors: default, mpls"),
        "{note}"
    );
}

#[tokio::test]
async fn a_burst_of_changes_is_few_activations() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    for host in 1..=40 {
        cluster.endpoints("business", &[&format!("10.2.0.{host}")]);
    }
    eventually("the last endpoint is steered", || {
        manager.in_force().contains("10.2.0.40/32")
    })
    .await;
    let activations = manager
        .take_writes()
        .iter()
        .filter(|call| call.contains("/activate/"))
        .count();
    assert!(activations <= 10, "{activations} activations for 40 changes");
    operator.stop().await;
}

#[tokio::test]
async fn nothing_is_written_from_a_partial_view() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let first = Operator::start(&cluster, &manager, NEVER);
    ready(&first).await;
    first.stop().await;
    manager.take_writes();

    // A successor that knows the Service but not its endpoints would remove the rules.
    cluster.hold_slices(true);
    let second = Operator::start(&cluster, &manager, NEVER);
    eventually("observed", || {
        manager.shelf().calls.iter().any(|call| call.ends_with("/vsmart"))
    })
    .await;
    cluster.service("business", &[("tunnel", "mpls"), ("mode", "preferred")]);
    let writes = || {
        manager
            .shelf()
            .calls
            .iter()
            .filter(|call| !call.starts_with("GET"))
            .count()
    };
    stays("silent", || writes() == 0 && !second.ready_file.exists()).await;
    cluster.hold_slices(false);
    ready(&second).await;
    eventually("preferred", || {
        manager.in_force().contains("10.2.0.5/32") && !manager.in_force().contains("restrict")
    })
    .await;
    second.stop().await;
}

#[tokio::test]
async fn a_manager_that_fails_is_tried_again() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    let broken = || Fault::new("GET /dataservice/device", 500, refusal("Server error"));
    manager.shelf().faults.extend([broken(), broken(), broken()]);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert!(manager.in_force().contains("10.2.0.5/32"));
    operator.stop().await;
}

#[tokio::test]
async fn the_resync_repairs_what_others_changed() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, Duration::from_millis(100));
    ready(&operator).await;
    let before = manager.in_force();
    {
        let mut shelf = manager.shelf();
        shelf.in_force.clear();
        shelf.active = None;
    }
    eventually("repaired", || manager.in_force() == before).await;
    operator.stop().await;
}

#[tokio::test]
async fn namespace_defaults_and_policies_steer_and_the_policy_goes_before_annotations() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.namespace(&[("tunnel", "mpls")]);
    cluster.service("business", &[("mode", "preferred")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    assert!(
        manager.in_force().contains("protocol 6, mpls\n"),
        "{}",
        manager.in_force()
    );

    cluster.policy("business", json!({ "tunnel": "lte" }));
    eventually("steered by the policy", || {
        manager.in_force().contains("protocol 6, lte restrict\n")
    })
    .await;
    eventually("the annotations are overruled", || {
        cluster.events().iter().any(|event| event["reason"] == "Conflict")
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_dry_run_says_what_the_first_round_would_write() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let plan = controller::dry_run(&cluster.client(), manager.client(), &settings(NEVER, None))
        .await
        .unwrap();
    assert!(plan.to_string().contains("+10.2.0.5/32"), "{plan}");
    let mut writes = manager.take_writes();
    writes.retain(|call| !call.ends_with("/preview"));
    assert_eq!(writes, ["POST /logout"]);
}
