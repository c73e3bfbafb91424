//! `cargo xtask catalystwan`: Cisco's Python SDK against the Manager emulation.
//!
//! Owns the virtual environment with the SDK, the Manager that it talks to, and the table of what became of its steps,
//! which are `netsim/contract/cisco_sdk.py`'s. Nothing is fetched unless `--install` says so. Invariants: what could not
//! run is said with its reason and is never a pass; every program started here ends here.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};

use super::outcome::{self, FAIL, NOTHING, PASS, run_tool};

/// The SDK, and what it imports without asking for it. A newer SDK is a change to be made on purpose.
const REQUIREMENTS: [&str; 2] = ["catalystwan==0.41.6", "PyYAML==6.0.3"];
const STEPS: &str = "netsim/contract/cisco_sdk.py";
const TOPOLOGY: &str = "scenarios/topologies/two-sites.yaml";
/// The steps take seconds.
const DEADLINE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);

/// Drives the Manager emulation with Cisco's Python SDK, catalystwan.
///
/// Exit codes: 0 passed, 1 a step failed, 2 wrong command line, 4 a program broke, 5 nothing ran.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask catalystwan", max_term_width = 100)]
struct Options {
    /// Which Manager it drives; each of them in turn unless given.
    #[arg(value_enum)]
    manager: Option<Served>,
    /// Makes the virtual environment and fetches the SDK by pip where it is not there.
    #[arg(long)]
    install: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Served {
    /// One of edges in memory.
    Dry,
    /// One of edges in memory that tenants share; the SDK speaks for one of them.
    Tenants,
    /// One of the WAN of a topology, in private namespaces.
    Fabric,
}

impl Served {
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Dry => &["--dry"],
            Self::Tenants => &["--dry", "--tenant", "red=10", "--tenant", "blue=20"],
            Self::Fabric => &["--topology", TOPOLOGY],
        }
    }
}

/// Does what the words say.
pub(crate) fn main(words: Vec<String>) -> ExitCode {
    outcome::exit(run(&outcome::options("catalystwan", words)))
}

fn run(options: &Options) -> anyhow::Result<u8> {
    let home = outcome::home("catalystwan")?;
    let python = match environment(&home, options.install) {
        Ok(python) => python,
        Err(reason) => return Ok(outcome::skipped(&format!("{reason:#}"))),
    };
    let [pathproof] = super::build_bins(["pathproof"])?;
    let (mut passed, mut failed) = (false, false);
    let all = Served::value_variants().iter();
    for served in all.filter(|served| options.manager.is_none_or(|only| only == **served)) {
        println!(
            "\ncatalystwan against `pathproof manager {}`",
            served.words().join(" ")
        );
        match drive(&python, &pathproof, *served, &home)? {
            Some(true) => passed = true,
            Some(false) => failed = true,
            None => eprintln!("skipped: the Manager did not come up here, for the reason above"),
        }
    }
    Ok(match (passed, failed) {
        (_, true) => FAIL,
        (true, false) => PASS,
        (false, false) => NOTHING,
    })
}

/// The interpreter of a virtual environment that has the SDK, or why there is none.
fn environment(home: &Path, install: bool) -> anyhow::Result<PathBuf> {
    let venv = home.join("venv");
    let python = venv.join("bin/python");
    let (mark, wanted) = (venv.join("requirements.txt"), REQUIREMENTS.join("\n"));
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    ensure!(
        install,
        "{} is not in `{}`: `cargo xtask catalystwan --install` fetches it by pip",
        REQUIREMENTS[0],
        venv.display()
    );
    run_tool(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run_tool(Command::new(&python).args(pip).args(REQUIREMENTS))?;
    fs::write(&mark, wanted).with_context(|| format!("write `{}`", mark.display()))?;
    Ok(python)
}

/// Takes all steps against a Manager of their own. Whether none failed; `None` when the Manager could not run here.
fn drive(python: &Path, pathproof: &Path, served: Served, home: &Path) -> anyhow::Result<Option<bool>> {
    let scratch = tempfile::tempdir_in(home).context("make a folder for the Manager")?;
    let mut serve = Command::new(pathproof);
    serve
        .current_dir(super::root())
        .arg("manager")
        .args(served.words());
    // The SDK takes "too many requests" for an error, and asks more often than the product's limit.
    serve.args(["--rate-limit", "none", "--json", "--out"]);
    serve.arg(scratch.path());
    let mut manager = Ended(serve.stdout(Stdio::piped()).spawn().context("run pathproof")?);
    let stdout = manager.0.stdout.take().context("read what pathproof prints")?;
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .context("read what pathproof prints")?;
    if line.is_empty() {
        return Ok(None);
    }
    let mut steps = Command::new(python);
    // The steps stand in the repository, which is no place for compiled ones.
    steps.arg("-B").arg(super::root().join(STEPS));
    let mut steps = Ended(steps.stdin(Stdio::piped()).spawn().context("run the steps")?);
    let mut stdin = steps
        .0
        .stdin
        .take()
        .context("tell the steps where the Manager is")?;
    stdin
        .write_all(line.as_bytes())
        .context("tell the steps where the Manager is")?;
    drop(stdin);
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = steps.0.try_wait().context("wait for the steps")? {
            ensure!(
                status.code().is_some_and(|code| code <= 1),
                "run the steps: {status}"
            );
            return Ok(Some(status.success()));
        }
        ensure!(Instant::now() < end, "take all steps within {DEADLINE:?}");
        std::thread::sleep(POLL);
    }
}

/// A program that ends with its owner; what it has left is taken by the kernel.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
