//! The operator between the emulated Manager and the embedded Kubernetes API: all in one process, over real connections,
//! without packets.
//!
//! Owns what the trials in `tests` share: a cluster to write to ([`Cluster`]), a WAN that remembers whatever its edges
//! were told ([`Wan`]), an operator that can be killed ([`Operator`]), and what becomes of a packet under the policy of an
//! edge ([`fate`]). A trial takes milliseconds, so there can be ten thousand of them; that edges steer packets as their
//! policy says is for the labs of `pathproof` to prove.
//!
//! This crate alone knows both the operator and what grades it; nothing depends on it.

mod cluster;
mod edges;
mod fate;
mod operator;
mod wan;

pub use cluster::{Cluster, SLICES, Slice};
pub use edges::{Applied, Tunnel, WatchedEdges};
pub use fate::{Fate, Packet, fate, fate_over, is_inspected};
pub use operator::{NEVER, Operator, settings};
pub use wan::{Rest, Wan};
