//! What the WAN edges tell of themselves: their tunnels' health and traffic, and the policy in force.
//!
//! Owns the values between the fabric, which measures them, and the Manager emulation, which shows them.
//! Invariant: they are measured, never derived from what was asked for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::bfd::{State, Statistics, Timing};
use crate::encap::Choice;
use crate::fabric::edge::SequenceCount;
use crate::fabric::host::PacketCount;
use crate::policy::{EdgePolicy, SlaClass};

/// A tunnel from one edge to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelReport {
    /// The site of the remote edge.
    pub remote_site_id: u32,
    /// The color of both TLOCs.
    pub color: String,
    /// How it carries packets.
    pub carried: Choice,
    /// The addresses of the uplinks, local and remote.
    pub underlay: (IpAddr, IpAddr),
    /// Outer UDP port, the same on both sides; 0 where outer packets are not UDP.
    pub port: u16,
    /// Largest inner packet.
    pub mtu: u32,
    /// How its session is probed.
    pub timing: Timing,
    /// Its session's state.
    pub state: State,
    /// For how long it has been that.
    pub state_for: Duration,
    /// How often it went from up to down or back.
    pub transitions: u64,
    /// Loss, latency and jitter.
    pub statistics: Statistics,
    /// The classes in force that it meets.
    pub met: BTreeSet<SlaClass>,
    /// What its devices carried; those of VXLAN are shared by all tunnels of the edge on that transport.
    pub traffic: PacketCount,
}

/// The policy in force on an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyReport {
    /// What the edge was told.
    pub policy: EdgePolicy,
    /// What each of its sequences has matched; [`SequenceCount`] says since when.
    pub counts: Vec<SequenceCount>,
}

/// The WAN edges, as the Manager asks them.
#[async_trait]
pub trait Telemetry: Send + Sync + 'static {
    /// The tunnels of the edge of a site.
    ///
    /// # Errors
    /// When the edge's kernel does not answer.
    async fn tunnels(&self, site_id: u32) -> Result<Vec<TunnelReport>, TelemetryError>;

    /// The policy in force at a site, and its counters.
    ///
    /// # Errors
    /// When the edge's kernel does not answer.
    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError>;
}

/// Why an edge did not tell.
#[derive(Debug, thiserror::Error)]
#[error("ask the edge of site {site_id}: {reason}")]
pub struct TelemetryError {
    /// The site.
    pub site_id: u32,
    /// For people, from the fabric.
    pub reason: String,
}
