//! A WAN edge: tunnels, the routing tables that choose among them, and the policy in force.
//!
//! Owns the mapping from local TLOC to firewall mark to routing table. For the tunnel at position `i` there are
//! two tables: the preferred one holds the remote prefixes over the tunnel and falls through to the main table
//! where it has none; the strict one ends each remote prefix in a black hole, so that traffic pinned to a tunnel
//! that is down is dropped and never leaks. The main table sends remote prefixes over the default tunnel.
//! Invariant: one rule for each table, however many endpoints a policy names.

use std::net::Ipv4Addr;

use futures::TryFutureExt;
use ipnet::Ipv4Net;
use tokio::sync::Mutex;
use tracing::warn;

use super::host::{Host, HostError, TABLE_MAIN, VxlanPeer, VxlanSpec};
use super::nft::{NftError, Socket, Table};
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

/// A WAN edge in operation.
#[derive(Debug)]
pub struct Edge {
    host: Host,
    site_id: u32,
    interfaces: VpnInterfaces,
    marks: Vec<TunnelMark>,
    steering: Mutex<Steering>,
}

/// The steering of an edge, and the way to change it.
#[derive(Debug)]
struct Steering {
    nft: Socket,
    /// The table in the kernel, once there is one.
    in_force: Option<Table>,
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
        };
        let site_id = spec.site_id;
        let nft = Socket::open(host.netns()).map_err(|source| EdgeError::Nft { site_id, source })?;
        Ok(Self {
            host,
            site_id,
            interfaces,
            marks,
            steering: Mutex::new(Steering { nft, in_force: None }),
        })
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
        // The transaction takes about a microsecond for each entry: short enough for a tokio worker.
        self.steering
            .lock()
            .await
            .put_in_force(table)
            .map_err(|error| failed(error.to_string()))
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
    fn put_in_force(&mut self, table: Table) -> Result<(), NftError> {
        let changed = match &self.in_force {
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
        self.in_force = Some(table);
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
