//! The bundled operator as a process: its start beside a large cluster, how fast it follows, what it takes.
//!
//! The cluster and the Manager are in this process and share the cores with the operator, so every figure has their
//! work in it. The Manager has the product's limit of 100 requests a second, and programs its edges at once.

mod cluster;
mod managed;
mod process;
mod steering;

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use netsim::fabric::Host;
use netsim::manager::limits::Limits;
use netsim::netns::Netns;
use tokio::time::sleep;

use crate::figure::{Baseline, Figure, Target};
use cluster::{Cluster, ENDPOINTS};
use managed::Managed;
use process::Process;
pub use process::build;

/// Changes of one endpoint that are timed.
const CHANGES: usize = 500;
/// Between two of them: longer than a round and the operator's least interval of 250 ms together.
const PACE: Duration = Duration::from_millis(350);
/// Endpoints that are replaced one after the other, and between two of them: 10 s in all.
const ROLLOUT: usize = 200;
const ROLLOUT_PACE: Duration = Duration::from_millis(50);
/// How long nothing changes while the processor time is taken: at least one resync, which is every 30 s.
const IDLE: Duration = Duration::from_secs(60);
/// Twice the least interval: so long after the last change, the last activation has been asked for.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Measures the operator beside 10,000 Services, and in a lab.
pub async fn measure() -> Result<Vec<Figure>> {
    // API and Manager listen on the loopback interface, which is down in a new namespace.
    let _loopback = Host::adopt(Netns::current()?).await?;
    let cluster = Cluster::start().await?;
    // First, while there are no SteeringPolicies yet, which a later start lists, too.
    let cold_unlimited = cold_start(&cluster, Limits::SESSIONS_ONLY).await?;
    let large = Large::of(&cluster).await?;
    drop(cluster);
    let steered = tokio::task::block_in_place(steering::measure)?;
    large.figures(cold_unlimited, &steered)
}

/// What the operator did beside the large cluster.
struct Large {
    /// Seconds until all was programmed.
    cold: f64,
    /// Seconds until all was shown.
    shown: f64,
    /// Milliseconds from each change to the request for its activation, sorted.
    latencies: Vec<f64>,
    /// When activations were asked for.
    rollout: Vec<SystemTime>,
    at_once: Vec<SystemTime>,
    idle: Duration,
    /// MiB.
    memory: f64,
}

impl Large {
    async fn of(cluster: &Cluster) -> Result<Self> {
        eprintln!("the operator starts beside {ENDPOINTS} endpoints");
        let mut managed = Managed::start(Limits::PRODUCT).await?;
        let mut operator = Process::start(cluster, &managed)?;
        let cold = seconds(operator.started(), managed.programmed(ENDPOINTS).await?)?;
        let shown = seconds(operator.started(), cluster.shown(&mut operator).await?)?;
        eprintln!("{CHANGES} endpoints change");
        let latencies = changes(cluster, &mut managed).await?;
        let rollout = rollout(cluster, &mut managed).await?;
        let at_once = replacement(cluster, &mut managed).await?;
        eprintln!("nothing changes for {IDLE:?}");
        let before = operator.processor_time()?;
        sleep(IDLE).await;
        Ok(Self {
            cold,
            shown,
            latencies,
            rollout,
            at_once,
            idle: operator.processor_time()? - before,
            memory: operator.peak_memory()?,
        })
    }

