//! `pathproof`: proves which SD-WAN tunnel every packet took.
//!
//! The program that users start. It begins with one thread, because a run forks into private namespaces; the
//! runtime is made inside.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use pathproof::cli::{self, Cli};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match cli::main(Cli::parse()) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: failed to {error:#}");
            cli::exit_code(&error).into()
        }
    }
}
