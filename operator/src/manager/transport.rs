//! Requests.
//!
//! Owns the HTTP client, one renewal of an expired session per request, and waiting while the Manager is busy; what an
//! answer means is in `reply`. Invariant: a request is repeated only if the Manager said that it did not do it, or if
//! doing it twice is like doing it once.

use std::time::Duration;

use reqwest::header::{COOKIE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::credentials::Credentials;
use super::error::{Call, ManagerError};
use super::login;
use super::reply::{Answer, Hindrance, classify};
use super::session::{Proof, SessionSlot};

const XSRF_HEADER: &str = "X-XSRF-TOKEN";
const BUSY_DELAY_MIN: Duration = Duration::from_millis(50);
const BUSY_DELAY_MAX: Duration = Duration::from_secs(2);
/// Longer than the usual resync, so that a change finds a warm connection.
const IDLE_CONNECTION: Duration = Duration::from_secs(300);

/// A client of one Manager.
#[derive(Debug)]
pub struct ManagerClient {
    pub(super) http: Client,
    pub(super) base: Url,
    pub(super) credentials: Credentials,
    pub(super) patience: Patience,
    pub(super) slot: Mutex<SessionSlot>,
}

/// Which certificates of the Manager are trusted.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those that the system trusts.
    System,
    /// Only those under these PEM certificates.
    Ca(Vec<u8>),
    /// Any: an attacker on the path can read the password.
    Anything,
}

/// How long the client waits.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For one request, from connecting to the end of the answer.
    pub request: Duration,
    /// For locks and rate limits to go away.
    pub busy: Duration,
    /// For a push to the Controllers to end.
    pub task: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            busy: Duration::from_secs(60),
            task: Duration::from_secs(300),
        }
    }
}

/// What a request came to.
pub(super) enum Reply {
    Done(Reception),
    NoSession(StatusCode),
}

