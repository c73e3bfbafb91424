//! What is sent and what happens when: the streams of flows and the steps of the timeline.

use std::time::Duration;

use serde::Serialize;

use super::millis;
use crate::model::{PodRef, Protocol, Scenario, ServiceRef, Step};

/// One 5-tuple of probes, before the Service is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamPlan {
    /// The flow's name.
    pub flow: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The client.
    pub from: PodRef,
    /// The Service called.
    pub to: ServiceRef,
    /// The Service port called.
    pub service_port: u16,
    /// Time between probes, in microseconds.
    pub interval_us: u64,
    /// When the first probe goes, after the flow's start, in microseconds; spreads the streams.
    pub phase_us: u64,
    /// Payload of a probe, in bytes.
    pub size_bytes: u16,
    /// The DSCP of its requests.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub dscp: u8,
}

/// Something that happens at a moment of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepPlan {
    /// Milliseconds since the first step.
    pub at_ms: u64,
    /// What happens.
    pub action: Action,
}

/// What happens in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// These flows start.
    Start(Vec<String>),
    /// This event fires.
    Fire(String),
    /// This phase begins.
    Phase(String),
    /// All senders stop.
    Stop,
}

/// The streams of all flows, by flow and 5-tuple.
pub(super) fn streams(scenario: &Scenario, random: &mut SplitMix) -> Vec<StreamPlan> {
    let mut streams = Vec::new();
    for (name, flow) in &scenario.flows {
        for stream in &flow.streams {
            let interval_us = 1_000_000 / u64::from(flow.rate_pps);
            streams.push(StreamPlan {
                flow: name.clone(),
                protocol: stream.protocol,
                from: flow.from.clone(),
                to: flow.to.clone(),
                service_port: stream.service_port,
                interval_us,
                phase_us: random.next() % interval_us,
                size_bytes: flow.size_bytes,
                dscp: flow.dscp,
            });
        }
    }
    streams
}

/// The steps of a timeline, each at the sum of the waits before it.
pub(super) fn steps(timeline: &[Step]) -> Vec<StepPlan> {
    let mut at = Duration::ZERO;
    let mut steps = Vec::new();
    for step in timeline {
        let action = match step {
            Step::Wait(duration) => {
                at += *duration;
                continue;
            }
            Step::Start(flows) => Action::Start(flows.clone()),
            Step::Fire(event) => Action::Fire(event.clone()),
            Step::Phase(phase) => Action::Phase(phase.clone()),
            Step::Stop => Action::Stop,
        };
        steps.push(StepPlan {
            at_ms: millis(at),
            action,
        });
    }
    steps
}

/// `SplitMix64`, the seeder of the xoshiro generators (Steele, Lea and Flood, OOPSLA 2014): small, and the same
/// on every machine.
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
