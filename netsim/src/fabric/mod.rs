//! The wires and the steering of the lab, by netlink alone.
//!
//! [`host`] makes hosts (one namespace each) with links, addresses, routes and rules; [`steering`] turns an
//! [`crate::policy::EdgePolicy`] into one nftables transaction; [`edge`] is a WAN edge: a host whose routing
//! tables and marks give each tunnel a strict and a preferred form; [`decision`] is the table that says which way
//! packets take.

pub mod decision;
pub mod edge;
pub mod host;
pub mod nft;
pub mod steering;

pub use edge::{Edge, EdgeSpec, TunnelSpec, TunnelUse};
pub use host::{Forwarding, Host, HostError, Interface, LinkEnd, Mac};
