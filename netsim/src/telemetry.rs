//! What the WAN edges tell of themselves: their tunnels' health and traffic, their routes, and the policy in force.
//!
//! Owns the values between the fabric, which measures them, and the Manager emulation, which shows them.
//! Invariant: they are measured, never derived from what was asked for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;

use crate::bfd::{State, Statistics, Timing, Totals};
use crate::encap::Choice;
use crate::fabric::edge::{OriginatedRoute, SequenceCount};
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
    /// Counts and sums over all settled hellos of the session.
    pub totals: Totals,
    /// Hellos that the session has sent.
    pub hellos_sent: u64,
    /// Echoes of them that it has received.
    pub echoes_received: u64,
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

/// What an edge routes by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingReport {
    /// Where its tunnels begin.
    pub tlocs: Vec<TlocReport>,
    /// Its service VPNs.
    pub vpns: Vec<VpnReport>,
}

/// A TLOC of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlocReport {
    /// Its color.
    pub color: String,
    /// How its tunnels carry packets.
    pub carried: Choice,
    /// The address of the uplink.
    pub address: IpAddr,
    /// Outer UDP port; 0 where outer packets are not UDP.
    pub port: u16,
}

/// The routes of an edge in one service VPN, which are those of packets that no policy steers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnReport {
    /// The service VPN.
    pub service_vpn: u16,
    /// What the kernel has of the site's own prefixes.
    pub originated: Vec<OriginatedRoute>,
    /// The ways to the prefixes of other sites.
    pub received: Vec<RouteReport>,
}

/// A way to a prefix of another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteReport {
    /// The prefix.
    pub prefix: IpNet,
    /// The system IP of the remote TLOC.
    pub system_ip: Ipv4Addr,
    /// Its color.
    pub color: String,
    /// Tunnels to the prefix: 1 where the remote edge has it itself.
    pub hops: u16,
    /// Whether the tunnel can be used.
    pub resolved: bool,
    /// Whether routing chose it.
    pub chosen: bool,
    /// Whether the kernel sends packets there.
    pub installed: bool,
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

    /// The TLOCs and routes of the edge of a site.
    ///
    /// # Errors
    /// When the edge's kernel does not answer.
    async fn routing(&self, site_id: u32) -> Result<RoutingReport, TelemetryError>;
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
