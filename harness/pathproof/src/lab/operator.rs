//! The implementation under test: a process of its own that has kubeconfigs and a Manager, and nothing else of ours.
//!
//! Owns its start, its readiness and its end. It runs in the run folder, where its output goes to `operator.log`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

/// How long the operator may take until it says that it is ready.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// Last lines of its log that an error shows.
const LOG_TAIL_LINES: usize = 10;
/// Its log.
const LOG: &str = "operator.log";
/// The file that it writes when it is ready.
const READY: &str = "operator.ready";

/// What the operator needs to know.
#[derive(Debug, Clone)]
pub struct OperatorConfig {
    /// Its binary.
    pub binary: PathBuf,
    /// Where it runs, with the kubeconfigs of its clusters.
    pub folder: PathBuf,
    /// Its clusters, at least one.
    pub clusters: Vec<OperatorCluster>,
    /// `https://address:port`.
    pub manager_url: String,
    /// The Manager's certificate authority, PEM.
    pub manager_ca: PathBuf,
    /// The Manager's user.
    pub username: String,
    /// Their password.
    pub password: String,
}

/// A cluster that the operator is given.
#[derive(Debug, Clone)]
pub struct OperatorCluster {
    /// Its name.
    pub name: String,
    /// The file in its folder that leads to the API.
    pub kubeconfig: String,
    /// The service VPN of its pods.
    pub service_vpn: u16,
}

/// Why the operator does not run.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// It could not be started.
    #[error("start operator `{}`", binary.display())]
    Start {
        /// Its binary.
        binary: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("wait for the operator: it ended with {status}; its last words:\n{tail}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its log.
        tail: String,
    },
    /// It was not ready in time.
    #[error("wait for the operator: not ready after {} s; its last words:\n{tail}", READY_DEADLINE.as_secs())]
    NotReady {
        /// The end of its log.
        tail: String,
    },
}

/// A running operator; killed when dropped.
#[derive(Debug)]
pub struct Operator {
    child: Child,
}

impl Operator {
    /// Starts the operator and waits until it is ready.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn start(config: &OperatorConfig) -> Result<Self, OperatorError> {
        let failed = |source| OperatorError::Start {
            binary: config.binary.clone(),
            source,
        };
        let log = File::create(config.folder.join(LOG)).map_err(failed)?;
        let child = Command::new(&config.binary)
            .args(cluster_arguments(&config.clusters))
            .args([
                "--manager-url",
                &config.manager_url,
                "--manager-username",
                &config.username,
            ])
            .arg("--manager-ca")
            .arg(&config.manager_ca)
            .args(["--ready-file", READY])
            .current_dir(&config.folder)
            .env("SDWAN_MANAGER_PASSWORD", &config.password)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            // Ctrl-C at the terminal is for pathproof, which ends the operator when it is done with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut operator = Self { child };
        operator.wait_ready(config).await?;
        Ok(operator)
    }

    async fn wait_ready(&mut self, config: &OperatorConfig) -> Result<(), OperatorError> {
        let ready = config.folder.join(READY);
        let tail = || tail(&config.folder.join(LOG));
        let deadline = Instant::now() + READY_DEADLINE;
        while !ready.exists() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(OperatorError::Ended {
                    status: status.to_string(),
                    tail: tail(),
                });
            }
            if Instant::now() > deadline {
                return Err(OperatorError::NotReady { tail: tail() });
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// The status it ended with, if it has ended.
    pub fn ended(&mut self) -> Option<String> {
        self.child
            .try_wait()
            .ok()
            .flatten()
            .map(|status| status.to_string())
    }
}

/// One cluster needs no name.
fn cluster_arguments(clusters: &[OperatorCluster]) -> Vec<String> {
    if let [only] = clusters {
        let service_vpn = only.service_vpn.to_string();
        return ["--kubeconfig", &only.kubeconfig, "--service-vpn", &service_vpn]
            .map(str::to_owned)
            .to_vec();
    }
    let given = clusters.iter().map(|cluster| {
        let (name, kubeconfig) = (&cluster.name, &cluster.kubeconfig);
        format!("--cluster={name}={kubeconfig},vpn={}", cluster.service_vpn)
    });
    given.collect()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    if text.is_empty() {
        return "(none)".to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
