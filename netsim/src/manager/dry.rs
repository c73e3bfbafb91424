//! WAN edges without a fabric, for those who need a Manager and no packets.
//!
//! Owns edges in memory that take every policy at once and remember it. Their tunnels are made up, a full mesh for each
//! color: up since the start, every hello answered, the same latency always, no jitter, no traffic. So are their prefixes,
//! one /24 of 10.0.0.0/8 for each edge and service VPN. Nothing is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ipnet::{IpNet, Ipv4Net};

use super::Device;
use crate::bfd::{State, Statistics, Timing, Totals};
use crate::encap::Choice;
use crate::fabric::edge::{Counted, OriginatedRoute, SequenceCount};
use crate::fabric::host::PacketCount;
use crate::fabric::nft::RuleCount;
use crate::policy::{ApplyError, EdgePolicy, Edges, SlaClass};
use crate::sla::Means;
use crate::telemetry::{
    PolicyReport, RouteReport, RoutingReport, Telemetry, TelemetryError, TlocReport, TunnelReport, VpnReport,
};

/// The latency of every tunnel.
pub const LATENCY: Duration = Duration::from_millis(10);
/// Most edges that [`devices`] makes.
pub const SITES_MAX: u16 = 1000;

/// Cisco's defaults.
const TIMING: Timing = Timing {
    hello: Duration::from_secs(1),
    multiplier: 7,
};
const HELLOS: u32 = 100;
const MTU: u32 = 1450;
/// The first UDP port of the product's tunnels.
const PORT: u16 = 12346;

/// So many WAN edges, at sites 100, 200 and so on, each with service VPNs 10 and 20 and with TLOCs of `biz-internet` and
/// `default`.
///
/// # Panics
/// When there are more than [`SITES_MAX`].
#[must_use]
pub fn devices(sites: u16) -> Vec<Device> {
    assert!(sites <= SITES_MAX, "{sites} sites, {SITES_MAX} at most");
    let device = |number: u16| Device {
        host_name: format!("edge-{number}"),
        system_ip: Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 255, 0, 0)) + u32::from(number)),
        site_id: u32::from(number) * 100,
        service_vpns: vec![10, 20],
        colors: vec!["biz-internet".to_owned(), "default".to_owned()],
    };
    (1..=sites).map(device).collect()
}

/// Edges in memory.
#[derive(Debug)]
pub struct DryEdges {
    devices: Vec<Device>,
    since: Instant,
    in_force: Mutex<BTreeMap<u32, EdgePolicy>>,
}

impl DryEdges {
    /// These edges, without any policy.
    #[must_use]
    pub fn new(devices: &[Device]) -> Self {
        Self {
            devices: devices.to_vec(),
            since: Instant::now(),
            in_force: Mutex::default(),
        }
    }

