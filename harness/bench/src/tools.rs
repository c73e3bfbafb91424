//! Programs of others, as baselines. Nothing here is needed: what is not installed is not measured.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::figure::{Baseline, Better};

/// A baseline's value, or why it could not be measured.
pub type Measured = Result<f64, String>;

/// The path of a program; `Err` says that it is not there.
pub fn find(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("no `{program}` on the PATH"))
}

/// Runs a program to its end with this input, in the namespaces of the calling thread.
///
/// # Errors
/// When it cannot be started or ends with another code than 0.
pub fn run(mut command: Command, input: &str) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start `{name}`"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "`{name}` ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output)
}

/// A baseline out of what was measured of another way to do the work.
pub fn baseline(way: &'static str, measured: &Measured, better: Better) -> Baseline {
    match measured {
        Ok(value) => Baseline::Measured {
            way,
            value: *value,
            better,
        },
        Err(why) => Baseline::NotMeasured(why.clone()),
    }
}
