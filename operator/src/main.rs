//! The `sdwan-operator` binary: command line, logging, signals.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.install_logging();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sdwan-operator: failed to {error:#}");
            ExitCode::FAILURE
        }
    }
}
