//! What an edge tells of its tunnels and its routing.
//!
//! Owns the comparison of the ways that the edge was told of with what the kernel routes by. Invariant: a route is told as
//! installed, and a prefix as the site's own, only if the kernel has it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::Edge;
use crate::fabric::choices::vpn_table;
use crate::fabric::host::routes::{NextHop, Target};
use crate::fabric::host::{HostError, PacketCount};
use crate::fabric::routing::WayTo;
use crate::sla::{Health, TunnelKey};

/// The routes of an edge in one service VPN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnRoutes {
    /// The service VPN.
    pub service_vpn: u16,
    /// The prefixes of the site.
    pub originated: Vec<OriginatedRoute>,
    /// The ways to other sites, by prefix.
    pub received: Vec<ReceivedRoute>,
}

/// A prefix that the site has itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OriginatedRoute {
    /// The prefix.
    pub prefix: IpNet,
    /// The service VPN whose interface the kernel sends it to, if that is another: the prefix is leaked.
    pub leaked_from: Option<u16>,
}

/// A way to a prefix over a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceivedRoute {
    /// The prefix.
    pub prefix: IpNet,
    /// The tunnel.
    pub tunnel: TunnelKey,
    /// Tunnels to the prefix: 1 where the remote edge has it itself.
    pub hops: u16,
    /// Whether the tunnel can be used.
    pub resolved: bool,
    /// Whether routing chose it.
    pub chosen: bool,
    /// Whether the kernel sends packets there that no policy steers.
    pub installed: bool,
}

impl Edge {
    /// What is known of each tunnel.
    pub async fn all_health(&self) -> BTreeMap<TunnelKey, Health> {
        self.state.lock().await.board.all_health()
    }

    /// What is known of a tunnel.
    pub async fn health(&self, tunnel: TunnelKey) -> Health {
        self.state.lock().await.board.health(tunnel)
    }

    /// The kernel's packet counters of an interface.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn packet_count(&self, interface: &str) -> Result<PacketCount, HostError> {
        self.host.packet_count(interface).await
    }

    /// The kernel's packet counters of all its interfaces, by name.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn packet_counts(&self) -> Result<BTreeMap<String, PacketCount>, HostError> {
        self.host.packet_counts().await
    }

    /// What it routes by, service VPN by service VPN: what no policy steers.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn vpn_routes(&self) -> Result<Vec<VpnRoutes>, HostError> {
        // Held throughout, so that no change of a route falls between what was chosen and what the kernel has.
        let state = self.state.lock().await;
        let mut told = Vec::with_capacity(self.spec.vpns.len());
        for (position, vpn) in self.spec.vpns.iter().enumerate() {
            let table = vpn_table(position);
            let kernel = self.host.routes(table).await?;
            let installed: BTreeSet<(IpNet, &NextHop)> = kernel.iter().flat_map(pairs).collect();
            let wanted = state.routes.iter().filter(|(key, _)| key.table == table);
            let chosen: BTreeSet<(IpNet, &NextHop)> = wanted
                .flat_map(|(key, target)| hops(target).map(|hop| (key.destination, hop)))
                .collect();
            let ways = self.destinations[position].iter();
            let ways = ways.flat_map(|(prefix, ways)| ways.iter().map(|way| (*prefix, way)));
            let received = ways.map(|(prefix, way)| {
                let WayTo {
                    tunnel,
                    remote,
                    hops,
                    hop,
                } = way;
                ReceivedRoute {
                    prefix,
                    tunnel: (*tunnel, *remote),
                    hops: *hops,
                    resolved: state.board.health((*tunnel, *remote)).up,
                    chosen: chosen.contains(&(prefix, hop)),
                    installed: installed.contains(&(prefix, hop)),
                }
            });
            let received = received.collect();
            let originated = installed
                .iter()
                .filter_map(|(prefix, hop)| self.originated(vpn.service_vpn, *prefix, hop));
            told.push(VpnRoutes {
                service_vpn: vpn.service_vpn,
                originated: originated.collect(),
                received,
            });
        }
        Ok(told)
    }

    /// The prefix as one of the site, if the kernel sends it to one of its interfaces.
    fn originated(&self, service_vpn: u16, prefix: IpNet, hop: &NextHop) -> Option<OriginatedRoute> {
        let mut vpns = self.spec.vpns.iter();
        let has = vpns.find(|vpn| vpn.interfaces.contains(&hop.interface))?;
        Some(OriginatedRoute {
            prefix,
            leaked_from: (has.service_vpn != service_vpn).then_some(has.service_vpn),
        })
    }
}

fn pairs(route: &(IpNet, Target)) -> impl Iterator<Item = (IpNet, &NextHop)> {
    let (prefix, target) = route;
    hops(target).map(|hop| (*prefix, hop))
}

fn hops(target: &Target) -> impl Iterator<Item = &NextHop> {
    let hops: &[NextHop] = match target {
        Target::Over(hops) => hops,
        Target::Blackhole | Target::Unreachable | Target::Throw => &[],
    };
    hops.iter()
}