    /// The policies that edges were told of, by site.
    pub fn in_force(&self) -> MutexGuard<'_, BTreeMap<u32, EdgePolicy>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn policy_of(&self, site_id: u32) -> EdgePolicy {
        let told = self.in_force().get(&site_id).cloned();
        told.unwrap_or_else(|| EdgePolicy::none(site_id))
    }

    fn position(&self, site_id: u32) -> Option<usize> {
        self.devices.iter().position(|device| device.site_id == site_id)
    }

    fn report(&self, (local, remote): (usize, usize), color: &str, met: &BTreeSet<SlaClass>) -> TunnelReport {
        let hellos = self.since.elapsed().as_secs();
        TunnelReport {
            remote_site_id: self.devices[remote].site_id,
            color: color.to_owned(),
            carried: Choice::VXLAN,
            underlay: (self.uplink(local, color), self.uplink(remote, color)),
            port: PORT,
            mtu: MTU,
            timing: TIMING,
            state: State::Up,
            state_for: self.since.elapsed(),
            transitions: 0,
            statistics: Statistics {
                total: HELLOS,
                lost: 0,
                latency: Some(LATENCY),
                latency_p50: Some(LATENCY),
                latency_p99: Some(LATENCY),
                jitter: Some(Duration::ZERO),
            },
            totals: Totals {
                answered: hellos,
                latency: LATENCY.saturating_mul(u32::try_from(hellos).unwrap_or(u32::MAX)),
                pairs: hellos.saturating_sub(1),
                ..Totals::default()
            },
            hellos_sent: hellos,
            echoes_received: hellos,
            met: met.clone(),
            traffic: PacketCount::default(),
        }
    }

    /// The edges that one has a tunnel of a color to.
    fn remotes(&self, local: usize, color: &str) -> impl Iterator<Item = usize> {
        let others = self.devices.iter().enumerate();
        let has_one = move |(other, device): &(usize, &Device)| {
            *other != local && device.colors.iter().any(|own| own == color)
        };
        others.filter(has_one).map(|(other, _)| other)
    }

    /// What the edge has in a service VPN, and can reach.
    fn vpn(&self, local: usize, service_vpn: u16) -> VpnReport {
        let device = &self.devices[local];
        let mut received = Vec::new();
        for color in &device.colors {
            let remotes = self
                .remotes(local, color)
                .filter(|remote| self.devices[*remote].service_vpns.contains(&service_vpn));
            received.extend(remotes.map(|remote| RouteReport {
                prefix: prefix(remote),
                system_ip: self.devices[remote].system_ip,
                color: color.clone(),
                hops: 1,
                resolved: true,
                chosen: true,
                installed: true,
            }));
        }
        let own = OriginatedRoute {
            prefix: prefix(local),
            leaked_from: None,
        };
        VpnReport {
            service_vpn,
            originated: vec![own],
            received,
        }
    }

    /// An address of 198.18.0.0/15, which RFC 2544 sets aside for measuring.
    fn uplink(&self, edge: usize, color: &str) -> IpAddr {
        let colors = &self.devices[edge].colors;
        let color = colors.iter().position(|other| other == color).unwrap_or(0);
        let offset = u32::try_from(color << 12 | (edge + 1)).unwrap_or(u32::MAX >> 15);
        Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + offset).into()
    }
}

#[async_trait]
impl Edges for DryEdges {
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        let site_id = policy.site_id;
        if self.position(site_id).is_none() {
            let reason = "no edge stands there".to_owned();
            return Err(ApplyError { site_id, reason });
        }
        self.in_force().insert(site_id, policy.clone());
        Ok(())
    }
}

#[async_trait]
impl Telemetry for DryEdges {
    async fn tunnels(&self, site_id: u32) -> Result<Vec<TunnelReport>, TelemetryError> {
        let local = self.position(site_id).ok_or_else(|| unknown(site_id))?;
        let met = met(&self.policy_of(site_id));
        let mut reports = Vec::new();
        for color in &self.devices[local].colors {
            let remotes = self.remotes(local, color);
            reports.extend(remotes.map(|remote| self.report((local, remote), color, &met)));
        }
        Ok(reports)
    }

    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError> {
        self.position(site_id).ok_or_else(|| unknown(site_id))?;
        let policy = self.policy_of(site_id);
        let counts = counts(&policy);
        Ok(PolicyReport { policy, counts })
    }

    async fn routing(&self, site_id: u32) -> Result<RoutingReport, TelemetryError> {
        let local = self.position(site_id).ok_or_else(|| unknown(site_id))?;
        let device = &self.devices[local];
        let tloc = |color: &String| TlocReport {
            color: color.clone(),
            carried: Choice::VXLAN,
            address: self.uplink(local, color),
            port: PORT,
        };
        let vpns = device.service_vpns.iter();
        Ok(RoutingReport {
            tlocs: device.colors.iter().map(tloc).collect(),
            vpns: vpns.map(|vpn| self.vpn(local, *vpn)).collect(),
        })
    }
}

/// The pods of a site.
fn prefix(edge: usize) -> IpNet {
    let number = u32::try_from(edge + 1).unwrap_or(u32::MAX) % (1 << 16);
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + (number << 8));
    IpNet::V4(Ipv4Net::new_assert(address, 24))
}

