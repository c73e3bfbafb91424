//! The Manager emulation: many clients at the same time, and activations of a large policy.
//!
//! Clients and Manager share this process and its cores, so every figure has the work of both ends in it.

mod client;
mod edges;
mod policy;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use netsim::fabric::Host;
use netsim::manager::{Manager, dry};
use netsim::netns::Netns;
use serde_json::json;
use tokio::task::JoinSet;

use crate::figure::{Baseline, Figure, Target, median};
use crate::mesh::Mesh;
use crate::nodes::milliseconds;
use client::Client;
use edges::{Programmed, Timed};

/// Clients at the same time.
const CLIENTS: usize = 200;
/// Edges that an activation programs.
const EDGES: u16 = 10;
/// How often a whole policy is activated.
const TURNS: usize = 5;
/// Between two requests of a client while activations are measured; clients that poll do so about that often.
const PACE: Duration = Duration::from_millis(100);

/// Measures logins, requests and activations.
pub async fn measure(sending: Duration) -> Result<Vec<Figure>> {
    // The Manager listens on the loopback interface, which is down in a new namespace.
    let _loopback = Host::adopt(Netns::current()?).await?;
    let dry = Timed::new(Programmed::Memory(dry::DryEdges::new(&dry::devices(EDGES))));
    let served = Served::start(dry).await?;
    let start = Instant::now();
    let clients = try_join_all((0..CLIENTS).map(|_| Client::log_in(&served.manager))).await?;
    let logins = rate(CLIENTS, start);
    let clients: Vec<Arc<Client>> = clients.into_iter().map(Arc::new).collect();
    let empty = load(&clients, sending, Duration::ZERO).await?;
    let policy = policy::create(&clients[0], policy::MANY_SEQUENCES).await?;
    let full = load(&clients, sending, Duration::ZERO).await?;
    let alone = activations(&served, &clients[0], &policy).await?;
    let beside = activations_beside(&served, &clients, &policy).await?;
    drop(served);

    let mesh = Mesh::build(u32::from(EDGES)).await?;
    let served = Served::start(Timed::new(Programmed::Fabric(mesh.edges.clone()))).await?;
    let clients = try_join_all((0..CLIENTS).map(|_| Client::log_in(&served.manager))).await?;
    let clients: Vec<Arc<Client>> = clients.into_iter().map(Arc::new).collect();
    let policy = policy::create(&clients[0], policy::FEW_SEQUENCES).await?;
    let real_alone = activations(&served, &clients[0], &policy).await?;
    let real_beside = activations_beside(&served, &clients, &policy).await?;

    let mut figures = vec![figure("manager-200-logins", logins, "1/s", Target::None)];
    figures.extend(empty.figures(["manager-requests", "manager-p50", "manager-p99"]));
    figures.extend(full.figures(["manager-full-requests", "manager-full-p50", "manager-full-p99"]));
    figures.extend(alone.figures(["activate-memory", "activate-memory-answer", "edit-memory"]));
    figures.extend(beside.figures([
        "activate-memory-200",
        "activate-memory-200-answer",
        "edit-memory-200",
    ]));
    figures.extend(real_alone.figures(["activate-edges", "activate-edges-answer", "edit-edges"]));
    figures.extend(real_beside.figures([
        "activate-edges-200",
        "activate-edges-200-answer",
        "edit-edges-200",
    ]));
    Ok(figures)
}

/// A Manager and the edges that it programs.
struct Served {
    manager: Manager,
    edges: Arc<Timed>,
}

impl Served {
    async fn start(edges: Timed) -> Result<Self> {
        let edges = Arc::new(edges);
        let manager = Manager::start(client::config(edges.devices())?, edges.clone()).await?;
        Ok(Self { manager, edges })
    }
}

/// What clients got that sent requests for a while.
struct Load {
    requests: usize,
    took: Duration,
    latencies: Vec<f64>,
}

impl Load {
    fn figures(mut self, [requests, p50, p99]: [&'static str; 3]) -> Vec<Figure> {
        self.latencies.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let position = self.latencies.len() * percent / 100;
            self.latencies.get(position).copied().unwrap_or(f64::NAN)
        };
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests")]
        let rate = self.requests as f64 / self.took.as_secs_f64();
        vec![
            figure(requests, rate, "1/s", Target::None),
            figure(p50, at(50), "ms", Target::None),
            figure(p99, at(99), "ms", Target::None),
        ]
    }
}

