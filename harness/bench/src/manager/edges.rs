//! The edges that activations program, and when the last of them was.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use netsim::fabric::Edge;
use netsim::manager::Device;
use netsim::manager::dry::DryEdges;
use netsim::policy::{ApplyError, EdgePolicy, Edges};
use netsim::telemetry::{PolicyReport, RoutingReport, Telemetry, TelemetryError, TunnelReport};

/// What is programmed.
pub(super) enum Programmed {
    /// Edges in memory.
    Memory(DryEdges),
    /// Edges in namespaces, by nftables.
    Fabric(Vec<Arc<Edge>>),
}

/// Edges whose programming is timed.
pub(super) struct Timed {
    programmed: Programmed,
    /// What the Manager asks of tunnels is no part of what is measured.
    told: DryEdges,
    devices: Vec<Device>,
    /// How many edges are still to come, and when the last one came.
    awaited: Mutex<(usize, Option<Instant>)>,
}

impl Timed {
    pub(super) fn new(programmed: Programmed) -> Self {
        let count = match &programmed {
            Programmed::Memory(_) => super::EDGES,
            Programmed::Fabric(edges) => u16::try_from(edges.len()).unwrap_or(u16::MAX),
        };
        let mut devices = netsim::manager::dry::devices(count);
        if let Programmed::Fabric(edges) = &programmed {
            for (device, edge) in devices.iter_mut().zip(edges) {
                device.site_id = edge.site_id();
            }
        }
        Self {
            programmed,
            told: DryEdges::new(&devices),
            devices,
            awaited: Mutex::default(),
        }
    }

    /// The edges as the Manager knows them.
    pub(super) fn devices(&self) -> Vec<Device> {
        self.devices.clone()
    }

    /// Notes from now on when so many edges have been programmed.
    pub(super) fn expect(&self, edges: usize) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = (edges, None);
    }

    /// When the last of the expected edges was programmed, if it was.
    pub(super) fn last(&self) -> Option<Instant> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[async_trait]
impl Edges for Timed {
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        match &self.programmed {
            Programmed::Memory(edges) => edges.apply(policy).await?,
            Programmed::Fabric(edges) => {
                let mut edges = edges.iter();
                let edge = edges.find(|edge| edge.site_id() == policy.site_id);
                let edge = edge.ok_or_else(|| ApplyError {
                    site_id: policy.site_id,
                    reason: "no edge stands there".to_owned(),
                })?;
                edge.apply(policy).await?;
            }
        }
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.0 = awaited.0.saturating_sub(1);
        if awaited.0 == 0 {
            awaited.1 = Some(Instant::now());
        }
        Ok(())
    }
}

#[async_trait]
impl Telemetry for Timed {
    async fn tunnels(&self, site_id: u32) -> Result<Vec<TunnelReport>, TelemetryError> {
        self.told.tunnels(site_id).await
    }

    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError> {
        self.told.policy(site_id).await
    }

    async fn routing(&self, site_id: u32) -> Result<RoutingReport, TelemetryError> {
        self.told.routing(site_id).await
    }
}
