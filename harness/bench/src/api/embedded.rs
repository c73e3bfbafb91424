//! The embedded API in a process of its own, as kube-apiserver has one: its memory and its time to start are its own.

use std::io::{BufRead, BufReader, Write, stdin};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use kubeapi::{Config, Kubelet, KubeletError, PodAddress, Server};
use serde_json::{Value, json};

use super::client::{Client, Endpoint};

/// The word by which this program serves instead of measuring.
const WORD: &str = "serve-api";

/// A running server.
pub(super) struct Embedded {
    process: Child,
    output: BufReader<ChildStdout>,
    endpoint: Endpoint,
}

impl super::Server for Embedded {
    const STARTS: usize = 11;

    async fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut told = String::new();
        let output = process.stdout.take().context("a child without its output")?;
        let mut output = BufReader::new(output);
        output.read_line(&mut told)?;
        let kubeconfig: String = serde_json::from_str(&told).context("the server did not start")?;
        let endpoint = Endpoint::of_kubeconfig(&kubeconfig)?;
        Client::connect(&endpoint)?.get("/version").await?;
        Ok(Self {
            process,
            output,
            endpoint,
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn memory(&mut self) -> Result<f64> {
        self.process
            .stdin
            .as_mut()
            .context("a child without its input")?
            .write_all(b"\n")?;
        let mut told = String::new();
        self.output.read_line(&mut told)?;
        Ok(told.trim().parse()?)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Nothing is run in this cluster.
pub struct NoPods;

#[async_trait::async_trait]
impl Kubelet for NoPods {
    async fn start_pod(&self, _pod: &Value) -> Result<PodAddress, KubeletError> {
        Ok(PodAddress { ips: Vec::new() })
    }

    async fn stop_pod(&self, _namespace: &str, _name: &str, _uid: &str) -> Result<(), KubeletError> {
        Ok(())
    }
}

/// Serves until the standard input ends, having said its kubeconfig as a line of JSON; for each line of input, tells
/// how much memory it holds, in MiB.
///
/// # Errors
/// When the server does not start.
#[tokio::main]
pub async fn serve() -> Result<()> {
    let config = Config {
        cluster: "bench".to_owned(),
        listeners: vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?],
        service_cidr: "10.96.0.0/16".parse()?,
        service_cidr_v6: None,
    };
    let server = Server::start(config, Arc::new(NoPods)).await?;
    println!("{}", json!(server.kubeconfig()));
    tokio::task::spawn_blocking(|| {
        for line in stdin().lines() {
            line?;
            println!("{}", resident()?);
        }
        Ok(())
    })
    .await?
}

/// MiB of memory that this process holds (`VmRSS` of proc(5)).
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: f64 = kibibytes.context("a process without its memory")?.parse()?;
    Ok(kibibytes / 1024.0)
}
