//! The embedded Kubernetes API beside Kubernetes' own: start, creates, watches and memory.
//!
//! The same work is asked of one server after the other. Clients and server share this machine's cores, so every
//! figure has the work of both ends in it.

mod client;
mod embedded;
mod real;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use netsim::fabric::Host;
use netsim::netns::Netns;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::figure::{Better, Figure, Target, median};
use crate::nodes::milliseconds;
use crate::tools::{self, baseline};
use client::{Client, Endpoint};
use embedded::Embedded;
pub use embedded::{NoPods, serve};
use real::Real;

/// Clients that create at the same time.
const CREATORS: usize = 16;
/// Clients that watch at the same time; kube-apiserver ends watches that fall behind, so it is asked for fewer, too.
const WATCHERS: [usize; 2] = [500, 50];
/// Objects that all of them see.
const EVENTS: usize = 1_000;
/// Between two writes of which one watcher is timed.
const PACE: Duration = Duration::from_millis(5);
/// Objects whose memory is measured.
const OBJECTS: usize = 50_000;
/// The longest wait for an event.
const DEADLINE: Duration = Duration::from_secs(120);

/// Measures the embedded API and, where it is, Kubernetes' own.
pub async fn measure(sending: Duration) -> Result<Vec<Figure>> {
    // Servers listen on the loopback interface, which is down in a new namespace.
    let _loopback = Host::adopt(Netns::current()?).await?;
    let ours = Measured::of::<Embedded>(sending).await?;
    let theirs = match Real::missing() {
        Some(why) => Err(why),
        None => Measured::of::<Real>(sending).await.map_err(told),
    };
    figures(&ours, &theirs)
}

/// A server that is measured; it ends with this.
trait Server: Sized {
    /// How often it is started for the median.
    const STARTS: usize;

    /// Returns with its first answer.
    async fn start() -> Result<Self>;

    fn endpoint(&self) -> &Endpoint;

    /// MiB of memory that it holds.
    fn memory(&mut self) -> Result<f64>;
}

/// What one server did, or why it did not.
struct Measured {
    start: f64,
    creates: tools::Measured,
    fan_outs: [tools::Measured; 2],
    latencies: Result<[f64; 2], String>,
    memory: f64,
    /// With these objects.
    memory_in_all: f64,
}

impl Measured {
    async fn of<S: Server>(sending: Duration) -> Result<Self> {
        let mut starts = Vec::new();
        let mut running = None;
        for _ in 0..S::STARTS {
            drop(running.take());
            let start = Instant::now();
            running = Some(S::start().await?);
            starts.push(milliseconds(start));
        }
        let mut server = running.context("a server that is never started")?;
        let endpoint = server.endpoint().clone();
        let creates = creates(&endpoint, sending).await.map_err(told);
        let fan_outs = [
            fan_out(&endpoint, WATCHERS[0]).await.map_err(told),
            fan_out(&endpoint, WATCHERS[1]).await.map_err(told),
        ];
        let latencies = latencies(&endpoint, sending).await.map_err(told);
        let before = server.memory()?;
        fill(&endpoint).await?;
        let memory_in_all = server.memory()?;
        Ok(Self {
            start: median(starts),
            creates,
            fan_outs,
            latencies,
            memory: memory_in_all - before,
            memory_in_all,
        })
    }

