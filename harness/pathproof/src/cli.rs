//! The command line.
//!
//! Owns what commands and flags mean together; they are defined in `words`, and the work is done elsewhere. stdout is the
//! result, stderr the talk.

mod shell;
mod words;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

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
use crate::manager::{self, PasswordError, UnfitTenants};
use crate::progress::Progress;
use crate::repeat::Repeated;
use crate::run::RunOptions;
use crate::run::host::{self, Ended};
use crate::select::{self, SelectError};
use crate::show::{self, NoLab};
pub(crate) use shell::{itself, quoted};
pub use words::Cli;
pub(crate) use words::DEFAULT_OUT;
use words::{Command, Impairments, LabArgs, LabCommand, RunArgs};

/// `--impairments netem` where the kernel has no netem.
#[derive(Debug, thiserror::Error)]
#[error(
    "impair packets by netem, as `--impairments netem` asks: the kernel has no netem, prio or fw (CONFIG_NET_SCH_NETEM, NET_SCH_PRIO, NET_CLS_FW), or does not let you use them; use `userspace` or `auto`"
)]
struct NoNetem;

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
    let (operator, manifests) = (&arguments.operator, &arguments.operator_manifests);
    let implementation = implementation::find(operator.as_deref(), manifests.as_deref())?;
    let mut repeat = format!("{} run", quoted(&itself()));
    for (flag, given) in [("--operator", operator), ("--operator-manifests", manifests)] {
        if let Some(given) = given {
            repeat += &format!(" {flag} {}", quoted(&given.display().to_string()));
        }
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
        operator: implementation,
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

fn colour() -> Colour {
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { Colour::Ansi } else { Colour::Plain }
}
