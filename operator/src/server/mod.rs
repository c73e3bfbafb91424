//! What the operator tells of itself: `/healthz`, `/readyz` and `/metrics` over plain HTTP.
//!
//! Owns the listener and the three paths. Invariant: answering reads shared values only, so a request neither waits
//! for the loop nor delays it, and no answer has a secret.

mod health;
mod metrics;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

pub use self::health::{Check, Health, Report};
pub use self::metrics::{Metrics, RoundOutcome};

/// Connections at a time; probes and a scraper need a handful.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to ask.
const ASK_PATIENCE: Duration = Duration::from_secs(5);
/// The pause after a connection could not be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the paths answer from.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// For `/healthz` and `/readyz`.
    pub health: Health,
    /// For `/metrics`.
    pub metrics: Metrics,
}

impl Telemetry {
    /// Notes whether this replica leads.
    pub fn lead(&self, leads: bool) {
        self.metrics.leads(leads);
        self.health.stands_by(!leads);
    }
}

/// Answers for as long as it is polled.
pub async fn serve(listener: TcpListener, telemetry: Arc<Telemetry>) -> Infallible {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = connections.clone().acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "connection not accepted"
                );
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let telemetry = telemetry.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let answering = service_fn(|request| {
                let response = answer(&telemetry, &request);
                async { Ok::<_, Infallible>(response) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(ASK_PATIENCE)
                .serve_connection(TokioIo::new(stream), answering)
                .await;
            if let Err(error) = served {
                debug!(error = &error as &dyn std::error::Error, "connection broke off");
            }
        });
    }
}

fn answer(telemetry: &Telemetry, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let now = Instant::now();
    let checked = |report: Report| match report.passed {
        true => (StatusCode::OK, TEXT, report.text),
        false => (StatusCode::SERVICE_UNAVAILABLE, TEXT, report.text),
    };
    let (status, content_type, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => checked(telemetry.health.live(now)),
        (&Method::GET | &Method::HEAD, "/readyz") => checked(telemetry.health.ready()),
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, OPEN_METRICS, telemetry.metrics.encode())
        }
        (_, "/healthz" | "/readyz" | "/metrics") => (
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "accepted: GET, HEAD\n".to_owned(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "accepted: /healthz, /readyz, /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