    fn figures(&self, cold_unlimited: f64, steered: &[f64]) -> Result<Vec<Figure>> {
        let idle = 100.0 * self.idle.as_secs_f64() / IDLE.as_secs_f64();
        let (rollout, at_once) = (count(&self.rollout), count(&self.at_once));
        let gap = least_gap(&[&*self.rollout, &*self.at_once].concat())?;
        let changed = |percent| percentile(&self.latencies, percent);
        let steered = |percent| percentile(steered, percent);
        let rows = [
            ("operator-cold-start", self.cold, "s", Target::AtMost(10.0)),
            ("operator-shown", self.shown, "s", Target::None),
            ("operator-peak-memory", self.memory, "MiB", Target::AtMost(400.0)),
            ("operator-change-p50", changed(50), "ms", Target::None),
            ("operator-change-p99", changed(99), "ms", Target::AtMost(50.0)),
            ("operator-rollout", rollout, "activations", Target::None),
            ("operator-1000-at-once", at_once, "activations", Target::None),
            ("operator-least-gap", gap, "ms", Target::AtLeast(250.0)),
            ("operator-idle", idle, "%", Target::AtMost(1.0)),
            ("operator-steered-p50", steered(50), "ms", Target::AtMost(20.0)),
            ("operator-steered-p99", steered(99), "ms", Target::AtMost(100.0)),
        ];
        let figure = |(name, figure, unit, target)| Figure {
            name,
            figure,
            unit,
            target,
            baseline: match name {
                "operator-cold-start" => Baseline::Beside("no limit of requests", cold_unlimited),
                _ => Baseline::None,
            },
        };
        Ok(rows.into_iter().map(figure).collect())
    }
}

/// Seconds from the start of an operator until all was programmed.
async fn cold_start(cluster: &Cluster, limits: Limits) -> Result<f64> {
    let mut managed = Managed::start(limits).await?;
    let operator = Process::start(cluster, &managed)?;
    seconds(operator.started(), managed.programmed(ENDPOINTS).await?)
}

/// Milliseconds from each of many changes of one endpoint to the request for its activation, sorted.
async fn changes(cluster: &Cluster, managed: &mut Managed) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    sleep(PACE).await;
    managed.activations();
    for turn in 0..CHANGES {
        let changed = SystemTime::now();
        cluster.replace_one(turn)?;
        latencies.push(seconds(changed, managed.activation().await?)? * 1000.0);
        sleep(PACE).await;
        let more = managed.activations().len();
        ensure!(more == 0, "one change was activated {} times", more + 1);
    }
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

/// Replaces endpoints of one Service one after the other.
async fn rollout(cluster: &Cluster, managed: &mut Managed) -> Result<Vec<SystemTime>> {
    for turn in 0..ROLLOUT {
        cluster.replace_of_large(turn)?;
        sleep(ROLLOUT_PACE).await;
    }
    settled(managed).await
}

/// Replaces 1,000 endpoints of one Service as fast as they can be written.
async fn replacement(cluster: &Cluster, managed: &mut Managed) -> Result<Vec<SystemTime>> {
    cluster.replace_large()?;
    settled(managed).await
}

/// When activations were asked for because of changes, after the last of them.
async fn settled(managed: &mut Managed) -> Result<Vec<SystemTime>> {
    sleep(AFTERMATH).await;
    let asked = managed.activations();
    ensure!(!asked.is_empty(), "nothing was activated");
    Ok(asked)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 activations")]
fn count(activations: &[SystemTime]) -> f64 {
    activations.len() as f64
}

/// The least time between two activations, in milliseconds.
fn least_gap(activations: &[SystemTime]) -> Result<f64> {
    let gaps = activations.windows(2).map(|pair| seconds(pair[0], pair[1]));
    let gaps: Vec<f64> = gaps.collect::<Result<_>>()?;
    Ok(gaps.into_iter().fold(f64::INFINITY, f64::min) * 1000.0)
}

fn seconds(from: SystemTime, to: SystemTime) -> Result<f64> {
    Ok(to.duration_since(from)?.as_secs_f64())
}

/// The value that so many percent of the sorted values are not above.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted[rank.max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_gap_is_that_of_two_neighbours() {
        let after = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let gap = least_gap(&[after(0), after(300), after(551), after(900)]).expect("they are in order");
        assert!((gap - 251.0).abs() < 1e-6, "{gap}");
        assert!(least_gap(&[after(1), after(0)]).is_err());
    }

    #[test]
    fn a_percentile_is_a_value_that_occurred() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        let found = [25, 26, 99, 100].map(|percent| percentile(&sorted, percent).to_string());
        assert_eq!(found, ["1", "2", "4", "4"]);
    }
}
