//! Metrics in the OpenMetrics text format, all named `sdwan_operator_…`.
//!
//! Owns the registry and what is in it. Labels have few values: never the name of a Service.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::core::TunnelReports;

/// Upper bounds of the buckets, in seconds: from a quick Manager to one that pushes for a minute.
const PROGRAMMED_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum RoundOutcome {
    /// The fabric already was as asked.
    Unchanged,
    /// The fabric was changed.
    Programmed,
    /// An error ended it.
    Failed,
    /// The lease was lost, or the operator stopped.
    Cut,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    programmed: Histogram,
    rounds: Family<Round, Counter>,
    errors: Family<Kind, Counter>,
    activations: Counter,
    services: Family<Subject, Gauge>,
    endpoints: Gauge,
    classes_refused: Gauge,
    devices_waiting: Gauge,
    leader: Gauge,
    clusters: Family<ClusterState, Gauge>,
    sessions: Family<Sessions, Gauge>,
    loss: Family<Tunnel, Fraction>,
    latency: Family<Tunnel, Fraction>,
    jitter: Family<Tunnel, Fraction>,
}

type Fraction = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Round {
    outcome: RoundOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Subject {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sessions {
    color: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tunnel {
    color: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterState {
    cluster: String,
    state: &'static str,
}

impl Metrics {
    /// Counts a round.
    pub fn round(&self, outcome: RoundOutcome) {
        self.rounds.get_or_create(&Round { outcome }).inc();
    }

    /// Counts an activation of the policy.
    pub fn activation(&self) {
        self.activations.inc();
    }

    /// Counts an error, by its kind in one word.
    pub fn error(&self, kind: &'static str) {
        self.errors.get_or_create(&Kind { kind }).inc();
    }

    /// Notes how long after its arrival a change was in force on the fabric.
    pub fn programmed(&self, after: Duration) {
        self.programmed.observe(after.as_secs_f64());
    }

    /// Notes what the latest view amounts to.
    pub fn subjects(&self, steered: usize, refused: usize, endpoints: usize) {
        for (state, count) in [("steered", steered), ("refused", refused)] {
            self.services.get_or_create(&Subject { state }).set(whole(count));
        }
        self.endpoints.set(whole(endpoints));
    }

    /// Notes how many classes of traffic the Manager refuses.
    pub fn classes_refused(&self, count: usize) {
        self.classes_refused.set(whole(count));
    }

    /// Notes how many devices are offline and get the policy when they are back.
    pub fn devices_waiting(&self, count: usize) {
        self.devices_waiting.set(whole(count));
    }

    /// Notes whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// Notes whether everything in a cluster was seen once, and whether it can be reached.
    pub fn cluster(&self, name: &str, seen: bool, reachable: bool) {
        for (state, is) in [("seen", seen), ("reachable", reachable)] {
            let label = ClusterState {
                cluster: name.to_owned(),
                state,
            };
            self.clusters.get_or_create(&label).set(is.into());
        }
    }

    /// Notes what the Manager reports of the tunnels.
    pub fn tunnels(&self, reports: &TunnelReports) {
        self.sessions.clear();
        for family in [&self.loss, &self.latency, &self.jitter] {
            family.clear();
        }
        for (color, report) in reports {
            let color = color.as_str();
            let down = report.total.saturating_sub(report.up);
            for (state, count) in [("up", report.up), ("down", down)] {
                let label = Sessions { color, state };
                self.sessions.get_or_create(&label).set(count.into());
            }
            let Some(quality) = report.quality else { continue };
            let figures = [
                (&self.loss, f64::from(quality.loss_ppm) / 1e6),
                (&self.latency, quality.latency.as_secs_f64()),
                (&self.jitter, quality.jitter.as_secs_f64()),
            ];
            for (family, figure) in figures {
                family.get_or_create(&Tunnel { color }).set(figure);
            }
        }
    }

    /// All of it, in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "annotation_to_programmed",
            "From the arrival of a change to its being in force on the fabric",
            Unit::Seconds,
            self.programmed.clone(),
        );
        registry.register("rounds", "Rounds by how they ended", self.rounds.clone());
        registry.register("errors", "Errors by kind", self.errors.clone());
        registry.register(
            "activations",
            "Activations of the centralized policy",
            self.activations.clone(),
        );
        registry.register(
            "services",
            "Services and policies that ask for something",
            self.services.clone(),
        );
        let waiting = "Devices that are offline and get the policy when they are back";
        let gauges = [
            ("endpoints", "Endpoints that are steered", &self.endpoints),
            (
                "classes_refused",
                "Classes of traffic that the Manager refuses",
                &self.classes_refused,
            ),
            ("devices_waiting", waiting, &self.devices_waiting),
            ("leader", "Whether this replica leads", &self.leader),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "clusters",
            "Whether everything in a cluster was seen once, and whether it can be reached",
            self.clusters.clone(),
        );
        registry.register(
            "tunnel_sessions",
            "BFD sessions of the tunnels of a color by state",
            self.sessions.clone(),
        );
        let figures = [
            ("tunnel_loss", "Mean loss", Unit::Ratios, &self.loss),
            (
                "tunnel_latency",
                "Mean round-trip time",
                Unit::Seconds,
                &self.latency,
            ),
            ("tunnel_jitter", "Mean jitter", Unit::Seconds, &self.jitter),
        ];
        for (name, help, unit, family) in figures {
            registry.register_with_unit(name, help, unit, family.clone());
        }
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sdwan_operator"),
            programmed: Histogram::new(PROGRAMMED_BUCKETS),
            rounds: Family::default(),
            errors: Family::default(),
            activations: Counter::default(),
            services: Family::default(),
            endpoints: Gauge::default(),
            classes_refused: Gauge::default(),
            devices_waiting: Gauge::default(),
            leader: Gauge::default(),
            clusters: Family::default(),
            sessions: Family::default(),
            loss: Family::default(),
            latency: Family::default(),
            jitter: Family::default(),
        };
        metrics.register();
        metrics
    }
}
