//! A WAN edge: tunnels, the routing tables that choose among them, and the policy in force.
//!
//! Owns the mapping from local TLOC to firewall mark to routing table. For the tunnel at position `i` there are
//! two tables: the preferred one holds the remote prefixes over the tunnel and falls through to the main table
//! where it has none; the strict one ends each remote prefix in a black hole, so that traffic pinned to a tunnel
//! that is down is dropped and never leaks. The main table sends remote prefixes over the default tunnel.
//! A tunnel to a remote edge that is out of use has no routes in any of them, so that strict traffic meets the
//! black hole and preferred traffic falls through. Invariant: one rule for each table, however many endpoints a
//! policy names.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use futures::TryFutureExt;
use ipnet::Ipv4Net;
use tokio::sync::Mutex;
use tracing::warn;

use super::host::{Host, HostError, TABLE_MAIN, VxlanPeer, VxlanSpec};
use super::nft::{NftError, RuleCount, Socket, Table};
use super::steering::{self, TunnelMark, VpnInterfaces};
use crate::policy::{ApplyError, EdgePolicy};

/// Marks and tables of tunnels count from here.
const FIRST_TABLE: u32 = 1000;
/// Rules of tunnels come before the main table's, which has priority 32766.
const FIRST_PRIORITY: u32 = 1000;

/// What an edge is made of.
#[derive(Debug, Clone)]
pub struct EdgeSpec {
    /// The site id that the Manager knows it by.
    pub site_id: u32,
    /// Its service VPN.
    pub service_vpn: u16,
    /// Its service-side interfaces; they exist on the host already.
    pub service_interfaces: Vec<String>,
    /// Its tunnels, one VXLAN device for each transport.
    pub tunnels: Vec<TunnelSpec>,
    /// Position in `tunnels` of the one for traffic that no policy matches.
    pub default_tunnel: usize,
}

/// One tunnel device of an edge and what is behind it.
#[derive(Debug, Clone)]
pub struct TunnelSpec {
    /// The color of its local TLOC.
    pub color: String,
    /// The device.
    pub device: VxlanSpec,
    /// Other edges, with the prefixes at their sites.
    pub remotes: Vec<(VxlanPeer, Vec<Ipv4Net>)>,
}

/// Whether a tunnel to a remote edge carries traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelUse {
    /// Its routes are in place.
    InUse,
    /// It has no routes: strict traffic is dropped, preferred traffic takes the default tunnel.
    Withdrawn,
}

/// A WAN edge in operation.
#[derive(Debug)]
pub struct Edge {
    host: Host,
    site_id: u32,
    interfaces: VpnInterfaces,
    marks: Vec<TunnelMark>,
    tunnels: Vec<TunnelSpec>,
    default_tunnel: usize,
    /// Positions of tunnels, and of the remotes that they are out of use for.
    withdrawn: Mutex<BTreeSet<(usize, usize)>>,
    steering: Mutex<Steering>,
}

/// The steering of an edge, and the way to change it.
#[derive(Debug)]
struct Steering {
    nft: Socket,
    /// The policy in force.
    policy: EdgePolicy,
    /// The table in the kernel, once there is one.
    table: Option<Table>,
}

/// What a sequence of the policy in force has matched since the table was last written as a whole: a policy that
/// differs from the one before only in prefixes or ports goes on with its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceCount {
    /// Its policy.
    pub of: Counted,
    /// The sequence; `None` is the default action.
    pub sequence: Option<u16>,
    /// What it matched.
    pub count: RuleCount,
}

/// A policy of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// The app-route policy at this position.
    AppRoute(usize),
    /// The data policy at this position.
    Data(usize),
}

/// Why an edge could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Links, addresses, routes or rules.
    #[error(transparent)]
    Host(#[from] HostError),
    /// nftables.
    #[error("open nftables of the edge of site {site_id}")]
    Nft {
        /// The site.
        site_id: u32,
        /// The kernel's answer.
        #[source]
        source: NftError,
    },
}

