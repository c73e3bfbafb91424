//! Requests.
//!
//! Owns the HTTP client, what an answer's status means, one renewal of an expired session per request, and waiting
//! while the Manager is busy. Invariant: a request that changes something is repeated only if the Manager said that it did
//! not do it.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Method, StatusCode, Url, redirect};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::error::{Call, ManagerError};
use super::session::{Session, SessionSlot};
use super::wire::Refusal;

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

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password; never printed.
    pub password: SecretString,
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

pub(super) enum Reply {
    Done(Vec<u8>),
    NoSession(StatusCode),
    Busy { wait: Option<Duration>, reason: String },
    Refused { status: StatusCode, message: String },
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
            .cookie_store(true)
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
            let exchange = || self.exchange(call, body, Some(&session));
            match self.patiently(call, exchange).await? {
                Reply::NoSession(status) if !renewed => {
                    info!(%call, %status, "session expired");
                    self.forget(session.generation).await;
                    renewed = true;
                }
                Reply::Done(bytes) => return Ok(bytes),
                reply => return Err(reply.into_error(call.clone())),
            }
        }
    }

    /// Asks until the Manager is not busy any more; what it says then is never [`Reply::Busy`].
    pub(super) async fn patiently<F: Future<Output = Result<Reply, ManagerError>>>(
        &self,
        call: &Call,
        ask: impl Fn() -> F,
    ) -> Result<Reply, ManagerError> {
        let started = Instant::now();
        let mut delay = BUSY_DELAY_MIN;
        loop {
            let (wait, reason) = match ask().await? {
                Reply::Busy { wait, reason } => (wait, reason),
                reply => return Ok(reply),
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
            debug!(%call, reason, ?pause, "Manager is busy");
            sleep(pause).await;
            delay = (delay * 2).min(BUSY_DELAY_MAX);
        }
    }

    pub(super) async fn exchange(
        &self,
        call: &Call,
        body: Option<&Value>,
        session: Option<&Session>,
    ) -> Result<Reply, ManagerError> {
        let mut request = self.http.request(call.method.clone(), self.url(call));
        if let Some(token) = session.and_then(|session| session.xsrf.as_deref())
            && call.method != Method::GET
        {
            request = request.header(XSRF_HEADER, token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.reply(call, request).await
    }

    pub(super) async fn reply(
        &self,
        call: &Call,
        request: reqwest::RequestBuilder,
    ) -> Result<Reply, ManagerError> {
        let transport = |source: reqwest::Error| ManagerError::Transport {
            call: call.clone(),
            source: source.without_url(),
        };
        let started = Instant::now();
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = response.bytes().await.map_err(transport)?;
        debug!(%call, %status, elapsed = ?started.elapsed(), "Manager answered");
        Ok(classify(&call.method, status, &headers, body.into()))
    }

    pub(super) fn url(&self, call: &Call) -> Url {
        self.base
            .join(&call.path)
            .expect("paths are made of literals and of ids that the Manager issued")
    }
}

fn classify(method: &Method, status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Reply {
    let no_session = status.is_redirection()
        || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || (status.is_success() && is_html(headers, &body));
    if no_session {
        return Reply::NoSession(status);
    }
    if status.is_success() {
        return Reply::Done(body);
    }
    let message = Refusal::read(&body).to_string();
    let locked = is_lock(&message);
    let busy = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => true,
        // The gateway does not know what became of the request, which matters only if it was to change something.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => method == Method::GET,
        _ => locked,
    };
    if busy {
        let after = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let reason = if locked {
            message
        } else {
            format!("status {status}")
        };
        return Reply::Busy {
            wait: after.map(Duration::from_secs),
            reason,
        };
    }
    Reply::Refused { status, message }
}

/// The login page comes with status 200 in place of the answer when there is no session.
fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/html"));
    let start = body.trim_ascii_start();
    let looks = |tag: &[u8]| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag);
    !start.is_empty() && (looks(b"<html") || looks(b"<!doctype html") || (declared && start[0] == b'<'))
}

/// Whether an error message says that another edit or push is under way.
pub(super) fn is_lock(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "locked in edit mode",
        "failed to acquire lock",
        "operation is already in progress",
    ]
    .iter()
    .any(|phrase| message.contains(phrase))
}

impl Reply {
    pub(super) fn into_error(self, call: Call) -> ManagerError {
        match self {
            Self::NoSession(status) => ManagerError::SessionRefused { call, status },
            Self::Refused { status, message } => ManagerError::Refused {
                call,
                status,
                message,
            },
            Self::Done(_) | Self::Busy { .. } => unreachable!("only refusals become errors"),
        }
    }
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
}
