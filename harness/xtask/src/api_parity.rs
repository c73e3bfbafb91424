//! `cargo xtask api-parity`: the API cases of `kubeapi` against its server and against Kubernetes' own.
//!
//! Owns the programs of the real server, which are built from `harness/kubeapi/tests/parity/server`, the definitions of
//! custom resources that Cilium and others publish, which `tests/parity/definitions` prints, and the table of what
//! passed where. The test program starts and ends the servers. Nothing is fetched unless `--install` says so.
//! Invariant: what could not run is said with its reason and is never a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use clap::Parser;

use super::outcome::{self, FAIL, PASS};

/// A folder with `kube-apiserver` and `etcd`, as the tests of controller-runtime have it.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
const SERVER: &str = "harness/kubeapi/tests/parity/server";
/// The file with published definitions, for the test program.
const DEFINITIONS: &str = "PARITY_DEFINITIONS";
const PUBLISHED: &str = "harness/kubeapi/tests/parity/definitions";
const TABLE: &str = "harness/kubeapi/PARITY.md";
/// Both sides, as the names of the tests begin.
const SIDES: [&str; 2] = ["kubeapi", "kube-apiserver"];

/// Plays the API cases of kubeapi against its own server and against Kubernetes'.
///
/// The programs of the latter are those of the folder KUBEBUILDER_ASSETS, or else are built by Go.
///
/// Exit codes: 0 passed, 1 a case failed, 2 wrong command line, 4 a program broke, 5 nothing ran.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask api-parity", max_term_width = 100)]
struct Options {
    /// Only cases with this in their name; the table is printed and not written.
    filter: Option<String>,
    /// Fetches the modules that the programs are built from where they are not there.
    #[arg(long)]
    install: bool,
}

/// Does what the words say.
pub(crate) fn main(words: Vec<String>) -> ExitCode {
    outcome::exit(run(&outcome::options("api-parity", words)))
}

fn run(options: &Options) -> anyhow::Result<u8> {
    let home = outcome::home("api-parity")?;
    let assets = match env::var_os(ASSETS) {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => build(&home, options.install),
    };
    let assets = match assets {
        Ok(assets) => assets,
        Err(reason) => return Ok(outcome::skipped(&format!("{reason:#}"))),
    };
    let version = |program: &str| said(Command::new(assets.join(program)).arg("--version"));
    let server = version("kube-apiserver")?.replace("Kubernetes ", "");
    let etcd = version("etcd")?;
    let etcd = etcd
        .lines()
        .next()
        .unwrap_or_default()
        .replace("etcd Version: ", "");

    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests
        .current_dir(super::root())
        .env(ASSETS, &assets)
        .args([
            "test",
            "--quiet",
            "--package",
            "kubeapi",
            "--test",
            "parity",
            "--",
        ])
        .arg("--format=pretty")
        .args(&options.filter);
    match published(&home, options.install) {
        Ok(definitions) => {
            tests.env(DEFINITIONS, definitions);
        }
        Err(reason) => {
            tests.env_remove(DEFINITIONS);
            println!("skipped: published definitions: {reason:#}");
        }
    }
    let output = tests.stderr(Stdio::inherit()).output().context("run cargo")?;
    let output = String::from_utf8_lossy(&output.stdout);
    let results = Results::read(&output);
    ensure!(results.complete, "hear the end of the cases:\n{output}");

    if let Some((_, failures)) = output.split_once("\nfailures:\n") {
        println!("{failures}");
    }
    let table = results.table(&server, etcd.trim());
    println!("{table}");
    if options.filter.is_none() {
        let path = super::root().join(TABLE);
        fs::write(&path, &table).with_context(|| format!("write `{}`", path.display()))?;
    }
    Ok(if results.failed { FAIL } else { PASS })
}

/// Builds both programs into a folder below `home`, or says why that cannot be.
fn build(home: &Path, install: bool) -> anyhow::Result<PathBuf> {
    let folder = home.join("bin");
    let missing = format!("{ASSETS} is not set, and there is no Go toolchain to build kube-apiserver with");
    let list = ["list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"];
    let version = said(go(SERVER, install).args(list)).context(missing)?;
    // Its releases are stamped so; without, it says that it is v0.0.0.
    let stamp = format!(
        "-s -w -X k8s.io/component-base/version.gitVersion={}",
        version.trim()
    );
    let mut build = go(SERVER, install);
    build.args(["build", "-trimpath", "-ldflags", &stamp, "-o"]);
    build.arg(&folder).args(["./etcd", "./kube-apiserver"]);
    let hint = match install {
        true => "build kube-apiserver and etcd",
        false => "build kube-apiserver and etcd: `cargo xtask api-parity --install` fetches their modules",
    };
    fs::create_dir_all(&folder).with_context(|| format!("make folder `{}`", folder.display()))?;
    let output = build.stdin(Stdio::null()).output().context(hint)?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{hint}: {}",
        why.lines().last().unwrap_or_default()
    );
    Ok(folder)
}

