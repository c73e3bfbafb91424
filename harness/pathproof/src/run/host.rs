//! The process that the user started: reads, plans, opens listeners, waits for the inner process, reports.
//!
//! Owns the run folder. Invariant: it has one thread while an inner process is started (fork(2) copies only one),
//! and nothing is created before scenario and plan are known to be good.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use netsim::capabilities::raise_open_files;
use netsim::netns::private::{self, PrivateError};
use scenario::model::Scenario;
use scenario::plan::{Plan, plan};
use scenario::{Diagnostics, SourceError, Sources};
use verdict::{Environment, ExitCode, RunInfo, RunRecord};

use super::RunOptions;
use super::inside::{self, Job, RECORD};
use crate::cli::quoted;
use crate::lab::{Lab, Listeners, embedded, limits};
use crate::progress::Progress;
use crate::record::folder::RunFolder;

/// Scenario files below the working directory.
#[derive(Debug, Clone, Copy)]
pub struct Files;

impl Sources for Files {
    fn text(&self, path: &str) -> Result<String, SourceError> {
        Ok(std::fs::read_to_string(path)?)
    }
}

/// Reads a scenario.
///
/// # Errors
/// All that is wrong with it.
pub fn read(file: &Path) -> Result<Scenario, Diagnostics> {
    scenario::read(&Files, &file.to_string_lossy())
}

/// How a run ended for the process that started it.
#[derive(Debug)]
pub enum Ended {
    /// With a record, in this folder.
    Record(Box<RunRecord>, PathBuf),
    /// By the user; nothing is left of it.
    Interrupted,
}

/// Runs a scenario once.
///
/// # Errors
/// When the run could not even begin, or left no record.
pub fn run(
    file: &Path,
    scenario: &Scenario,
    options: &RunOptions,
    progress: Progress,
) -> anyhow::Result<Ended> {
    let plan = plan(scenario, options.seed)?;
    limits::check(&plan)?;
    raise_open_files();
    limits::demand(scenario, &plan, options.ring.bytes()).check()?;
    let folder = folder(&scenario.name, scenario, &plan, options)?;
    let info = info(file, scenario, options, folder.path());
    let listeners = Listeners::open(plan.clusters.len()).context("open listeners on 127.0.0.1")?;
    let host_netns =
        embedded::netns_inode("/proc/self/ns/net").context("find the host's network namespace")?;
    progress.scenario(
        &scenario.name,
        &format!("{}, seed {}", file.display(), options.seed),
    );
    let broken = info.clone();
    let job = Job {
        scenario,
        plan: &plan,
        folder: &folder,
        options,
        host_netns,
        info,
        progress,
    };
    match private::run(|signals| inside::run(job, listeners, signals)) {
        Ok(code) if code == ExitCode::Interrupted.code() => {
            folder.discard()?;
            Ok(Ended::Interrupted)
        }
        Ok(code) if code == ExitCode::Pass.code() => {
            let record = read_record(&folder.join(RECORD))?;
            finish(folder, record)
        }
        Ok(code) => anyhow::bail!("the run ended with code {code} and without a record"),
        // Refused namespaces and a killed process say nothing about the operator: a broken lab.
        Err(error) => finish(
            folder,
            RunRecord::broken(broken, format!("{:#}", anyhow::Error::new(error))),
        ),
    }
}

/// Brings the lab of a scenario up and holds it until interrupted.
///
/// # Errors
/// When it could not begin.
pub fn hold(
    file: &Path,
    scenario: &Scenario,
    options: &RunOptions,
    announce: impl FnOnce(&Lab, &Path),
) -> anyhow::Result<u8> {
    let plan = plan(scenario, options.seed)?;
    limits::check(&plan)?;
    raise_open_files();
    limits::demand(scenario, &plan, 0).check()?;
    let folder = folder(&format!("lab-{}", scenario.name), scenario, &plan, options)?;
    let info = info(file, scenario, options, folder.path());
    let listeners = Listeners::open(plan.clusters.len()).context("open listeners on 127.0.0.1")?;
    let host_netns =
        embedded::netns_inode("/proc/self/ns/net").context("find the host's network namespace")?;
    let job = Job {
        scenario,
        plan: &plan,
        folder: &folder,
        options,
        host_netns,
        info,
        progress: Progress::Lines,
    };
    let ended =
        private::run(|signals| inside::hold(job, listeners, signals, |lab| announce(lab, folder.path())));
    folder.discard()?;
    ended.or_else(|error| match error {
        PrivateError::Killed { signal } => Ok(128 + u8::try_from(signal).unwrap_or(0)),
        error => Err(error.into()),
    })
}

/// A plan or scenario as YAML.
///
/// # Errors
/// When serde refuses it.
pub fn to_yaml(value: &impl serde::Serialize) -> anyhow::Result<String> {
    serde_saphyr::to_string(value).context("write YAML")
}

/// Makes the folder of a run, with what the run is to be.
fn folder(name: &str, scenario: &Scenario, plan: &Plan, options: &RunOptions) -> anyhow::Result<RunFolder> {
    let folder = RunFolder::create(&options.out, name)?;
    std::fs::write(folder.join("scenario.yaml"), to_yaml(scenario)?).context("write scenario.yaml")?;
    std::fs::write(folder.join("plan.yaml"), to_yaml(plan)?).context("write plan.yaml")?;
    Ok(folder)
}

fn finish(folder: RunFolder, record: RunRecord) -> anyhow::Result<Ended> {
    std::fs::write(folder.join(RECORD), reports::json(&record)?).context("write verdict.json")?;
    let junit = reports::junit(std::slice::from_ref(&record))?;
    std::fs::write(folder.join("junit.xml"), junit).context("write junit.xml")?;
    let path = folder.finish()?;
    Ok(Ended::Record(Box::new(record), path))
}

fn read_record(path: &Path) -> anyhow::Result<RunRecord> {
    let file = std::fs::File::open(path).with_context(|| format!("open `{}`", path.display()))?;
    serde_json::from_reader(io::BufReader::new(file)).with_context(|| format!("read `{}`", path.display()))
}

fn info(file: &Path, scenario: &Scenario, options: &RunOptions, folder: &Path) -> RunInfo {
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.release().to_string_lossy().into_owned(),
    );
    let uid = nix::unistd::getuid();
    RunInfo {
        scenario: scenario.name.clone(),
        purpose: scenario.purpose.clone(),
        file: file.display().to_string(),
        seed: options.seed,
        environment: Environment {
            kernel,
            user: if uid.is_root() {
                "root".to_owned()
            } else {
                format!("uid {uid}")
            },
            pathproof: env!("CARGO_PKG_VERSION").to_owned(),
            // Found out inside.
            impairments: "unknown".to_owned(),
            operator_user: options.operator.user(),
            encapsulations: std::collections::BTreeMap::new(),
        },
        stages: Vec::new(),
        folder: folder.display().to_string(),
        repeat: format!(
            "{} --seed {} {}",
            options.repeat,
            options.seed,
            quoted(&file.display().to_string())
        ),
    }
}
