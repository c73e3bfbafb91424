//! A client of the Manager: its own connection, session and token.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use netsim::manager::limits::Limits;
use netsim::manager::{Config, Device, Manager, SecretString};
use serde_json::Value;

const USERNAME: &str = "admin";
const PASSWORD: &str = "not a secret";
/// The longest wait for an answer or a task.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// What the Manager is started with.
pub(super) fn config(devices: Vec<Device>) -> Result<Config> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let password = SecretString::from(PASSWORD);
    // The product would refuse most of what the clients do.
    Ok(Config {
        limits: Limits::NONE,
        ..Config::new(vec![listener], USERNAME.to_owned(), password, devices)
    })
}

/// A client that is logged in.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// Connects and logs in.
    pub(super) async fn log_in(manager: &Manager) -> Result<Self> {
        // Only the first call has an effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(manager.ca_pem().as_bytes())?;
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .cookie_store(true)
            .timeout(DEADLINE)
            .build()?;
        let url = format!("https://{}", manager.address());
        let form = [("j_username", USERNAME), ("j_password", PASSWORD)];
        let answer = http
            .post(format!("{url}/j_security_check"))
            .form(&form)
            .send()
            .await?;
        ensure!(answer.text().await?.is_empty(), "the login was refused");
        let base = format!("{url}/dataservice");
        let token = http
            .get(format!("{base}/client/token"))
            .send()
            .await?
            .text()
            .await?;
        Ok(Self { http, base, token })
    }

    /// Reads a resource.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.answer(self.http.get(format!("{}{path}", self.base))).await
    }

    /// Creates or starts something.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(self.http.post(format!("{}{path}", self.base)).json(body))
            .await
    }

    /// Replaces something.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(self.http.put(format!("{}{path}", self.base)).json(body))
            .await
    }

    /// Deletes something.
    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        let request = self.http.delete(format!("{}{path}", self.base));
        let answer = request.header("X-XSRF-TOKEN", &self.token).send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// Waits until a task has succeeded.
    pub(super) async fn follow(&self, task: &str) -> Result<()> {
        let end = Instant::now() + DEADLINE;
        loop {
            let status = self.get(&format!("/device/action/status/{task}")).await?;
            if status["summary"]["status"] == "done" {
                ensure!(status["data"][0]["statusId"] == "success", "{status}");
                return Ok(());
            }
            ensure!(Instant::now() < end, "the task does not end");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let answer = request.header("X-XSRF-TOKEN", &self.token).send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        ensure!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&bytes)
        );
        serde_json::from_slice(&bytes).context("read an answer as JSON")
    }
}
