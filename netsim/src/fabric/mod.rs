//! The wires and the steering of the lab, by netlink alone.
//!
//! [`host`] makes hosts (one namespace each) with links, addresses, routes and rules; [`edge`] is a WAN edge. From
//! an [`crate::policy::EdgePolicy`] to what the kernel does it is three steps: [`choices`] gives each way of choosing
//! among tunnels a firewall mark, [`steering`] turns sequences into nftables rules that set these marks, and
//! [`routing`] fills the tables that the marks lead to by the [`decision`] for each destination.

pub mod choices;
pub mod decision;
pub mod edge;
pub mod host;
pub mod nft;
pub mod routing;
pub mod steering;
#[cfg(test)]
mod strategies;

pub use edge::{
    DeviceSpec, Edge, EdgeSpec, Framing, InspectionSpec, RemotePrefix, RemoteSpec, RemoteVpn, SiteRoute,
    TunnelSpec, VpnSpec,
};
pub use host::routes::{NextHop, TABLE_MAIN};
pub use host::{Families, Forwarding, Host, HostError, Interface, LinkEnd, Mac};
