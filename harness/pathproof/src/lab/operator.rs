//! The implementation under test: a process of its own that has a kubeconfig and a Manager, and nothing else of
//! ours.
//!
//! Owns its start, its readiness and its end. Its output goes to `operator.log` in the run folder.

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

/// What the operator needs to know.
#[derive(Debug, Clone)]
pub struct OperatorConfig {
    /// Its binary.
    pub binary: PathBuf,
    /// Where its files go: `operator.log`, `operator.ready`.
    pub folder: PathBuf,
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
    /// `https://address:port`.
    pub manager_url: String,
    /// The Manager's certificate authority, PEM.
    pub manager_ca: PathBuf,
    /// The Manager's user.
    pub username: String,
    /// Their password.
    pub password: String,
    /// The service VPN of the cluster.
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
        let log_path = config.folder.join("operator.log");
        let ready_path = config.folder.join("operator.ready");
        let log = File::create(&log_path).map_err(failed)?;
        let child = Command::new(&config.binary)
            .arg("--kubeconfig")
            .arg(&config.kubeconfig)
            .args([
                "--manager-url",
                &config.manager_url,
                "--manager-username",
                &config.username,
            ])
            .arg("--manager-ca")
            .arg(&config.manager_ca)
            .args(["--service-vpn", &config.service_vpn.to_string()])
            .arg("--ready-file")
            .arg(&ready_path)
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
        operator.wait_ready(&ready_path, &log_path).await?;
        Ok(operator)
    }

    async fn wait_ready(&mut self, ready: &Path, log: &Path) -> Result<(), OperatorError> {
        let deadline = Instant::now() + READY_DEADLINE;
        while !ready.exists() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(OperatorError::Ended {
                    status: status.to_string(),
                    tail: tail(log),
                });
            }
            if Instant::now() > deadline {
                return Err(OperatorError::NotReady { tail: tail(log) });
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

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    if text.is_empty() {
        return "(none)".to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
