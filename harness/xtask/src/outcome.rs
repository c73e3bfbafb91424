//! What the tasks that test something have in common: exit codes, the folder that they keep, tools that they run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use clap::Parser;

/// What was taken passed.
pub(crate) const PASS: u8 = 0;
/// Some of it failed.
pub(crate) const FAIL: u8 = 1;
/// A program or a machine broke.
pub(crate) const LAB: u8 = 4;
/// Nothing ran.
pub(crate) const NOTHING: u8 = 5;

/// The options of `cargo xtask NAME` that these words are.
pub(crate) fn options<T: Parser>(name: &str, words: Vec<String>) -> T {
    T::parse_from(std::iter::once(format!("cargo xtask {name}")).chain(words))
}

/// The exit code of a task; an error is said.
pub(crate) fn exit(ended: anyhow::Result<u8>) -> ExitCode {
    ExitCode::from(ended.unwrap_or_else(|error| {
        eprintln!("error: failed to {error:#}");
        LAB
    }))
}

/// Says why nothing ran.
pub(crate) fn skipped(reason: &str) -> u8 {
    eprintln!("skipped: {reason}");
    NOTHING
}

/// The folder that a task keeps, below `target`.
pub(crate) fn home(name: &str) -> anyhow::Result<PathBuf> {
    let home = super::root().join("target").join(name);
    fs::create_dir_all(&home).with_context(|| format!("make folder `{}`", home.display()))?;
    Ok(home)
}

/// Runs a program to its end; its stdout is nobody's.
pub(crate) fn run_tool(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("run `{name}`"))?;
    ensure!(status.success(), "run `{name}`: {status}");
    Ok(())
}
