//! The command line.
//!
//! Owns the words of commands and flags and what they mean together; the work is done elsewhere. stdout is the
//! result, stderr the talk.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use netsim::capture::RingSize;
use netsim::impair::Backend;
use netsim::netns::{Netns, private};
use reports::Colour;
use scenario::model::Scenario;
use scenario::plan::PlanError;
use verdict::{ExitCode, RunRecord};

use crate::doctor;
use crate::implementation::{self, ImplementationError};
use crate::lab::Lab;
use crate::lab::limits::NotCarried;
use crate::lab::sabotage::Sabotage;
use crate::manager::{self, ManagerArgs, PasswordError, UnfitTenants};
use crate::progress::Progress;
use crate::repeat::Repeated;
use crate::run::RunOptions;
use crate::run::host::{self, Ended};
use crate::select::{self, SelectError};
use crate::show::{self, NoLab};

/// Proves which SD-WAN tunnel every packet took.
///
/// Exit codes: 0 passed, 1 failed, 2 wrong command line or scenario, 3 inconclusive, 4 the lab broke, 5 nothing
/// selected, 130 interrupted, 70 a bug in pathproof.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Where run folders go unless told otherwise.
pub(crate) const DEFAULT_OUT: &str = "runs";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs scenarios and gives their verdicts.
    Run {
        /// Scenario files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        options: RunArgs,
    },
    /// Runs every scenario of a profile against the operator.
    Conformance {
        /// The profile.
        #[arg(long, default_value = "core")]
        profile: String,
        /// Where the scenarios are.
        #[arg(long, default_value = "scenarios")]
        scenarios: PathBuf,
        #[command(flatten)]
        options: RunArgs,
    },
    /// Reads scenarios and says what is wrong with them; creates nothing.
    Check {
        /// Scenario files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Prints the plan of a run: names, addresses, streams and steps.
    Plan {
        /// The scenario file.
        path: PathBuf,
        /// What varies between runs.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Says what this machine can run, and what to do about the rest.
    Doctor {
        /// Prints JSON in place of tables.
        #[arg(long)]
        json: bool,
    },
    /// Labs without a timeline.
    Lab {
        #[command(subcommand)]
        command: LabCommand,
    },
    /// Serves an emulation of Cisco's Catalyst SD-WAN Manager until Ctrl-C, for clients of its REST API.
    Manager(ManagerArgs),
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Brings the lab of a scenario up and holds it until Ctrl-C.
    Up {
        /// The scenario file.
        path: PathBuf,
        #[command(flatten)]
        options: LabArgs,
    },
    /// Shows the sites, tunnels and policies of a lab that is held up.
    Show {
        /// The lab's run folder; the lab brought up last below the folder of runs unless given.
        folder: Option<PathBuf>,
        /// Prints JSON in place of tables.
        #[arg(long)]
        json: bool,
        /// Where run folders are.
        #[arg(long, default_value = "runs", value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct LabArgs {
    /// What varies between runs: the same seed gives the same plan.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where run folders go.
    #[arg(long, default_value = DEFAULT_OUT, value_name = "DIR")]
    out: PathBuf,
    /// The operator under test; the bundled one unless given.
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,
    /// Breaks the lab on purpose: swap-tunnels, no-operator, one-direction, dead-faults or leak=1/N.
    #[arg(long, value_name = "HOW")]
    sabotage: Option<Sabotage>,
    /// Who impairs packets: the kernel's netem, a program of the lab, or netem where the kernel has it.
    #[arg(long, value_enum, default_value_t = Impairments::Auto, value_name = "WHO")]
    impairments: Impairments,
}

/// The values of `--impairments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Impairments {
    Userspace,
    Netem,
    Auto,
}

/// `--impairments netem` where the kernel has no netem.
#[derive(Debug, thiserror::Error)]
#[error(
    "impair packets by netem, as `--impairments netem` asks: the kernel has no netem, prio or fw (CONFIG_NET_SCH_NETEM, NET_SCH_PRIO, NET_CLS_FW), or does not let you use them; use `userspace` or `auto`"
)]
struct NoNetem;

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    lab: LabArgs,
    /// Runs each scenario this often, with seeds counting up, and prints the spread of convergence.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Size of the ring that each capture point has, in bytes: a power of two from 4096 to 131072, or a multiple of
    /// 131072 up to 1073741824; a ring of 4096 loses packets.
    #[arg(long, value_name = "BYTES")]
    capture_ring: Option<RingSize>,
}