/// Half of the clients poll tasks and lists, half edit a list of their own; each waits for an answer and so long more.
async fn load(clients: &[Arc<Client>], sending: Duration, pace: Duration) -> Result<Load> {
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let mut running = begin(clients, &stop, pace);
    tokio::time::sleep(sending).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    while let Some(ended) = running.join_next().await {
        latencies.extend(ended??);
    }
    Ok(Load {
        requests: latencies.len(),
        took: start.elapsed(),
        latencies,
    })
}

fn begin(clients: &[Arc<Client>], stop: &Arc<AtomicBool>, pace: Duration) -> JoinSet<Result<Vec<f64>>> {
    let mut running = JoinSet::new();
    for (number, client) in clients.iter().enumerate() {
        let (client, stop) = (client.clone(), stop.clone());
        running.spawn(async move {
            let mut latencies = Vec::new();
            let list = match number % 2 {
                0 => None,
                _ => Some(policy::own_list(&client, number).await?),
            };
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                match &list {
                    Some(list) => policy::edit(&client, list, latencies.len()).await?,
                    None if latencies.len() % 2 == 0 => {
                        drop(client.get("/device/action/status/tasks").await?)
                    }
                    None => drop(client.get("/template/policy/list/site").await?),
                }
                latencies.push(milliseconds(start));
                tokio::time::sleep(pace).await;
            }
            if let Some(list) = list {
                client.delete(&list.path()).await?;
            }
            Ok(latencies)
        });
    }
    running
}

/// What activations of the large policy took.
#[derive(Default)]
struct Activations {
    /// From the request to the last edge's word, out of nothing.
    whole: Vec<f64>,
    /// Of that, until the answer to the request: references, compiling.
    answers: Vec<f64>,
    /// As `whole`, of an edit of one list.
    edits: Vec<f64>,
}

impl Activations {
    fn figures(self, [whole, answer, edit]: [&'static str; 3]) -> Vec<Figure> {
        vec![
            figure(whole, median(self.whole), "ms", Target::AtMost(300.0)),
            figure(answer, median(self.answers), "ms", Target::None),
            figure(edit, median(self.edits), "ms", Target::AtMost(300.0)),
        ]
    }
}

async fn activations(served: &Served, client: &Client, policy: &policy::Large) -> Result<Activations> {
    let mut took = Activations::default();
    for turn in 0..TURNS {
        let (whole, answer) = push(served, client, &policy.activate(), &json!({})).await?;
        took.whole.push(whole);
        took.answers.push(answer);
        policy.edit_a_list(client, turn).await?;
        let (edit, _) = push(served, client, &policy.activate(), &json!({"isEdited": true})).await?;
        took.edits.push(edit);
        push(served, client, &policy.deactivate(), &json!({})).await?;
    }
    Ok(took)
}

async fn activations_beside(
    served: &Served,
    clients: &[Arc<Client>],
    policy: &policy::Large,
) -> Result<Activations> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut running = begin(&clients[1..], &stop, PACE);
    // Their first requests make what they edit.
    tokio::time::sleep(PACE * 5).await;
    let took = activations(served, &clients[0], policy).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    took
}

/// Milliseconds until every edge has taken what a request makes the Manager push, and until the request was answered.
async fn push(served: &Served, client: &Client, path: &str, body: &serde_json::Value) -> Result<(f64, f64)> {
    served.edges.expect(usize::from(EDGES));
    let start = Instant::now();
    let answer = client.post(path, body).await?;
    let answered = milliseconds(start);
    let task = answer["id"].as_str().context("an activation has a task")?;
    client.follow(task).await?;
    let last = served.edges.last().context("every edge was programmed")?;
    Ok(((last - start).as_secs_f64() * 1000.0, answered))
}

fn rate(count: usize, start: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let count = count as f64;
    count / start.elapsed().as_secs_f64()
}

fn figure(name: &'static str, figure: f64, unit: &'static str, target: Target) -> Figure {
    Figure {
        name,
        figure,
        unit,
        target,
        baseline: Baseline::None,
    }
}
