//! The embedded Kubernetes API: start, creates, watches and memory.
//!
//! Clients and server share this machine's cores, so every figure has the work of both ends in it.

mod client;
mod embedded;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use netsim::fabric::Host;
use netsim::netns::Netns;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::figure::{Baseline, Figure, Target, median};
use crate::nodes::milliseconds;
use client::{Client, Endpoint};
use embedded::Embedded;
pub use embedded::serve;

/// How often a server is started.
const STARTS: usize = 11;
/// Clients that create at the same time.
const CREATORS: usize = 16;
/// Clients that watch at the same time.
const WATCHERS: usize = 500;
/// Objects that all of them see.
const EVENTS: usize = 1_000;
/// Between two writes of which one watcher is timed.
const PACE: Duration = Duration::from_millis(5);
/// Objects whose memory is measured.
const OBJECTS: usize = 50_000;
/// The longest wait for an event.
const DEADLINE: Duration = Duration::from_secs(120);

/// Measures the embedded API.
pub async fn measure(sending: Duration) -> Result<Vec<Figure>> {
    // Servers listen on the loopback interface, which is down in a new namespace.
    let _loopback = Host::adopt(Netns::current()?).await?;
    let mut starts = Vec::new();
    for _ in 1..STARTS {
        starts.push(Embedded::start().await?.took);
    }
    let mut server = Embedded::start().await?;
    starts.push(server.took);
    let measured = Measured::of(&mut server, sending).await?;
    let measured = Measured {
        start: median(starts),
        ..measured
    };
    Ok(measured.figures())
}

/// What one server did.
struct Measured {
    start: f64,
    creates: f64,
    fan_out: f64,
    latencies: [f64; 2],
    memory: f64,
}

impl Measured {
    async fn of(server: &mut Embedded, sending: Duration) -> Result<Self> {
        let endpoint = &server.endpoint.clone();
        let creates = creates(endpoint, sending).await?;
        let fan_out = fan_out(endpoint).await?;
        let latencies = latencies(endpoint, sending).await?;
        let before = server.memory()?;
        fill(endpoint).await?;
        let memory = server.memory()? - before;
        Ok(Self {
            start: f64::NAN,
            creates,
            fan_out,
            latencies,
            memory,
        })
    }

    fn figures(&self) -> Vec<Figure> {
        let rows = [
            ("api-start", self.start, "ms", Target::AtMost(30.0)),
            ("api-creates", self.creates, "1/s", Target::AtLeast(5_000.0)),
            ("api-500-watchers", self.fan_out, "s", Target::AtMost(2.0)),
            ("api-watch-p50", self.latencies[0], "ms", Target::None),
            ("api-watch-p99", self.latencies[1], "ms", Target::AtMost(5.0)),
            ("api-50000-objects", self.memory, "MiB", Target::AtMost(500.0)),
        ];
        let figure = |(name, figure, unit, target)| Figure {
            name,
            figure,
            unit,
            target,
            baseline: Baseline::None,
        };
        rows.map(figure).into()
    }
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
async fn fan_out(endpoint: &Endpoint) -> Result<f64> {
    namespace(endpoint, "fan-out").await?;
    let armed = Arc::new(Barrier::new(WATCHERS + 1));
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let (client, armed) = (Client::connect(endpoint)?, armed.clone());
        watchers.spawn(async move {
            let mut events = client.watch("/api/v1/namespaces/fan-out/configmaps").await?;
            armed.wait().await;
            events.skip_objects(EVENTS).await
        });
    }
    armed.wait().await;
    let start = Instant::now();
    let creators = (0..CREATORS).map(|creator| async move {
        let client = Client::connect(endpoint)?;
        for number in (creator..EVENTS).step_by(CREATORS) {
            client
                .post(
                    "/api/v1/namespaces/fan-out/configmaps",
                    &config_map(&format!("e{number}")),
                )
                .await?;
        }
        anyhow::Ok(())
    });
    try_join_all(creators).await?;
    while let Some(ended) = tokio::time::timeout(DEADLINE, watchers.join_next()).await? {
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
