//! Inside the private namespaces: lab up, taps armed, timeline played, evidence judged.
//!
//! Owns the stages of a run and their times. It ends with the record in the run folder, whatever happened; only
//! an interrupt leaves none.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use netsim::impair::Backend;
use netsim::netns::Netns;
use netsim::netns::private::Signals;
use scenario::model::Scenario;
use scenario::plan::Plan;
use tokio::signal::unix::{SignalKind, signal};
use verdict::evidence::Evidence;
use verdict::{ExitCode, JudgeOptions, RunInfo, RunOutcome, RunRecord, StageTime, Verdicts, judge};

use super::RunOptions;
use super::observe::Observer;
use crate::lab::operator::Operator;
use crate::lab::sabotage::Sabotage;
use crate::lab::wan::sessions_up;
use crate::lab::{Lab, LabError, LabOptions, Listeners, WanOptions, clusters};
use crate::probe::ledger::Ledger;
use crate::progress::Progress;
use crate::record::events::EventLog;
use crate::record::folder::RunFolder;

/// What the inner process gets from the outer one.
#[derive(Debug)]
pub struct Job<'a> {
    /// What to play.
    pub scenario: &'a Scenario,
    /// Its plan.
    pub plan: &'a Plan,
    /// Where everything goes.
    pub folder: &'a RunFolder,
    /// How.
    pub options: &'a RunOptions,
    /// Inode of the host's network namespace.
    pub host_netns: u64,
    /// What the record says about the run; its stages are empty yet.
    pub info: RunInfo,
    /// Where stages are reported to.
    pub progress: Progress,
}

/// By then a signal that all processes got has been heard of.
const SIGNAL_LAG: Duration = Duration::from_millis(50);

/// The name of the record in the run folder.
pub const RECORD: &str = "verdict.json";

/// Runs a scenario to its record. Returns the exit code of the inner process: pass when there is a record,
/// whatever its verdict.
#[must_use]
pub fn run(job: Job<'_>, listeners: Listeners, signals: &Signals) -> u8 {
    in_runtime(
        || signals.unblock(),
        async move |mut interrupted| {
            let folder = job.folder;
            let mut stages = Stages {
                times: Vec::new(),
                impairments: None,
                encapsulations: BTreeMap::new(),
                progress: job.progress,
            };
            let mut info = job.info.clone();
            let outcome = tokio::select! {
                biased;
                () = &mut interrupted => return ExitCode::Interrupted.code(),
                outcome = judged(&job, listeners, &mut stages) => outcome,
            };
            // Ctrl-C may have ended what the lab needs before it was heard of here.
            if outcome.is_err() && tokio::time::timeout(SIGNAL_LAG, interrupted).await.is_ok() {
                return ExitCode::Interrupted.code();
            }
            info.stages = stages.times;
            info.environment.encapsulations = stages.encapsulations;
            if let Some(backend) = stages.impairments {
                info.environment.impairments = backend.to_string();
            }
            let record = match outcome {
                Ok(judged) => judged.record(info, job.options.sabotage),
                Err(error) if is_lacking(&error) => RunRecord::skipped(info, format!("{error:#}")),
                Err(error) => RunRecord::broken(info, format!("{error:#}")),
            };
            match save(&folder.join(RECORD), &record) {
                Ok(()) => ExitCode::Pass.code(),
                Err(error) => {
                    eprintln!("error: {error:#}");
                    ExitCode::Bug.code()
                }
            }
        },
    )
}

/// Brings a lab up and holds it until interrupted.
#[must_use]
pub fn hold(job: Job<'_>, listeners: Listeners, signals: &Signals, announce: impl FnOnce(&Lab)) -> u8 {
    in_runtime(
        || signals.unblock(),
        async move |interrupted| {
            let mut stages = Stages {
                times: Vec::new(),
                impairments: None,
                encapsulations: BTreeMap::new(),
                progress: job.progress,
            };
            let mut interrupted = interrupted;
            let provisioned = tokio::select! {
                biased;
                () = &mut interrupted => return ExitCode::Interrupted.code(),
                provisioned = provision(&job, listeners, &mut stages) => provisioned,
            };
            match provisioned {
                Ok((lab, _log)) => {
                    if let Err(error) = lab.access.admit(job.folder) {
                        eprintln!("error: {:#}", anyhow::Error::new(error));
                        return ExitCode::Lab.code();
                    }
                    announce(&lab);
                    interrupted.await;
                    ExitCode::Pass.code()
                }
                Err(error) if is_lacking(&error) => {
                    eprintln!("skipped: this machine cannot {error:#}");
                    ExitCode::NothingSelected.code()
                }
                Err(error) => {
                    eprintln!("error: failed to {error:#}");
                    ExitCode::Lab.code()
                }
            }
        },
    )
}

/// Whether this machine lacks what a scenario needs.
fn is_lacking(error: &anyhow::Error) -> bool {
    error.downcast_ref::<LabError>().is_some_and(LabError::is_lacking)
}

/// What a run came to.
struct Judged {
    evidence: Evidence,
    verdicts: Verdicts,
    operator_ended: Option<String>,
}