impl Edge {
    /// Makes an edge of a host that has its uplinks and service interfaces already.
    ///
    /// # Errors
    /// [`EdgeError`].
    ///
    /// # Panics
    /// When `default_tunnel` is not a position in `tunnels`.
    pub async fn create(host: Host, spec: EdgeSpec) -> Result<Self, EdgeError> {
        let mut marks = Vec::new();
        for (position, tunnel) in (0_u32..).zip(&spec.tunnels) {
            host.add_vxlan(&tunnel.device).await?;
            let mark = TunnelMark {
                color: tunnel.color.clone(),
                preferred: FIRST_TABLE + 2 * position,
                strict: FIRST_TABLE + 2 * position + 1,
            };
            for (peer, prefixes) in &tunnel.remotes {
                host.add_vxlan_peer(&tunnel.device.interface, *peer).await?;
                for prefix in prefixes {
                    for table in [mark.preferred, mark.strict] {
                        add_route_over(&host, table, *prefix, &tunnel.device.interface, peer.address).await?;
                    }
                    host.add_blackhole(mark.strict, *prefix).await?;
                }
            }
            for table in [mark.preferred, mark.strict] {
                host.add_mark_rule(FIRST_PRIORITY + table, table, table).await?;
            }
            marks.push(mark);
        }
        let default = &spec.tunnels[spec.default_tunnel];
        for (peer, prefixes) in &default.remotes {
            for prefix in prefixes {
                add_route_over(
                    &host,
                    TABLE_MAIN,
                    *prefix,
                    &default.device.interface,
                    peer.address,
                )
                .await?;
            }
        }
        let interfaces = VpnInterfaces {
            service_vpn: spec.service_vpn,
            service: spec.service_interfaces,
            tunnel: spec
                .tunnels
                .iter()
                .map(|tunnel| tunnel.device.interface.clone())
                .collect(),
            own: spec
                .tunnels
                .iter()
                .map(|tunnel| tunnel.device.address.addr())
                .collect(),
        };
        let site_id = spec.site_id;
        let nft = Socket::open(host.netns()).map_err(|source| EdgeError::Nft { site_id, source })?;
        Ok(Self {
            host,
            site_id,
            interfaces,
            marks,
            tunnels: spec.tunnels,
            default_tunnel: spec.default_tunnel,
            withdrawn: Mutex::default(),
            steering: Mutex::new(Steering::new(nft, site_id)),
        })
    }

    /// Its tunnels, in the order of the specification.
    #[must_use]
    pub fn tunnels(&self) -> &[TunnelSpec] {
        &self.tunnels
    }

    /// Takes a tunnel to a remote edge out of use or back: its routes go from the main table, if it is the default
    /// tunnel, and from its preferred and strict tables. What it is already, it stays.
    ///
    /// # Errors
    /// [`HostError`]; calling again goes on where it failed.
    ///
    /// # Panics
    /// When there is no such tunnel or remote.
    pub async fn set_tunnel_use(
        &self,
        tunnel: usize,
        remote: usize,
        tunnel_use: TunnelUse,
    ) -> Result<(), HostError> {
        let mut withdrawn = self.withdrawn.lock().await;
        let is_withdrawn = withdrawn.contains(&(tunnel, remote));
        if is_withdrawn == (tunnel_use == TunnelUse::Withdrawn) {
            return Ok(());
        }
        let mark = &self.marks[tunnel];
        let main = (tunnel == self.default_tunnel).then_some(TABLE_MAIN);
        let device = &self.tunnels[tunnel].device.interface;
        let (peer, prefixes) = &self.tunnels[tunnel].remotes[remote];
        let gateway = Some(peer.address);
        for prefix in prefixes {
            for table in main.into_iter().chain([mark.preferred, mark.strict]) {
                // Removing first makes adding a second time harmless.
                self.host.remove_route(table, *prefix, device, gateway).await?;
                if tunnel_use == TunnelUse::InUse {
                    self.host.add_route(table, *prefix, device, gateway).await?;
                }
            }
        }
        match tunnel_use {
            TunnelUse::InUse => withdrawn.remove(&(tunnel, remote)),
            TunnelUse::Withdrawn => withdrawn.insert((tunnel, remote)),
        };
        Ok(())
    }