fn unknown(site_id: u32) -> TelemetryError {
    TelemetryError {
        site_id,
        reason: "no edge stands there".to_owned(),
    }
}

/// The classes of a policy that the tunnels meet.
fn met(policy: &EdgePolicy) -> BTreeSet<SlaClass> {
    let means = Means {
        loss: Some(0),
        latency: Some(LATENCY),
        jitter: Some(Duration::ZERO),
    };
    let classes = policy.app_route.iter().flat_map(|of_vpn| {
        let chosen = of_vpn
            .sequences
            .iter()
            .filter_map(|sequence| sequence.choice.as_ref());
        let classes = chosen.filter_map(|choice| choice.class.as_ref());
        classes.chain(&of_vpn.default_class)
    });
    classes.filter(|class| means.meet(class)).cloned().collect()
}

/// Every sequence of a policy, each with nothing counted.
fn counts(policy: &EdgePolicy) -> Vec<SequenceCount> {
    let nothing = RuleCount {
        packets: 0,
        octets: 0,
    };
    let count = move |of, ids: Vec<u16>| {
        let sequences = ids.into_iter().map(Some).chain([None]);
        sequences.map(move |sequence| SequenceCount {
            of,
            sequence,
            count: nothing,
        })
    };
    let app_route = policy
        .app_route
        .iter()
        .enumerate()
        .flat_map(|(position, of_vpn)| {
            let ids = of_vpn.sequences.iter().map(|sequence| sequence.id).collect();
            count(Counted::AppRoute(position), ids)
        });
    let data = policy.data.iter().enumerate().flat_map(|(position, of_vpn)| {
        let ids = of_vpn.sequences.iter().map(|sequence| sequence.id).collect();
        count(Counted::Data(position), ids)
    });
    app_route.chain(data).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{AppRoute, AppRoutePolicy, AppRouteSequence, Match};

    #[tokio::test]
    async fn every_pair_has_a_tunnel_of_each_color_that_both_have() {
        let mut devices = devices(3);
        devices[2].colors = vec!["default".to_owned()];
        let edges = DryEdges::new(&devices);
        let tunnels = edges.tunnels(100).await.unwrap();
        let ends: Vec<_> = tunnels
            .iter()
            .map(|t| (t.remote_site_id, t.color.as_str()))
            .collect();
        assert_eq!(ends, [(200, "biz-internet"), (200, "default"), (300, "default")]);
        let addresses: BTreeSet<_> = tunnels.iter().map(|tunnel| tunnel.underlay).collect();
        assert_eq!(addresses.len(), tunnels.len());
        assert!(edges.tunnels(400).await.is_err());
    }

    #[tokio::test]
    async fn tunnels_meet_the_classes_in_force_that_their_latency_allows() {
        let edges = DryEdges::new(&devices(2));
        let class = |name: &str, latency: Duration| SlaClass {
            name: name.to_owned(),
            loss: Some(0),
            latency: Some(latency),
            jitter: None,
        };
        let (loose, tight) = (
            class("loose", LATENCY),
            class("tight", LATENCY - Duration::from_millis(1)),
        );
        let sequence = |id, class: &SlaClass| AppRouteSequence {
            id,
            matching: Match::default(),
            choice: Some(AppRoute::of_class(class.clone())),
            counter: None,
        };
        let mut policy = EdgePolicy::none(200);
        policy.app_route.push(AppRoutePolicy {
            service_vpn: 10,
            sequences: [sequence(1, &loose), sequence(2, &tight)].into(),
            default_class: None,
        });
        edges.apply(&policy).await.unwrap();
        assert_eq!(edges.tunnels(200).await.unwrap()[0].met, BTreeSet::from([loose]));
        assert!(edges.tunnels(100).await.unwrap()[0].met.is_empty());
        let report = edges.policy(200).await.unwrap();
        assert_eq!(report.policy, policy);
        assert_eq!(report.counts.len(), 3, "two sequences and the default");
    }
}
