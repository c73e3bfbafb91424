//! What the fabric costs: each figure with its baseline, measured in the same run, never a pass or a fail.
//!
//! Owns the program. Everything runs in private namespaces, as a lab does, so it needs no root and leaves
//! nothing. The exit code tells only whether the figures could be measured.

mod api;
mod capture;
mod figure;
mod forwarding;
mod impair;
mod manager;
mod mesh;
mod nodes;
mod operator;
mod pairs;
mod sites;
mod tools;
mod update;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use figure::Figure;

/// Measures the fabric beside what else would do the work, and the Manager that programs it.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is measured.
    #[arg(value_enum)]
    subject: Subject,
    /// Only this group of figures; all of them without it.
    #[arg(value_enum)]
    group: Option<Group>,
    /// One line of JSON for each figure instead of a table.
    #[arg(long)]
    json: bool,
    /// How long each measurement of captures, forwarding and requests sends, in seconds.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Subject {
    /// The wires, the steering and the captures of netsim.
    Fabric,
    /// Serves the embedded Kubernetes API to the program that measures it.
    #[value(hide = true)]
    ServeApi,
}

/// A group of figures that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Building and tearing down labs of 100 and 1,000 nodes.
    Build,
    /// Proving all pairs of 100 hosts reachable.
    Pairs,
    /// Packets from edge to edge through a tunnel.
    Forwarding,
    /// Changing the steering of an edge.
    Update,
    /// Capturing 64-byte packets.
    Capture,
    /// Packets over an impaired line: how many, and how exactly as asked.
    Impair,
    /// A full mesh of 200 sites.
    Mesh,
    /// The Manager: requests of 200 clients, activations of 5,000 sequences.
    Manager,
    /// The embedded Kubernetes API: start, creates, 500 watchers, latency, memory.
    Api,
    /// The bundled operator: start beside 10,000 Services, latency, bursts, memory, idle time; about seven minutes.
    Operator,
}

impl Arguments {
    fn measures(&self, group: Group) -> bool {
        self.group.is_none_or(|only| only == group)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.1..=60.0).contains(&value) => Ok(value),
        _ => Err("0.1 to 60 seconds are accepted".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let failed = |error: &dyn std::fmt::Display| {
        eprintln!("pathproof-bench: {error}");
        1
    };
    if let Subject::ServeApi = arguments.subject {
        return ExitCode::from(api::serve().map_or_else(|error| failed(&format!("{error:#}")), |()| 0));
    }
    // Before the private namespaces, in which cargo would not find its home.
    if arguments.measures(Group::Operator)
        && let Err(error) = operator::build()
    {
        return ExitCode::from(failed(&format!("{error:#}")));
    }
    let code = netsim::netns::private::run(|signals| {
        signals.end_process_at_first();
        match measure(&arguments) {
            Ok(()) => 0,
            Err(error) => failed(&format!("{error:#}")),
        }
    });
    ExitCode::from(code.unwrap_or_else(|error| failed(&error)))
}

fn measure(arguments: &Arguments) -> Result<()> {
    // Each node holds three descriptors: namespace, route netlink and the runtime's registration.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let sending = Duration::from_secs_f64(arguments.seconds);
    let mut figures: Vec<Figure> = Vec::new();
    for group in Group::value_variants() {
        if !arguments.measures(*group) {
            continue;
        }
        eprintln!("measuring {group:?}, load {}", load());
        figures.extend(runtime.block_on(async {
            match group {
                Group::Build => nodes::measure().await,
                Group::Pairs => pairs::measure().await,
                Group::Forwarding => forwarding::measure(sending).await,
                Group::Update => update::measure().await,
                Group::Capture => capture::measure(sending).await,
                Group::Impair => impair::measure(sending).await,
                Group::Mesh => mesh::measure().await,
                Group::Manager => manager::measure(sending).await,
                Group::Api => api::measure(sending).await,
                Group::Operator => operator::measure().await,
            }
        })?);
    }
    let mut text = String::new();
    if arguments.json {
        for figure in &figures {
            writeln!(text, "{}", figure.json())?;
        }
    } else {
        writeln!(text, "{}\n{}", machine(), figure::table(&figures))?;
    }
    print!("{text}");
    Ok(())
}

fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("kernel {}, {cores} cores, load {}", kernel.trim(), load())
}

/// The load of the last minute: other work on the machine shows in every figure.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
