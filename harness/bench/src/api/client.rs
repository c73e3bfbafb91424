//! A client of an API server: its own connection and credentials.

use std::pin::Pin;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{Stream, StreamExt};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

/// Where a server is, and as whom to speak with it.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) url: String,
    /// Who signed its certificate, as PEM.
    pub(super) authority: Vec<u8>,
    pub(super) token: String,
}

impl Endpoint {
    /// The first cluster and user of a kubeconfig.
    pub(super) fn of_kubeconfig(text: &str) -> Result<Self> {
        let config: Value = serde_saphyr::from_str(text)?;
        let text = |pointer: &str| {
            let value = config.pointer(pointer).and_then(Value::as_str);
            value.with_context(|| format!("a kubeconfig without {pointer}"))
        };
        Ok(Self {
            url: text("/clusters/0/cluster/server")?.to_owned(),
            authority: STANDARD.decode(text("/clusters/0/cluster/certificate-authority-data")?)?,
            token: text("/users/0/user/token")?.to_owned(),
        })
    }
}

/// A client with a connection of its own.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
}

/// The events of a watch.
pub(super) struct Events(Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>);

impl Client {
    pub(super) fn connect(endpoint: &Endpoint) -> Result<Self> {
        // Only the first call has an effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bearer = HeaderValue::from_str(&format!("Bearer {}", endpoint.token))?;
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&endpoint.authority)?])
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .build()?;
        let url = endpoint.url.clone();
        Ok(Self { http, url })
    }

    pub(super) async fn get(&self, path: &str) -> Result<()> {
        done(self.http.get(format!("{}{path}", self.url))).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<()> {
        done(self.http.post(format!("{}{path}", self.url)).json(body)).await
    }

    /// Watches what changes in a collection from now on.
    pub(super) async fn watch(&self, path: &str) -> Result<Events> {
        let url = format!("{}{path}?watch=true&timeoutSeconds=600", self.url);
        let answer = self.http.get(url).send().await?.error_for_status()?;
        Ok(Events(Box::pin(answer.bytes_stream())))
    }
}

impl Events {
    /// Reads so many events and no more.
    pub(super) async fn skip_objects(&mut self, count: usize) -> Result<()> {
        let mut seen = 0;
        while seen < count {
            let bytes = self.0.next().await.context("a watch ended")??;
            // One line of JSON for each event.
            seen += bytes.iter().filter(|&&byte| byte == b'\n').count();
        }
        ensure!(seen == count, "{seen} events for {count} changes");
        Ok(())
    }
}

async fn done(request: reqwest::RequestBuilder) -> Result<()> {
    let answer = request.send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    ensure!(
        status.is_success(),
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(())
}
