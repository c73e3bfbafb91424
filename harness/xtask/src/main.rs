//! Tasks of the workspace that take more than one cargo command.
//!
//! `cargo e2e` is `cargo run --package xtask -- e2e`: it builds the harness and, as a program of its own, the
//! operator that the harness tests, and runs the core conformance profile. More words are passed on.

mod api_parity;
mod catalystwan;
mod outcome;
mod test_kernel;

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;

/// The exit code when nothing could be built or started: EX_SOFTWARE of sysexits.h, as the harness has it.
const NOT_RUN: u8 = 70;

const USAGE: &str = "usage: cargo xtask e2e [FLAGS OF pathproof conformance]
       cargo xtask pathproof [WORDS OF pathproof]
       cargo xtask test-kernel [--install] [FILTER]
       cargo xtask catalystwan [--install] [dry|fabric]
       cargo xtask api-parity [--install] [FILTER]";

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let command = words.next();
    let rest: Vec<String> = words.collect();
    match command.as_deref() {
        Some("e2e") => {
            let scenarios = root().join("scenarios");
            let scenarios = env::current_dir().map_or(scenarios.clone(), |here| {
                scenarios
                    .strip_prefix(&here)
                    .map_or(scenarios.clone(), Path::to_path_buf)
            });
            let mut pathproof = vec![
                "conformance".to_owned(),
                "--profile".to_owned(),
                "core".to_owned(),
            ];
            pathproof.extend(["--scenarios".to_owned(), scenarios.display().to_string()]);
            pathproof.extend(rest);
            build_and_run(&pathproof)
        }
        Some("pathproof") => build_and_run(&rest),
        Some("test-kernel") => test_kernel::main(rest),
        Some("api-parity") => api_parity::main(rest),
        Some("catalystwan") => catalystwan::main(rest),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Builds both programs with the profile that this one was built with, and runs the harness.
fn build_and_run(words: &[String]) -> ExitCode {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(root()).args(["build", "--workspace", "--bins"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    match build.status() {
        Ok(status) if status.success() => {}
        // Not 1, which says that an assertion failed.
        Ok(_) => return ExitCode::from(NOT_RUN),
        Err(error) => return failed("run cargo", &error),
    }
    let itself = match env::current_exe() {
        Ok(path) => path,
        Err(error) => return failed("find the folder of this program", &error),
    };
    // This process becomes the harness: signals and exit codes are the harness's own.
    let error = Command::new(itself.with_file_name("pathproof"))
        .args(words)
        .exec();
    failed("run pathproof", &error)
}

/// Builds packages with the profile that this one was built with, and gives the programs of the same names.
fn build_bins<const N: usize>(names: [&str; N]) -> anyhow::Result<[PathBuf; N]> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(root()).args(["build", "--bins"]);
    build.args(names.iter().flat_map(|name| ["--package", name]));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.status().context("run cargo")?;
    anyhow::ensure!(status.success(), "build {}", names.join(" and "));
    let itself = env::current_exe().context("find the folder of this program")?;
    Ok(names.map(|name| itself.with_file_name(name)))
}

fn failed(what: &str, error: &std::io::Error) -> ExitCode {
    eprintln!("error: failed to {what}: {error}");
    ExitCode::from(NOT_RUN)
}

fn root() -> PathBuf {
    // Two folders up from this crate's own.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