/// The exit code for an error of [`main`]: wrong words, or a lab that could not begin.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let usage = error.is::<SelectError>()
        || error.is::<ImplementationError>()
        || error.is::<PlanError>()
        || error.is::<NotCarried>()
        || error.is::<NoNetem>()
        || error.is::<PasswordError>()
        || error.is::<UnfitTenants>();
    if error.is::<NoLab>() {
        ExitCode::NothingSelected
    } else if usage {
        ExitCode::Usage
    } else {
        ExitCode::Lab
    }
}

/// Does what the command line says.
///
/// # Errors
/// What went wrong that is neither a verdict nor a broken lab.
pub fn main(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Run { paths, options } => run(&select::files(&paths)?, &options),
        Command::Conformance {
            profile,
            scenarios,
            options,
        } => {
            let files = select::files(&[scenarios])?;
            run(&select::of_profile(files, &profile), &options)
        }
        Command::Check { paths } => check(&select::files(&paths)?),
        Command::Plan { path, seed } => plan(&path, seed),
        Command::Doctor { json } => doctor(json),
        Command::Lab {
            command: LabCommand::Up { path, options },
        } => lab_up(&path, &options),
        Command::Lab {
            command: LabCommand::Show { folder, json, out },
        } => lab_show(folder.as_deref(), json, &out),
        Command::Manager(arguments) => manager::serve(&arguments),
    }
}

fn run(files: &[PathBuf], arguments: &RunArgs) -> anyhow::Result<ExitCode> {
    // Every file is read before the first lab: a broken one costs no run.
    let Some(scenarios) = read_all(files) else {
        return Ok(ExitCode::Usage);
    };
    if scenarios.is_empty() {
        eprintln!("error: no scenario selected");
        return Ok(ExitCode::NothingSelected);
    }
    let options = options(&arguments.lab, arguments.capture_ring)?;
    let mut records = Vec::new();
    for (file, scenario) in &scenarios {
        let Some(mut of_scenario) = run_repeatedly(file, scenario, &options, arguments.repeat)? else {
            eprintln!("interrupted; nothing is left of the run");
            return Ok(ExitCode::Interrupted);
        };
        records.append(&mut of_scenario);
    }
    let mut text = match (records.as_slice(), arguments.repeat) {
        ([record], 1) => reports::human(record, colour()),
        _ => reports::summary(&records, colour()),
    };
    if arguments.repeat > 1 {
        text += &Repeated::of(&records).to_string();
    }
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read it has read enough; the verdict stands.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(ExitCode::of_runs(&records))
}

/// The records of a scenario's runs; `None` when interrupted.
fn run_repeatedly(
    file: &Path,
    scenario: &Scenario,
    options: &RunOptions,
    times: u32,
) -> anyhow::Result<Option<Vec<RunRecord>>> {
    let progress = if times > 1 {
        Progress::Silent
    } else {
        Progress::Lines
    };
    let mut records: Vec<RunRecord> = Vec::new();
    for number in 0..times {
        let seed = options.seed.wrapping_add(u64::from(number));
        let options = RunOptions {
            seed,
            ..options.clone()
        };
        if times > 1 {
            eprintln!("run {}/{times}: {}, seed {seed}", number + 1, scenario.name);
        }
        match host::run(file, scenario, &options, progress)? {
            Ended::Interrupted => return Ok(None),
            Ended::Record(record, folder) => {
                // Of many runs only the last and those that did not pass are worth their disk space.
                let last = number + 1 == times;
                if !last && ExitCode::of_runs(std::slice::from_ref(&record)) == ExitCode::Pass {
                    std::fs::remove_dir_all(folder)?;
                }
                records.push(*record);
            }
        }
    }
    Ok(Some(records))
}

fn check(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let Some(scenarios) = read_all(files) else {
        return Ok(ExitCode::Usage);
    };
    let mut out = std::io::stdout().lock();
    for (file, scenario) in &scenarios {
        let count = scenario.assertions.len();
        writeln!(
            out,
            "{}: {}, {count} assertions, no problems",
            file.display(),
            scenario.name
        )?;
    }
    Ok(if scenarios.is_empty() {
        ExitCode::NothingSelected
    } else {
        ExitCode::Pass
    })
}

fn plan(path: &Path, seed: u64) -> anyhow::Result<ExitCode> {
    let Some(scenarios) = read_all(&[path.to_owned()]) else {
        return Ok(ExitCode::Usage);
    };
    for (_, scenario) in &scenarios {
        let plan = scenario::plan::plan(scenario, seed)?;
        std::io::stdout()
            .lock()
            .write_all(host::to_yaml(&plan)?.as_bytes())?;
    }
    Ok(ExitCode::Pass)
}