    /// The policy in force, and what each of its sequences has matched ([`SequenceCount`] says since when).
    ///
    /// # Errors
    /// [`NftError`].
    pub async fn policy_in_force(&self) -> Result<(EdgePolicy, Vec<SequenceCount>), NftError> {
        let mut steering = self.steering.lock().await;
        let policy = steering.policy.clone();
        let mut counts = Vec::new();
        for (position, data) in policy.data.iter().enumerate() {
            let chain = steering::chain_name(data);
            let rules = steering.nft.counts(steering::TABLE, &chain)?;
            for (sequence, rule) in steering::rules_of(data).zip(rules) {
                match counts.last_mut() {
                    // One sequence of several protocols is several rules.
                    Some(SequenceCount {
                        of: last_of,
                        sequence: last,
                        count,
                    }) if (*last_of, *last) == (Counted::Data(position), sequence) => {
                        count.packets += rule.packets;
                        count.octets += rule.octets;
                    }
                    _ => counts.push(SequenceCount {
                        of: Counted::Data(position),
                        sequence,
                        count: rule,
                    }),
                }
            }
        }
        Ok((policy, counts))
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The site it stands at.
    #[must_use]
    pub fn site_id(&self) -> u32 {
        self.site_id
    }

    /// Its tunnels' colors and marks, in the order of the specification.
    #[must_use]
    pub fn marks(&self) -> &[TunnelMark] {
        &self.marks
    }

    /// Replaces the policy in force in one nftables transaction: each packet meets the old or the new one.
    ///
    /// Where only prefixes or ports of the same sequences differ, only these are sent to the kernel, and the
    /// counters of the sequences go on.
    ///
    /// # Errors
    /// [`ApplyError`]; the old policy is then still in force.
    pub async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        let failed = |reason: String| ApplyError {
            site_id: self.site_id,
            reason,
        };
        let table = steering::compile(policy, &self.interfaces, &self.marks)
            .map_err(|error| failed(error.to_string()))?;
        let mut steering = self.steering.lock().await;
        // The transaction takes about a microsecond for each entry: short enough for a tokio worker.
        steering
            .put_in_force(table)
            .map_err(|error| failed(error.to_string()))?;
        steering.policy = policy.clone();
        Ok(())
    }

    /// The kernel's packet counters of an interface.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn packet_count(&self, interface: &str) -> Result<super::host::PacketCount, HostError> {
        self.host.packet_count(interface).await
    }
}

impl Steering {
    /// Nothing in force yet.
    fn new(nft: Socket, site_id: u32) -> Self {
        Self {
            nft,
            policy: EdgePolicy::none(site_id),
            table: None,
        }
    }

    fn put_in_force(&mut self, table: Table) -> Result<(), NftError> {
        let changed = match &self.table {
            None => self.nft.replace_table(&table),
            // A change that does not fit what is in the kernel heals when the table is written anew.
            Some(old) => match self.nft.update_table(old, &table) {
                Err(NftError::Refused { reply, .. }) => {
                    warn!(reply, "change of steering refused, replacing the table");
                    self.nft.replace_table(&table)
                }
                other => other,
            },
        };
        changed?;
        self.table = Some(table);
        Ok(())
    }
}

async fn add_route_over(
    host: &Host,
    table: u32,
    prefix: Ipv4Net,
    device: &str,
    gateway: Ipv4Addr,
) -> Result<(), EdgeError> {
    host.add_route(table, prefix, device, Some(gateway))
        .err_into()
        .await
}
