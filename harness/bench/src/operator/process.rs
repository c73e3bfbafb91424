//! The operator's process, and what the kernel says of it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::cluster::Cluster;
use super::managed::{Managed, PASSWORD, USERNAME};

const BINARY: &str = "sdwan-operator";

/// Builds the programs that are measured as processes, with the profile of this one.
///
/// # Errors
/// When cargo says so.
pub fn build() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build.args([
        "build",
        "--quiet",
        "--bins",
        "--package",
        BINARY,
        "--package",
        "pathproof",
    ]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.status().context("run cargo")?;
    ensure!(status.success(), "the operator and pathproof were not built");
    Ok(())
}

/// A program that was built beside this one.
pub(super) fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// A running operator; it ends with this.
pub(super) struct Process {
    child: Child,
    started: SystemTime,
    folder: TempDir,
}

impl Process {
    /// Where it is.
    pub(super) fn binary() -> Result<PathBuf> {
        beside(BINARY)
    }

    pub(super) fn start(cluster: &Cluster, managed: &Managed) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str| folder.path().join(name);
        fs::write(file("kubeconfig"), cluster.kubeconfig())?;
        fs::write(file("manager-ca.pem"), managed.authority())?;
        let started = SystemTime::now();
        let child = Command::new(Self::binary()?)
            .args(["--manager-url", &managed.url(), "--manager-username", USERNAME])
            .arg("--kubeconfig")
            .arg(file("kubeconfig"))
            .arg("--manager-ca")
            .arg(file("manager-ca.pem"))
            .env("SDWAN_MANAGER_PASSWORD", PASSWORD)
            .stderr(File::create(file("log"))?)
            .spawn()
            .context("start the operator")?;
        Ok(Self {
            child,
            started,
            folder,
        })
    }

    pub(super) fn started(&self) -> SystemTime {
        self.started
    }

    /// Fails with its last words if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(self.folder.path().join("log"))?;
            bail!(
                "the operator ended with {status}: {}",
                log.lines().last().unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Processor time that it has taken so far, user and system.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let pid = Pid::from_raw(self.child.id().try_into()?);
        Ok(clock_gettime(ClockId::pid_cpu_clock_id(pid)?)?.into())
    }

    /// The most memory that it ever held, in MiB (`VmHWM` of proc_pid_status(5)).
    ///
    /// `/proc` may number processes otherwise than this process's own namespace does.
    pub(super) fn peak_memory(&self) -> Result<f64> {
        let own = fs::read_to_string("/proc/self/status")?;
        let own = field(&own, "Pid:").context("a process without its number")?;
        for entry in fs::read_dir("/proc")? {
            // Not all entries are processes, and those that are may end meanwhile.
            let Ok(status) = fs::read_to_string(entry?.path().join("status")) else {
                continue;
            };
            if field(&status, "PPid:") == Some(own) && field(&status, "Name:") == Some(BINARY) {
                let kibibytes = field(&status, "VmHWM:").and_then(|field| field.strip_suffix(" kB"));
                let kibibytes: f64 = kibibytes.context("a process without its memory")?.parse()?;
                return Ok(kibibytes / 1024.0);
            }
        }
        bail!("the operator is not in /proc")
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.map(str::trim)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