impl Judged {
    /// The record. A claim that packets refute is refuted, whatever else happened; short of that, an operator that
    /// did not live to the end and sabotage that nothing noticed are no basis for a verdict.
    fn record(self, info: RunInfo, sabotage: Option<Sabotage>) -> RunRecord {
        let record = RunRecord::judged(info.clone(), &self.evidence, self.verdicts);
        if record.outcome == RunOutcome::Fail {
            return record;
        }
        if let Some(status) = self.operator_ended {
            let message = format!("keep the operator running: it ended with {status}; see operator.log");
            return RunRecord::broken(info, message);
        }
        match sabotage {
            Some(how) if record.outcome == RunOutcome::Pass => RunRecord::broken(
                info,
                format!("break the lab: every assertion passed in spite of `{how}`, which did not bite here"),
            ),
            _ => record,
        }
    }
}

async fn judged(job: &Job<'_>, listeners: Listeners, stages: &mut Stages) -> anyhow::Result<Judged> {
    let (mut lab, log) = provision(job, listeners, stages).await?;
    let plan = job.plan;

    let started = Instant::now();
    let quiet = lab.wan.prober.pause().await;
    let observer = Observer::arm(plan, &lab.wan.network.edges, job.folder, job.options.ring).await?;
    drop(quiet);
    let (armed, points) = observer.armed();
    stages.done("arm", started, &format!("{armed} of {points} capture points"));

    let started = Instant::now();
    let ledger = Arc::new(Ledger::default());
    let played = super::play::play(job.scenario, plan, &mut lab, &log, &ledger).await?;
    clusters::note_accesses(&lab.clusters, &log);
    let operator_ended = lab.operator.as_mut().and_then(Operator::ended);
    let (sent, received) = ledger.counts();
    stages.done(
        "play",
        started,
        &format!("{sent} probes sent, {received} received"),
    );

    let started = Instant::now();
    let _quiet = lab.wan.prober.pause().await;
    let evidence = observer.finish(plan, &played, &ledger).await?;
    played.end().await;
    let packets: u64 = evidence.points.iter().map(|point| point.captured_packets).sum();
    stages.done("observe", started, &format!("{packets} packets captured"));

    let started = Instant::now();
    let verdicts = judge(&job.scenario.assertions, &evidence, &JudgeOptions::default());
    stages.done(
        "judge",
        started,
        &format!("{} assertions", verdicts.assertions.len()),
    );
    save(&job.folder.join("evidence.json"), &evidence)?;
    Ok(Judged {
        evidence,
        verdicts,
        operator_ended,
    })
}

async fn provision(
    job: &Job<'_>,
    listeners: Listeners,
    stages: &mut Stages,
) -> anyhow::Result<(Lab, Arc<EventLog>)> {
    let started = Instant::now();
    let log = EventLog::create(&job.folder.join("events.jsonl")).context("create events.jsonl")?;
    let log = Arc::new(log);
    let backend = match job.options.impairments {
        Some(backend) => backend,
        None => Backend::of(&Netns::current()?)?,
    };
    stages.impairments = Some(backend);
    let options = LabOptions {
        operator: job.options.operator.clone(),
        wan: WanOptions {
            sabotage: job.options.sabotage,
            impairments: backend,
            host_netns: job.host_netns,
        },
    };
    let lab = Lab::up(job.scenario, job.plan, listeners, job.folder, &options, &log).await?;
    let (up, sessions) = sessions_up(&lab.wan.prober);
    stages.encapsulations = lab.wan.encapsulations.clone();
    let unusual = lab.wan.encapsulations.iter().filter(|(_, how)| *how != "vxlan");
    let unusual: String = unusual
        .map(|(transport, how)| format!(" ({transport} by {how})"))
        .collect();
    // A tunnel has a session at either end.
    let size = format!(
        "lab up: {} edges, {} nodes, {} tunnels{unusual}, {up} of {sessions} sessions up, operator {}",
        job.plan.edges.len(),
        job.plan.nodes.len(),
        sessions / 2,
        if lab.operator.is_some() {
            "ready"
        } else {
            "not started"
        },
    );
    stages.done("provision", started, &size);
    Ok((lab, log))
}

struct Stages {
    times: Vec<StageTime>,
    /// Who impairs packets, once that is known.
    impairments: Option<Backend>,
    /// How the tunnels of the lab carry packets, once it is up.
    encapsulations: BTreeMap<String, String>,
    progress: Progress,
}

impl Stages {
    fn done(&mut self, stage: &str, started: Instant, detail: &str) {
        let took = started.elapsed();
        self.progress.stage(stage, took, detail);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.times.push(StageTime {
            stage: stage.to_owned(),
            took_ns,
        });
    }
}

/// Runs `work` on a runtime of its own; what it gets completes at SIGINT, SIGTERM or SIGHUP, for which it unblocks them
/// when their handlers stand.
pub(crate) fn in_runtime(
    unblock: impl FnOnce(),
    work: impl AsyncFnOnce(futures::future::BoxFuture<'static, ()>) -> u8,
) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start the runtime: {error}");
            return ExitCode::Bug.code();
        }
    };
    runtime.block_on(async {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let signals: Result<Vec<_>, _> = kinds.into_iter().map(signal).collect();
        match signals {
            Ok(mut signals) => {
                unblock();
                let interrupted = async move {
                    let waits = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
                    futures::future::select_all(waits).await;
                };
                work(Box::pin(interrupted)).await
            }
            Err(error) => {
                eprintln!("error: watch for signals: {error}");
                ExitCode::Bug.code()
            }
        }
    })
}

fn save(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let name = path.display();
    let file = std::fs::File::create(path).with_context(|| format!("create `{name}`"))?;
    let mut writer = std::io::BufWriter::new(file);
    serde_json::to_writer(&mut writer, value).with_context(|| format!("write `{name}`"))?;
    std::io::Write::flush(&mut writer).with_context(|| format!("write `{name}`"))
}
