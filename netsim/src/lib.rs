//! The emulated SD-WAN: namespaces, fabric, capture, and the Manager that programs it.
//!
//! Owns everything between the Kubernetes nodes of a lab: [`netns`] holds the namespaces, [`fabric`] wires and
//! steers them by netlink, [`encap`] encrypts and encapsulates, [`bfd`] probes the tunnels and [`sla`] judges them by
//! what the policy asks for, [`impair`] makes the lines worse, [`capture`] watches every packet, [`manager`] is the API
//! through which alone [`policy`] gets in and [`telemetry`] gets out; [`capabilities`] tells what this machine can do.
//! It knows nothing of scenarios, Kubernetes or verdicts.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod bfd;
pub mod capabilities;
pub mod capture;
pub mod encap;
pub mod fabric;
pub mod impair;
pub mod manager;
#[allow(unsafe_code)]
pub mod netns;
pub mod policy;
pub mod sla;
pub mod telemetry;
