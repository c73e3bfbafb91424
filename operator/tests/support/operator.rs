//! The operator's loop between a cluster and a Manager, and ways to wait for what it does.

#![allow(dead_code, reason = "each test binary uses its part of this module")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sdwan_operator::controller::{self, Contest, Settings, Timing};
use sdwan_operator::core::{Cluster, Conventions, ServiceType};
use sdwan_operator::manager::Identity;
use sdwan_operator::server::Telemetry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::cluster::FakeCluster;
use super::support::FakeManager;

pub const NEVER: Duration = Duration::from_secs(3600);

pub struct Operator {
    pub task: JoinHandle<std::io::Result<()>>,
    pub ready_file: PathBuf,
    pub telemetry: Arc<Telemetry>,
    stop: oneshot::Sender<()>,
    folder: tempfile::TempDir,
}

/// Settings for a test: no resync, no pause between activations.
pub fn settings() -> Settings {
    Settings {
        conventions: Conventions::default(),
        inspection: ServiceType::default(),
        identity: Identity::default(),
        resync: NEVER,
        min_interval: Duration::ZERO,
        tunnel_poll: NEVER,
        cluster_patience: Duration::from_millis(100),
        contest: None,
        ready_file: None,
    }
}

/// A contest of replicas, quick for a test.
pub fn contest(identity: &str) -> Contest {
    let ms = Duration::from_millis;
    Contest {
        kube_namespace: "sdwan-operator".to_owned(),
        name: "sdwan-operator".to_owned(),
        identity: identity.to_owned(),
        timing: Timing::new(ms(1000), ms(600), ms(50)).unwrap(),
    }
}

impl Operator {
    pub fn start(cluster: &FakeCluster, manager: &FakeManager, resync: Duration) -> Self {
        Self::with(cluster, manager, Settings { resync, ..settings() })
    }

    pub fn replica(cluster: &FakeCluster, manager: &FakeManager, identity: &str) -> Self {
        let contest = Some(contest(identity));
        Self::with(
            cluster,
            manager,
            Settings {
                contest,
                ..settings()
            },
        )
    }

    pub fn with(cluster: &FakeCluster, manager: &FakeManager, settings: Settings) -> Self {
        Self::of_mesh(&[("", cluster)], manager, settings)
    }

    /// Of several clusters, all in service VPN 10.
    pub fn of_mesh(members: &[(&str, &FakeCluster)], manager: &FakeManager, settings: Settings) -> Self {
        let names = members.iter().map(|(name, _)| Cluster::from(*name));
        let clients = members.iter().map(|(_, cluster)| cluster.client());
        let folder = tempfile::tempdir().unwrap();
        let ready_file = folder.path().join("ready");
        let settings = Settings {
            ready_file: Some(ready_file.clone()),
            conventions: Conventions {
                clusters: names.clone().map(|name| (name, 10)).collect(),
                ..settings.conventions
            },
            ..settings
        };
        let telemetry = Arc::new(Telemetry::default());
        let (stop, stopped) = oneshot::channel();
        let run = controller::run(
            names.zip(clients).collect(),
            manager.client(),
            settings,
            telemetry.clone(),
            async {
                stopped.await.ok();
            },
        );
        Self {
            task: tokio::spawn(run),
            ready_file,
            telemetry,
            stop,
            folder,
        }
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }

    /// The value of a metric without labels, or with the labels given.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.telemetry.metrics.encode();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
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
pub async fn stays(what: &str, condition: impl Fn() -> bool) {
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

pub async fn ready(operator: &Operator) {
    eventually("ready", || operator.ready_file.exists()).await;
}