/// An answer that was received.
pub(super) struct Reception {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl ManagerClient {
    /// Makes a client; does not connect yet.
    ///
    /// A rustls crypto provider has to be installed for the process.
    ///
    /// # Errors
    /// [`ManagerError::Setup`] if the certificates to trust are not PEM.
    pub fn new(
        url: &Url,
        credentials: Credentials,
        trust: &Trust,
        patience: Patience,
    ) -> Result<Self, ManagerError> {
        let builder = Client::builder()
            // A redirect to the login page is how an expired session shows; following it would hide that.
            .redirect(redirect::Policy::none())
            .timeout(patience.request)
            .pool_idle_timeout(IDLE_CONNECTION)
            .user_agent(concat!("sdwan-operator/", env!("CARGO_PKG_VERSION")));
        let builder = match trust {
            Trust::System => builder,
            Trust::Ca(pem) => {
                builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(ManagerError::Setup)?)
            }
            Trust::Anything => builder.tls_danger_accept_invalid_certs(true),
        };
        let mut base = url.clone();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", url.path()));
        }
        Ok(Self {
            http: builder.build().map_err(ManagerError::Setup)?,
            base,
            credentials,
            patience,
            slot: Mutex::default(),
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ManagerError> {
        self.request(Call::service(Method::GET, path), None).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ManagerError> {
        self.request(Call::service(Method::POST, path), Some(body)).await
    }

    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ManagerError> {
        self.request(Call::service(Method::PUT, path), Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), ManagerError> {
        self.send(&Call::service(Method::DELETE, path), None)
            .await
            .map(|_| ())
    }

    /// Deletes what may be gone already.
    pub(super) async fn delete_object(&self, path: &str) -> Result<(), ManagerError> {
        match self.delete(path).await {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome,
        }
    }

    pub(super) async fn delete_with(&self, path: &str, body: &Value) -> Result<(), ManagerError> {
        self.send(&Call::service(Method::DELETE, path), Some(body))
            .await
            .map(|_| ())
    }

    async fn request<T: DeserializeOwned>(
        &self,
        call: Call,
        body: Option<&Value>,
    ) -> Result<T, ManagerError> {
        let mut bytes = self.send(&call, body).await?;
        if bytes.is_empty() {
            bytes.extend(b"null");
        }
        serde_json::from_slice(&bytes).map_err(|source| ManagerError::Decode { call, source })
    }

    async fn send(&self, call: &Call, body: Option<&Value>) -> Result<Vec<u8>, ManagerError> {
        let mut renewed = false;
        loop {
            let session = self.session().await?;
            let reply = self
                .settle(call, self.request_to(call, body, &session.proof))
                .await;
            if let (Err(ManagerError::Busy { .. }), &Method::GET) = (&reply, &call.method) {
                // What answers may be a login page that is not known as one.
                self.forget(session.generation).await;
            }
            match reply? {
                Reply::Done(reception) => return Ok(reception.body),
                Reply::NoSession(status) if renewed => {
                    return Err(ManagerError::SessionRefused {
                        call: call.clone(),
                        status,
                    });
                }
                Reply::NoSession(status) => {
                    info!(%call, %status, "session expired");
                    self.forget(session.generation).await;
                    renewed = true;
                }
            }
        }
    }

    /// A request within a session.
    pub(super) fn request_to(&self, call: &Call, body: Option<&Value>, proof: &Proof) -> RequestBuilder {
        let mut request = self.http.request(call.method.clone(), self.url(call));
        if let Some(token) = &proof.bearer {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(cookie) = &proof.cookie {
            request = request.header(COOKIE, sensitive(cookie));
        }
        if let Some(token) = &proof.xsrf
            && call.method != Method::GET
        {
            request = request.header(XSRF_HEADER, sensitive(token));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request
    }

    /// Sends a request, again and again while the Manager is busy, and while there is no telling whether it was done
    /// if that does not matter.
    pub(super) async fn settle(&self, call: &Call, request: RequestBuilder) -> Result<Reply, ManagerError> {
        let started = Instant::now();
        let mut delay = BUSY_DELAY_MIN;
        loop {
            let again = request.try_clone().expect("bodies are in memory");
            let Hindrance { wait, reason } = match self.exchange(call, again).await {
                Ok((headers, Answer::Done(body))) => return Ok(Reply::Done(Reception { headers, body })),
                Ok((_, Answer::NoSession(status))) => return Ok(Reply::NoSession(status)),
                Ok((_, Answer::Refused { status, message })) => {
                    return Err(ManagerError::Refused {
                        call: call.clone(),
                        status,
                        message,
                        objects: Vec::new(),
                    });
                }
                Ok((_, Answer::NotNow(hindrance))) => hindrance,
                Ok((_, Answer::Unclear(hindrance))) if call.may_be_repeated() => hindrance,
                Ok((_, Answer::Unclear(Hindrance { reason, .. }))) => {
                    return Err(ManagerError::Unclear {
                        call: call.clone(),
                        reason,
                    });
                }
                Err(source) if call.may_be_repeated() && is_torn(&source) => Hindrance {
                    wait: None,
                    reason: source.to_string(),
                },
                Err(source) => {
                    return Err(ManagerError::Transport {
                        call: call.clone(),
                        source,
                    });
                }
            };
            let pause = wait.unwrap_or(delay).max(BUSY_DELAY_MIN);
            let patience = self.patience.busy;
            if started.elapsed() + pause > patience {
                return Err(ManagerError::Busy {
                    call: call.clone(),
                    patience,
                    reason,
                });
            }
            debug!(%call, reason, ?pause, "asking the Manager again");
            sleep(pause).await;
            delay = (delay * 2).min(BUSY_DELAY_MAX);
        }
    }

    async fn exchange(
        &self,
        call: &Call,
        request: RequestBuilder,
    ) -> Result<(HeaderMap, Answer), reqwest::Error> {
        let started = Instant::now();
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = response.bytes().await.map_err(reqwest::Error::without_url)?;
        debug!(%call, %status, elapsed = ?started.elapsed(), "Manager answered");
        let answer = classify(status, &headers, body.into());
        Ok((headers, answer))
    }

    pub(super) fn url(&self, call: &Call) -> Url {
        self.base
            .join(&call.path)
            .expect("paths are made of literals and of ids that the Manager issued")
    }
}

/// A header that no log shows; a token that cannot be one is left empty, and the Manager then says that it is missing.
fn sensitive(token: &SecretString) -> HeaderValue {
    let mut value = HeaderValue::from_str(token.expose_secret()).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Whether the connection broke after the request may have reached the Manager.
fn is_torn(error: &reqwest::Error) -> bool {
    !error.is_connect() && !error.is_timeout()
}

impl Call {
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
        }
    }

    pub(super) fn service(method: Method, path: &str) -> Self {
        Self {
            method,
            path: format!("dataservice/{path}"),
        }
    }

    /// Whether doing it twice is like doing it once. A write that is repeated might find itself locked out.
    fn may_be_repeated(&self) -> bool {
        matches!(self.method, Method::GET | Method::DELETE)
            || [login::SESSION, login::JWT].contains(&self.path.as_str())
    }
}