/// Writes the definitions that others publish into a file below `home`, or says why they cannot be had.
fn published(home: &Path, install: bool) -> anyhow::Result<PathBuf> {
    let hint = match install {
        true => "print them with Go",
        false => "print them with Go: `cargo xtask api-parity --install` fetches their modules",
    };
    let definitions = said(go(PUBLISHED, install).args(["run", "."])).context(hint)?;
    let file = home.join("definitions.yaml");
    fs::write(&file, definitions).with_context(|| format!("write `{}`", file.display()))?;
    Ok(file)
}

/// Go in the folder of one of its modules, which fetches others if it may.
fn go(module: &str, install: bool) -> Command {
    let mut go = Command::new("go");
    go.current_dir(super::root().join(module));
    if !install {
        go.env("GOPROXY", "off");
    }
    go
}

/// What a program prints.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run `{name}`"))?;
    ensure!(output.status.success(), "run `{name}`: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What became of the cases, by subject.
#[derive(Debug, Default)]
struct Results {
    subjects: BTreeMap<String, Counts>,
    failed: bool,
    complete: bool,
}

#[derive(Debug, Default)]
struct Counts {
    cases: usize,
    passed: [usize; 2],
    /// Cases that kubeapi is known to fail.
    pending: BTreeSet<String>,
}

impl Results {
    /// Reads what libtest prints: `test [pending] SIDE::SUBJECT::CASE ... ok`.
    fn read(output: &str) -> Results {
        let mut results = Results::default();
        for line in output.lines() {
            results.complete |= line.starts_with("test result:");
            let Some((name, outcome)) = line
                .strip_prefix("test ")
                .and_then(|line| line.split_once(" ... "))
            else {
                continue;
            };
            results.failed |= outcome == "FAILED";
            let is_pending = name.starts_with("[pending]");
            let name = name.trim_start_matches("[pending]").trim();
            let parts: Vec<&str> = name.split("::").collect();
            let (Some(side), [_, subject, case]) = (
                SIDES
                    .iter()
                    .position(|side| name.split("::").next() == Some(side)),
                parts.as_slice(),
            ) else {
                continue;
            };
            let counts = results.subjects.entry((*subject).to_owned()).or_default();
            counts.cases += usize::from(side == 0);
            counts.passed[side] += usize::from(outcome == "ok" && !is_pending);
            if is_pending {
                counts.pending.insert(format!("`{case}`"));
            }
        }
        results
    }

    /// A table for people, in Markdown.
    fn table(&self, server: &str, etcd: &str) -> String {
        let mut text = format!(
            "# Parity with kube-apiserver\n\n\
             What `just api-parity` found: the cases of `tests/parity` that pass on this crate's server and on \
             kube-apiserver {server} with etcd {etcd}. Those of `kubectl-…` are played by the real kubectl.\n\n\
             | subject | cases | kubeapi | pending | kube-apiserver |\n|---|---:|---:|---:|---:|\n"
        );
        let mut sum = ([0; 2], [0; 2]);
        for (subject, counts) in &self.subjects {
            let ours = [counts.cases, counts.pending.len()];
            row(&mut text, subject, ours, counts.passed);
            sum.0 = [0, 1].map(|at| sum.0[at] + ours[at]);
            sum.1 = [0, 1].map(|side| sum.1[side] + counts.passed[side]);
        }
        row(&mut text, "**all**", sum.0, sum.1);
        if sum.0[1] > 0 {
            line(
                &mut text,
                format_args!("\nPending on kubeapi, each with its reason there:\n"),
            );
        }
        for (subject, Counts { pending, .. }) in &self.subjects {
            if !pending.is_empty() {
                let names: Vec<&str> = pending.iter().map(String::as_str).collect();
                line(&mut text, format_args!("- {subject}: {}", names.join(", ")));
            }
        }
        text
    }
}

fn row(text: &mut String, subject: &str, [cases, pending]: [usize; 2], passed: [usize; 2]) {
    let [ours, upstream] = passed;
    line(
        text,
        format_args!("| {subject} | {cases} | {ours} | {pending} | {upstream} |"),
    );
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_by_side_and_pending_ones_do_not_pass() {
        let output = "running 5 tests\n\
                      test pattern::known_fits                 ... ok\n\
                      test kubeapi::create::one                ... ok\n\
                      test [pending] kubeapi::create::two      ... ok\n\
                      test kube-apiserver::create::one         ... ok\n\
                      test kube-apiserver::create::two         ... FAILED\n\n\
                      test result: FAILED. 4 passed; 1 failed\n";
        let results = Results::read(output);
        assert!(results.complete && results.failed);
        let table = results.table("v1.34.2", "3.6.4");
        assert!(
            table.contains("| create | 2 | 1 | 1 | 1 |\n| **all** | 2 | 1 | 1 | 1 |"),
            "{table}"
        );
        assert!(table.contains("- create: `two`\n"), "{table}");
    }

    #[test]
    fn half_a_run_is_not_complete() {
        assert!(!Results::read("test kubeapi::create::one ... ok\n").complete);
    }
}
