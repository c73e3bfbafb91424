//! What the operator tells of itself.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/rbac.rs"]
mod rbac;
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use rstest::rstest;
use sdwan_operator::controller::Settings;
use sdwan_operator::server::serve;
use tokio::net::TcpListener;

use self::cluster::FakeCluster;
use self::operator::{NEVER, Operator, eventually, ready, settings};
use self::support::{FakeManager, Fault, refusal};

/// The status and the text of an answer.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn listen(operator: &Operator) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, operator.telemetry.clone()));
    address
}

#[tokio::test]
async fn probes_and_scrapers_are_answered_over_http() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.hold_slices(true);
    let operator = Operator::start(&cluster, &manager, NEVER);
    let address = listen(&operator).await;
    assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
    let (status, text) = get(address, "/readyz").await;
    assert_eq!(status, 503, "{text}");
    cluster.hold_slices(false);
    ready(&operator).await;
    let (status, text) = get(address, "/readyz").await;
    assert_eq!(status, 200, "{text}");
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(
        text.contains("sdwan_operator_leader 1\n") && text.ends_with("# EOF\n"),
        "{text}"
    );
    assert_eq!(get(address, "/secrets").await.0, 404);
    let posted = reqwest::Client::new().post(format!("http://{address}/metrics"));
    assert_eq!(posted.send().await.unwrap().status().as_u16(), 405);
    operator.stop().await;
}

#[tokio::test]
async fn a_manager_that_fails_makes_the_operator_unready_not_dead() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    let broken = || Fault::new("GET /dataservice/device", 500, refusal("Server error"));
    manager.shelf().faults.extend((0..10_000).map(|_| broken()));
    let operator = Operator::start(&cluster, &manager, NEVER);
    let failed = "sdwan_operator_rounds_total{outcome=\"Failed\"}";
    eventually("a round failed", || operator.metric(failed) >= 1.0).await;
    let report = operator.telemetry.health.ready();
    assert!(
        !report.passed && report.text.contains("[-] round: "),
        "{report:?}"
    );
    let now = tokio::time::Instant::now();
    assert!(operator.telemetry.health.live(now).passed);
    assert!(operator.metric("sdwan_operator_errors_total{kind=\"busy\"}") >= 1.0);
    manager.shelf().faults.clear();
    ready(&operator).await;
    assert!(operator.telemetry.health.ready().passed);
    operator.stop().await;
}

#[tokio::test]
async fn the_time_from_annotation_to_fabric_is_measured_for_changes_that_reach_it() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    let count = || operator.metric("sdwan_operator_annotation_to_programmed_seconds_count");
    assert_eq!(count(), 0.0, "nothing had to be written");
    cluster.service("business", &[("tunnel", "mpls")]);
    eventually("steered", || manager.in_force().contains("mpls")).await;
    eventually("measured", || count() == 1.0).await;
    let sum = operator.metric("sdwan_operator_annotation_to_programmed_seconds_sum");
    assert!(sum > 0.0 && sum < 5.0, "{sum}");
    assert_eq!(operator.metric("sdwan_operator_activations_total"), 1.0);
    operator.stop().await;
}

#[tokio::test]
async fn activations_keep_their_interval_and_the_first_does_not_wait() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    let min_interval = Duration::from_millis(400);
    let operator = Operator::with(
        &cluster,
        &manager,
        Settings {
            min_interval,
            ..settings()
        },
    );
    ready(&operator).await;
    let activations = || operator.metric("sdwan_operator_activations_total");
    let (started, before) = (std::time::Instant::now(), activations());
    cluster.endpoints("business", &["10.2.0.1"]);
    eventually("the first change is in force", || {
        manager.in_force().contains("10.2.0.1/32")
    })
    .await;
    assert!(started.elapsed() < min_interval, "{:?}", started.elapsed());
    for host in 2..=100 {
        cluster.endpoints("business", &[&format!("10.2.0.{host}")]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eventually("the last change is in force", || {
        manager.in_force().contains("10.2.0.100/32")
    })
    .await;
    eventually("counted", || activations() > before + 1.0).await;
    let allowed = 1.0 + started.elapsed().as_secs_f64() / min_interval.as_secs_f64();
    assert!(
        activations() - before <= allowed,
        "{} > {allowed}",
        activations() - before
    );
    operator.stop().await;
}

#[rstest]
#[case::dropped(FakeCluster::break_watches)]
#[case::gone(|cluster: &FakeCluster| { cluster.compact(); cluster.break_watches(); })]
#[tokio::test]
async fn a_watch_that_breaks_off_is_taken_up_again(#[case] harm: impl Fn(&FakeCluster)) {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.service("leaving", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    cluster.endpoints("leaving", &["10.2.0.9"]);
    let operator = Operator::start(&cluster, &manager, NEVER);
    ready(&operator).await;
    cluster.hold("GET /api/v1/services", true);
    cluster.hold_slices(true);
    harm(&cluster);
    cluster.endpoints("business", &["10.2.0.6"]);
    cluster.delete_service("leaving");
    harm(&cluster);
    assert!(manager.in_force().contains("10.2.0.9/32"));
    cluster.hold("GET /api/v1/services", false);
    cluster.hold_slices(false);
    eventually("what was missed is on the fabric", || {
        let in_force = manager.in_force();
        in_force.contains("10.2.0.6/32") && !in_force.contains("10.2.0.9/32")
    })
    .await;
    operator.stop().await;
}
