//! The operator's loop in a runtime of its own, so that it can be killed: at once and in the middle of anything.

use std::sync::Arc;
use std::time::Duration;

use sdwan_operator::controller::{self, Settings};
use sdwan_operator::core::{self, Conventions, ServiceType};
use sdwan_operator::manager::{Identity, ManagerClient};
use sdwan_operator::server::Telemetry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than any trial.
pub const NEVER: Duration = Duration::from_secs(3600);
/// How long a graceful end may take.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Settings for a trial: no resync, no pause between activations.
#[must_use]
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

/// A running operator; killed when dropped.
pub struct Operator {
    /// Its health and metrics.
    pub telemetry: Arc<Telemetry>,
    runtime: Option<Runtime>,
    task: JoinHandle<std::io::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Operator {
    /// Starts it for these clusters, whose names differ, in these service VPNs.
    ///
    /// # Panics
    /// When there is no thread for it.
    pub fn start(
        clusters: Vec<(&str, u16, kube::Client)>,
        manager: ManagerClient,
        settings: Settings,
    ) -> Self {
        let vpns = clusters
            .iter()
            .map(|(name, vpn, _)| (core::Cluster::from(*name), *vpn))
            .collect();
        let clusters = clusters
            .into_iter()
            .map(|(name, _, client)| (core::Cluster::from(name), client));
        let settings = Settings {
            conventions: Conventions {
                clusters: vpns,
                ..settings.conventions
            },
            ..settings
        };
        let telemetry = Arc::new(Telemetry::default());
        let (stop, stopped) = oneshot::channel();
        let run = controller::run(clusters.collect(), manager, settings, telemetry.clone(), async {
            stopped.await.ok();
        });
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        Self {
            telemetry,
            task: runtime.spawn(run),
            runtime: Some(runtime),
            stop,
        }
    }

    /// Ends it as SIGKILL would: wherever it is. Its connections have ended by then.
    ///
    /// # Panics
    /// When it panicked, or goes on.
    pub fn kill(mut self) {
        let runtime = self.runtime.take().expect("it runs");
        // Waiting is for threads that do no asynchronous work.
        let end = std::thread::spawn(move || runtime.shutdown_timeout(STOP_DEADLINE));
        end.join().expect("no panic");
    }

    /// Ends it as SIGTERM would.
    ///
    /// # Panics
    /// When it has ended before, with an error, or does not end.
    pub async fn stop(mut self) {
        let (sender, _) = oneshot::channel();
        let stop = std::mem::replace(&mut self.stop, sender);
        stop.send(()).expect("it runs");
        let ended = tokio::time::timeout(STOP_DEADLINE, &mut self.task).await;
        ended.expect("it stops").expect("no panic").expect("no error");
    }

    /// The value of a metric without labels, or with the labels given; 0 if there is none.
    ///
    /// # Panics
    /// When it is no number.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.telemetry.metrics.encode();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