fn doctor(json: bool) -> anyhow::Result<ExitCode> {
    let findings = doctor::examine()?;
    let text = if json {
        serde_json::to_string_pretty(&findings)? + "\n"
    } else {
        findings.tables()
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(findings.exit_code())
}

fn lab_up(path: &Path, arguments: &LabArgs) -> anyhow::Result<ExitCode> {
    let Some(scenarios) = read_all(&[path.to_owned()]) else {
        return Ok(ExitCode::Usage);
    };
    let options = options(arguments, None)?;
    for (file, scenario) in &scenarios {
        let code = host::hold(file, scenario, &options, announce)?;
        if code == ExitCode::NothingSelected.code() {
            return Ok(ExitCode::NothingSelected);
        } else if code != ExitCode::Pass.code() {
            return Ok(ExitCode::Lab);
        }
    }
    Ok(ExitCode::Pass)
}

fn lab_show(folder: Option<&Path>, json: bool, root: &Path) -> anyhow::Result<ExitCode> {
    let shown = show::show(folder, root)?;
    let text = if json {
        serde_json::to_string_pretty(&shown)? + "\n"
    } else {
        show::tables(&shown)
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::Pass)
}

fn announce(lab: &Lab, folder: &Path) {
    let (access, folder) = (&lab.access, folder.display());
    let mut text = "the lab is up; Ctrl-C takes it down\n\n".to_owned();
    for cluster in &lab.clusters {
        let suffix = match lab.clusters.len() {
            1 => String::new(),
            _ => format!("-{}", cluster.name),
        };
        text +=
            &format!("  kubectl --kubeconfig {folder}/kubeconfig{suffix} get svc,pods,endpointslices -A\n");
    }
    text += &format!(
        "  Manager {} user {} password {}\n",
        access.url, access.username, access.password
    );
    text += &format!("  Manager certificate authority {}\n", access.ca.display());
    text += &format!(
        "  {} lab show {folder}    # sites, tunnels and policies as they are now\n",
        quoted(&itself())
    );
    text += &format!("  logs {folder}/operator.log {folder}/events.jsonl\n");
    // A reader that has read enough and gone takes no lab down.
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .ok();
}

/// Reads every file; prints all that is wrong and gives `None` if anything is.
fn read_all(files: &[PathBuf]) -> Option<Vec<(PathBuf, Scenario)>> {
    let mut scenarios = Vec::new();
    let mut broken = false;
    for file in files {
        match host::read(file) {
            Ok(scenario) => scenarios.push((file.clone(), scenario)),
            Err(diagnostics) => {
                if broken {
                    eprintln!();
                }
                broken = true;
                eprintln!("{diagnostics}");
            }
        }
    }
    (!broken).then_some(scenarios)
}

fn options(arguments: &LabArgs, capture_ring: Option<RingSize>) -> anyhow::Result<RunOptions> {
    let operator = implementation::find(arguments.operator.as_deref())?;
    let mut repeat = format!("{} run", quoted(&itself()));
    if let Some(given) = &arguments.operator {
        repeat += &format!(" --operator {}", quoted(&given.display().to_string()));
    }
    if arguments.out != Path::new(DEFAULT_OUT) {
        repeat += &format!(" --out {}", quoted(&arguments.out.display().to_string()));
    }
    if let Some(sabotage) = arguments.sabotage {
        repeat += &format!(" --sabotage {sabotage}");
    }
    let impairments = impairments(arguments.impairments)?;
    if let Some(backend) = impairments {
        repeat += &format!(" --impairments {backend}");
    }
    if let Some(ring) = capture_ring {
        repeat += &format!(" --capture-ring {}", ring.bytes());
    }
    Ok(RunOptions {
        seed: arguments.seed,
        out: arguments.out.clone(),
        operator,
        sabotage: arguments.sabotage,
        impairments,
        ring: capture_ring.unwrap_or_default(),
        repeat,
    })
}

/// Who is to impair packets, if that is asked for; netem is asked for in vain where labs cannot have it.
fn impairments(asked: Impairments) -> anyhow::Result<Option<Backend>> {
    match asked {
        Impairments::Auto => Ok(None),
        Impairments::Userspace => Ok(Some(Backend::Userspace)),
        Impairments::Netem => {
            let found = private::run(|_| {
                let found = Netns::current().and_then(|netns| Backend::of(&netns));
                u8::from(!matches!(found, Ok(Backend::Netem)))
            })?;
            anyhow::ensure!(found == 0, NoNetem);
            Ok(Some(Backend::Netem))
        }
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// This program as it can be typed in the working directory.
pub(crate) fn itself() -> String {
    let words = std::env::args().next().unwrap_or_else(|| "pathproof".to_owned());
    let relative = std::env::current_dir().ok().and_then(|here| {
        let path = Path::new(&words).strip_prefix(here).ok()?;
        Some(format!("./{}", path.display()))
    });
    relative.unwrap_or(words)
}

fn colour() -> Colour {
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { Colour::Ansi } else { Colour::Plain }
}