    fn latency(&self, which: usize) -> tools::Measured {
        self.latencies.clone().map(|latencies| latencies[which])
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over results")]
fn told(error: anyhow::Error) -> String {
    format!("{error:#}")
}

/// Each figure of ours beside theirs, or why there is none.
fn figures(ours: &Measured, theirs: &Result<Measured, String>) -> Result<Vec<Figure>> {
    type Of = fn(&Measured) -> tools::Measured;
    let rows: [(_, Of, _, _, _); 8] = [
        (
            "api-start",
            |of| Ok(of.start),
            "ms",
            Target::AtMost(30.0),
            Better::Less,
        ),
        (
            "api-creates",
            |of| of.creates.clone(),
            "1/s",
            Target::AtLeast(5_000.0),
            Better::More,
        ),
        (
            "api-500-watchers",
            |of| of.fan_outs[0].clone(),
            "s",
            Target::AtMost(2.0),
            Better::Less,
        ),
        (
            "api-50-watchers",
            |of| of.fan_outs[1].clone(),
            "s",
            Target::None,
            Better::Less,
        ),
        (
            "api-watch-p50",
            |of| of.latency(0),
            "ms",
            Target::None,
            Better::Less,
        ),
        (
            "api-watch-p99",
            |of| of.latency(1),
            "ms",
            Target::AtMost(5.0),
            Better::Less,
        ),
        (
            "api-50000-objects",
            |of| Ok(of.memory),
            "MiB",
            Target::AtMost(500.0),
            Better::Less,
        ),
        (
            "api-memory-in-all",
            |of| Ok(of.memory_in_all),
            "MiB",
            Target::None,
            Better::Less,
        ),
    ];
    let figure = |(name, of, unit, target, better): (_, Of, _, _, _)| {
        let theirs = theirs.as_ref().map_err(String::clone).and_then(of);
        Ok(Figure {
            name,
            figure: of(ours).map_err(anyhow::Error::msg)?,
            unit,
            target,
            baseline: baseline("kube-apiserver", &theirs, better),
        })
    };
    rows.into_iter().map(figure).collect()
}

/// Creates a second, by clients that each wait for their answer.
async fn creates(endpoint: &Endpoint, sending: Duration) -> Result<f64> {
    namespace(endpoint, "creates").await?;
    let start = Instant::now();
    let mut creators = JoinSet::new();
    for creator in 0..CREATORS {
        let client = Client::connect(endpoint)?;
        creators.spawn(async move {
            let mut created = 0_usize;
            while start.elapsed() < sending {
                client
                    .post(
                        "/api/v1/namespaces/creates/configmaps",
                        &config_map(&format!("c{creator}-{created}")),
                    )
                    .await?;
                created += 1;
            }
            anyhow::Ok(created)
        });
    }
    let mut created = 0;
    while let Some(ended) = creators.join_next().await {
        created += ended??;
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 objects")]
    Ok(created as f64 / start.elapsed().as_secs_f64())
}

/// Seconds from the first of many creates until every watcher has seen every one of them.
async fn fan_out(endpoint: &Endpoint, watchers: usize) -> Result<f64> {
    let name = format!("watchers-{watchers}");
    namespace(endpoint, &name).await?;
    let path = &format!("/api/v1/namespaces/{name}/configmaps");
    let armed = Arc::new(Barrier::new(watchers + 1));
    let mut watching = JoinSet::new();
    for _ in 0..watchers {
        let (client, armed, path) = (Client::connect(endpoint)?, armed.clone(), path.clone());
        watching.spawn(async move {
            let mut events = client.watch(&path).await?;
            armed.wait().await;
            events.skip_objects(EVENTS).await
        });
    }
    armed.wait().await;
    let start = Instant::now();
    let creators = (0..CREATORS).map(|creator| async move {
        let client = Client::connect(endpoint)?;
        for number in (creator..EVENTS).step_by(CREATORS) {
            client.post(path, &config_map(&format!("e{number}"))).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(creators).await?;
    while let Some(ended) = tokio::time::timeout(DEADLINE, watching.join_next()).await? {
        ended??;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Milliseconds from a write being sent to its event being read, half of the time and in 99 of 100.
async fn latencies(endpoint: &Endpoint, sending: Duration) -> Result<[f64; 2]> {
    namespace(endpoint, "latency").await?;
    let (writer, watcher) = (Client::connect(endpoint)?, Client::connect(endpoint)?);
    let mut events = watcher.watch("/api/v1/namespaces/latency/configmaps").await?;
    let mut latencies = Vec::new();
    let start = Instant::now();
    while start.elapsed() < sending {
        tokio::time::sleep(PACE).await;
        let sent = Instant::now();
        let object = config_map(&format!("l{}", latencies.len()));
        let write = writer.post("/api/v1/namespaces/latency/configmaps", &object);
        let seen = async {
            events.skip_objects(1).await?;
            anyhow::Ok(milliseconds(sent))
        };
        let (_, latency) = tokio::time::timeout(DEADLINE, futures::future::try_join(write, seen)).await??;
        latencies.push(latency);
    }
    latencies.sort_by(f64::total_cmp);
    Ok([50, 99].map(|percent| latencies[latencies.len() * percent / 100]))
}

/// Creates objects like those a cluster has most of.
async fn fill(endpoint: &Endpoint) -> Result<()> {
    namespace(endpoint, "memory").await?;
    let creators = (0..CREATORS).map(|creator| async move {
        let client = Client::connect(endpoint)?;
        for number in (creator..OBJECTS).step_by(CREATORS) {
            client
                .post("/api/v1/namespaces/memory/pods", &pod(number))
                .await?;
        }
        anyhow::Ok(())
    });
    try_join_all(creators).await?;
    Ok(())
}

async fn namespace(endpoint: &Endpoint, name: &str) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    Client::connect(endpoint)?
        .post("/api/v1/namespaces", &object)
        .await
}

fn config_map(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "data": {"tunnel": "bizinternet", "site": "east", "note": "an object of a usual small size"},
    })
}

fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("pod-{number}"),
            "labels": {"app": "bench", "tier": "backend", "pod-template-hash": "6d4cf56db6"},
            "annotations": {"example.com/checked": "2026-01-01T00:00:00Z"},
        },
        "spec": {
            // Nobody looks for a node for it.
            "schedulerName": "none",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "containers": [{
                "name": "main",
                "image": "registry.example/bench:1.2.3",
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [{"name": "MODE", "value": "bench"}, {"name": "REGION", "value": "east"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
                "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
            }],
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        },
    })
}
