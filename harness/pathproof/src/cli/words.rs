//! The words of commands and flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use netsim::capture::RingSize;

use crate::lab::sabotage::Sabotage;
use crate::manager::ManagerArgs;

/// Proves which SD-WAN tunnel every packet took.
///
/// Exit codes: 0 passed, 1 failed, 2 wrong command line or scenario, 3 inconclusive, 4 the lab broke, 5 nothing
/// selected, 130 interrupted, 70 a bug in pathproof.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Where run folders go unless told otherwise.
pub(crate) const DEFAULT_OUT: &str = "runs";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
pub(super) enum LabCommand {
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
pub(super) struct LabArgs {
    /// What varies between runs: the same seed gives the same plan.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Where run folders go.
    #[arg(long, default_value = DEFAULT_OUT, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// The operator under test; the bundled one unless given.
    #[arg(long, value_name = "FILE")]
    pub(super) operator: Option<PathBuf>,
    /// What is created in each cluster for the operator, which then runs as the one ServiceAccount in it: YAML, of which
    /// pods and what makes pods are left out. The bundled operator prints its own; another that has none runs as the
    /// administrator of the clusters.
    #[arg(long, value_name = "FILE")]
    pub(super) operator_manifests: Option<PathBuf>,
    /// Breaks the lab on purpose: swap-tunnels, no-operator, one-direction, dead-faults, no-slice-sync or leak=1/N.
    #[arg(long, value_name = "HOW")]
    pub(super) sabotage: Option<Sabotage>,
    /// Who impairs packets: the kernel's netem, a program of the lab, or netem where the kernel has it.
    #[arg(long, value_enum, default_value_t = Impairments::Auto, value_name = "WHO")]
    pub(super) impairments: Impairments,
}

/// The values of `--impairments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Impairments {
    Userspace,
    Netem,
    Auto,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) lab: LabArgs,
    /// Runs each scenario this often, with seeds counting up, and prints the spread of convergence.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) repeat: u32,
    /// Size of the ring that each capture point has, in bytes: a power of two from 4096 to 131072, or a multiple of
    /// 131072 up to 1073741824; a ring of 4096 loses packets.
    #[arg(long, value_name = "BYTES")]
    pub(super) capture_ring: Option<RingSize>,
}
