//! `cargo xtask test-kernel`: the tests of the fabric on a kernel that has everything.
//!
//! Owns the way from the workspace's test programs to a table of results. Debian's cloud kernel is booted under QEMU
//! with the test programs in its initramfs, and the results come over the serial line. Nothing is installed and
//! nothing fetched unless `--install` says so. Invariants: what could not run is said with its reason and is never a
//! pass; the machine has a deadline; what it was made of is removed at the end, except for the kernel.
//!
//! # Limits
//! Debian and x86-64 alone. The processor is emulated (TCG), some 6 to 15 times slower than the real one, so tests of
//! timing may fail here that pass elsewhere; those that do are left out unless `--timed` asks for them.

mod archive;
mod kernel;
mod machine;
mod results;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;

use super::outcome::{self, FAIL, NOTHING, PASS, run_tool};
use results::Results;

/// Packages of Debian that the recipe needs.
const PACKAGES: [&str; 2] = ["qemu-system-x86", "busybox-static"];

/// Tests that hold a program of ours to the clock, which an emulated processor cannot keep up with. The kernel's netem
/// can, so that its tests of the same are none of them.
const TIMED: [&str; 7] = [
    "a_black_hole_is_detected_in_time",
    "the_best_of_delayed_colors_is_taken",
    "a_delay_is_as_long_as_asked_and_heals_by_userspace",
    "a_line_by_interface_goes_before_one_without_by_userspace",
    "jitter_spreads_and_loses_nothing_by_userspace",
    "random_loss_is_as_often_as_asked_and_the_same_for_a_seed_by_userspace",
    "a_rate_is_as_asked_by_userspace",
];

/// Runs the fabric's tests on Debian's cloud kernel under QEMU.
///
/// Exit codes: 0 passed, 1 failed, 2 wrong command line, 4 the machine broke, 5 no test ran.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask test-kernel", max_term_width = 100)]
struct Options {
    /// Only tests with this in their name.
    filter: Option<String>,
    /// Only this test program; may be given more than once. Without a scenario `fabric` and `encap` unless given.
    #[arg(long = "test", value_name = "NAME")]
    tests: Vec<String>,
    /// Runs this scenario there, a file below `scenarios/`; may be given more than once.
    #[arg(long = "scenario", value_name = "FILE")]
    scenarios: Vec<String>,
    /// Installs QEMU and busybox and fetches the kernel by apt where they are not there.
    #[arg(long)]
    install: bool,
    /// How long the machine may run, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    deadline: u64,
    /// Runs the tests that measure time, too; they need a fast machine.
    #[arg(long)]
    timed: bool,
    /// Tests at the same time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    test_threads: u32,
}

/// Does what the words say.
pub(crate) fn main(words: Vec<String>) -> ExitCode {
    let mut options: Options = outcome::options("test-kernel", words);
    if options.tests.is_empty() && options.scenarios.is_empty() {
        options.tests = ["fabric", "encap"].map(str::to_owned).into();
    }
    outcome::exit(run(&options))
}

fn run(options: &Options) -> anyhow::Result<u8> {
    let home = outcome::home("test-kernel")?;
    if let Some(reason) = missing(options, &home)? {
        return Ok(outcome::skipped(&reason));
    }
    let kernel = kernel::prepare(&home)?;
    let programs = match options.tests.as_slice() {
        [] => Vec::new(),
        tests => build(tests)?,
    };
    let harness = match options.scenarios.as_slice() {
        [] => Vec::new(),
        _ => build_harness()?,
    };
    let scratch = tempfile::tempdir_in(&home).context("make a folder for the machine")?;
    let initramfs = scratch.path().join("initramfs");
    let plan = machine::Plan {
        programs: &programs,
        harness: &harness,
        scenarios: &options.scenarios,
        filter: options.filter.as_deref(),
        test_threads: options.test_threads,
        skipped: if options.timed { &[] } else { &TIMED },
    };
    machine::write_initramfs(&initramfs, &kernel, &plan)?;
    let log = home.join("serial.log");
    let mut results = Results::default();
    let ended = machine::boot(
        &kernel.image,
        &initramfs,
        &log,
        Duration::from_secs(options.deadline),
        |line| results.take(line),
    )?;
    print!("{}", results.table(&kernel.version));
    for name in plan.skipped.iter().filter(|_| !programs.is_empty()) {
        println!("  skipped {name} (it measures time, and the processor is emulated; --timed runs it)");
    }
    if !ended || !results.is_complete(programs.len() + usize::from(!options.scenarios.is_empty())) {
        bail!(
            "hear the end of every test program; the serial line is in `{}`",
            log.display()
        );
    }
    let code = if results.has_failed() {
        eprint!("{}", results.failures());
        FAIL
    } else if results.passed() == 0 {
        NOTHING
    } else {
        PASS
    };
    Ok(code)
}

/// What is not there, in words, after `--install` has had its chance.
fn missing(options: &Options, home: &Path) -> anyhow::Result<Option<String>> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Some("the kernel and the emulator are those of x86-64".to_owned()));
    }
    let lacks_tools = || tool("qemu-system-x86_64").is_none() || tool("busybox").is_none();
    if options.install && lacks_tools() {
        let apt = ["install", "--yes", "--no-install-recommends"];
        if let Err(error) = run_tool(Command::new("apt-get").args(apt).args(PACKAGES)) {
            return Ok(Some(format!("{error:#}")));
        }
    }
    if options.install
        && !kernel::is_there(home)
        && let Err(error) = kernel::fetch(home)
    {
        return Ok(Some(format!("{error:#}")));
    }
    Ok(if lacks_tools() {
        let packages = PACKAGES.join(" ");
        Some(format!(
            "QEMU or busybox is not there: `apt-get install {packages}`, or `cargo xtask test-kernel --install`"
        ))
    } else if kernel::is_there(home) {
        None
    } else {
        Some(format!(
            "no Debian cloud kernel in `{}`: `cargo xtask test-kernel --install` fetches it",
            home.display()
        ))
    })
}

/// A test program, built.
struct Program {
    name: String,
    path: PathBuf,
}

/// Builds the harness and the operator with the profile that this one was built with.
fn build_harness() -> anyhow::Result<Vec<Program>> {
    const NAMES: [&str; 2] = ["pathproof", "sdwan-operator"];
    let paths = super::build_bins(NAMES)?;
    let programs = NAMES.into_iter().zip(paths).map(|(name, path)| Program {
        name: name.to_owned(),
        path,
    });
    Ok(programs.collect())
}

/// Builds test programs of netsim with the profile that this one was built with.
fn build(tests: &[String]) -> anyhow::Result<Vec<Program>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(super::root()).args([
        "test",
        "--package",
        "netsim",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    for test in tests {
        build.args(["--test", test]);
    }
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.stderr(Stdio::inherit()).output().context("run cargo")?;
    ensure!(output.status.success(), "build the tests of netsim");
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("read cargo's messages")?;
        let (Some(path), Some(name)) = (message["executable"].as_str(), message["target"]["name"].as_str())
        else {
            continue;
        };
        programs.push(Program {
            name: name.to_owned(),
            path: path.into(),
        });
    }
    ensure!(
        programs.len() == tests.len(),
        "find the programs of {tests:?} among what cargo built"
    );
    Ok(programs)
}

/// Where a program is on PATH.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // System programs are not on everybody's path.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
